//! Who is handed what, and why the rest waits.

use jiff::Timestamp;
use slamon_domain::{Command, QueueDiagnostics, WaitingKind};
use slamon_protocol::{AgentFilter, Capability, Location, PollRequest, PostTask, Terms};
use uuid::Uuid;

use crate::driver::{Driver, numbers};
use crate::fixture::Fixture;
use slamon_domain::testing::commands::{
    DUE, agent_id, at, completed, poll, poll_for, release, seconds, task, task_id, task_of, task_under,
};

fn priority(priority: i32) -> Terms {
    Terms { priority, ..Terms::default() }
}

fn filter(agent_filter: AgentFilter) -> Terms {
    Terms { agent_filter, ..Terms::default() }
}

/// Agent `n`, standing in `country`, region 18.
pub(super) fn poll_from(country: &str, n: u128, most: u32) -> PollRequest {
    let (country, region) = (country.to_owned(), "18".to_owned());
    PollRequest {
        agent_location: Some(Location { country, region, latitude: None, longitude: None }),
        ..poll(n, most)
    }
}

fn in_country(country: &str) -> AgentFilter {
    AgentFilter { country: Some(country.to_owned()), ..AgentFilter::default() }
}

pub(crate) async fn terms_are_kept_as_they_were_posted(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let all = Terms {
        ttl: Some(seconds(31_536_000)),
        timeout: Some(slamon_domain::testing::commands::MICROSECOND),
        max_attempts: 20,
        retry_errors: true,
        retry_delay: seconds(31_536_000),
        priority: -100,
        delay: seconds(1),
        agent_filter: AgentFilter {
            country: Some("ÅÄ".to_owned()),
            region: Some("Ö\"'é".to_owned()),
            agent_id: Some(Uuid::max()),
            agent_name: Some(String::new()),
        },
    };
    for (n, terms) in [(1, Terms::default()), (2, all), (3, priority(100))] {
        store.post_under(at(0), terms.clone(), n).await;
        assert_eq!(store.stored(n).await.posted, task_under(terms.clone(), n));
        let again = store.submit(at(1), task_under(terms, n)).await;
        assert_eq!(again, Ok(slamon_domain::Submitted::Repeated));
        let others = store.submit(at(1), task_under(priority(7), n)).await;
        assert_eq!(others, Err(slamon_domain::Refusal::IdTaken("its terms")));
    }
}

pub(crate) async fn priority_comes_first_then_age(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let here = filter(in_country("FI")).agent_filter;
    for (n, of) in [(1, 0), (2, -100), (3, 100), (4, 5), (5, 5), (6, 0), (7, 100)] {
        let agent_filter = if n % 2 == 0 { here.clone() } else { AgentFilter::default() };
        let terms = Terms { agent_filter, ..priority(of) };
        let kind = ["wait", "other"][n as usize % 2];
        store.batch(at(0), vec![Command::Submit(PostTask { terms, ..task_of(kind, 1, n) })]).await;
    }
    let kinds = [("wait", 1), ("other", 1)]
        .map(|(task_type, version)| Capability { task_type: task_type.to_owned(), version });
    let poll = PollRequest { agent_capabilities: kinds.into(), ..poll_from("FI", 1, 3) };
    let mut claimed = Vec::new();
    for now in 1..=3 {
        claimed.extend(numbers(&store.poll(at(now), poll.clone()).await));
    }
    assert_eq!(claimed, [3, 7, 4, 5, 1, 6, 2]);
    // What is given up has its place again.
    store.release(at(4), release(1, at(1), &[3, 7, 4])).await;
    assert_eq!(numbers(&store.poll(at(5), poll).await), [3, 7, 4]);
}

