use std::time::Duration;

use slamon_domain::AttemptEndName;

use super::*;

/// A change of a task of this type.
fn change(task_type: &str, version: i64, from: Option<StateName>, to: StateName, second: i64) -> Transition {
    let at = Timestamp::from_second(second).unwrap();
    Transition {
        task_type: task_type.to_owned(),
        task_version: version,
        ..Transition::of(Uuid::nil(), from, to, at)
    }
}

fn posted(task_type: &str, version: i64, second: i64) -> Transition {
    change(task_type, version, None, StateName::Pending, second)
}

/// The sum of the changes of each type.
fn sums(update: &StatisticsUpdate) -> BTreeMap<(&str, i64), TaskCounts> {
    let mut sums = BTreeMap::new();
    for CountChange { of_type, by, .. } in &update.changes {
        let capability = &update.types[*of_type];
        let sum: &mut TaskCounts = sums.entry((&*capability.task_type, capability.version)).or_default();
        sum.add(*by);
    }
    sums
}

fn counts(delayed: i64, pending: i64, claimed: i64) -> TaskCounts {
    TaskCounts { delayed, pending, claimed }
}

#[test]
fn each_change_is_counted_as_what_it_is() {
    use StateName::{Cancelled, Claimed, Completed, Delayed, Expired, Failed, Lost, Pending, TimedOut};
    let ended = |to| (Some(Claimed), to, None);
    let again = |to, end| (Some(Claimed), to, Some(end));
    for ((from, to, attempt_end), counted, by) in [
        ((None, Pending, None), Some(Counter::Posted), counts(0, 1, 0)),
        ((None, Delayed, None), Some(Counter::Posted), counts(1, 0, 0)),
        ((Some(Delayed), Pending, None), None, counts(-1, 1, 0)),
        ((Some(Pending), Claimed, None), Some(Counter::Claimed), counts(0, -1, 1)),
        (ended(Completed), Some(Counter::Completed), counts(0, 0, -1)),
        (ended(Failed), Some(Counter::Failed), counts(0, 0, -1)),
        (ended(Lost), Some(Counter::Lost), counts(0, 0, -1)),
        (ended(TimedOut), Some(Counter::TimedOut), counts(0, 0, -1)),
        (ended(Expired), Some(Counter::Expired), counts(0, 0, -1)),
        ((Some(Delayed), Expired, None), Some(Counter::Expired), counts(-1, 0, 0)),
        ((Some(Pending), Cancelled, None), Some(Counter::Cancelled), counts(0, -1, 0)),
        // What is tried again has not failed.
        (again(Pending, AttemptEndName::Error), Some(Counter::Retried), counts(0, 1, -1)),
        (again(Delayed, AttemptEndName::Lost), Some(Counter::Retried), counts(1, 0, -1)),
        ((Some(Claimed), Pending, None), Some(Counter::Released), counts(0, 1, -1)),
    ] {
        let transition = Transition { attempt_end, ..change("t", 1, from, to, 0) };
        assert_eq!(counter(&transition), counted, "{from:?} to {to:?}");
        assert_eq!(counts_by(&transition), by, "{from:?} to {to:?}");
    }
}

#[test]
fn a_minute_is_saved_whole_until_it_is_over() {
    let mut ledger = Ledger::default();
    let claimed = Transition {
        queued_for: Some(Duration::from_secs(2)),
        ..change("a", 1, Some(StateName::Pending), StateName::Claimed, 30)
    };
    ledger.note(&[posted("a", 1, 0), posted("b", -1, 59), claimed], Some(7));
    let first = ledger.take(Uuid::nil());
    assert_eq!(first.minutes.len(), 1);
    let named: Vec<_> = first.minutes[0]
        .types
        .iter()
        .map(|(capability, _)| &*capability.as_ref().unwrap().task_type)
        .collect();
    assert_eq!(named, ["a", "b"]);
    assert_eq!(first.minutes[0].types[0].1.queue.count(), 1);
    assert_eq!(sums(&first), [(("a", 1), counts(0, 0, 1)), (("b", -1), counts(0, 1, 0))].into());
    assert!(first.changes.iter().all(|change| change.commit == Some(7)));
    assert_eq!(ledger.take(Uuid::nil()), StatisticsUpdate::default(), "nothing is saved twice");

    ledger.note(&[posted("a", 1, 59), posted("a", 1, 60)], None);
    let second = ledger.take(Uuid::nil());
    let of_minute = |number: usize| &second.minutes[number].types[0].1.counters;
    assert_eq!(second.minutes.len(), 2);
    assert_eq!(of_minute(0).get(Counter::Posted), 2, "what was saved before is part of it");
    assert_eq!(of_minute(1).get(Counter::Posted), 1);
    let posted = |slot: &Slot| slot.figures.counters.get(Counter::Posted);
    assert_eq!(ledger.slots().iter().map(posted).collect::<Vec<_>>(), [0, 3, 1]);
}

