//! Counts of all agents, and of those that offer each type.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use slamon_domain::Command;
use slamon_domain::testing::commands::{agent_id, at, poll_for, task_id};
use slamon_protocol::{Capability, PostTask};
use slamon_store::{AgentCounts, Census, OfferedType, OffersQuery, WaitingHead, WaitingPart};
use uuid::Uuid;

use super::agent_lists::pause;
use crate::driver::Driver;
use crate::fixture::Fixture;

fn capability(task_type: &str, version: i64) -> Capability {
    Capability { task_type: task_type.to_owned(), version }
}

/// Three types that share more than a hundred characters.
fn long(n: usize) -> String {
    format!("{}{n}", "ä".repeat(120))
}

async fn fleet(store: &Driver) {
    let [one, two, three] = [long(1), long(2), long(3)];
    for (id, second, offers) in [
        (0, 9, vec![("wait", 1), (&*one, 1), (&*two, 1)]),
        (2, 1, vec![("wait", 1), ("", -1)]),
        (3, 9, vec![("wait", 2), (&*two, 1), (&*three, 1)]),
        (4, 9, vec![]),
        (u128::MAX, 9, vec![("wait", 1), ("", i64::MIN), ("zz", i64::MAX)]),
    ] {
        store.poll(at(second), poll_for(id, 0, &offers)).await;
    }
    pause(store, at(9), 3).await;
}

pub(crate) async fn all_agents_are_counted_in_steps(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    assert_eq!(store.count_next_agents(None, at(5), 10).await.unwrap(), (AgentCounts::default(), None));
    assert_eq!(store.count_next_offers(None, at(5), 10).await.unwrap(), (Vec::new(), None));
    fleet(&store).await;
    for limit in 1..=12 {
        let (mut after, mut sum, mut steps) = (None, AgentCounts::default(), 0);
        loop {
            let (counted, next) = store.count_next_agents(after, at(5), limit).await.unwrap();
            sum.active += counted.active;
            sum.lost += counted.lost;
            sum.paused += counted.paused;
            (after, steps) = (next, steps + 1);
            if after.is_none() || steps > 100 {
                break;
            }
        }
        assert_eq!((sum.active, sum.lost, sum.paused), (3, 1, 1), "{limit} at once");
        let (mut after, mut sums, mut steps) = (None, BTreeMap::<Capability, (u32, u32)>::new(), 0);
        loop {
            let (counted, next) = store.count_next_offers(after, at(5), limit).await.unwrap();
            for OfferedType { capability, agents, active, .. } in counted {
                let sum = sums.entry(capability).or_default();
                *sum = (sum.0 + agents, sum.1 + active);
            }
            (after, steps) = (next, steps + 1);
            if after.is_none() || steps > 100 {
                break;
            }
        }
        let expected = [
            (capability("", i64::MIN), (1, 1)),
            (capability("", -1), (1, 0)),
            (capability("wait", 1), (3, 2)),
            (capability("wait", 2), (1, 1)),
            (capability("zz", i64::MAX), (1, 1)),
            (capability(&long(1), 1), (1, 1)),
            (capability(&long(2), 1), (2, 2)),
            (capability(&long(3), 1), (1, 1)),
        ];
        assert_eq!(sums.into_iter().collect::<Vec<_>>(), expected, "{limit} at once");
    }
}

pub(crate) async fn one_afm_counts_at_a_time(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let [one, other] = [1, 2].map(Uuid::from_u128);
    let hold = |afm, second| store.hold_census(afm, at(second), at(second - 30));
    assert!(hold(one, 100).await.unwrap());
    assert!(!hold(other, 129).await.unwrap());
    assert!(hold(one, 129).await.unwrap());
    assert!(!hold(other, 159).await.unwrap());
    assert!(hold(other, 160).await.unwrap());
    assert!(!hold(one, 161).await.unwrap());
}

