//! Databases to run the cases on, each empty and a test's own.

mod postgres;

use std::time::Duration;

use rusqlite::Connection;
use slamon_store::SqliteStore;
use tempfile::TempDir;

use crate::driver::Driver;
pub(crate) use postgres::{LonePostgres, Postgres};

/// A database with a store on it.
pub(crate) trait Fixture: Sized {
    /// A database without tables.
    fn empty() -> Self {
        Self::with_default_timeout(None)
    }

    /// One whose store gives an attempt so long where its task does not say.
    fn with_default_timeout(default_timeout: Option<Duration>) -> Self;

    /// Its store, the same with every call.
    fn store(&self) -> Driver;

    /// Its store, with tables.
    async fn ready(&self) -> Driver {
        let store = self.store();
        store.create_tables().await.unwrap();
        store
    }
}

/// A database that outlives its store and can be opened more than once.
pub(crate) trait SharedFixture: Fixture {
    /// A connection that holds a lock.
    type Lock;

    /// Another store on the database, as another process would open it.
    fn second(&self) -> Driver;

    /// Another store that gives up soon when the database is locked.
    fn impatient(&self) -> Driver;

    /// Runs statements past the store.
    fn sql(&self, statements: &str);

    /// The one text that a query finds, past the store.
    fn text(&self, query: &str) -> Option<String>;

    /// Keeps everybody from writing.
    async fn lock(&self) -> Self::Lock;

    /// Ends [`SharedFixture::lock`].
    async fn unlock(lock: Self::Lock);

    /// Makes the database fail when a task of type `poison` is stored.
    fn refuse_poison(&self);

    /// Ends [`SharedFixture::refuse_poison`].
    fn take_poison(&self);
}

pub(crate) struct SqliteMemory(Driver);

impl Fixture for SqliteMemory {
    fn with_default_timeout(default_timeout: Option<Duration>) -> Self {
        let store = SqliteStore::new("sqlite://", false).unwrap();
        Self(Driver::new(store.with_default_timeout(default_timeout)))
    }

    fn store(&self) -> Driver {
        self.0.clone()
    }
}

pub(crate) struct SqliteFile {
    store: Driver,
    folder: TempDir,
}

impl SqliteFile {
    pub(crate) fn uri(&self) -> String {
        format!("sqlite:///{}", self.folder.path().join("afm.db").display())
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.folder.path().join("afm.db")).unwrap()
    }
}

impl Fixture for SqliteFile {
    fn with_default_timeout(default_timeout: Option<Duration>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let uri = format!("sqlite:///{}", folder.path().join("afm.db").display());
        let store = SqliteStore::new(&uri, false).unwrap();
        Self { store: Driver::new(store.with_default_timeout(default_timeout)), folder }
    }

    fn store(&self) -> Driver {
        self.store.clone()
    }
}

impl SharedFixture for SqliteFile {
    type Lock = Connection;

    fn second(&self) -> Driver {
        // Races in tests keep both busy for longer than servers would.
        Driver::new(SqliteStore::new(&format!("{}?timeout=60", self.uri()), false).unwrap())
    }

    fn impatient(&self) -> Driver {
        Driver::new(SqliteStore::new(&format!("{}?timeout=0", self.uri()), false).unwrap())
    }

    fn sql(&self, statements: &str) {
        self.connect().execute_batch(statements).unwrap();
    }

    fn text(&self, query: &str) -> Option<String> {
        self.connect().query_row(query, [], |row| row.get(0)).unwrap()
    }

    async fn lock(&self) -> Connection {
        let connection = self.connect();
        connection.execute_batch("begin immediate").unwrap();
        connection
    }

    async fn unlock(lock: Connection) {
        lock.execute_batch("rollback").unwrap();
    }

    fn refuse_poison(&self) {
        self.sql(
            "create trigger poison before insert on task when new.type = 'poison'
             begin select raise(abort, 'poisoned'); end",
        );
    }

    fn take_poison(&self) {
        self.sql("drop trigger poison");
    }
}
