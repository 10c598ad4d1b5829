//! What goes on without a request: tasks that are due, agents that are lost, records that are old, and the clock.

pub(crate) mod clock_sync;
pub mod sweeper;
