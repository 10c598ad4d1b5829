//! The process is killed in the middle of an adoption.

use slamon_store::{Prepared, SchemaError, SqliteStore, StoreError};
use tracing::{Event, Level, Metadata, Subscriber, span};

use super::adoption::{contents, original};
use super::process::{OtherProcess, database, say};
use crate::driver::Driver;
use crate::fixture::{Fixture, SharedFixture};

#[tokio::test]
async fn an_adoption_that_is_killed_leaves_the_original_as_it_was() {
    if let Some(database) = database() {
        return adopt_until_killed(&database).await;
    }
    let fixture = original();
    // Tasks from before those of the dump, and more of them than SQLite keeps in memory: half an adoption is
    // in files.
    fixture.sql(
        "with recursive n (n) as (select 1 union all select n + 1 from n where n < 3000)
         insert into tasks (uuid, test_id, type, version, created, data)
         select printf('20000000-0000-4000-8000-%012d', n), '7e570000-0000-4000-8000-000000000001', 'old', 1,
                '2026-01-01 00:00:00.000000', printf('\"%.30000c\"', 'x')
         from n",
    );
    let before = contents(&fixture);
    let test = "sqlite::adoption_killed::an_adoption_that_is_killed_leaves_the_original_as_it_was";
    let mut process = OtherProcess::start(r#"exec "$@""#, test, &fixture.uri());
    assert_eq!(process.hear().unwrap(), "in the middle");
    let path = fixture.uri().replace("sqlite:///", "");
    assert!(std::fs::metadata(format!("{path}-wal")).unwrap().len() > 1_000_000);
    process.kill();

    assert_eq!(contents(&fixture), before);
    let store = fixture.store();
    let refused = store.check().await;
    assert!(matches!(refused, Err(StoreError::Schema(SchemaError::Original))), "{refused:?}");
    let Prepared::Adopted(adopted) = store.create_tables().await.unwrap() else { panic!() };
    assert_eq!((adopted.tasks, adopted.renamed), (3011, 1));
}

async fn adopt_until_killed(database: &str) {
    tracing::subscriber::set_global_default(StopAtWarning).unwrap();
    let _ = Driver::new(SqliteStore::new(database, false).unwrap()).create_tables().await;
}

/// Says so, and goes no further, when the adoption warns that it gives a task another id: one of the last.
struct StopAtWarning;

impl Subscriber for StopAtWarning {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn event(&self, _: &Event<'_>) {
        say("in the middle");
        loop {
            std::thread::park();
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
