//! Dispatch: how tasks get from those who post them to agents. Commands are committed in batches; polls are
//! answered from a cache, or held open until there is a task.

pub mod cache;
pub mod claimed;
pub mod committer;
pub(crate) mod event_log;
pub mod heartbeats;
pub(crate) mod notifications;
pub(crate) mod pauses;
mod sync;
pub mod waiters;
