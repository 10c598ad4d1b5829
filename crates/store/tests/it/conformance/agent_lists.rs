//! Lists of agents, and single ones.

use jiff::Timestamp;
use slamon_domain::testing::commands::{agent_id, at, poll, poll_for, task_id};
use slamon_domain::{Command, Operation, PauseTarget};
use slamon_protocol::Capability;
use slamon_protocol::PollRequest;
use slamon_store::{
    AgentQuery, AgentState, ListedAgent, MOST_OFFERING, MOST_PASSED_OVER, MOST_RUNNING, OffersQuery,
};
use uuid::Uuid;

use super::line::poll_from;
use crate::driver::Driver;
use crate::fixture::{Fixture, SharedFixture};

fn all() -> AgentQuery {
    AgentQuery {
        state: None,
        task_type: None,
        task_version: None,
        country: None,
        region: None,
        id: None,
        name: None,
        seen_since: at(0),
        limit: 100,
        after: None,
    }
}

fn of_type(task_type: &str, task_version: Option<i64>) -> AgentQuery {
    AgentQuery { task_type: Some(task_type.to_owned()), task_version, ..all() }
}

/// The agents of all pages; none may come twice. Their order is the store's own.
async fn listed(store: &Driver, query: &AgentQuery) -> Vec<ListedAgent> {
    let (mut agents, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store.list_agents(AgentQuery { after, ..query.clone() }).await.unwrap();
        assert!(page.items.len() <= query.limit as usize);
        agents.extend(page.items);
        after = page.next;
        pages += 1;
        assert!(pages < 1_000, "{after:?}");
        if after.is_none() {
            break;
        }
    }
    agents.sort_unstable_by_key(|agent| agent.id);
    assert!(agents.is_sorted_by(|one, other| one.id < other.id), "one came twice: {agents:?}");
    agents
}

/// The numbers of the agents that a query lists, whatever the size of a page.
async fn numbers(store: &Driver, query: &AgentQuery) -> Vec<u128> {
    let mut all = None;
    for limit in [1, 2, 1_000] {
        let agents = listed(store, &AgentQuery { limit, ..query.clone() }).await;
        let numbers: Vec<u128> =
            agents.iter().map(|agent| agent.id.as_u128() ^ agent_id(0).as_u128()).collect();
        assert_eq!(all.get_or_insert_with(|| numbers.clone()), &numbers, "{limit}");
    }
    all.unwrap()
}

pub(crate) async fn pause(store: &Driver, now: Timestamp, n: u128) {
    store.batch(now, vec![Command::Operate(Operation::Pause(PauseTarget::Agent(agent_id(n))))]).await;
}

