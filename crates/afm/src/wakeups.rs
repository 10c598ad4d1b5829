//! Wakes requests that are held open: polls until there is a task for them, reads until a task has ended.
//!
//! A hint is of one task, and wakes the poll that has waited longest and could take it, not all of them. If that
//! poll is gone before it was answered, the hint is the next one's.
//!
//! What this AFM is about to store is handed to a poll without that poll asking for it.

mod poll;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slamon_protocol::{Capability, PollRequest, PostTask};
use slamon_store::{Hint, WaitingKind};
use tokio::sync::Notify;
use uuid::Uuid;

pub use self::poll::Handed;
use self::poll::Poll;

/// Who waits for what. All clones are one.
#[derive(Debug, Clone, Default)]
pub struct Wakeups(Arc<Mutex<Waiters>>);

#[derive(Debug, Default)]
struct Waiters {
    polls: HashMap<Capability, VecDeque<Arc<Poll>>>,
    reads: HashMap<Uuid, Vec<Arc<Notify>>>,
}

impl Wakeups {
    /// Holds a poll's place in the queues for its capabilities, until it is dropped.
    #[must_use]
    pub fn poll(&self, request: &PollRequest) -> WaitingPoll {
        let poll = Arc::new(Poll::new(request.clone()));
        let mut waiters = self.lock();
        for capability in &request.agent_capabilities {
            waiters.polls.entry(capability.clone()).or_default().push_back(Arc::clone(&poll));
        }
        WaitingPoll { wakeups: self.clone(), poll }
    }

    /// Whether a poll of this agent waits, and is not about to ask.
    #[must_use]
    pub fn is_waiting(&self, agent_id: Uuid) -> bool {
        let waiters = self.lock();
        let mut polls = waiters.polls.values().flatten();
        polls.any(|poll| poll.request.agent_id == agent_id && poll.is_idle())
    }

    /// Waits for the end of a task, until it is dropped.
    #[must_use]
    pub fn read(&self, task_id: Uuid) -> WaitingRead {
        let notify = Arc::new(Notify::new());
        self.lock().reads.entry(task_id).or_default().push(Arc::clone(&notify));
        WaitingRead { wakeups: self.clone(), task_id, notify }
    }

    /// Passes on what this or another process has done.
    pub fn hint(&self, hint: &Hint) {
        match hint {
            Hint::Waiting(kind) => self.tasks_wait(kind),
            Hint::Ended(task_id) => self.task_ended(*task_id),
            Hint::Untold(_) => {}
            Hint::Anything => self.anything(),
        }
    }

    /// Wakes the first poll that could take a task of this kind.
    pub fn tasks_wait(&self, kind: &WaitingKind) {
        if let Some(queue) = self.lock().polls.get(&kind.capability) {
            let _ = queue.iter().any(|poll| poll.wake_for(kind));
        }
    }

