//! A database for one test.

use anyhow::Result;
use uuid::Uuid;

use super::cluster::{PgCluster, quoted};

/// An empty database, dropped with this value, whoever is still connected. It keeps its cluster alive.
#[derive(Debug)]
pub struct TestDatabase {
    cluster: PgCluster,
    name: String,
}

impl PgCluster {
    /// A new, empty database under a name of its own, owned by `postgres`; dropped with the value.
    ///
    /// # Panics
    ///
    /// When the cluster does not answer.
    #[track_caller]
    #[must_use]
    pub fn create_database(&self) -> TestDatabase {
        let name = format!("test_{}", Uuid::new_v4().simple());
        self.sql("postgres", &format!("create database {name}"));
        TestDatabase { cluster: self.clone(), name }
    }
}

impl TestDatabase {
    /// Its name: lower-case letters, digits and `_`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster it is in.
    #[must_use]
    pub fn cluster(&self) -> &PgCluster {
        &self.cluster
    }

    /// Its URI for the superuser: `postgresql://postgres@127.0.0.1:PORT/NAME`.
    #[must_use]
    pub fn uri(&self) -> String {
        self.cluster.uri(&self.name)
    }

    /// Its URI for another role. Neither `role` nor `password` is escaped.
    #[must_use]
    pub fn uri_as(&self, role: &str, password: &str) -> String {
        format!("postgresql://{role}:{password}@127.0.0.1:{}/{}", self.cluster.way_in(), self.name)
    }

    /// [`PgCluster::sql`] here.
    ///
    /// # Panics
    ///
    /// At the first statement that fails.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        self.cluster.sql(&self.name, sql)
    }

    /// [`PgCluster::try_sql`] here.
    ///
    /// # Errors
    ///
    /// The message of the first statement that failed.
    pub fn try_sql(&self, sql: &str) -> Result<String> {
        self.cluster.try_sql(&self.name, sql)
    }

    /// [`PgCluster::terminate_backends`] here.
    ///
    /// # Panics
    ///
    /// When the cluster does not answer.
    #[track_caller]
    pub fn terminate_backends(&self) -> usize {
        self.cluster.terminate_backends(&self.name)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // In a stopped cluster it stays until the cluster goes.
        if self.cluster.pid().is_some() {
            let statement = format!("drop database if exists {} with (force)", quoted(&self.name));
            drop(self.cluster.try_sql("postgres", &statement));
        }
    }
}
