//! Every rule, state by state; `properties` has what holds for any sequence of commands.

mod model;
mod properties;
mod sequences;

use slamon_protocol::JsonText;

use super::*;

const AGENT: Uuid = Uuid::from_u128(0xa);
const OTHER_AGENT: Uuid = Uuid::from_u128(0xb);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn json(text: &str) -> JsonText {
    JsonText::from_stored(text.to_owned())
}

fn task() -> PostTask {
    PostTask {
        task_id: Uuid::from_u128(1),
        test_id: Uuid::from_u128(2),
        task_type: "wait".to_owned(),
        task_version: 1,
        task_data: Some(json(r#"{"time":1}"#)),
    }
}

/// The claim that [`claimed`], [`completed`] and [`failed`] come from.
const fn held() -> Claim {
    Claim { agent_id: AGENT, at: Timestamp::constant(10, 0) }
}

fn claimed() -> State {
    State::Claimed(held())
}

fn completed() -> State {
    State::Completed { claim: held(), at: at(20), result: json(r#"{"status":200}"#) }
}

fn failed() -> State {
    State::Failed { claim: held(), at: at(20), error: json(r#""no""#) }
}

#[test]
fn a_new_task_is_stored() {
    assert_eq!(submit(None, &task()), Ok(Submitted::Stored));
}

#[test]
fn the_same_task_is_a_repeat_however_it_is_written() {
    assert_eq!(submit(Some(&task()), &task()), Ok(Submitted::Repeated));
    let respaced = PostTask { task_data: Some(json(r#"{ "time": 1 }"#)), ..task() };
    assert_eq!(submit(Some(&task()), &respaced), Ok(Submitted::Repeated));
    let without = PostTask { task_data: None, ..task() };
    assert_eq!(submit(Some(&without), &without), Ok(Submitted::Repeated));
}

#[test]
fn another_task_with_the_same_id_is_refused_by_the_first_field_that_differs() {
    let type_and_version = PostTask { task_type: String::new(), task_version: 2, ..task() };
    for (posted, field) in [
        (PostTask { test_id: Uuid::from_u128(3), ..task() }, "test_id"),
        (PostTask { task_type: "Wait".to_owned(), ..task() }, "task_type"),
        (PostTask { task_version: -1, ..task() }, "task_version"),
        (PostTask { task_data: Some(json(r#"{"time":1.0}"#)), ..task() }, "task_data"),
        (PostTask { task_data: Some(json("{}")), ..task() }, "task_data"),
        (PostTask { task_data: None, ..task() }, "task_data"),
        (type_and_version, "task_type"),
    ] {
        assert_eq!(submit(Some(&task()), &posted), Err(Refusal::IdTaken(field)), "{posted:?}");
        assert_eq!(submit(Some(&posted), &task()), Err(Refusal::IdTaken(field)), "{posted:?}");
    }
}

#[test]
fn only_a_pending_task_can_be_claimed() {
    let claim_of_other = Claim { agent_id: OTHER_AGENT, at: at(30) };
    assert_eq!(claim(&State::Pending, OTHER_AGENT, at(30)), Some(State::Claimed(claim_of_other)));
    for state in [claimed(), completed(), failed()] {
        assert_eq!(claim(&state, OTHER_AGENT, at(30)), None, "{state:?}");
        assert_eq!(claim(&state, AGENT, at(30)), None, "{state:?}");
    }
}

#[test]
fn only_the_claim_that_holds_can_be_released() {
    assert_eq!(release(&claimed(), AGENT, held().at), Some(State::Pending));
    let nanosecond = jiff::SignedDuration::from_nanos(1);
    assert_eq!(release(&claimed(), AGENT, held().at + 999 * nanosecond), Some(State::Pending));
    assert_eq!(release(&claimed(), AGENT, held().at + 1_000 * nanosecond), None);
    assert_eq!(release(&claimed(), OTHER_AGENT, held().at), None);
    assert_eq!(release(&claimed(), AGENT, at(11)), None);
    for state in [State::Pending, completed(), failed()] {
        assert_eq!(release(&state, AGENT, held().at), None, "{state:?}");
    }
}

#[test]
fn a_report_ends_a_claimed_task() {
    let result = json(r#"{"done":true}"#);
    assert_eq!(
        report(Some(&claimed()), &TaskOutcome::Completed(result.clone()), at(30)),
        Ok((Reported::Stored, Some(State::Completed { claim: held(), at: at(30), result })))
    );
    let error = json(r#""broken""#);
    assert_eq!(
        report(Some(&claimed()), &TaskOutcome::Failed(error.clone()), at(30)),
        Ok((Reported::Stored, Some(State::Failed { claim: held(), at: at(30), error })))
    );
}

#[test]
fn a_report_may_come_before_its_claim_by_the_clock() {
    let outcome = TaskOutcome::Completed(json("{}"));
    let (reported, state) = report(Some(&claimed()), &outcome, at(5)).unwrap();
    assert_eq!(reported, Reported::Stored);
    assert_eq!(state, Some(State::Completed { claim: held(), at: at(5), result: json("{}") }));
}

#[test]
fn a_report_needs_a_claim() {
    for outcome in [TaskOutcome::Completed(json("{}")), TaskOutcome::Failed(json(r#""""#))] {
        assert_eq!(report(None, &outcome, at(30)), Err(Refusal::UnknownTask));
        assert_eq!(report(Some(&State::Pending), &outcome, at(30)), Err(Refusal::NotClaimed));
    }
}

#[test]
fn a_finished_task_takes_its_own_report_again_and_no_other() {
    let same = TaskOutcome::Completed(json(r#"{ "status" : 200 }"#));
    assert_eq!(report(Some(&completed()), &same, at(30)), Ok((Reported::Repeated, None)));
    let same = TaskOutcome::Failed(json(r#""\u006eo""#));
    assert_eq!(report(Some(&failed()), &same, at(30)), Ok((Reported::Repeated, None)));

    for (state, outcome) in [
        (completed(), TaskOutcome::Completed(json(r#"{"status":200.0}"#))),
        (completed(), TaskOutcome::Failed(json(r#"{"status":200}"#))),
        (failed(), TaskOutcome::Failed(json(r#""No""#))),
        (failed(), TaskOutcome::Completed(json(r#""no""#))),
    ] {
        assert_eq!(report(Some(&state), &outcome, at(30)), Err(Refusal::AlreadyFinished), "{outcome:?}");
    }
}
