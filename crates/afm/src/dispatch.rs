//! How tasks get from those who post them to the agents that execute them: commands are committed in batches, polls are
//! answered from a cache or held open.

pub mod cache;
pub mod claimed;
pub mod committer;
pub mod heartbeats;
pub(crate) mod notifications;
pub mod waiters;
