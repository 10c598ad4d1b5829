//! Private PostgreSQL clusters.

mod bouncer;
mod cluster;
mod database;
mod programs;

pub use bouncer::PgBouncer;
pub use cluster::{PgCluster, PgOptions, Stop};
pub use database::TestDatabase;
