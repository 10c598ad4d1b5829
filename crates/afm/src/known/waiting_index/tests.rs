use slamon_protocol::AgentFilter;

use super::*;

fn poll(agent: u128, max_tasks: u32) -> PollRequest {
    PollRequest {
        agent_id: Uuid::from_u128(agent),
        agent_name: format!("agent {agent}"),
        agent_capabilities: [1, 2].map(wait).to_vec(),
        max_tasks,
        agent_location: None,
        max_wait: Duration::ZERO,
        agent_running: None,
    }
}

fn wait(version: i64) -> Capability {
    Capability { task_type: "wait".to_owned(), version }
}

fn any(version: i64) -> WaitingKind {
    WaitingKind { capability: wait(version), agent_filter: AgentFilter::default() }
}

fn named(agent: u128) -> WaitingKind {
    let agent_filter = AgentFilter { agent_name: Some(format!("agent {agent}")), ..AgentFilter::default() };
    WaitingKind { agent_filter, ..any(1) }
}

fn at(seq: i64) -> QueueCursor {
    QueueCursor::at(0, seq)
}

fn all(kinds: Vec<KindCursor>) -> Backlog {
    Backlog { kinds, is_complete: true, ..Backlog::default() }
}

/// The kinds that are read again.
#[track_caller]
fn read_again(wanted: &Wanted) -> &[KindCursor] {
    let Wanted::Of(kinds) = wanted else { panic!("{wanted:?}") };
    kinds
}

/// A part of what waits, up to the last of these kinds.
fn part(kinds: Vec<KindCursor>) -> Backlog {
    let next = kinds.last().map(|last| last.kind.clone());
    Backlog { next, ..all(kinds) }
}

impl WaitingIndex {
    fn has_something_for(&self, poll: &PollRequest) -> bool {
        self.kinds_for(poll).is_none_or(|kinds| !kinds.is_empty())
    }

    fn add(&mut self, kind: &WaitingKind) {
        self.note(&kind.clone().into());
    }

    fn note_at(&mut self, kind: &WaitingKind, cursor: QueueCursor) {
        self.note(&KindCursor { kind: kind.clone(), cursor });
    }

    fn found(&mut self, kind: &WaitingKind, first: Option<QueueCursor>) {
        let search = self.begin();
        self.end_search(search, [(kind, first)]);
    }

    /// Where a batch looks for tasks of a kind.
    fn start(&mut self, kind: &WaitingKind) -> QueueCursor {
        let mut batch = [Command::Claim { poll: poll(1, 1), kinds: vec![kind.clone().into()] }];
        let search = self.begin_search(&mut batch);
        self.give_up(search.unwrap());
        let [Command::Claim { kinds, .. }] = &batch else { panic!("{batch:?}") };
        kinds[0].cursor
    }

    fn read(&mut self, backlog: &Backlog) {
        let epoch = self.now();
        self.read_next_at = None;
        let (search, wanted) = self.begin_reading();
        self.end_reading(search, epoch, Duration::ZERO, &wanted, backlog);
    }
}

/// One that was read when nothing waited.
fn complete() -> WaitingIndex {
    let mut index = WaitingIndex::default();
    index.read(&all(Vec::new()));
    index
}

/// One that hears what others do, too.
fn hearing() -> WaitingIndex {
    let mut index = WaitingIndex::default();
    index.hear();
    index.read(&all(Vec::new()));
    index
}

#[test]
fn until_all_was_read_there_may_be_anything() {
    let mut index = WaitingIndex::default();
    assert!(index.has_something_for(&poll(1, 0)));
    index.read(&Backlog::default());
    assert!(index.has_something_for(&poll(1, 0)), "that was not all");
    index.read(&all(Vec::new()));
    assert!(!index.has_something_for(&poll(1, 1)));
    let (before, epoch) = (index.begin(), index.now());
    index.doubt();
    assert!(index.has_something_for(&poll(1, 1)));
    index.end_reading(before, epoch, Duration::ZERO, &Wanted::After(None), &all(Vec::new()));
    assert!(index.has_something_for(&poll(1, 1)), "it was read before the doubt");
}

