//! Tests what searches find, beside what is noted meanwhile.

use super::*;

#[test]
fn a_search_ends_what_it_did_not_find_but_not_what_was_noted_since() {
    let mut index = complete();
    for kind in [any(1), named(2), named(3), any(3)] {
        index.add(&kind);
    }
    index.found(&any(1), None);
    assert_eq!(index.kinds_for(&poll(2, 1)), Some(vec![named(2).into()]));
    let search = index.begin();
    index.add(&named(2));
    index.end_search(search, [(&named(2), None)]);
    assert_eq!(index.kinds_for(&poll(2, 1)), Some(vec![named(2).into()]));
    index.found(&named(2), None);
    assert_eq!(index.kinds_for(&poll(2, 1)), Some(vec![]));
    // The later finding counts.
    let search = index.begin();
    index.end_search(search, [(&any(2), None), (&any(2), Some(at(1)))]);
    assert_eq!(index.kinds_for(&poll(2, 1)), Some(vec![any(2).into()]));
}

#[test]
fn who_does_not_hear_starts_at_the_very_start() {
    let (mut index, t) = (complete(), any(1));
    index.note_at(&t, at(7));
    assert_eq!(index.start(&t), QueueCursor::START);
    index.found(&t, Some(at(7)));
    index.read(&all(vec![KindCursor { kind: t.clone(), cursor: at(7) }]));
    assert_eq!(index.start(&t), QueueCursor::START);
    assert_eq!(index.begin_reading().1, ReadScope::After(None), "all is read each time");

    drop(index.listening_began());
    index.read(&all(vec![KindCursor { kind: t.clone(), cursor: at(7) }]));
    assert_eq!(index.start(&t), at(7));
    assert_eq!(
        index.begin_reading().1,
        ReadScope::Of([KindCursor { kind: t.clone(), cursor: at(7) }].into())
    );
    let search = index.begin();
    index.listening_stopped();
    assert_eq!(index.start(&t), QueueCursor::START);
    index.end_search(search, [(&t, None)]);
    assert!(index.has_something_for(&poll(1, 1)), "the search began when it was thought to hear all");
    // That events still do not arrive changes nothing.
    let (reading, epoch) = (index.begin(), index.now());
    index.listening_stopped();
    index.end_reading(reading, epoch, Duration::ZERO, &ReadScope::After(None), &all(vec![]));
    assert!(!index.has_something_for(&poll(1, 1)));
}

#[test]
fn a_search_moves_the_cursor_but_not_past_what_it_may_have_missed() {
    let (mut index, t) = (hearing(), any(1));
    assert_eq!(index.start(&t), QueueCursor::END);
    index.found(&t, Some(at(7)));
    assert_eq!(index.start(&t), at(7));
    let search = index.begin();
    for (kind, seq) in [(&t, 20), (&t, 9), (&any(2), 1)] {
        index.note_at(kind, at(seq));
    }
    index.end_search(search, [(&t, Some(at(30)))]);
    assert_eq!(index.start(&t), at(9));
    for seq in [5, 6] {
        index.note_at(&t, at(seq));
    }
    assert_eq!(index.start(&t), at(5));
    // A task of a higher priority comes before all others.
    index.note_at(&t, QueueCursor::at(1, 90));
    assert_eq!(index.start(&t), QueueCursor::at(1, 90));
    drop(index.invalidate());
    assert_eq!(index.start(&t), QueueCursor::START);
    // Tasks that nobody has noted are before it.
    index.note_at(&t, at(8));
    assert_eq!(index.start(&t), QueueCursor::START);
}

#[test]
fn while_searches_overlap_each_moves_the_cursor_as_far_as_it_may() {
    let (mut index, t) = (hearing(), any(1));
    index.note_at(&t, at(1));
    let mut earlier = index.begin();
    for n in 1..100 {
        let later = index.begin();
        // Each batch claims the task that is waiting, and posts another.
        index.end_search(earlier, [(&t, None)]);
        index.note_at(&t, at(n + 1));
        assert!(index.start(&t) >= at(n), "{n}: {:?}", index.start(&t));
        earlier = later;
    }
}

#[test]
fn what_was_begun_before_all_was_forgotten_says_nothing() {
    let (mut index, t) = (hearing(), any(1));
    let (search, reading) = (index.begin(), index.begin());
    drop(index.invalidate());
    index.end_search(search, [(&t, Some(at(7)))]);
    index.end_reading(reading, index.now(), Duration::ZERO, &ReadScope::After(None), &all(vec![]));
    assert_eq!((index.start(&t), index.kinds_for(&poll(1, 1))), (QueueCursor::START, None));
}