#[test]
fn what_could_not_be_saved_is_saved_later() {
    let mut ledger = Ledger::default();
    ledger.note(&[posted("a", 1, 0)], Some(1));
    let lost = ledger.take(Uuid::nil());
    ledger.note(&[posted("b", 1, 1), posted("a", 1, 200)], Some(2));
    ledger.put_back(&lost);
    let later = ledger.take(Uuid::nil());
    assert_eq!(sums(&later), [(("a", 1), counts(0, 2, 0)), (("b", 1), counts(0, 1, 0))].into());
    let mut commits: Vec<_> = later.changes.iter().map(|change| change.commit).collect();
    commits.sort_unstable();
    assert_eq!(commits, [Some(1), Some(2), Some(2)]);
    assert_eq!(later.minutes.len(), 2);
    // Both minutes are over and forgotten when it turns out that they were not saved.
    ledger.note(&[posted("c", 1, 900)], Some(3));
    assert_eq!(ledger.take(Uuid::nil()).minutes.len(), 1);
    ledger.put_back(&later);
    assert_eq!(ledger.take(Uuid::nil()).minutes, later.minutes);
}

#[test]
fn types_that_a_client_makes_up_share_their_figures() {
    let mut ledger = Ledger::default();
    let named = i64::try_from(TASK_TYPES).unwrap();
    let many: Vec<Transition> = (0..named + 50).map(|version| posted("t", version, 0)).collect();
    ledger.note(&many, None);
    ledger.note(&[posted(&"x".repeat(LONGEST_NAME + 1), 1, 0)], None);
    assert_eq!(ledger.slots().len(), TASK_TYPES + 1);
    assert_eq!(ledger.slots()[OTHERS].figures.counters.get(Counter::Posted), 51);
    let update = ledger.take(Uuid::nil());
    assert_eq!(sums(&update).len(), TASK_TYPES + 51, "all of them are counted exactly");
    let (other, figures) = &update.minutes[0].types[OTHERS];
    assert_eq!((other, figures.counters.get(Counter::Posted)), (&None, 51));

    // A type that was idle for long makes room.
    let late = (IDLE_MINUTES + 2) * 60;
    ledger.note(&[posted("new", 1, late), posted("t", named, late)], None);
    ledger.take(Uuid::nil());
    let has = |ledger: &Ledger, name: &str, version| {
        let is_it =
            |capability: &Arc<Capability>| capability.task_type == name && capability.version == version;
        ledger.slots().iter().any(|slot| slot.capability.as_ref().is_some_and(is_it))
    };
    assert!(has(&ledger, "new", 1) && has(&ledger, "t", named) && !has(&ledger, "t", 0));
    assert_eq!(ledger.slots().len(), TASK_TYPES + 1);
    // What was idle is counted with the others again, or in a slot of its own.
    ledger.note(&[posted("t", 0, late)], None);
    assert!(has(&ledger, "t", 0) || ledger.slots()[OTHERS].figures.counters.get(Counter::Posted) == 52);
}

#[test]
fn memory_is_bounded_however_many_types_there_are() {
    let mut ledger = Ledger::default();
    let most = i64::try_from(MOST_TYPES).unwrap();
    let many: Vec<Transition> = (0..=most).map(|version| posted("t", version, 0)).collect();
    ledger.note(&many[..MOST_TYPES], None);
    assert!(!ledger.must_count);
    ledger.note(&many[MOST_TYPES..], None);
    assert!(ledger.must_count, "it was not counted");
    assert_eq!((ledger.known.len(), ledger.changes.len()), (MOST_TYPES, MOST_TYPES));
    ledger.take(Uuid::nil());
    assert_eq!((ledger.known.len(), ledger.places.len()), (0, 0));
}
