//! What time alone does, and the loss of an agent.

use super::*;

const MICROSECOND: Duration = Duration::from_micros(1);

#[track_caller]
fn error(change: &Change) -> &str {
    let State::Ended { end, .. } = &change.state else { panic!("{change:?} does not end the task") };
    end.outcome().unwrap_err().as_str()
}

#[test]
fn a_delay_is_over_at_its_end() {
    let task = task(Terms { delay: seconds(5), ..Terms::default() }, 0, State::Delayed { until: at(5) });
    assert_eq!(task.due(), Some(at(5)));
    assert_eq!(advance(&task, at(5) - MICROSECOND, no_fleet), None);
    assert_eq!(advance(&task, at(5), no_fleet), Some(State::Pending.into()));
}

#[test]
fn a_task_expires_at_the_end_of_its_ttl_in_every_phase() {
    let terms = Terms { ttl: Some(Duration::from_millis(30_500)), delay: seconds(40), ..Terms::default() };
    let end = at(30) + Duration::from_millis(500);
    let last = attempt(1, None);
    let phases = [
        (State::Delayed { until: at(40) }, "it was delayed until 1970-01-01 00:00:40.000000"),
        (State::Pending, "waited 30.5 s, nobody came"),
        (
            State::Claimed(last.clone()),
            "agent \\\"agent\\\" (00000000-0000-0000-0000-00000000000a) had it for 20.5 s, attempt 1 of 1",
        ),
    ];
    for (state, phase) in phases {
        let is_claimed = matches!(state, State::Claimed(_));
        let task = task(terms.clone(), u32::from(is_claimed), state);
        assert_eq!(task.due(), Some(end));
        assert_eq!(advance(&task, end - MICROSECOND, no_fleet), None);
        let change = advance(&task, end, || "nobody came".to_owned()).unwrap();
        assert_eq!(error(&change), format!(r#""Task TTL of 30.5 s expired: {phase}""#));
        let ended = EndedAttempt { attempt: last.clone(), at: end, end: AttemptEnd::Expired };
        assert_eq!(change.ended, is_claimed.then_some(ended));
        assert_eq!(change.state.name(), "expired");
    }
}

#[test]
fn an_attempt_times_out_at_its_deadline() {
    let terms = Terms { timeout: Some(seconds(5)), max_attempts: 2, ..Terms::default() };
    let first = claimed(terms.clone(), 1);
    assert_eq!(first.due(), Some(at(15)));
    assert_eq!(advance(&first, at(15) - MICROSECOND, no_fleet), None);
    let change = advance(&first, at(15), no_fleet).unwrap();
    let ended = EndedAttempt { attempt: attempt(1, Some(at(15))), at: at(15), end: AttemptEnd::TimedOut };
    assert_eq!(change, Change { state: State::Pending, ended: Some(ended) });

    let change = advance(&claimed(terms, 2), at(20), no_fleet).unwrap();
    let words =
        format!(r#""Task timeout of 5 s passed: agent \"agent\" ({AGENT}) sent no result, attempt 2 of 2""#);
    assert_eq!((error(&change), change.state.name()), (words.as_str(), "failed"));
    assert!(matches!(change.state, State::Ended { end: End::TimedOut(_), .. }));
}

#[test]
fn the_ttl_comes_before_everything_else() {
    let terms =
        Terms { ttl: Some(seconds(15)), timeout: Some(seconds(5)), max_attempts: 2, ..Terms::default() };
    let change = advance(&claimed(terms.clone(), 1), at(15), no_fleet).unwrap();
    assert_eq!(change.state.name(), "expired");
    let delayed = task(terms.clone(), 1, State::Delayed { until: at(15) });
    assert_eq!(advance(&delayed, at(15), no_fleet).unwrap().state.name(), "expired");
    assert_eq!(claim(&task(terms, 0, State::Pending), &poll(), || FRESH, at(15), None), None);
}

#[test]
fn a_settled_task_stays_as_it_is() {
    let late = Timestamp::MAX;
    for task in all_ended() {
        assert_eq!((task.due(), advance(&task, late, no_fleet)), (None, None), "{task:?}");
    }
    for task in [task(Terms::default(), 0, State::Pending), claimed(Terms::default(), 1)] {
        assert_eq!((task.due(), advance(&task, late, no_fleet)), (None, None), "{task:?}");
    }
    // However late it is: one step is all there is.
    let terms =
        Terms { timeout: Some(seconds(5)), max_attempts: 2, retry_delay: seconds(9), ..Terms::default() };
    let mut task = claimed(terms, 1);
    task.state = advance(&task, at(9_999), no_fleet).unwrap().state;
    assert_eq!(advance(&task, at(9_999), no_fleet), None);
}

#[test]
fn a_lost_agent_loses_its_attempt() {
    let terms = Terms { max_attempts: 2, ..Terms::default() };
    let change = agent_lost(&claimed(terms.clone(), 1), AGENT, seconds(300), at(310)).unwrap();
    let ended = EndedAttempt { attempt: attempt(1, None), at: at(310), end: AttemptEnd::Lost };
    assert_eq!(change, Change { state: State::Pending, ended: Some(ended) });

    let change =
        agent_lost(&claimed(terms.clone(), 2), AGENT, Duration::from_millis(300_999), at(310)).unwrap();
    let words = format!(r#""Agent \"agent\" ({AGENT}) was lost: silent for 300 s, attempt 2 of 2""#);
    assert_eq!((error(&change), change.state.name()), (words.as_str(), "failed"));
    assert_eq!(change.ended.unwrap().end, AttemptEnd::Lost);

    assert_eq!(agent_lost(&claimed(terms.clone(), 1), OTHER_AGENT, seconds(300), at(310)), None);
    for task in [vec![task(terms, 1, State::Pending)], all_ended()].concat() {
        assert_eq!(agent_lost(&task, AGENT, seconds(300), at(310)), None, "{task:?}");
    }
}

#[test]
fn the_delay_between_attempts_doubles_to_an_hour_less_up_to_a_tenth() {
    let terms = Terms { max_attempts: 20, retry_delay: seconds(60), ..Terms::default() };
    let mut shares = Vec::new();
    for number in 1..20 {
        let longest = seconds(60 << (number - 1)).min(seconds(3_600));
        for id in 0..50 {
            let mut task = claimed(terms.clone(), number);
            task.posted.task_id = Uuid::from_u128(id);
            let delay = |task: &Task| match agent_lost(task, AGENT, seconds(1), at(0)).unwrap().state {
                State::Delayed { until } => Duration::try_from(until.duration_since(at(0))).unwrap(),
                other => panic!("{other:?}"),
            };
            let waits = delay(&task);
            assert_eq!(waits, delay(&task));
            assert!(
                waits <= longest && waits >= longest.mul_f64(0.9) - MICROSECOND,
                "{waits:?} of {longest:?}"
            );
            shares.push(waits.as_secs_f64() / longest.as_secs_f64());
        }
    }
    // Spread out over all of that tenth.
    for tenth in 0..10 {
        let (from, to) = (0.9 + 0.01 * f64::from(tenth), 0.91 + 0.01 * f64::from(tenth));
        let there = shares.iter().filter(|share| (from..to).contains(*share)).count();
        assert!((40..150).contains(&there), "{there} of {} from {from}", shares.len());
    }
}