pub(crate) async fn agents_are_listed_by_what_is_asked_for(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    assert_eq!(numbers(&store, &all()).await, [0; 0]);
    store.poll(at(1), poll_from("FI", 1, 0)).await;
    store.poll(at(5), poll_from("SE", 2, 0)).await;
    store.poll(at(5), PollRequest { agent_name: "Jyv\u{c4}skyl\u{c4} 3".to_owned(), ..poll(3, 0) }).await;
    store.poll(at(5), poll_for(4, 0, &[("wait", 2), ("wai", 1), ("", 3)])).await;
    store.poll(at(5), poll_for(5, 0, &[])).await;
    pause(&store, at(6), 2).await;
    pause(&store, at(6), 4).await;
    let query = AgentQuery { seen_since: at(5), ..all() };
    let state = |state| AgentQuery { state: Some(state), ..query.clone() };
    let country = |country: &str| AgentQuery { country: Some(country.to_owned()), ..query.clone() };
    let name = |name: &str| AgentQuery { name: Some(name.to_owned()), ..query.clone() };
    for (query, expected) in [
        (query.clone(), vec![1, 2, 3, 4, 5]),
        (state(AgentState::Active), vec![3, 5]),
        (state(AgentState::Lost), vec![1]),
        (state(AgentState::Paused), vec![2, 4]),
        (of_type("wait", None), vec![1, 2, 3, 4]),
        (of_type("wait", Some(1)), vec![1, 2, 3]),
        (of_type("wait", Some(2)), vec![4]),
        (of_type("wait", Some(3)), vec![]),
        (of_type("wai", None), vec![4]),
        (of_type("", None), vec![4]),
        (of_type("other", None), vec![]),
        (AgentQuery { state: Some(AgentState::Paused), ..of_type("wait", Some(1)) }, vec![2]),
        (country("FI"), vec![1]),
        (country("fi"), vec![]),
        (AgentQuery { region: Some("18".to_owned()), ..country("SE") }, vec![2]),
        (AgentQuery { region: Some("19".to_owned()), ..country("SE") }, vec![]),
        (AgentQuery { country: Some("SE".to_owned()), ..of_type("wait", None) }, vec![2]),
        (name("AGENT "), vec![1, 2, 4, 5]),
        (name("agent 4"), vec![4]),
        (name("jyv\u{e4}SKYL"), vec![3]),
        (name("%"), vec![]),
        (AgentQuery { id: Some(agent_id(3)), ..all() }, vec![3]),
        (AgentQuery { id: Some(agent_id(9)), ..all() }, vec![]),
        (AgentQuery { id: Some(agent_id(3)), ..of_type("wait", Some(2)) }, vec![3]),
    ] {
        assert_eq!(numbers(&store, &query).await, expected, "{query:?}");
    }
}

pub(crate) async fn long_types_are_told_apart(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let long = |end: &str| format!("{}{end}", "\u{e4}".repeat(300));
    let (one, other) = (long("1"), long("2"));
    for n in 1..=5 {
        store.poll(at(0), poll_for(n, 0, &[(if n % 2 == 0 { &one } else { &other }, 1)])).await;
    }
    assert_eq!(numbers(&store, &of_type(&one, None)).await, [2, 4]);
    assert_eq!(numbers(&store, &of_type(&other, Some(1))).await, [1, 3, 5]);
    assert_eq!(numbers(&store, &of_type(&long(""), None)).await, [0; 0]);
}

pub(crate) async fn ids_at_both_ends_are_listed(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    for id in [Uuid::max(), Uuid::nil(), agent_id(1)] {
        store.poll(at(0), PollRequest { agent_id: id, ..poll(1, 0) }).await;
        store.batch(at(0), vec![Command::Operate(Operation::Pause(PauseTarget::Agent(id)))]).await;
    }
    let paused = AgentQuery { state: Some(AgentState::Paused), ..all() };
    for query in [all(), paused, of_type("wait", None), of_type("wait", Some(1))] {
        for limit in [1, 2, 3, 9] {
            let ids: Vec<Uuid> = listed(&store, &AgentQuery { limit, ..query.clone() })
                .await
                .iter()
                .map(|agent| agent.id)
                .collect();
            assert_eq!(ids, [Uuid::nil(), agent_id(1), Uuid::max()], "{query:?}");
        }
    }
}

