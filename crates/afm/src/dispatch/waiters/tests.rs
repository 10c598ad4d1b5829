//! Which requests are woken, and when.

mod long_polls;
mod orders;

use std::time::Duration;

use slamon_domain::Polled;
use slamon_protocol::AgentFilter;

use super::*;

fn request(agent: u128, agent_name: &str) -> PollRequest {
    PollRequest {
        agent_id: Uuid::from_u128(agent),
        agent_name: agent_name.to_owned(),
        agent_capabilities: vec![wait(1), wait(2)],
        max_tasks: 1,
        agent_location: None,
        max_wait: Duration::from_secs(300),
        agent_running: None,
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

/// Says whether the poll is woken already.
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

/// Returns the agent whose poll a task is handed to, if there is one.
fn hand_off(waiters: &Waiters, task: &PostTask) -> Option<u128> {
    let mut agent = None;
    waiters.hand_off([task].into_iter(), |poll, kind| {
        assert_eq!(kind, WaitingKind::of(task));
        agent = Some(poll.agent_id.as_u128());
        let polled = Polled { cancelled: vec![poll.agent_id], ..Polled::default() };
        Box::pin(std::future::ready(polled.into()))
    });
    agent
}

#[tokio::test]
async fn a_task_is_handed_to_the_one_that_has_waited_longest_and_is_not_about_to_ask() {
    let waiters = Waiters::default();
    let polls = [1, 2, 3].map(|agent| waiters.poll(&request(agent, "")).unwrap());
    assert_eq!(hand_off(&waiters, &task(1)), None, "nobody waits, all are about to ask");
    for poll in &polls {
        assert!(!is_woken(poll).await);
    }
    waiters.tasks_wait(&any(1));
    assert_eq!(hand_off(&waiters, &task(3)), None);
    assert_eq!(hand_off(&waiters, &task(2)), Some(2), "the first is woken");
    assert_eq!(hand_off(&waiters, &task(1)), Some(3));
    assert_eq!(hand_off(&waiters, &task(1)), None);
    assert!(is_woken(&polls[0]).await);
    let handed = polls[1].woken(LONG).await.expect("it was handed something").await;
    assert_eq!(handed.cancelled, [Uuid::from_u128(2)]);
}

#[tokio::test]
async fn a_poll_is_woken_when_a_task_of_its_agent_is_cancelled() {
    let waiters = Waiters::default();
    let polls = [1, 2, 3].map(|agent| waiters.poll(&request(agent, "")).unwrap());
    let applied = Applied { pending_cancellations: vec![Uuid::from_u128(2)], ..Applied::default() };
    waiters.on_batch(&applied);
    waiters.on_event(&StoreEvent::CancellationPending(Uuid::from_u128(3)));
    let mut woken = Vec::new();
    for poll in &polls {
        woken.push(is_woken(poll).await);
    }
    assert_eq!(woken, [false, true, true]);
}

#[tokio::test]
async fn a_hint_that_comes_while_a_task_is_handed_is_asked_for_if_that_comes_to_nothing() {
    let waiters = Waiters::default();
    let poll = waiters.poll(&request(1, "")).unwrap();
    assert!(!is_woken(&poll).await);
    assert_eq!(hand_off(&waiters, &task(1)), Some(1));
    waiters.tasks_wait(&any(2));
    assert!(poll.woken(LONG).await.is_some());
    poll.found_nothing();
    assert!(is_woken(&poll).await);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_they_want() {
    let waiters = Waiters::default();
    assert!(waiters.poll(&request(1, "")).unwrap().woken(LONG).await.is_none());
}

#[tokio::test]
async fn one_task_wakes_the_one_that_has_waited_longest() {
    let waiters = Waiters::default();
    let (first, second) = (waiters.poll(&request(1, "")).unwrap(), waiters.poll(&request(2, "")).unwrap());
    waiters.tasks_wait(&any(1));
    assert!(is_woken(&first).await);
    assert!(!is_woken(&second).await);
    // While the first poll asks, it may be woken again. While it is woken already, the next poll is woken.
    waiters.tasks_wait(&any(2));
    waiters.tasks_wait(&any(2));
    assert!(is_woken(&first).await);
    assert!(is_woken(&second).await);
    waiters.tasks_wait(&any(3));
    assert!(!is_woken(&first).await && !is_woken(&second).await);
}

#[tokio::test]
async fn a_filter_passes_over_those_it_does_not_match() {
    let waiters = Waiters::default();
    let (first, second) = (waiters.poll(&request(1, "a")).unwrap(), waiters.poll(&request(2, "b")).unwrap());
    waiters.tasks_wait(&named("b"));
    waiters.tasks_wait(&named("c"));
    assert!(!is_woken(&first).await);
    assert!(is_woken(&second).await);
}

#[tokio::test]
async fn a_hint_is_the_next_ones_until_the_poll_is_answered() {
    for (asks, is_answered) in [(false, false), (true, false), (true, true)] {
        let waiters = Waiters::default();
        let (first, second) =
            (waiters.poll(&request(1, "")).unwrap(), waiters.poll(&request(2, "")).unwrap());
        waiters.tasks_wait(&any(1));
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
    let waiters = Waiters::default();
    let is_woken = async |read: &WaitingRead| {
        tokio::select! {
            biased;
            () = read.woken() => true,
            () = std::future::ready(()) => false,
        }
    };
    let [one, again, other] = [1, 1, 2].map(|id| waiters.read(Uuid::from_u128(id)));
    waiters.on_event(&StoreEvent::TaskEnded(Uuid::from_u128(1)));
    assert!(is_woken(&one).await && is_woken(&again).await && !is_woken(&other).await);
    let poll = waiters.poll(&request(1, "")).unwrap();
    waiters.on_event(&StoreEvent::EventsMissed);
    assert!(is_woken(&one).await && is_woken(&other).await && self::is_woken(&poll).await);
}

#[tokio::test]
async fn nothing_is_kept_of_those_that_are_gone() {
    let waiters = Waiters::default();
    drop((waiters.poll(&request(1, "")).unwrap(), waiters.read(Uuid::nil())));
    waiters.assert_empty();
}

impl Waiters {
    /// Nothing is kept of anybody.
    pub(in crate::dispatch) fn assert_empty(&self) {
        let state = self.lock();
        assert!(state.polls.is_empty() && state.agents.is_empty() && state.reads.is_empty());
        assert_eq!((state.bytes, self.0.held.load(Ordering::Relaxed)), (0, 0));
    }
}

/// Begins another poll of an agent, which waits.
async fn begin(waiters: &Waiters, agent: u128) -> WaitingPoll {
    let poll = waiters.poll(&request(agent, "")).unwrap();
    assert!(!is_woken(&poll).await);
    poll
}

async fn is_ended(poll: &WaitingPoll) -> bool {
    tokio::select! {
        biased;
        () = poll.ended() => true,
        () = std::future::ready(()) => false,
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_was_seen_a_short_while_ago_comes_before_one_that_has_waited_for_long() {
    let waiters = Waiters::default();
    let _silent = begin(&waiters, 1).await;
    tokio::time::advance(Duration::from_secs(16)).await;
    let mut handed_to = Vec::new();
    let mut polls = vec![begin(&waiters, 2).await, begin(&waiters, 3).await];
    for _ in 0..6 {
        tokio::time::advance(Duration::from_millis(10)).await;
        let agent = hand_off(&waiters, &task(1)).expect("somebody waits");
        handed_to.push(agent);
        if agent != 1 {
            polls.push(begin(&waiters, agent).await);
        }
    }
    // One turn of four goes by the wait alone: nobody is passed over for ever.
    assert_eq!(handed_to, [2, 3, 2, 1, 3, 2]);
}

#[tokio::test(start_paused = true)]
async fn among_those_that_have_waited_for_long_the_first_one_comes_first() {
    let waiters = Waiters::default();
    let _polls = [begin(&waiters, 1).await, begin(&waiters, 2).await];
    tokio::time::advance(Duration::from_secs(100)).await;
    assert_eq!([hand_off(&waiters, &task(1)), hand_off(&waiters, &task(1))], [Some(1), Some(2)]);
    assert_eq!(hand_off(&waiters, &task(1)), None);
}

#[tokio::test]
async fn a_newer_poll_of_an_agent_ends_the_older_one() {
    let waiters = Waiters::default();
    let polls = [begin(&waiters, 1).await, begin(&waiters, 2).await, begin(&waiters, 1).await];
    assert!(is_ended(&polls[0]).await && !is_ended(&polls[1]).await && !is_ended(&polls[2]).await);
    assert_eq!([hand_off(&waiters, &task(1)), hand_off(&waiters, &task(1))], [Some(2), Some(1)]);
    assert!(polls[2].woken(LONG).await.is_some(), "the newer one has it");
    drop(polls);
    let last = begin(&waiters, 1).await;
    assert_eq!(waiters.end_older(Uuid::from_u128(2)), None);
    assert!(!is_ended(&last).await);
    assert!(waiters.end_older(Uuid::from_u128(1)).is_some());
    assert!(is_ended(&last).await);
    assert_eq!(hand_off(&waiters, &task(1)), None);
}

#[tokio::test]
async fn what_an_ended_poll_was_woken_for_is_the_next_ones() {
    let waiters = Waiters::default();
    let older = begin(&waiters, 1).await;
    waiters.tasks_wait(&any(1));
    let newer = begin(&waiters, 1).await;
    drop(older);
    assert!(is_woken(&newer).await);
}

#[tokio::test]
async fn large_polls_are_held_while_there_is_memory_for_them() {
    let waiters = Waiters::default();
    let large = |agent: u128| {
        let offer = |n| Capability { task_type: format!("{n}{}", "x".repeat(1_024)), version: 1 };
        PollRequest { agent_capabilities: (0..1_000).map(offer).collect(), ..request(agent, "") }
    };
    let mut held: Vec<WaitingPoll> = Vec::new();
    let refused = (1..1_000).find(|agent| match waiters.poll(&large(*agent)) {
        Some(poll) => {
            held.push(poll);
            false
        }
        None => true,
    });
    assert!(refused.is_some() && held.len() > 10, "{} are held", held.len());
    assert!(waiters.poll(&request(2_000, "")).is_some(), "small ones do not count");
    // An agent's new poll ends its older one, and both are counted off once they are gone.
    held.remove(0);
    let again = waiters.poll(&large(2)).unwrap();
    assert!(waiters.poll(&large(3)).is_none());
    drop((held, again));
    assert_eq!(waiters.lock().bytes, 0);
}
