//! How attempts ended by agent, and agents by place.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{Timestamp, ToSpan};
use slamon_domain::testing::commands::{agent_id, at, poll};
use slamon_domain::{Command, Operation, PauseTarget};
use slamon_protocol::PollRequest;
use slamon_store::{AgentOutcomes, Outcomes, Place, PlaceCounts};
use uuid::Uuid;

use super::line::poll_from;
use crate::driver::Driver;
use crate::fixture::Fixture;

const AFMS: [Uuid; 2] = [Uuid::from_u128(1), Uuid::max()];

fn period(n: i64) -> Timestamp {
    at(0) + (10 * n).minutes()
}

fn outcomes(n: i64, agent: u128, completed: u64, failed: u64) -> AgentOutcomes {
    AgentOutcomes { period: period(n), agent_id: agent_id(agent), outcomes: Outcomes { completed, failed } }
}

/// What was saved of agents since a period: AFM, period, agent, and how attempts ended.
async fn saved(store: &Driver, agents: &[u128], since: i64) -> Vec<(Uuid, AgentOutcomes)> {
    let agents: Arc<[Uuid]> = agents.iter().map(|n| agent_id(*n)).collect();
    let mut saved = store.outcomes_of(agents, period(since)).await.unwrap();
    saved.sort_unstable_by_key(|(by, of)| (of.period, of.agent_id, *by));
    saved
}

pub(crate) async fn outcomes_replace_what_the_same_afm_has_saved_of_a_period(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    assert_eq!(saved(&store, &[1], 0).await, []);
    let save = async |by: usize, outcomes: &[AgentOutcomes]| {
        store.save_outcomes(AFMS[by], outcomes.into()).await.unwrap();
    };
    save(0, &[outcomes(1, 1, 1, 0), outcomes(0, 1, 5, 5), outcomes(1, 2, 7, 7), outcomes(1, 3, 1, 1)]).await;
    save(1, &[outcomes(1, 1, 2, 3)]).await;
    save(0, &[outcomes(1, 1, 9, i64::MAX.unsigned_abs()), outcomes(2, 1, 0, 1)]).await;
    let (first, second) = (AFMS[0], AFMS[1]);
    let expected = [
        (first, outcomes(1, 1, 9, i64::MAX.unsigned_abs())),
        (second, outcomes(1, 1, 2, 3)),
        (first, outcomes(1, 2, 7, 7)),
        (first, outcomes(2, 1, 0, 1)),
    ];
    assert_eq!(saved(&store, &[2, 1, 4], 1).await, expected);
    assert_eq!(saved(&store, &[], 0).await, []);
    assert_eq!(saved(&store, &[1], 3).await, []);
}

pub(crate) async fn outcomes_of_old_periods_are_deleted_step_by_step(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let all: Vec<AgentOutcomes> =
        (0..3).flat_map(|n| (0..4).map(move |agent| outcomes(n, agent, 1, 1))).collect();
    for afm in AFMS {
        store.save_outcomes(afm, all.clone().into()).await.unwrap();
    }
    assert_eq!(store.purge_outcomes(period(2), 10).await.unwrap(), 10);
    assert_eq!(store.purge_outcomes(period(2), 10).await.unwrap(), 6);
    assert_eq!(store.purge_outcomes(period(2), 10).await.unwrap(), 0);
    assert_eq!(saved(&store, &[0, 1, 2, 3], 0).await.len(), 8);
}

/// The agents of all parts, by place.
async fn places(store: &Driver, limit: u32) -> BTreeMap<Place, PlaceCounts> {
    let (mut places, mut after) = (BTreeMap::<_, PlaceCounts>::new(), None);
    loop {
        let part = store.count_places(at(5), after, limit).await.unwrap();
        let counted: u64 = part.places.values().map(|counts| counts.all()).sum();
        assert!(counted <= u64::from(limit));
        for (place, counts) in part.places {
            places.entry(place).or_default().add(counts);
        }
        after = part.next;
        if after.is_none() {
            return places;
        }
    }
}

pub(crate) async fn agents_are_counted_by_place_step_by_step(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    assert_eq!(places(&store, 1).await, BTreeMap::new());
    for (second, n, country) in [(9, 1, "FI"), (1, 2, "FI"), (9, 3, "FI"), (9, 4, "Å\""), (5, 5, "FI")] {
        store.poll(at(second), poll_from(country, n, 0)).await;
    }
    // The ids at both ends.
    for id in [Uuid::nil(), Uuid::max()] {
        store.poll(at(1), PollRequest { agent_id: id, ..poll(1, 0) }).await;
    }
    let pause = Operation::Pause(PauseTarget::Agent(agent_id(3)));
    store.applied(at(9), vec![Command::Operate(pause)]).await;
    let place = |country: &str| Some((country.to_owned(), "18".to_owned()));
    let expected = BTreeMap::from([
        (None, PlaceCounts { active: 0, lost: 2, paused: 0 }),
        (place("FI"), PlaceCounts { active: 2, lost: 1, paused: 1 }),
        (place("Å\""), PlaceCounts { active: 1, lost: 0, paused: 0 }),
    ]);
    for limit in [1, 2, 100] {
        assert_eq!(places(&store, limit).await, expected, "{limit}");
    }
}
