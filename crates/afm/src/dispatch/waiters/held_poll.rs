//! A poll that is held open, and what it was woken for.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use slamon_domain::WaitingKind;
use slamon_protocol::PollRequest;
use tokio::time::Instant;

use crate::dispatch::claimed::Claimed;
use crate::dispatch::sync::{Mutex, MutexGuard, Notify};

/// What is being claimed for a poll that did not ask; it may come to nothing. If it is dropped, the tasks go
/// to somebody else.
pub type HandOff = Pin<Box<dyn Future<Output = Claimed> + Send>>;

/// A capability takes this many bytes beside its name: it is in the poll, and has a queue with a place for
/// the poll.
const CAPABILITY: usize = 256;

/// Returns about how many bytes a held poll takes.
pub(super) fn bytes(request: &PollRequest) -> usize {
    let location = request.agent_location.as_ref();
    let location = location.map_or(0, |location| location.country.len() + location.region.len());
    // A name is in the poll, in the copy with which it asks again, and in the queues.
    let offers = request.agent_capabilities.iter().map(|offer| CAPABILITY + 3 * offer.task_type.len());
    2 * (request.agent_name.len() + location) + offers.sum::<usize>()
}

/// The place of a poll in its queues, behind all polls that began before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PollPosition {
    pub(super) began: Instant,
    pub(super) number: u64,
}

pub(super) struct HeldPoll {
    pub(super) request: PollRequest,
    /// Its place in the queues.
    pub(super) place: PollPosition,
    notify: Notify,
    over: Notify,
    wake_ups: Mutex<WakeUps>,
}

#[derive(Default)]
struct WakeUps {
    /// Whether the poll waits, and neither asks nor is about to.
    is_idle: bool,
    /// The kind that the poll was woken for and has not asked for yet.
    woken_for: Option<WaitingKind>,
    /// The kind that the poll has asked for, without a reply yet.
    asking_for: Option<WaitingKind>,
    /// What the poll was handed and has not taken yet.
    handed: Option<HandOff>,
}

impl HeldPoll {
    pub(super) fn new(request: PollRequest, place: PollPosition) -> Self {
        Self { request, place, notify: Notify::new(), over: Notify::new(), wake_ups: Mutex::default() }
    }

    /// Ends the poll, because a newer one of the agent is there. What this one was handed is given back
    /// before the newer one asks.
    pub(super) fn end(&self) {
        let mut wake_ups = self.wake_ups();
        wake_ups.is_idle = false;
        let handed = wake_ups.handed.take();
        drop(wake_ups);
        drop(handed);
        self.over.notify_one();
    }

    /// Waits until the poll was ended.
    pub(super) async fn ended(&self) {
        self.over.notified().await;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.wake_ups().is_idle
    }

    pub(super) fn could_take(&self, kind: &WaitingKind) -> bool {
        let agent = &self.request;
        kind.agent_filter.matches(agent.agent_id, &agent.agent_name, agent.agent_location.as_ref())
    }

    /// Wakes the poll, which then asks.
    pub(super) fn wake(&self) {
        self.notify.notify_one();
    }

    /// Wakes the poll for a task of this kind; returns `false` if it could not take that, or was woken for
    /// another one.
    pub(super) fn wake_for(&self, kind: &WaitingKind) -> bool {
        let mut wake_ups = self.wake_ups();
        if wake_ups.woken_for.is_some() || !self.could_take(kind) {
            return false;
        }
        wake_ups.woken_for = Some(kind.clone());
        wake_ups.is_idle = false;
        self.wake();
        true
    }

    pub(super) fn hand_off(&self, handed: HandOff) {
        let mut wake_ups = self.wake_ups();
        wake_ups.handed = Some(handed);
        wake_ups.is_idle = false;
        self.wake();
    }

    /// Waits until the poll is woken, or for `at_most`. Returns what it was handed; if that is nothing, it is
    /// to ask.
    pub(super) async fn woken(&self, at_most: Duration) -> Option<HandOff> {
        {
            let mut wake_ups = self.wake_ups();
            wake_ups.is_idle = wake_ups.woken_for.is_none() && wake_ups.handed.is_none();
        }
        let _ = tokio::time::timeout(at_most, self.notify.notified()).await;
        let mut wake_ups = self.wake_ups();
        wake_ups.is_idle = false;
        let handed = wake_ups.handed.take();
        if handed.is_none() {
            wake_ups.asking_for = wake_ups.woken_for.take();
        } else if wake_ups.woken_for.is_some() {
            self.wake();
        }
        handed
    }

    pub(super) fn found_nothing(&self) {
        self.wake_ups().asking_for = None;
    }

    /// Returns what the poll was woken for and has not got, since it is gone. What it was handed is given
    /// back.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = WaitingKind> {
        let wake_ups = std::mem::take(&mut *self.wake_ups());
        wake_ups.asking_for.into_iter().chain(wake_ups.woken_for)
    }

    fn wake_ups(&self) -> MutexGuard<'_, WakeUps> {
        self.wake_ups.lock()
    }
}

impl fmt::Debug for HeldPoll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Poll of {}", self.request.agent_id)
    }
}
