//! Private PostgreSQL clusters.

mod cluster;
mod database;
mod programs;

pub use cluster::{PgCluster, PgOptions, Stop};
pub use database::TestDatabase;
