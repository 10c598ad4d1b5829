//! Every rule, state by state; `properties` has what holds for any sequence of commands, `model_checker`
//! every order of events in a small fleet.

mod model_checker;
mod properties;
mod reports;
mod time;

use slamon_protocol::{AgentFilter, Capability, JsonText, Location, Terms};

use super::*;

const AGENT: Uuid = Uuid::from_u128(0xa);
const OTHER_AGENT: Uuid = Uuid::from_u128(0xb);
const FRESH: Uuid = Uuid::from_u128(0xf);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn json(text: &str) -> JsonText {
    JsonText::from_stored(text.to_owned())
}

fn posted() -> PostTask {
    PostTask {
        task_id: Uuid::from_u128(1),
        test_id: Uuid::from_u128(2),
        task_type: "wait".to_owned(),
        task_version: 1,
        task_data: Some(json(r#"{"time":1}"#)),
        terms: Terms::default(),
        posted_by: None,
    }
}

/// A task that was posted at second 0 under `terms`.
fn task(terms: Terms, attempts: u32, state: State) -> Task {
    Task { posted: PostTask { terms, ..posted() }, created: at(0), attempts, state }
}

/// Attempt `number`, the agent's from second 10 on.
fn attempt(number: u32, deadline: Option<Timestamp>) -> Attempt {
    let alias = if number == 1 { posted().task_id } else { FRESH };
    Attempt { number, alias, agent_id: AGENT, agent_name: "agent".to_owned(), at: at(10), deadline }
}

fn claimed(terms: Terms, number: u32) -> Task {
    let deadline = terms.timeout.map(|timeout| at(10) + timeout);
    task(terms, number, State::Claimed(attempt(number, deadline)))
}

fn ended_by(end: End) -> Task {
    let state = State::Ended { at: at(20), last: Some(attempt(1, None)), end };
    task(Terms::default(), 1, state)
}

/// One task in each way to have ended.
fn all_ended() -> Vec<Task> {
    let error = json(r#""no""#);
    let ends = [
        End::Completed(json(r#"{"status":200}"#)),
        End::Failed(error.clone()),
        End::Lost(error.clone()),
        End::TimedOut(error.clone()),
        End::Expired(error.clone()),
        End::Cancelled(error),
    ];
    ends.map(ended_by).into()
}

fn poll() -> PollRequest {
    PollRequest {
        agent_id: AGENT,
        agent_name: "agent".to_owned(),
        agent_capabilities: vec![Capability { task_type: "wait".to_owned(), version: 1 }],
        max_tasks: 1,
        agent_location: None,
        max_wait: Duration::ZERO,
        agent_running: None,
    }
}

fn result(alias: Uuid, outcome: TaskOutcome) -> ResultPost {
    ResultPost { task_id: alias, agent_id: None, outcome }
}

fn no_fleet() -> String {
    unreachable!("only a task that expires while it waits is told about the fleet")
}

#[test]
fn a_new_task_is_stored() {
    assert_eq!(submit(None, false, &posted()), Ok(Submitted::Stored));
    assert_eq!(submit(None, true, &posted()), Err(Refusal::IdOfAttempt));
    assert_eq!(first_state(&posted(), at(0)), State::Pending);
    let delayed = PostTask { terms: Terms { delay: seconds(5), ..Terms::default() }, ..posted() };
    assert_eq!(first_state(&delayed, at(0)), State::Delayed { until: at(5) });
}

#[test]
fn the_same_task_is_a_repeat_however_it_is_written() {
    assert_eq!(submit(Some(&posted()), false, &posted()), Ok(Submitted::Repeated));
    let respaced = PostTask { task_data: Some(json(r#"{ "time": 1 }"#)), ..posted() };
    assert_eq!(submit(Some(&posted()), false, &respaced), Ok(Submitted::Repeated));
    let without = PostTask { task_data: None, ..posted() };
    assert_eq!(submit(Some(&without), false, &without), Ok(Submitted::Repeated));
}

#[test]
fn another_task_with_the_same_id_is_refused_by_the_first_field_that_differs() {
    let type_and_version = PostTask { task_type: String::new(), task_version: 2, ..posted() };
    let terms = Terms { priority: 1, ..Terms::default() };
    for (other, field) in [
        (PostTask { test_id: Uuid::from_u128(3), ..posted() }, "test_id"),
        (PostTask { task_type: "Wait".to_owned(), ..posted() }, "task_type"),
        (PostTask { task_version: -1, ..posted() }, "task_version"),
        (PostTask { task_data: Some(json(r#"{"time":1.0}"#)), ..posted() }, "task_data"),
        (PostTask { task_data: Some(json("{}")), ..posted() }, "task_data"),
        (PostTask { task_data: None, ..posted() }, "task_data"),
        (PostTask { task_data: None, terms, ..posted() }, "its terms"),
        (type_and_version, "task_type"),
        (PostTask { posted_by: Some(String::new()), ..posted() }, "who posted it"),
        (PostTask { posted_by: Some("shop".to_owned()), task_data: None, ..posted() }, "who posted it"),
    ] {
        assert_eq!(submit(Some(&posted()), false, &other), Err(Refusal::IdTaken(field)), "{other:?}");
        assert_eq!(submit(Some(&other), false, &posted()), Err(Refusal::IdTaken(field)), "{other:?}");
    }
}

#[test]
fn only_a_pending_task_can_be_claimed() {
    let none = Terms::default();
    let pending = task(none.clone(), 0, State::Pending);
    assert_eq!(claim(&pending, &poll(), || FRESH, at(10), None), Some(attempt(1, None)));
    let delayed = task(none.clone(), 0, State::Delayed { until: at(0) });
    for task in [vec![delayed, claimed(none, 1)], all_ended()].concat() {
        assert_eq!(claim(&task, &poll(), || FRESH, at(10), None), None, "{task:?}");
    }
}

#[test]
fn the_first_attempt_has_the_id_of_the_task_and_each_further_one_a_fresh_one() {
    let terms = Terms { max_attempts: 2, timeout: Some(seconds(7)), ..Terms::default() };
    let alias = |attempts| {
        let task = task(terms.clone(), attempts, State::Pending);
        claim(&task, &poll(), || FRESH, at(10), None)
            .map(|attempt| (attempt.number, attempt.alias, attempt.deadline))
    };
    assert_eq!(alias(0), Some((1, posted().task_id, Some(at(17)))));
    assert_eq!(alias(1), Some((2, FRESH, Some(at(17)))));
    assert_eq!(alias(2), None);
}

#[test]
fn an_agent_claims_what_it_offers_and_what_is_meant_for_it() {
    let location = |country: &str| Location {
        country: country.to_owned(),
        region: "18".to_owned(),
        latitude: None,
        longitude: None,
    };
    let filter = AgentFilter { country: Some("FI".to_owned()), ..AgentFilter::default() };
    let for_all = task(Terms::default(), 0, State::Pending);
    let for_finland = task(Terms { agent_filter: filter, ..Terms::default() }, 0, State::Pending);
    let takes = |poll: &PollRequest, task| claim(task, poll, || FRESH, at(10), None).is_some();
    let [here, there] = ["FI", "SE"].map(|at| PollRequest { agent_location: Some(location(at)), ..poll() });
    for (poll, takes_all, takes_finnish) in
        [(&poll(), true, false), (&here, true, true), (&there, true, false)]
    {
        assert_eq!(
            (takes(poll, &for_all), takes(poll, &for_finland)),
            (takes_all, takes_finnish),
            "{poll:?}"
        );
    }
    for (task_type, version) in [("wait", 2), ("Wait", 1), ("", 1)] {
        let agent_capabilities = vec![Capability { task_type: task_type.to_owned(), version }];
        assert!(!takes(&PollRequest { agent_capabilities, ..here.clone() }, &for_all));
    }
}

#[test]
fn only_the_attempt_that_runs_can_be_released() {
    let task = claimed(Terms::default(), 1);
    assert_eq!(release(&task, AGENT, at(10)), Some(State::Pending));
    let nanosecond = jiff::SignedDuration::from_nanos(1);
    assert_eq!(release(&task, AGENT, at(10) + 999 * nanosecond), Some(State::Pending));
    assert_eq!(release(&task, AGENT, at(10) + 1_000 * nanosecond), None);
    assert_eq!(release(&task, OTHER_AGENT, at(10)), None);
    assert_eq!(release(&task, AGENT, at(11)), None);
    for task in [vec![super::tests::task(Terms::default(), 0, State::Pending)], all_ended()].concat() {
        assert_eq!(release(&task, AGENT, at(10)), None, "{task:?}");
    }
}

#[test]
fn a_cancelled_task_ends_with_its_attempt() {
    let terms = Terms { max_attempts: 3, ..Terms::default() };
    let words = json(r#""Task was cancelled while it waited for an agent""#);
    for state in [State::Pending, State::Delayed { until: at(30) }] {
        let change = cancel(&task(terms.clone(), 0, state), at(20)).unwrap().unwrap();
        let end = End::Cancelled(words.clone());
        assert_eq!(change, State::Ended { at: at(20), last: None, end }.into());
    }
    let running = claimed(terms, 2);
    let change = cancel(&running, at(20)).unwrap().unwrap();
    let words = format!(r#""Task was cancelled while agent \"agent\" ({AGENT}) had it, attempt 2 of 3""#);
    let attempt = attempt(2, None);
    let last = Some(attempt.clone());
    assert_eq!(change.state, State::Ended { at: at(20), last, end: End::Cancelled(json(&words)) });
    assert_eq!(change.ended, Some(EndedAttempt { attempt, at: at(20), end: AttemptEnd::Cancelled }));
}

#[test]
fn a_finished_task_cannot_be_cancelled_but_once_more() {
    for task in all_ended() {
        let expected = if task.state.name() == "cancelled" { Ok(None) } else { Err(Refusal::CannotCancel) };
        assert_eq!(cancel(&task, at(30)), expected, "{task:?}");
    }
}