pub(crate) async fn a_kept_census_is_given_until_it_is_replaced(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    fleet(&store).await;
    assert_eq!(store.census().await.unwrap(), None);
    let offers_of = async |of: &[Capability]| {
        let mut found = store.offers_of(of.into(), at(5)).await.unwrap();
        found.retain(|of_type| of_type.agents > 0);
        found
    };
    let listed = async || {
        let query = OffersQuery { seen_since: at(5), limit: 50, after: None };
        let mut items = store.list_offers(query).await.unwrap().items;
        items.sort_by(|one, other| one.capability.cmp(&other.capability));
        items
    };
    let now = |task_type: &str, version, agents, active| OfferedType {
        agents,
        active,
        ..OfferedType::by_nobody(capability(task_type, version))
    };
    let of_now = listed().await;
    let wait = [capability("wait", 1), capability("wait", 2), capability("none", 1), capability(&long(2), 1)];
    let waits = [now("wait", 1, 3, 2), now("wait", 2, 1, 1), now(&long(2), 1, 2, 2)];
    assert_eq!(offers_of(&wait).await, waits);

    let of = |time: Timestamp| Census {
        counted_at: Some(time),
        active: 90_000,
        lost: 9_999,
        paused: 1,
        types: vec![(capability("wait", 1), 100_000, 90_000), (capability(&long(2), 1), 5_000, 0)],
    };
    let counted = |of_type: &OfferedType, time| {
        let (agents, active, counted_at) = match &*of_type.capability.task_type {
            "wait" if of_type.capability.version == 1 => (100_000, 90_000, Some(time)),
            name if name == long(2) => (5_000, 0, Some(time)),
            _ => return of_type.clone(),
        };
        OfferedType { agents, active, counted_at, ..of_type.clone() }
    };
    for time in [at(7), at(8)] {
        store.save_census(Arc::new(of(time))).await.unwrap();
        let totals =
            AgentCounts { active: 90_000, lost: 9_999, paused: 1, is_complete: true, counted_at: Some(time) };
        assert_eq!(store.census().await.unwrap(), Some(totals));
        let expected: Vec<_> = waits.iter().map(|of_type| counted(of_type, time)).collect();
        assert_eq!(offers_of(&wait).await, expected);
        let expected: Vec<_> = of_now.iter().map(|of_type| counted(of_type, time)).collect();
        assert_eq!(listed().await, expected);
    }
    let other = Census { types: vec![(capability("wait", 2), 1_000, 7)], ..of(at(9)) };
    store.save_census(Arc::new(other)).await.unwrap();
    let of_wait_2 = OfferedType { counted_at: Some(at(9)), ..now("wait", 2, 1_000, 7) };
    assert_eq!(offers_of(&wait[..2]).await, [now("wait", 1, 3, 2), of_wait_2]);

    // A fleet that has become small needs none.
    let none = Census { counted_at: None, active: 0, lost: 0, paused: 0, types: Vec::new() };
    store.save_census(Arc::new(none)).await.unwrap();
    assert_eq!(store.census().await.unwrap(), None);
    assert_eq!(listed().await, of_now);
}

pub(crate) async fn of_all_that_waits_the_first_of_each_kind_is_found(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let part =
        async |after: Option<WaitingHead>, limit| store.waiting_heads(after, at(5), limit).await.unwrap();
    assert_eq!(part(None, 10).await, WaitingPart::default());
    fleet(&store).await;
    let filter = |agent: u128| format!(r#"{{"agent_id":"{}"}}"#, agent_id(agent));
    let waiting = [
        (1, "wait", 1, 0, String::new(), true),
        (2, "wait", 1, 0, String::new(), true),
        (3, "wait", 1, 7, String::new(), true),
        (4, "wait", 1, 0, filter(2), false),
        (5, "wait", 1, 0, filter(4), true),
        (6, "wait", 3, 0, String::new(), false),
        (7, "", -1, 0, String::new(), false),
        (8, "wait", 1, -7, String::new(), true),
        (9, "wait", 1, 0, r#"{"agent_name":"\"agent_id\""}"#.to_owned(), true),
    ];
    for (n, name, version, priority, filter, _) in &waiting {
        let filter = if filter.is_empty() { String::new() } else { format!(r#","agent_filter":{filter}"#) };
        let body = format!(
            r#"{{"task_id":"{0}","test_id":"{0}","task_type":"{name}","task_version":{version},
                "task_priority":{priority}{filter}}}"#,
            task_id(*n)
        );
        let task = PostTask::parse(&body).unwrap();
        store.batch(at(i64::try_from(*n).unwrap()), vec![Command::Submit(task)]).await;
    }
    for limit in [1, 2, 3, 8, 9] {
        let (mut after, mut found, mut parts) = (None, Vec::new(), 0);
        loop {
            let part = part(after, limit).await;
            assert!(part.heads.len() <= limit as usize);
            found.extend(part.heads);
            (after, parts) = (part.next, parts + 1);
            if after.is_none() || parts > 100 {
                break;
            }
        }
        found.sort_by_key(|head| head.created);
        let of = |head: &WaitingHead| {
            let Capability { task_type, version } = head.capability.clone();
            (head.task_id, task_type, version, head.priority, head.is_served)
        };
        let found: Vec<_> = found.iter().map(of).collect();
        // The second one is behind the first.
        let expected = waiting.iter().filter(|(n, ..)| *n != 2);
        let expected = expected.map(|(n, name, version, priority, _, is_served)| {
            (task_id(*n), (*name).to_owned(), *version, *priority, *is_served)
        });
        assert_eq!(found, expected.collect::<Vec<_>>(), "{limit} at once");
    }
}

pub(crate) async fn one_agent_of_thousands_is_found_for_its_tasks(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    for part in 0..11_u128 {
        let polls = (1..=100).map(|n| Command::from(poll_for(1_000 * part + n, 1, &[("wait", 1)])));
        store.batch(at(1), polls.collect()).await;
    }
    for (n, agent) in [(1, 1), (2, 5_050), (3, 10_100)] {
        let body = format!(
            r#"{{"task_id":"{0}","test_id":"{0}","task_type":"wait","task_version":1,
                "agent_filter":{{"agent_id":"{1}"}}}}"#,
            task_id(n),
            agent_id(agent)
        );
        store.batch(at(2), vec![Command::Submit(PostTask::parse(&body).unwrap())]).await;
        let task = store.task(task_id(n)).await.unwrap().unwrap();
        let found = store.queue_diagnostics(&task, at(0)).await.unwrap();
        assert_eq!((found.matching, found.active, found.free), (1, 1, 1), "{agent}: {found:?}");
    }
}
