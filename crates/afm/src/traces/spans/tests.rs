use slamon_domain::{AttemptEndName, StateName, Transition};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000 + second).unwrap()
}

fn change(from: Option<StateName>, to: StateName, second: i64) -> Transition {
    Transition {
        test_id: Uuid::from_u128(8),
        task_type: "wait".to_owned(),
        task_version: 1,
        ..Transition::of(Uuid::from_u128(7), from, to, at(second))
    }
}

/// The name of each span that ends with these changes, with when it began and ended.
fn spans(life: &mut Life, changes: &[Transition]) -> Vec<(String, i64, i64)> {
    let second = |time: SystemTime| Timestamp::try_from(time).unwrap().as_second() - 1_000;
    let of = |change| ended(change, life, Sampler::default());
    let told = |span: SpanData| (span.name.into_owned(), second(span.start_time), second(span.end_time));
    changes.iter().flat_map(of).map(told).collect()
}

const PENDING: Option<StateName> = Some(StateName::Pending);
const CLAIMED: Option<StateName> = Some(StateName::Claimed);

#[test]
fn a_task_that_is_released_waits_as_if_it_had_not_been_claimed() {
    let changes = [
        change(None, StateName::Pending, 0),
        change(PENDING, StateName::Claimed, 2),
        change(CLAIMED, StateName::Pending, 3),
        Transition { lived_for: Some(Duration::from_secs(9)), ..change(PENDING, StateName::Expired, 9) },
    ];
    let expected = [("wait", 0, 2), ("wait", 0, 9), ("task", 0, 9)];
    let expected = expected.map(|(name, from, to)| (name.to_owned(), from, to));
    assert_eq!(spans(&mut Life::default(), &changes), expected);
}

#[test]
fn delays_are_no_waiting() {
    let failed = Transition {
        attempt_end: Some(AttemptEndName::Error),
        ran_for: Some(Duration::from_secs(1)),
        ..change(CLAIMED, StateName::Delayed, 6)
    };
    let changes = [
        change(None, StateName::Delayed, 0),
        change(Some(StateName::Delayed), StateName::Pending, 4),
        Transition { queued_for: Some(Duration::from_secs(1)), ..change(PENDING, StateName::Claimed, 5) },
        failed,
        change(Some(StateName::Delayed), StateName::Pending, 8),
        change(PENDING, StateName::Claimed, 9),
    ];
    let expected = [("wait", 4, 5), ("attempt", 5, 6), ("wait", 8, 9)];
    let expected = expected.map(|(name, from, to)| (name.to_owned(), from, to));
    assert_eq!(spans(&mut Life::default(), &changes), expected);
}

/// The names of the spans that end with a change of a task that runs or waits, and whether they are errors, right, or
/// neither.
#[test]
fn an_end_is_told_by_the_status() {
    let statuses = |change: Transition| {
        let mut life = Life::default();
        ended(&super::tests::change(None, StateName::Pending, 0), &mut life, Sampler::default());
        ended(&change, &mut life, Sampler::default())
            .into_iter()
            .map(|span| (span.name.into_owned(), span.status))
            .collect::<Vec<_>>()
    };
    let named = |name: &str, status: Status| (name.to_owned(), status);
    let lived = Some(Duration::from_secs(5));
    for (end, status) in [
        (StateName::Completed, Status::Ok),
        (StateName::Failed, Status::error("failed")),
        (StateName::Lost, Status::error("lost")),
        (StateName::TimedOut, Status::error("timed_out")),
        (StateName::Expired, Status::error("expired")),
        (StateName::Cancelled, Status::Unset),
    ] {
        let ran =
            Transition { ran_for: Some(Duration::from_secs(1)), lived_for: lived, ..change(CLAIMED, end, 5) };
        assert_eq!(statuses(ran), [named("attempt", status.clone()), named("task", status.clone())]);
        let waited = Transition { lived_for: lived, ..change(PENDING, end, 5) };
        assert_eq!(statuses(waited), [named("wait", Status::Unset), named("task", status)]);
    }
    for (end, status) in [
        (AttemptEndName::Error, Status::error("error")),
        (AttemptEndName::Lost, Status::error("lost")),
        (AttemptEndName::Abandoned, Status::error("abandoned")),
        (AttemptEndName::TimedOut, Status::error("timed_out")),
        (AttemptEndName::Expired, Status::error("expired")),
        (AttemptEndName::Cancelled, Status::Unset),
    ] {
        let again = Transition {
            attempt_end: Some(end),
            ran_for: Some(Duration::from_secs(1)),
            ..change(CLAIMED, StateName::Delayed, 5)
        };
        assert_eq!(statuses(again), [named("attempt", status)]);
    }
}

#[test]
fn who_has_not_seen_the_beginning_makes_the_same_spans() {
    let claimed =
        Transition { queued_for: Some(Duration::from_secs(2)), ..change(PENDING, StateName::Claimed, 2) };
    let mut life = Life::default();
    let all = Sampler::default();
    ended(&change(None, StateName::Pending, 0), &mut life, all);
    assert_eq!(ended(&claimed, &mut life, all), ended(&claimed, &mut Life::default(), all));
}

#[test]
fn no_id_is_zero() {
    let ended = Transition { lived_for: Some(Duration::ZERO), ..change(PENDING, StateName::Cancelled, 0) };
    for task_id in [Uuid::nil(), Uuid::max(), Uuid::from_u128(1)] {
        let change = Transition { task_id, ..ended.clone() };
        for span in super::ended(&change, &mut Life::default(), Sampler::default()) {
            assert!(span.span_context.is_valid(), "{span:?}");
        }
    }
}
