//! Results, for attempts that run and attempts that do not.

use super::*;

fn completed(alias: Uuid, data: &str) -> ResultPost {
    result(alias, TaskOutcome::Completed(json(data)))
}

fn failed(alias: Uuid, error: &str) -> ResultPost {
    result(alias, TaskOutcome::Failed(json(error)))
}

fn past(number: u32, end: AttemptEnd) -> EndedAttempt {
    EndedAttempt { attempt: attempt(number, None), at: at(15), end }
}

fn first() -> Uuid {
    posted().task_id
}

#[test]
fn a_result_ends_its_attempt_and_task() {
    let task = claimed(Terms { max_attempts: 2, ..Terms::default() }, 2);
    let ended = |end| Report::Ends(State::Ended { at: at(30), last: Some(attempt(2, None)), end }.into());
    let data = json(r#"{"done":true}"#);
    let done = completed(FRESH, data.as_str());
    assert_eq!(report(&task, None, &done, at(30)), Ok(ended(End::Completed(data))));
    let error = json(r#""broken""#);
    let broken = failed(FRESH, error.as_str());
    assert_eq!(report(&task, None, &broken, at(30)), Ok(ended(End::Failed(error))));
}

#[test]
fn a_result_may_come_before_its_claim_by_the_clock() {
    let task = claimed(Terms::default(), 1);
    let Ok(Report::Ends(change)) = report(&task, None, &completed(first(), "{}"), at(5)) else {
        panic!("was refused");
    };
    let end = End::Completed(json("{}"));
    assert_eq!(change.state, State::Ended { at: at(5), last: Some(attempt(1, None)), end });
}

#[test]
fn a_result_needs_an_attempt() {
    let terms = Terms { max_attempts: 2, ..Terms::default() };
    for state in [State::Pending, State::Delayed { until: at(40) }] {
        let task = task(terms.clone(), 0, state);
        for result in [completed(first(), "{}"), failed(first(), r#""""#)] {
            assert_eq!(report(&task, None, &result, at(30)), Err(Refusal::NotClaimed));
        }
    }
}

#[test]
fn a_finished_task_takes_its_own_result_again_and_no_other() {
    let [done, broken] =
        [End::Completed(json(r#"{"status":200}"#)), End::Failed(json(r#""no""#))].map(ended_by);
    for (task, same) in
        [(&done, completed(first(), r#"{ "status" : 200 }"#)), (&broken, failed(first(), r#""\u006eo""#))]
    {
        assert_eq!(report(task, None, &same, at(30)), Ok(Report::Repeated));
        let of_another = ResultPost { agent_id: Some(OTHER_AGENT), ..same };
        assert_eq!(report(task, None, &of_another, at(30)), Err(Refusal::AnotherAgent));
    }
    for (task, other) in [
        (&done, completed(first(), r#"{"status":200.0}"#)),
        (&done, failed(first(), r#"{"status":200}"#)),
        (&broken, failed(first(), r#""No""#)),
        (&broken, completed(first(), r#""no""#)),
    ] {
        assert_eq!(report(task, None, &other, at(30)), Err(Refusal::AlreadyFinished), "{other:?}");
    }
}

#[test]
fn only_the_agent_that_holds_the_attempt_may_say_so() {
    let task = claimed(Terms::default(), 1);
    let of = |agent| ResultPost { agent_id: Some(agent), ..completed(first(), "{}") };
    assert!(matches!(report(&task, None, &of(AGENT), at(30)), Ok(Report::Ends(_))));
    assert_eq!(report(&task, None, &of(OTHER_AGENT), at(30)), Err(Refusal::AnotherAgent));
    let past = past(1, AttemptEnd::Lost);
    assert_eq!(report(&task, Some(&past), &of(OTHER_AGENT), at(30)), Err(Refusal::AnotherAgent));
}

#[test]
fn a_result_for_an_attempt_that_ended_is_late_whatever_the_task_does() {
    let terms = Terms { max_attempts: 2, ..Terms::default() };
    let waiting =
        [State::Pending, State::Delayed { until: at(40) }].map(|state| task(terms.clone(), 1, state));
    let tasks = [waiting.into(), vec![claimed(terms, 2)], all_ended()].concat();
    for task in tasks {
        for end in [AttemptEnd::Lost, AttemptEnd::TimedOut, AttemptEnd::Expired, AttemptEnd::Cancelled] {
            let past = past(1, end);
            let late = report(&task, Some(&past), &completed(first(), "{}"), at(30));
            assert_eq!(late, Ok(Report::Late { attempt: 1 }), "{task:?}");
        }
    }
}

#[test]
fn an_error_is_tried_again_where_that_was_asked_for_and_attempts_remain() {
    let error = json(r#""no""#);
    let says = |terms: &Terms, number: u32| {
        let alias = attempt(number, None).alias;
        let outcome = report(&claimed(terms.clone(), number), None, &failed(alias, error.as_str()), at(30));
        let Ok(Report::Ends(change)) = outcome else { panic!("{outcome:?}") };
        change
    };
    let once = Terms { retry_errors: true, ..Terms::default() };
    let unasked = Terms { max_attempts: 2, ..Terms::default() };
    let asked = Terms { retry_errors: true, ..unasked.clone() };
    for (terms, number) in [(&once, 1), (&unasked, 1), (&asked, 2)] {
        let last = Some(attempt(number, None));
        let end = End::Failed(error.clone());
        assert_eq!(says(terms, number), State::Ended { at: at(30), last, end }.into());
    }
    let again = says(&asked, 1);
    assert_eq!(again.state, State::Pending);
    let ended = EndedAttempt { attempt: attempt(1, None), at: at(30), end: AttemptEnd::Error(error.clone()) };
    assert_eq!(again.ended, Some(ended.clone()));

    // What the agent said is not late, and can be said again.
    let pending = task(asked, 1, State::Pending);
    assert_eq!(
        report(&pending, Some(&ended), &failed(first(), r#""\u006eo""#), at(40)),
        Ok(Report::Repeated)
    );
    for other in [failed(first(), r#""No""#), completed(first(), "{}")] {
        assert_eq!(report(&pending, Some(&ended), &other, at(40)), Err(Refusal::AlreadyFinished));
    }
    // A result is never tried again.
    let Ok(Report::Ends(change)) =
        report(&claimed(pending.posted.terms, 1), None, &completed(first(), "{}"), at(30))
    else {
        panic!("was refused");
    };
    assert!(matches!(change.state, State::Ended { end: End::Completed(_), .. }));
}