pub(crate) async fn only_a_matching_agent_may_have_a_filtered_task(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let region = |region: &str| AgentFilter { region: Some(region.to_owned()), ..AgentFilter::default() };
    let named = |name: &str| AgentFilter { agent_name: Some(name.to_owned()), ..AgentFilter::default() };
    let id = |n| AgentFilter { agent_id: Some(agent_id(n)), ..AgentFilter::default() };
    let filters = [
        in_country("FI"),
        in_country("fi"),
        region("18"),
        region("19"),
        id(1),
        id(2),
        named("agent 1"),
        named("agent"),
        AgentFilter { region: Some("18".to_owned()), agent_id: Some(agent_id(1)), ..in_country("FI") },
        AgentFilter { region: Some("19".to_owned()), agent_id: Some(agent_id(1)), ..in_country("FI") },
        AgentFilter { agent_name: Some("agent 1".to_owned()), ..in_country("SE") },
        AgentFilter::default(),
    ];
    for (n, agent_filter) in (1..).zip(filters) {
        store.post_under(at(0), filter(agent_filter), n).await;
    }
    assert_eq!(store.claim(at(1), 9, 0).await, []);
    // Without a place it matches no place.
    for (poll, expected) in [
        (poll(1, 99), vec![5, 7, 12]),
        (poll_from("FI", 1, 99), vec![1, 3, 9]),
        (poll_from("SE", 1, 99), vec![11]),
        (poll_from("fi", 2, 99), vec![2, 6]),
        (poll_from("XX", 3, 99), vec![]),
    ] {
        assert_eq!(numbers(&store.poll(at(1), poll.clone()).await), expected, "{poll:?}");
    }
    assert_eq!(store.waiting().await, 3);
}

async fn diagnostics(store: &Driver, n: u128, seen_since: i64) -> QueueDiagnostics {
    store.queue_diagnostics(&store.stored(n).await, at(seen_since)).await.unwrap()
}

pub(crate) async fn a_waiting_task_says_why(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let why = async |n, seen_since: i64| {
        let waiting = store.why(n, at(seen_since)).await.unwrap();
        (waiting.code, waiting.sentence)
    };
    let is = |code: &'static str, sentence: &str| (code, sentence.to_owned());
    store.post_under(at(0), filter(in_country("FI")), 1).await;
    assert_eq!(diagnostics(&store, 1, 0).await, QueueDiagnostics::default());
    assert_eq!(why(1, 0).await, is("no_agent", "no agent offers wait"));

    for (n, version) in [(9, 7), (8, 3), (7, 7), (6, 2), (5, 4), (4, 5), (3, 6)] {
        store.poll(at(1), poll_for(n, 0, &[("wait", version), ("other", 1)])).await;
    }
    assert_eq!(diagnostics(&store, 1, 0).await.other_versions, [2, 3, 4, 5, 6]);
    let sentence = "no agent offers wait version 1, only version 2, 3, 4, 5, 6";
    assert_eq!(why(1, 0).await, is("other_versions", sentence));

    store.poll(at(2), poll_from("SE", 1, 5)).await;
    store.poll(at(2), poll(2, 5)).await;
    let expected =
        QueueDiagnostics { capable: 2, other_versions: vec![2, 3, 4, 5, 6], ..QueueDiagnostics::default() };
    assert_eq!(diagnostics(&store, 1, 0).await, expected);
    assert_eq!(
        why(1, 0).await,
        is("filter", "none of 2 agents offering wait version 1 matches its agent_filter")
    );

    store.poll(at(3), poll_from("FI", 2, 0)).await;
    let expected = QueueDiagnostics { matching: 1, active: 1, unpaused: 1, ..expected };
    assert_eq!(diagnostics(&store, 1, 3).await, expected);
    assert_eq!(why(1, 3).await, is("busy", "all agents offering wait version 1 are busy: 1 agent"));
    assert_eq!(diagnostics(&store, 1, 4).await, QueueDiagnostics { active: 0, unpaused: 0, ..expected });
    assert_eq!(why(1, 4).await, is("lost", "all agents offering wait version 1 are lost: 1 agent"));
}

pub(crate) async fn a_waiting_task_counts_what_is_before_it(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.poll(at(0), poll_from("FI", 1, 1)).await;
    store.post(at(0), 1..=3).await;
    store.post_under(at(0), filter(in_country("FI")), 4).await;
    store.post_under(at(0), filter(in_country("SE")), 5).await;
    store.post_under(at(0), priority(1), 6).await;
    store.post_under(at(0), priority(-1), 7).await;
    store.batch(at(0), vec![Command::Submit(task_of("wait", 2, 8))]).await;
    // Tasks for any agent and those with the same filter count, of the same type and version.
    for (n, ahead) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 4), (6, 0), (7, 4), (8, 0)] {
        assert_eq!(diagnostics(&store, n, 0).await.ahead, ahead, "task {n}");
    }
    let why = store.why(3, at(0)).await.unwrap();
    assert_eq!((why.code, why.sentence.as_str()), ("behind", "behind 3 tasks of wait version 1"));
    // Agent 1 asked for a task and got none: it is still free.
    let why = store.why(6, at(0)).await.unwrap();
    assert_eq!(
        (why.code, why.sentence.as_str()),
        ("next", "next in line for 1 agent offering wait version 1")
    );
    store.post(at(1), 100..1_200).await;
    let why = store.why(1_199, at(0)).await.unwrap();
    assert_eq!((why.code, why.sentence.as_str()), ("behind", "behind at least 1000 tasks of wait version 1"));
}

