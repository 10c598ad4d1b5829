//! Tests what is left out when there are too many kinds.

use super::*;

#[test]
fn only_those_who_could_take_what_is_left_out_ask_for_it() {
    let long = |end: &str, version| Capability { task_type: format!("{}{end}", "ä".repeat(100)), version };
    let mut index = hearing();
    let known = WaitingKind { capability: long("a", 1), ..any(1) };
    let from = KindCursor { kind: known.clone(), cursor: at(7) };
    index.read(&Backlog { left_out: vec![long("a", 1)], ..all(vec![from, any(1).into()]) });
    assert_eq!(index.kinds_for(&poll(1, 1)), Some(vec![any(1).into()]));
    let offers = |offer| PollRequest { agent_capabilities: vec![offer], ..poll(1, 1) };
    assert_eq!(index.kinds_for(&offers(long("a", 2))), Some(vec![]));
    // These are all filters that the agent can match.
    let kinds = index.kinds_for(&offers(long("b", 1))).unwrap();
    assert_eq!(kinds.len(), 4);
    assert!(kinds.iter().all(|known| known.kind.capability == long("b", 1)));
    let other = WaitingKind { capability: long("b", 1), ..any(1) };
    assert_eq!([&known, &other].map(|kind| index.start(kind)), [at(7), QueueCursor::START]);
    index.note_at(&other, at(9));
    assert_eq!(index.start(&other), QueueCursor::START);
    // A kind that is noted while all is read is left out, too.
    let (epoch, backlog) = (index.now(), Backlog { left_out: vec![long("a", 1)], ..all(vec![]) });
    index.read_next_at = None;
    let (reading, scope) = index.begin_reading();
    index.note_at(&other, at(9));
    index.end_reading(reading, epoch, Duration::ZERO, &scope, &backlog);
    assert_eq!(index.start(&other), QueueCursor::START);
    // It stays left out until all was read again.
    index.read(&all(vec![]));
    assert_eq!(index.kinds_for(&offers(long("b", 1))), Some(vec![]));
}

#[test]
fn a_million_kinds_are_known() {
    let mut index = hearing();
    for version in 0..1_000_000 {
        index.note_at(&any(version), at(version));
    }
    assert!(index.left_out.is_empty());
    let first_and_last = [0, 999_999].map(|version| index.start(&any(version)));
    assert_eq!(first_and_last, [at(0), at(999_999)]);
    assert_eq!(index.start(&any(1_000_000)), QueueCursor::END);
}

#[test]
fn kinds_that_are_too_large_together_are_left_out() {
    let large = |n: usize| {
        let task_type = format!("{n}{}", "x".repeat(1024 * 1024));
        WaitingKind { capability: Capability { task_type, version: 1 }, ..any(1) }
    };
    let kinds = |n: usize| all((0..n).map(|n| large(n).into()).collect());
    let mut index = hearing();
    index.read(&kinds(10));
    let offers = |n| PollRequest { agent_capabilities: vec![large(n).capability], ..poll(1, 1) };
    assert_eq!(index.kinds_for(&offers(0)), None, "too large to name");
    // A search that takes long keeps what is noted meanwhile.
    let search = index.begin();
    let most = 50 * 1024 * 1024;
    for n in 10..100 {
        index.add(&large(n));
        assert!(
            index.kinds.bytes() < most && index.searches.values().map(KindMap::bytes).sum::<usize>() < most
        );
    }
    assert_eq!(index.kinds_for(&poll(1, 1)), Some(vec![]), "who could take none of them");
    assert_eq!(index.start(&large(99)), QueueCursor::START);
    index.end_search(search, [(&large(0), None)]);
    assert_ne!(index.start(&large(0)), QueueCursor::END, "it has missed too much");
    index.read(&kinds(10));
    assert_eq!(index.start(&large(99)), QueueCursor::END);
    for n in 0..10 {
        index.found(&large(n), None);
    }
    assert_eq!((index.kinds.bytes(), index.kinds.text_bytes()), (0, 0), "what goes is counted off");
}
