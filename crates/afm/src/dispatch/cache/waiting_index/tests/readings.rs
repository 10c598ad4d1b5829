//! Tests refreshes from the store.

use super::*;

#[test]
fn until_all_was_read_there_may_be_anything() {
    let mut index = WaitingIndex::default();
    assert!(index.has_something_for(&poll(1, 0)));
    index.read(&Backlog::default());
    assert!(index.has_something_for(&poll(1, 0)), "that was not all");
    index.read(&all(Vec::new()));
    assert!(!index.has_something_for(&poll(1, 1)));
    let (before, epoch) = (index.begin(), index.now());
    drop(index.invalidate());
    assert!(index.has_something_for(&poll(1, 1)));
    index.end_reading(before, epoch, Duration::ZERO, &ReadScope::After(None), &all(Vec::new()));
    assert!(index.has_something_for(&poll(1, 1)), "it was read before the doubt");
}

#[test]
fn what_was_noted_since_it_was_read_counts_on() {
    let mut index = complete();
    let agent = Uuid::from_u128(1);
    index.note_cancellation(agent);
    let (reading, epoch) = (index.begin(), index.now());
    index.add(&any(1));
    index.note_cancellation(agent);
    index.end_reading(reading, epoch, Duration::ZERO, &ReadScope::After(None), &all(vec![any(2).into()]));
    let mut kinds = index.kinds_for(&poll(1, 1)).unwrap();
    kinds.sort_by_key(|known| known.kind.capability.version);
    assert_eq!(kinds, [any(1).into(), any(2).into()]);
    index.told(agent, epoch);
    assert!(index.has_pending_cancellation(agent));
    index.told(agent, index.now());
    assert!(!index.has_pending_cancellation(agent));
}

#[test]
fn what_the_store_does_not_hold_any_more_goes() {
    let mut index = complete();
    index.add(&any(1));
    index.note_cancellation(Uuid::from_u128(1));
    index.read(&Backlog { pending_cancellations: vec![Uuid::from_u128(3)], ..all(vec![any(2).into()]) });
    assert_eq!(index.kinds_for(&poll(9, 1)), Some(vec![any(2).into()]));
    assert!(
        !index.has_pending_cancellation(Uuid::from_u128(1))
            && index.has_pending_cancellation(Uuid::from_u128(3))
    );
}

#[test]
fn a_reading_of_known_kinds_moves_their_cursors_and_ends_those_without_tasks() {
    let mut index = hearing();
    for version in 1..=3 {
        index.note_at(&any(version), at(version));
    }
    let (reading, asked) = index.begin_reading();
    assert_eq!(read_again(&asked).len(), 3);
    index.note_at(&any(3), at(30));
    let backlog = all(vec![KindCursor { kind: any(2), cursor: at(20) }]);
    index.end_reading(reading, index.now(), Duration::ZERO, &asked, &backlog);
    let starts = [1, 2, 3].map(|version| index.start(&any(version)));
    assert_eq!(starts, [QueueCursor::END, at(20), at(30)]);
}

#[test]
fn known_kinds_are_read_again_in_turn() {
    let mut index = hearing();
    let kinds = 2 * MOST_READ_AGAIN + 5;
    for version in 0..kinds {
        index.note_at(&any(version as i64), at(1));
    }
    let mut seen = std::collections::HashSet::new();
    for expected in [MOST_READ_AGAIN, MOST_READ_AGAIN, 5] {
        let (_, asked) = index.begin_reading();
        assert_eq!(read_again(&asked).len(), expected);
        seen.extend(read_again(&asked).iter().map(|known| known.kind.clone()));
    }
    assert_eq!(seen.len(), kinds);
    assert_eq!(read_again(&index.begin_reading().1).len(), MOST_READ_AGAIN);
}

#[test]
fn what_is_read_in_parts_is_known_with_the_last() {
    let (mut index, kinds) = (WaitingIndex::default(), [1, 2, 3].map(any));
    drop(index.listening_began());
    let from = |n: usize, seq| KindCursor { kind: kinds[n].clone(), cursor: at(seq) };
    assert_eq!(index.begin_reading().1, ReadScope::After(None));
    index.read(&part(vec![from(0, 10)]));
    assert_eq!(index.kinds_for(&poll(1, 1)), None);
    // What was noted or found elsewhere still counts.
    index.note_at(&kinds[1], at(15));
    let search = index.begin();
    index.note_at(&kinds[0], at(7));
    assert_eq!(index.begin_reading().1, ReadScope::After(Some(kinds[0].clone())));
    index.read(&part(vec![from(1, 20)]));
    index.end_search(search, [(&kinds[0], None)]);
    index.read(&all(vec![from(2, 30)]));
    assert_eq!(kinds.each_ref().map(|kind| index.start(kind)), [7, 20, 30].map(at));
    assert_eq!(index.start(&any(4)), QueueCursor::END);

    // All kinds are read again, once it is time for that.
    assert_eq!(read_again(&index.begin_reading().1).len(), 3);
    index.read_next_at = None;
    assert_eq!(index.begin_reading().1, ReadScope::After(None));
    index.read(&part(vec![from(0, 10)]));
    assert!(index.is_complete(), "meanwhile what was known before counts");
    index.read_next_at = None;
    assert_eq!(index.begin_reading().1, ReadScope::After(Some(kinds[0].clone())));
    let (before, epoch) = (index.begin(), index.now());
    drop(index.invalidate());
    index.end_reading(before, epoch, Duration::ZERO, &ReadScope::After(Some(kinds[0].clone())), &all(vec![]));
    assert!(!index.is_complete());
    assert_eq!(index.begin_reading().1, ReadScope::After(None));
}

#[test]
fn kinds_of_one_capability_are_read_again_in_turn() {
    let mut index = hearing();
    let kinds = MOST_READ_AGAIN + 5;
    index.note_at(&any(1), at(1));
    for agent in 1..kinds {
        index.note_at(&named(agent as u128), at(1));
    }
    index.note_at(&any(2), at(1));
    let mut seen = std::collections::HashSet::new();
    for expected in [MOST_READ_AGAIN, 6] {
        let (_, asked) = index.begin_reading();
        assert_eq!(read_again(&asked).len(), expected);
        seen.extend(read_again(&asked).iter().map(|known| known.kind.clone()));
    }
    assert_eq!(seen.len(), kinds + 1);
}