pub(crate) async fn a_delayed_task_says_until_when(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let terms = Terms {
        delay: seconds(9),
        max_attempts: 2,
        retry_errors: true,
        retry_delay: seconds(9),
        ..Terms::default()
    };
    store.post_under(at(0), terms, 1).await;
    let until = |task: &slamon_domain::Task| slamon_protocol::sql_time(task.due().unwrap());
    let why = store.why(1, at(0)).await.unwrap();
    let sentence = format!("delayed until {} UTC", until(&store.stored(1).await));
    assert_eq!((why.code, why.sentence), ("delayed", sentence));
    store.sweep(at(9), DUE).await;
    store.take(at(9), 1).await;
    assert_eq!(store.why(1, at(0)).await, None);
    store.report(at(10), slamon_domain::testing::commands::failed(1, r#""no""#)).await.unwrap();
    let why = store.why(1, at(0)).await.unwrap();
    let until = until(&store.stored(1).await);
    let sentence = format!("attempt 1 of 2 has ended, the next one may start at {until} UTC");
    assert_eq!((why.code, why.sentence), ("delayed", sentence));
    store.cancel(at(11), 1).await.unwrap();
    assert_eq!(store.why(1, at(0)).await, None);
}

/// The kinds of the tasks that came to wait with a batch, and the tasks that ended.
async fn noted(store: &Driver, now: Timestamp, batch: Vec<Command>) -> (Vec<WaitingKind>, Vec<Uuid>) {
    let applied = store.applied(now, batch).await;
    (applied.waiting.into_iter().map(|waiting| waiting.kind).collect(), applied.ended)
}

pub(crate) async fn a_batch_says_what_others_may_wait_for(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let kind = |task_type: &str, version| WaitingKind::of(&task_of(task_type, version, 0));
    let batch = [task(1), task_of("b", 2, 2), task_of("b", 1, 3), task(4)].map(Command::Submit);
    let mut applied = noted(&store, at(0), batch.into()).await;
    applied.0.sort_by_key(|kind| (kind.capability.task_type.clone(), kind.capability.version));
    let all = vec![kind("b", 1), kind("b", 2), kind("wait", 1), kind("wait", 1)];
    assert_eq!(applied, (all, vec![]));
    let filtered = task_under(filter(in_country("FI")), 6);
    let applied = noted(&store, at(0), vec![Command::Submit(filtered.clone())]).await;
    assert_eq!(applied.0, [WaitingKind::of(&filtered)]);
    assert_eq!(applied.0[0].agent_filter, in_country("FI"));
    let delayed = Terms { delay: seconds(5), ..Terms::default() };
    let applied =
        noted(&store, at(0), vec![Command::Submit(task_under(delayed, 5)), Command::Submit(task(1))]).await;
    assert_eq!(applied, (vec![], vec![]));
    let applied = noted(&store, at(1), vec![Command::from(poll(1, 2))]).await;
    assert_eq!(applied, (vec![], vec![]));
    let applied = noted(&store, at(2), vec![release(1, at(1), &[4])]).await;
    assert_eq!(applied, (vec![kind("wait", 1)], vec![]));
    let ends =
        vec![Command::Report(completed(1, "{}")), Command::Cancel(task_id(2)), Command::Cancel(task_id(2))];
    let mut applied = noted(&store, at(3), ends).await;
    applied.1.sort_unstable();
    assert_eq!(applied, (vec![], vec![task_id(1), task_id(2)]));
    let applied = noted(&store, at(5), vec![Command::Sweep(DUE)]).await;
    assert_eq!(applied, (vec![kind("wait", 1)], vec![]));
    // Refusals and repeats are nothing to wake up for.
    let again = vec![
        Command::Report(completed(1, "{}")),
        Command::Report(completed(9, "{}")),
        Command::Cancel(task_id(1)),
    ];
    let applied = noted(&store, at(6), again).await;
    assert_eq!(applied, (vec![], vec![]));
}