#[test]
fn a_kind_is_for_those_who_offer_it_and_match_its_filter() {
    let mut index = complete();
    index.add(&any(3));
    index.add(&named(2));
    assert!(!index.has_something_for(&poll(1, 1)));
    assert!(index.has_something_for(&poll(2, 1)));
    assert!(!index.has_something_for(&poll(2, 0)), "it takes no task");
    index.add(&any(2));
    assert!(index.has_something_for(&poll(1, 1)));
}

#[test]
fn those_of_many_filters_that_an_agent_matches_are_found() {
    let mut index = complete();
    let country = Some("FI".to_owned());
    let filter = AgentFilter { country: country.clone(), ..AgentFilter::default() };
    let other = AgentFilter { country, agent_name: Some("agent 2".to_owned()), ..AgentFilter::default() };
    let here = [any(1), named(2)].into_iter();
    let here = here.chain([filter, other].map(|agent_filter| WaitingKind { agent_filter, ..any(1) }));
    let mut expected: Vec<WaitingKind> = here.collect();
    for kind in &expected {
        index.add(kind);
    }
    for n in 0..100_000 {
        index.add(&named(10 + n));
    }
    let location = slamon_protocol::Location {
        country: "FI".to_owned(),
        region: "18".to_owned(),
        latitude: None,
        longitude: None,
    };
    let poll = PollRequest { agent_location: Some(location), ..poll(2, 1) };
    let mut kinds: Vec<_> = index.kinds_for(&poll).unwrap().into_iter().map(|known| known.kind).collect();
    kinds.sort_by_key(|kind| kind.agent_filter.key());
    expected.sort_by_key(|kind| kind.agent_filter.key());
    assert_eq!(kinds, expected);
}

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
    // What is found later counts.
    let search = index.begin();
    index.end_search(search, [(&any(2), None), (&any(2), Some(at(1)))]);
    assert_eq!(index.kinds_for(&poll(2, 1)), Some(vec![any(2).into()]));
}

#[test]
fn what_was_noted_since_it_was_read_counts_on() {
    let mut index = complete();
    let agent = Uuid::from_u128(1);
    index.note_untold(agent);
    let (reading, epoch) = (index.begin(), index.now());
    index.add(&any(1));
    index.note_untold(agent);
    index.end_reading(reading, epoch, Duration::ZERO, &Wanted::After(None), &all(vec![any(2).into()]));
    let mut kinds = index.kinds_for(&poll(1, 1)).unwrap();
    kinds.sort_by_key(|known| known.kind.capability.version);
    assert_eq!(kinds, [any(1).into(), any(2).into()]);
    index.told(agent, epoch);
    assert!(index.has_untold(agent));
    index.told(agent, index.now());
    assert!(!index.has_untold(agent));
}

#[test]
fn what_the_store_does_not_hold_any_more_goes() {
    let mut index = complete();
    index.add(&any(1));
    index.note_untold(Uuid::from_u128(1));
    index.read(&Backlog { untold: vec![Uuid::from_u128(3)], ..all(vec![any(2).into()]) });
    assert_eq!(index.kinds_for(&poll(9, 1)), Some(vec![any(2).into()]));
    assert!(!index.has_untold(Uuid::from_u128(1)) && index.has_untold(Uuid::from_u128(3)));
}

