//! What is known of agents.

use jiff::{SignedDuration, Timestamp};
use slamon_domain::Command;
use slamon_protocol::{Location, PollRequest};
use slamon_store::{AgentView, Counts};

use crate::fixture::{Fixture, SharedFixture};
use slamon_domain::testing::commands::{agent_id, at, completed, poll, poll_for, release};
use slamon_domain::testing::outcome::Outcome;

pub(crate) async fn a_poll_registers_an_agent(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.poll(at(1), poll_for(1, 0, &[])).await;
    let expected = AgentView {
        id: agent_id(1),
        name: "agent 1".to_owned(),
        last_seen: at(1),
        tasks: Vec::new(),
        more_tasks: false,
    };
    assert_eq!(store.agent(1).await, expected);
    assert_eq!(store.everything().await.agents.total, 1);
}

pub(crate) async fn a_poll_replaces_the_name(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    for (second, name) in (0..).zip(["first", "", "名前 é 😀 '; --", "last"]) {
        let named = PollRequest { agent_name: name.to_owned(), ..poll(1, 0) };
        store.poll(at(second), named).await;
        assert_eq!(store.agent(1).await.name, name);
    }
    // The last poll of a batch is the last word.
    let named = |name: &str| Command::from(PollRequest { agent_name: name.to_owned(), ..poll(1, 0) });
    store.batch(at(9), vec![named("z"), named("y"), named("x")]).await;
    assert_eq!(store.agent(1).await.name, "x");
    assert_eq!(store.everything().await.agents.total, 1);
}

pub(crate) async fn last_seen_never_goes_back(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.poll(at(10), poll(1, 0)).await;
    let renamed = PollRequest { agent_name: "renamed".to_owned(), ..poll(1, 0) };
    store.poll(at(5), renamed).await;
    let agent = store.agent(1).await;
    assert_eq!((agent.last_seen, agent.name.as_str()), (at(10), "renamed"));
    store.poll(at(11), poll(1, 0)).await;
    assert_eq!(store.agent(1).await.last_seen, at(11));
}

pub(crate) async fn agents_are_seen_without_a_poll(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.poll(at(0), poll(1, 0)).await;
    store.poll(at(10), poll(2, 0)).await;
    let seen = vec![(agent_id(1), at(7)), (agent_id(2), at(8)), (agent_id(3), at(9)), (agent_id(1), at(6))];
    let outcomes = store.batch(at(20), vec![Command::Seen(seen), Command::Seen(Vec::new())]).await;
    // Who is not known stays unknown: only a poll says what an agent offers.
    assert_eq!(outcomes, [Outcome::Seen(vec![agent_id(3)]), Outcome::Seen(Vec::new())]);
    assert_eq!(store.agent(1).await.last_seen, at(7));
    assert_eq!(store.agent(2).await.last_seen, at(10));
    assert_eq!(store.everything().await.agents.total, 2);
}

pub(crate) async fn agents_are_counted_from_the_threshold_on(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    for n in 1..=3 {
        store.poll(at(n), poll(n as u128, 0)).await;
    }
    let microsecond = SignedDuration::from_micros(1);
    for (since, agents) in [
        (at(0), 3),
        (at(1), 3),
        (at(1) + microsecond, 2),
        (at(3) - microsecond, 1),
        (at(3), 1),
        (at(3) + microsecond, 0),
        (Timestamp::UNIX_EPOCH, 3),
    ] {
        assert_eq!(store.counts(since).await.unwrap(), Counts { agents, tasks_waiting: 0 }, "{since}");
    }
}

pub(crate) async fn waiting_tasks_are_counted(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), 1..=5).await;
    assert_eq!(store.waiting().await, 5);
    store.claim(at(1), 1, 2).await;
    assert_eq!(store.waiting().await, 3);
    store.report(at(2), completed(1, "{}")).await.unwrap();
    assert_eq!(store.waiting().await, 3);
    store.release(at(2), release(1, at(1), &[2])).await;
    assert_eq!(store.counts(at(0)).await.unwrap(), Counts { agents: 1, tasks_waiting: 4 });
}

pub(crate) async fn a_poll_replaces_capabilities_and_location(fixture: &impl SharedFixture) {
    let store = fixture.ready().await;
    let finland = Location {
        country: "FI".to_owned(),
        region: "18".to_owned(),
        latitude: Some(60.25),
        longitude: Some(-0.5),
    };
    let nowhere =
        Location { country: "ÅÄ".to_owned(), region: "Öé".to_owned(), latitude: None, longitude: None };
    for (capabilities, kept, location) in [
        (vec![("wait", 1), ("", i64::MIN)], r#"{"wait":1,"":-9223372036854775808}"#, Some(finland)),
        (vec![("wait", 2), ("\"é", 3)], r#"{"wait":2,"\"é":3}"#, Some(nowhere)),
        (vec![], "{}", None),
    ] {
        let asked = PollRequest { agent_location: location.clone(), ..poll_for(1, 0, &capabilities) };
        store.poll(at(0), asked).await;
        assert_eq!(fixture.text("select capabilities from agent").as_deref(), Some(kept));
        assert_eq!(fixture.text("select location from agent"), location.as_ref().map(Location::to_json));
    }
}
