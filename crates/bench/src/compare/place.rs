//! Where a server keeps its tasks: an empty database of its own, gone with the value.

use std::path::{Path, PathBuf};

use anyhow::Result;
use slamon_testbed::{PgCluster, TestDatabase};
use tempfile::TempDir;

/// A folder for the server's log, and its database.
#[derive(Debug)]
pub(crate) struct Place {
    folder: TempDir,
    database: Option<TestDatabase>,
    uri: String,
}

impl Place {
    pub(crate) fn memory(scratch: &Path) -> Result<Self> {
        Ok(Self { folder: TempDir::new_in(scratch)?, database: None, uri: "sqlite://".to_owned() })
    }

    pub(crate) fn file(scratch: &Path) -> Result<Self> {
        let mut place = Self::memory(scratch)?;
        place.uri = format!("sqlite:///{}", place.database_file().display());
        Ok(place)
    }

    pub(crate) fn postgres(scratch: &Path, cluster: &PgCluster) -> Result<Self> {
        let mut place = Self::memory(scratch)?;
        let database = cluster.create_database();
        place.uri = database.uri();
        place.database = Some(database);
        Ok(place)
    }

    /// What `--database-uri` takes.
    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// The PostgreSQL database, if that is what it is.
    pub(crate) fn database(&self) -> Option<&TestDatabase> {
        self.database.as_ref()
    }

    /// The SQLite file, if that is what it is.
    pub(crate) fn database_file(&self) -> PathBuf {
        self.folder.path().join("afm.db")
    }

    /// Where the server writes its log.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.folder.path().join("afm.log")
    }

    /// A file beside it for what comes with this run.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
