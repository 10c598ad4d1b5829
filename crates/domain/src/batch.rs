//! Executes the commands of a batch on what a store has found for them.
//!
//! A store finds and locks what the commands name, and puts it into a [`Snapshot`]. [`Executor::execute`]
//! decides the commands in their order, by the rules of [`lifecycle`](crate::lifecycle). The store then saves
//! the [`Changes`], and tells others of the [`Effects`].
//!
//! A store may execute all commands of a batch at once, or each by itself with a snapshot of its own. Either
//! way, what agents have abandoned is decided after all other commands, and tasks are handed out last, which
//! is not done here: what may be claimed is only found then.

mod effects;
mod executor;
mod snapshot;
#[cfg(test)]
mod tests;

pub use effects::Effects;
pub use executor::{Changes, Executor};
pub use snapshot::{DueTasks, HeldTasks, LockedTask, PostLookup, Snapshot};