pub(crate) async fn an_agent_is_shown_with_its_tasks(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    assert_eq!(store.agent_details(agent_id(1)).await.unwrap(), None);
    let name = "n".repeat(500);
    let offers: Vec<(String, i64)> = (0..500).map(|n| (format!("type number {n}"), n)).collect();
    let mut offers: Vec<(&str, i64)> = offers.iter().map(|(name, n)| (name.as_str(), *n)).collect();
    offers.push(("wait", 1));
    let most = u128::from(MOST_RUNNING);
    store.post(at(0), 1..=most + 1).await;
    let poll = PollRequest { agent_name: name.clone(), ..poll_for(1, 1, &offers) };
    store.poll(at(1), poll.clone()).await;
    let details = store.agent_details(agent_id(1)).await.unwrap().unwrap();
    let agent = &details.agent;
    assert_eq!((agent.name.as_str(), agent.last_seen, agent.running), (name.as_str(), at(1), 1));
    assert_eq!(agent.capabilities.as_ref().unwrap().as_str(), poll.capabilities_to_json());
    assert_eq!(agent.capabilities_bytes, poll.capabilities_to_json().len() as u64);
    let [task] = details.tasks.as_slice() else { panic!("{details:?}") };
    assert_eq!((task.task_id, task.task_type.as_str(), task.attempt), (task_id(1), "wait", 1));
    assert_eq!((task.created, task.claimed, task.deadline), (at(0), at(1), None));
    assert!(!details.more_tasks);

    store.poll(at(2), PollRequest { max_tasks: 500, ..poll }).await;
    let details = store.agent_details(agent_id(1)).await.unwrap().unwrap();
    assert_eq!((details.agent.running, details.tasks.len()), (MOST_RUNNING, MOST_RUNNING as usize));
    assert!(details.more_tasks);
    let listed = listed(&store, &all()).await.remove(0);
    assert!(listed.name.starts_with("nnn") && listed.name.ends_with('\u{2026}'));
    assert_eq!((listed.capabilities, listed.capabilities_bytes), (None, details.agent.capabilities_bytes));
    assert_eq!((listed.running, listed.max_tasks), (MOST_RUNNING, 500));
}

pub(crate) async fn a_page_passes_over_so_many_agents_at_most(fixture: &impl SharedFixture) {
    let store = fixture.ready().await;
    for n in 0..u128::from(MOST_PASSED_OVER) / 500 + 1 {
        let polls = (0..500).map(|k| Command::from(poll(1_000 * n + k, 0)));
        store.batch(at(1), polls.collect()).await;
    }
    store.poll(at(1), PollRequest { agent_name: "last".to_owned(), ..poll(99_999_999, 0) }).await;
    let name = |of: AgentQuery| AgentQuery { name: Some("last".to_owned()), ..of };
    let lost = AgentQuery { state: Some(AgentState::Lost), ..all() };
    for query in [name(all()), lost, name(of_type("wait", None)), name(of_type("wait", Some(1)))] {
        let page = store.list_agents(query.clone()).await.unwrap();
        assert!(page.items.is_empty() && page.next.is_some(), "{query:?}");
        let found = usize::from(query.name.is_some());
        assert_eq!(listed(&store, &query).await.len(), found, "{query:?}");
    }
}

pub(crate) async fn a_page_of_types_counts_so_many_agents_at_most(fixture: &impl SharedFixture) {
    const TYPES: u32 = 8;
    let store = fixture.ready().await;
    let offers: Vec<(String, i64)> = (0..TYPES).map(|n| (format!("type {n}"), 1)).collect();
    let offers: Vec<(&str, i64)> = offers.iter().map(|(name, version)| (name.as_str(), *version)).collect();
    for part in 0..u128::from(MOST_OFFERING) / 100 + 1 {
        let polls = (0..100).map(|n| Command::from(poll_for(1_000 * part + n, 0, &offers)));
        store.batch(at(i64::from(part > 0)), polls.collect()).await;
    }
    let (mut after, mut types, mut pages) = (None, Vec::new(), 0);
    loop {
        let page = store.list_offers(OffersQuery { seen_since: at(1), limit: 50, after }).await.unwrap();
        types.extend(page.items);
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!((2..=4).contains(&pages), "{pages}");
    assert_eq!(types.len(), TYPES as usize);
    for (n, of_type) in types.iter().enumerate() {
        assert_eq!(of_type.capability.task_type, format!("type {n}"));
        assert_eq!((of_type.agents, of_type.is_complete), (MOST_OFFERING, false));
        assert!((MOST_OFFERING - 100..=MOST_OFFERING).contains(&of_type.active), "{of_type:?}");
    }
    let unknown = Capability { task_type: "type".to_owned(), version: 1 };
    let of_types = store.offers_of([unknown].into(), at(0)).await.unwrap();
    assert!(of_types.iter().all(|offered| offered.agents == 0));
}