#[test]
fn who_does_not_hear_starts_at_the_very_start() {
    let (mut index, t) = (complete(), any(1));
    index.note_at(&t, at(7));
    assert_eq!(index.start(&t), QueueCursor::START);
    index.found(&t, Some(at(7)));
    index.read(&all(vec![KindCursor { kind: t.clone(), cursor: at(7) }]));
    assert_eq!(index.start(&t), QueueCursor::START);
    assert_eq!(index.begin_reading().1, Wanted::After(None), "all is read each time");

    index.hear();
    index.read(&all(vec![KindCursor { kind: t.clone(), cursor: at(7) }]));
    assert_eq!(index.start(&t), at(7));
    assert_eq!(index.begin_reading().1, Wanted::Of(vec![KindCursor { kind: t.clone(), cursor: at(7) }]));
    let search = index.begin();
    index.deafen();
    assert_eq!(index.start(&t), QueueCursor::START);
    index.end_search(search, [(&t, None)]);
    assert!(index.has_something_for(&poll(1, 1)), "the search began when it was thought to hear all");
    // That it still does not hear is no news.
    let (reading, epoch) = (index.begin(), index.now());
    index.deafen();
    index.end_reading(reading, epoch, Duration::ZERO, &Wanted::After(None), &all(vec![]));
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
    // One of a higher priority comes before all.
    index.note_at(&t, QueueCursor::at(1, 90));
    assert_eq!(index.start(&t), QueueCursor::at(1, 90));
    index.doubt();
    assert_eq!(index.start(&t), QueueCursor::START);
    // Before it lie those that nobody has noted.
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
        // Each claims the one that waits, and posts another.
        index.end_search(earlier, [(&t, None)]);
        index.note_at(&t, at(n + 1));
        assert!(index.start(&t) >= at(n), "{n}: {:?}", index.start(&t));
        earlier = later;
    }
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
fn what_was_begun_before_all_was_forgotten_says_nothing() {
    let (mut index, t) = (hearing(), any(1));
    let (search, reading) = (index.begin(), index.begin());
    index.doubt();
    index.end_search(search, [(&t, Some(at(7)))]);
    index.end_reading(reading, index.now(), Duration::ZERO, &Wanted::After(None), &all(vec![]));
    assert_eq!((index.start(&t), index.kinds_for(&poll(1, 1))), (QueueCursor::START, None));
}

#[test]
fn what_is_read_in_parts_is_known_with_the_last() {
    let (mut index, kinds) = (WaitingIndex::default(), [1, 2, 3].map(any));
    index.hear();
    let from = |n: usize, seq| KindCursor { kind: kinds[n].clone(), cursor: at(seq) };
    assert_eq!(index.begin_reading().1, Wanted::After(None));
    index.read(&part(vec![from(0, 10)]));
    assert_eq!(index.kinds_for(&poll(1, 1)), None);
    // What is noted, and found elsewhere, counts on.
    index.note_at(&kinds[1], at(15));
    let search = index.begin();
    index.note_at(&kinds[0], at(7));
    assert_eq!(index.begin_reading().1, Wanted::After(Some(kinds[0].clone())));
    index.read(&part(vec![from(1, 20)]));
    index.end_search(search, [(&kinds[0], None)]);
    index.read(&all(vec![from(2, 30)]));
    assert_eq!(kinds.each_ref().map(|kind| index.start(kind)), [7, 20, 30].map(at));
    assert_eq!(index.start(&any(4)), QueueCursor::END);

    // All of it is read again, once it is time for that.
    assert_eq!(read_again(&index.begin_reading().1).len(), 3);
    index.read_next_at = None;
    assert_eq!(index.begin_reading().1, Wanted::After(None));
    index.read(&part(vec![from(0, 10)]));
    assert!(index.is_complete(), "meanwhile what was known before counts");
    index.read_next_at = None;
    assert_eq!(index.begin_reading().1, Wanted::After(Some(kinds[0].clone())));
    let (before, epoch) = (index.begin(), index.now());
    index.doubt();
    index.end_reading(before, epoch, Duration::ZERO, &Wanted::After(Some(kinds[0].clone())), &all(vec![]));
    assert!(!index.is_complete());
    assert_eq!(index.begin_reading().1, Wanted::After(None));
}

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
    // Any filter that the agent matches.
    let kinds = index.kinds_for(&offers(long("b", 1))).unwrap();
    assert_eq!(kinds.len(), 4);
    assert!(kinds.iter().all(|known| known.kind.capability == long("b", 1)));
    let other = WaitingKind { capability: long("b", 1), ..any(1) };
    assert_eq!([&known, &other].map(|kind| index.start(kind)), [at(7), QueueCursor::START]);
    index.note_at(&other, at(9));
    assert_eq!(index.start(&other), QueueCursor::START);
    // Also one that is noted while all is read.
    let (epoch, backlog) = (index.now(), Backlog { left_out: vec![long("a", 1)], ..all(vec![]) });
    index.read_next_at = None;
    let (reading, wanted) = index.begin_reading();
    index.note_at(&other, at(9));
    index.end_reading(reading, epoch, Duration::ZERO, &wanted, &backlog);
    assert_eq!(index.start(&other), QueueCursor::START);
    // Until all was read again.
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
    // A search that goes on for long notes what comes meanwhile.
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
