//! A poll that is held open, and for what it was woken.

use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slamon_protocol::PollRequest;
use slamon_store::WaitingKind;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::dispatch::claimed::Claimed;

/// What is being claimed for a poll that did not ask; it may come to nothing. Dropped, it goes to somebody else.
pub type HandOff = Pin<Box<dyn Future<Output = Claimed> + Send>>;

/// What a capability takes beside its name: it is in the poll, and leads to a queue with a place for the poll.
const CAPABILITY: usize = 256;

/// About how much memory a poll takes that is held open, in bytes.
pub(super) fn bytes(request: &PollRequest) -> usize {
    let location = request.agent_location.as_ref();
    let location = location.map_or(0, |location| location.country.len() + location.region.len());
    // A name is in the poll, in the one that it asks with again, and in the queues.
    let offers = request.agent_capabilities.iter().map(|offer| CAPABILITY + 3 * offer.task_type.len());
    2 * (request.agent_name.len() + location) + offers.sum::<usize>()
}

/// Where a poll stands in its queues: behind all that began before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PollPosition {
    pub(super) began: Instant,
    pub(super) number: u64,
}

pub(super) struct HeldPoll {
    pub(super) request: PollRequest,
    /// Where it stands in the queues.
    pub(super) place: PollPosition,
    notify: Notify,
    over: Notify,
    hints: Mutex<WakeUps>,
}

#[derive(Default)]
struct WakeUps {
    /// Whether it waits, and neither asks nor is about to.
    is_idle: bool,
    /// Not asked for yet.
    woken_for: Option<WaitingKind>,
    /// Asked for, and not answered yet.
    asking_for: Option<WaitingKind>,
    /// Not seen yet.
    handed: Option<HandOff>,
}

impl HeldPoll {
    pub(super) fn new(request: PollRequest, place: PollPosition) -> Self {
        Self { request, place, notify: Notify::new(), over: Notify::new(), hints: Mutex::default() }
    }

    /// A newer poll of the agent is there. What this one was handed goes back before that one asks.
    pub(super) fn end(&self) {
        let mut hints = self.hints();
        hints.is_idle = false;
        let handed = hints.handed.take();
        drop(hints);
        drop(handed);
        self.over.notify_one();
    }

    /// Returns when it was ended.
    pub(super) async fn ended(&self) {
        self.over.notified().await;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.hints().is_idle
    }

    pub(super) fn could_take(&self, kind: &WaitingKind) -> bool {
        let agent = &self.request;
        kind.agent_filter.matches(agent.agent_id, &agent.agent_name, agent.agent_location.as_ref())
    }

    /// Has it look for itself.
    pub(super) fn wake(&self) {
        self.notify.notify_one();
    }

    /// Has it ask for a task; `false` if it could not take it, or is woken for another.
    pub(super) fn wake_for(&self, kind: &WaitingKind) -> bool {
        let mut hints = self.hints();
        if hints.woken_for.is_some() || !self.could_take(kind) {
            return false;
        }
        hints.woken_for = Some(kind.clone());
        hints.is_idle = false;
        self.wake();
        true
    }

    pub(super) fn hand_off(&self, handed: HandOff) {
        let mut hints = self.hints();
        hints.handed = Some(handed);
        hints.is_idle = false;
        self.wake();
    }

    /// Returns when it is to take what it is handed or, where that is nothing, to ask.
    pub(super) async fn woken(&self, at_most: Duration) -> Option<HandOff> {
        {
            let mut hints = self.hints();
            hints.is_idle = hints.woken_for.is_none() && hints.handed.is_none();
        }
        let _ = tokio::time::timeout(at_most, self.notify.notified()).await;
        let mut hints = self.hints();
        hints.is_idle = false;
        let handed = hints.handed.take();
        if handed.is_none() {
            hints.asking_for = hints.woken_for.take();
        } else if hints.woken_for.is_some() {
            self.wake();
        }
        handed
    }

    pub(super) fn found_nothing(&self) {
        self.hints().asking_for = None;
    }

    /// What it was woken for and has not got, when it is gone. What it was handed goes back.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = WaitingKind> {
        let hints = std::mem::take(&mut *self.hints());
        hints.asking_for.into_iter().chain(hints.woken_for)
    }

    fn hints(&self) -> MutexGuard<'_, WakeUps> {
        self.hints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for HeldPoll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Poll of {}", self.request.agent_id)
    }
}
