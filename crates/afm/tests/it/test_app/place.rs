//! Where an AFM keeps its tasks.

use std::sync::Arc;

use slamon_store::{SqliteStore, Store};
use tempfile::TempDir;

/// A database for one test, gone with this value.
pub(crate) enum Place {
    Memory,
    File(TempDir),
}

impl Place {
    /// A new SQLite file.
    pub(crate) fn file() -> Self {
        Self::File(TempDir::new().expect("a temporary folder"))
    }

    pub(super) fn store(&self) -> Arc<dyn Store> {
        let uri = match self {
            Self::Memory => "sqlite://".to_owned(),
            Self::File(folder) => format!("sqlite:///{}", folder.path().join("afm.db").display()),
        };
        Arc::new(SqliteStore::new(&uri, false).expect("a store"))
    }
}
