//! What a store tells of other processes on its database.

use std::sync::Arc;

use slamon_domain::{KindCursor, Transition};
use uuid::Uuid;

/// Something that another process has done to the same database, or whether such events arrive at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreEvent {
    /// A task of this kind has come to wait, at this place in its queue.
    TaskWaiting(KindCursor),
    /// This task has ended.
    TaskEnded(Uuid),
    /// A task that this agent executes has been cancelled or has expired, and the agent has to be told.
    CancellationPending(Uuid),
    /// These tasks have changed: sent by AFMs that know that somebody watches (see [`Published`]).
    Changed(Vec<Transition>),
    /// Tasks have changed, too many to say which.
    ChangesMissed,
    /// Somebody watches the changes of tasks at another AFM.
    Watched,
    /// Pauses may have changed.
    PausesChanged,
    /// Events arrive from now on, and some may have been missed: whoever waits for any must look for itself.
    EventsMissed,
    /// Until the next [`StoreEvent::EventsMissed`], none or not all events arrive: tasks may come to wait
    /// before any cursor that is known.
    ListeningStopped,
    /// Sent once a second while events do not arrive: whoever waits for one must look again.
    NotListening,
}

/// What an AFM publishes to the others besides its batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// Somebody watches the changes of tasks here.
    Watched,
    /// These tasks have changed.
    Changed(Vec<Arc<Transition>>),
    /// Tasks have changed, too many to say which.
    ChangesMissed,
}