    /// Of each task, hands the first poll that waits, and could take it, what `claim` makes of it.
    pub fn hand<'t>(
        &self,
        tasks: impl Iterator<Item = &'t PostTask>,
        mut claim: impl FnMut(&PollRequest, WaitingKind) -> Handed,
    ) {
        let waiters = self.lock();
        // Most agents do not wait.
        if waiters.polls.is_empty() {
            return;
        }
        for task in tasks {
            let kind = WaitingKind::of(task);
            let mut queue = waiters.polls.get(&kind.capability).into_iter().flatten();
            if let Some(poll) = queue.find(|poll| poll.is_idle() && poll.could_take(&kind)) {
                poll.hand(claim(&poll.request, kind));
            }
        }
    }

    /// Wakes whoever waits for the end of a task.
    pub fn task_ended(&self, task_id: Uuid) {
        for notify in self.lock().reads.get(&task_id).into_iter().flatten() {
            notify.notify_one();
        }
    }

    /// Hints may have been missed: everybody looks for themselves.
    fn anything(&self) {
        let waiters = self.lock();
        for poll in waiters.polls.values().flatten() {
            poll.wake();
        }
        for notify in waiters.reads.values().flatten() {
            notify.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A poll's place in the queues.
#[derive(Debug)]
pub struct WaitingPoll {
    wakeups: Wakeups,
    poll: Arc<Poll>,
}

impl WaitingPoll {
    /// Returns when there may be a task, after `at_most` in any case. Whoever sees this takes what it is handed or, where
    /// that is nothing, asks; says if it found nothing, and may then wait again.
    pub async fn woken(&self, at_most: Duration) -> Option<Handed> {
        self.poll.woken(at_most).await
    }

    /// The poll brought nothing: what it was woken for is somebody else's.
    pub fn found_nothing(&self) {
        self.poll.found_nothing();
    }
}

impl Drop for WaitingPoll {
    fn drop(&mut self) {
        let mut waiters = self.wakeups.lock();
        for capability in &self.poll.request.agent_capabilities {
            if let Some(queue) = waiters.polls.get_mut(capability) {
                queue.retain(|poll| !Arc::ptr_eq(poll, &self.poll));
                if queue.is_empty() {
                    waiters.polls.remove(capability);
                }
            }
        }
        drop(waiters);
        for kind in self.poll.unanswered() {
            self.wakeups.tasks_wait(&kind);
        }
    }
}

/// Somebody who waits for the end of a task.
#[derive(Debug)]
pub struct WaitingRead {
    wakeups: Wakeups,
    task_id: Uuid,
    notify: Arc<Notify>,
}

impl WaitingRead {
    /// Returns when the task may have ended.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }
}

impl Drop for WaitingRead {
    fn drop(&mut self) {
        let mut waiters = self.wakeups.lock();
        if let Some(waiting) = waiters.reads.get_mut(&self.task_id) {
            waiting.retain(|notify| !Arc::ptr_eq(notify, &self.notify));
            if waiting.is_empty() {
                waiters.reads.remove(&self.task_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use slamon_protocol::AgentFilter;
    use slamon_store::Polled;

    use super::*;

    fn request(agent: u128, agent_name: &str) -> PollRequest {
        PollRequest {
            agent_id: Uuid::from_u128(agent),
            agent_name: agent_name.to_owned(),
            agent_capabilities: vec![wait(1), wait(2)],
            max_tasks: 1,
            agent_location: None,
            max_wait: Duration::from_secs(300),
        }
    }

    fn wait(version: i64) -> Capability {
        Capability { task_type: "wait".to_owned(), version }
    }

    fn any(version: i64) -> WaitingKind {
        WaitingKind { capability: wait(version), agent_filter: AgentFilter::default() }
    }

    fn named(agent_name: &str) -> WaitingKind {
        let agent_filter = AgentFilter { agent_name: Some(agent_name.to_owned()), ..AgentFilter::default() };
        WaitingKind { capability: wait(1), agent_filter }
    }

    const LONG: Duration = Duration::from_secs(3_600);

    /// Whether it is woken already.
    async fn is_woken(poll: &WaitingPoll) -> bool {
        tokio::select! {
            biased;
            handed = poll.woken(LONG) => {
                assert!(handed.is_none());
                true
            }
            () = std::future::ready(()) => false,
        }
    }

    fn task(version: i64) -> PostTask {
        let task = r#"{"task_id":"00000000-0000-0000-0000-000000000001",
            "test_id":"00000000-0000-0000-0000-000000000001","task_type":"wait","task_version":1}"#;
        PostTask { task_version: version, ..PostTask::parse(task).unwrap() }
    }

    /// Whose poll a task is handed to, if it is to any.
    fn hand(wakeups: &Wakeups, task: &PostTask) -> Option<u128> {
        let mut agent = None;
        wakeups.hand([task].into_iter(), |poll, kind| {
            assert_eq!(kind, WaitingKind::of(task));
            agent = Some(poll.agent_id.as_u128());
            Box::pin(std::future::ready(Polled { cancelled: vec![poll.agent_id], ..Polled::default() }))
        });
        agent
    }

    #[tokio::test]
    async fn a_task_is_handed_to_the_one_that_has_waited_longest_and_is_not_about_to_ask() {
        let wakeups = Wakeups::default();
        let polls = [1, 2, 3].map(|agent| wakeups.poll(&request(agent, "")));
        assert_eq!(hand(&wakeups, &task(1)), None, "nobody waits, all are about to ask");
        for poll in &polls {
            assert!(!is_woken(poll).await);
        }
        wakeups.tasks_wait(&any(1));
        assert_eq!(hand(&wakeups, &task(3)), None);
        assert_eq!(hand(&wakeups, &task(2)), Some(2), "the first is woken");
        assert_eq!(hand(&wakeups, &task(1)), Some(3));
        assert_eq!(hand(&wakeups, &task(1)), None);
        assert!(is_woken(&polls[0]).await);
        let handed = polls[1].woken(LONG).await.expect("it was handed something").await;
        assert_eq!(handed.cancelled, [Uuid::from_u128(2)]);
    }

    #[tokio::test]
    async fn a_hint_that_comes_while_a_task_is_handed_is_asked_for_if_that_comes_to_nothing() {
        let wakeups = Wakeups::default();
        let poll = wakeups.poll(&request(1, ""));
        assert!(!is_woken(&poll).await);
        assert_eq!(hand(&wakeups, &task(1)), Some(1));
        wakeups.tasks_wait(&any(2));
        assert!(poll.woken(LONG).await.is_some());
        poll.found_nothing();
        assert!(is_woken(&poll).await);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_they_want() {
        let wakeups = Wakeups::default();
        assert!(wakeups.poll(&request(1, "")).woken(LONG).await.is_none());
    }

    #[tokio::test]
    async fn one_task_wakes_the_one_that_has_waited_longest() {
        let wakeups = Wakeups::default();
        let (first, second) = (wakeups.poll(&request(1, "")), wakeups.poll(&request(2, "")));
        wakeups.tasks_wait(&any(1));
        assert!(is_woken(&first).await);
        assert!(!is_woken(&second).await);
        // While it asks, it may be woken again; while it is woken, the next one is.
        wakeups.tasks_wait(&any(2));
        wakeups.tasks_wait(&any(2));
        assert!(is_woken(&first).await);
        assert!(is_woken(&second).await);
        wakeups.tasks_wait(&any(3));
        assert!(!is_woken(&first).await && !is_woken(&second).await);
    }

    #[tokio::test]
    async fn a_filter_passes_over_those_it_does_not_match() {
        let wakeups = Wakeups::default();
        let (first, second) = (wakeups.poll(&request(1, "a")), wakeups.poll(&request(2, "b")));
        wakeups.tasks_wait(&named("b"));
        wakeups.tasks_wait(&named("c"));
        assert!(!is_woken(&first).await);
        assert!(is_woken(&second).await);
    }

    #[tokio::test]
    async fn a_hint_is_the_next_ones_until_the_poll_is_answered() {
        for (asks, is_answered) in [(false, false), (true, false), (true, true)] {
            let wakeups = Wakeups::default();
            let (first, second) = (wakeups.poll(&request(1, "")), wakeups.poll(&request(2, "")));
            wakeups.tasks_wait(&any(1));
            if asks {
                assert!(is_woken(&first).await);
            }
            if is_answered {
                first.found_nothing();
            }
            drop(first);
            assert_eq!(is_woken(&second).await, !is_answered, "{asks} {is_answered}");
        }
    }

    #[tokio::test]
    async fn reads_are_woken_by_their_task_and_by_anything() {
        let wakeups = Wakeups::default();
        let is_woken = async |read: &WaitingRead| {
            tokio::select! {
                biased;
                () = read.woken() => true,
                () = std::future::ready(()) => false,
            }
        };
        let [one, again, other] = [1, 1, 2].map(|id| wakeups.read(Uuid::from_u128(id)));
        wakeups.hint(&Hint::Ended(Uuid::from_u128(1)));
        assert!(is_woken(&one).await && is_woken(&again).await && !is_woken(&other).await);
        let poll = wakeups.poll(&request(1, ""));
        wakeups.hint(&Hint::Anything);
        assert!(is_woken(&one).await && is_woken(&other).await && self::is_woken(&poll).await);
    }

    #[tokio::test]
    async fn nothing_is_kept_of_those_that_are_gone() {
        let wakeups = Wakeups::default();
        drop((wakeups.poll(&request(1, "")), wakeups.read(Uuid::nil())));
        let waiters = wakeups.lock();
        assert!(waiters.polls.is_empty() && waiters.reads.is_empty());
    }
}
