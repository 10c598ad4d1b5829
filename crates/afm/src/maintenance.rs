//! What must be done without a request: expire and retry tasks, rescue those of lost agents, purge old
//! records, and follow the database's clock.

pub(crate) mod clock_sync;
pub mod sweeper;
