//! Tests which kinds a poll looks for.

use super::*;

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
