use slamon_domain::StateName::{Cancelled, Claimed, Completed, Failed, Lost, Pending, TimedOut};

use super::*;

const HOUR: i64 = 3_600;

fn id(agent: u128) -> Uuid {
    Uuid::from_u128(agent)
}

fn ended(agent: u128, second: i64, to: StateName, attempt_end: Option<AttemptEndName>) -> Transition {
    let at = Timestamp::from_second(second).unwrap();
    let change = Transition::of(id(7), Some(Claimed), to, at);
    Transition { agent_id: Some(id(agent)), ran_for: Some(Duration::ZERO), attempt_end, ..change }
}

fn counts(ledger: &OutcomeLedger, agent: u128) -> Vec<(i64, u64, u64)> {
    let of = ledger.of(id(agent));
    of.map(|of| (of.period.as_second(), of.outcomes.completed, of.outcomes.failed)).collect()
}

#[test]
fn what_is_an_agents_fault_has_failed() {
    use AttemptEndName as End;
    let released = Transition { ran_for: None, ..ended(1, 0, Pending, None) };
    let waiting = Transition { agent_id: None, ran_for: None, ..ended(1, 0, Cancelled, None) };
    for (transition, expected) in [
        (ended(1, 0, Completed, None), Some(true)),
        (ended(1, 0, Failed, None), Some(false)),
        (ended(1, 0, Lost, Some(End::Lost)), Some(false)),
        (ended(1, 0, Lost, Some(End::Abandoned)), Some(false)),
        (ended(1, 0, TimedOut, Some(End::TimedOut)), Some(false)),
        (ended(1, 0, Pending, Some(End::Error)), Some(false)),
        (ended(1, 0, StateName::Delayed, Some(End::TimedOut)), Some(false)),
        (ended(1, 0, StateName::Expired, Some(End::Expired)), None),
        (ended(1, 0, Cancelled, Some(End::Cancelled)), None),
        (released, None),
        (waiting, None),
        (Transition { ran_for: None, ..ended(1, 0, Claimed, None) }, None),
    ] {
        assert_eq!(
            outcome(&transition),
            expected.map(|has_completed| (id(1), has_completed)),
            "{transition:?}"
        );
    }
}

#[test]
fn what_is_saved_is_the_whole_of_a_period_each_time() {
    let mut ledger = OutcomeLedger::default();
    ledger.note(&[ended(1, 5, Completed, None), ended(2, 5, Failed, None), ended(1, 599, Completed, None)]);
    ledger.note(&[ended(1, 600, Failed, None)]);
    assert_eq!(counts(&ledger, 1), [(0, 2, 0), (600, 0, 1)]);
    let taken = ledger.take(2);
    assert_eq!(taken.len(), 2);
    assert_eq!(ledger.take(9).len(), 1);
    assert_eq!(ledger.take(9), []);
    ledger.note(&[ended(1, 5, Completed, None)]);
    ledger.put_back(&taken);
    let again = ledger.take(9);
    let of_first = again.iter().find(|of| of.agent_id == id(1)).unwrap();
    assert_eq!((again.len(), of_first.outcomes), (2, Outcomes { completed: 3, failed: 0 }));
}

#[test]
fn a_period_is_forgotten_once_it_is_over_and_saved_or_older_than_an_hour() {
    let mut ledger = OutcomeLedger::default();
    for period in 0..3 {
        ledger.note(&[ended(1, period * PERIOD, Completed, None)]);
    }
    assert_eq!(counts(&ledger, 1).len(), 3, "it is not saved");
    ledger.take(9);
    ledger.note(&[ended(1, 3 * PERIOD, Completed, None)]);
    assert_eq!(counts(&ledger, 1), [(2 * PERIOD, 1, 0), (3 * PERIOD, 1, 0)]);
    // The database is away for an hour.
    ledger.note(&[ended(2, 3 * PERIOD + HOUR, Completed, None)]);
    assert_eq!((counts(&ledger, 1), ledger.take(9).len()), (vec![], 1));
}

#[test]
fn memory_is_bounded() {
    let mut ledger = OutcomeLedger::default();
    let agents: Vec<Transition> =
        (0..MOST_KEPT as u128 + 10).map(|agent| ended(agent, 0, Completed, None)).collect();
    ledger.note(&agents);
    ledger.note(&[ended(1, 1, Completed, None)]);
    assert_eq!((ledger.kept(), ledger.unsaved.len()), (MOST_KEPT, MOST_KEPT));
    assert_eq!(counts(&ledger, 1), [(0, 2, 0)]);
}

#[test]
fn the_last_hour_begins_with_a_period() {
    let began = |second| hour_began(Timestamp::from_second(second).unwrap()).as_second();
    assert_eq!((began(HOUR), began(HOUR + 599), began(HOUR + 600)), (600, 600, 1_200));
}
