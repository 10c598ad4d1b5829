//! Brings up tables as version 1 left them.

use slamon_domain::{End, Reported, State, Sweep, Task};
use slamon_protocol::Terms;
use slamon_store::{Prepared, SchemaError, StoreError};

use crate::fixture::{Fixture, SharedFixture, SqliteFile};
use slamon_domain::testing::commands::{
    DUE, at, attempt, claimed, completed, ended, failed, json, poll, poll_for, seconds, task, task_of,
};

const VERSION_1: &str = include_str!("../../../migrations/sqlite/0001_tasks.sql");
const VERSION_2: &str = include_str!("../../../migrations/sqlite/0002_life.sql");
const VERSION_3: &str = include_str!("../../../migrations/sqlite/0003_fleet.sql");
const VERSION_4: &str = include_str!("../../../migrations/sqlite/0004_abandoned.sql");

/// Tasks 1 to 6: pending, claimed by a known agent, claimed by one that nobody knows, completed, failed,
/// pending of another kind.
pub(super) fn version_1() -> SqliteFile {
    let fixture = SqliteFile::empty();
    let (zero, one, two) = (at(0).as_microsecond(), at(1).as_microsecond(), at(2).as_microsecond());
    let task = |n: u128, kind: &str, rest: &str| {
        let (id, test) = (task(n).task_id.simple(), task(n).test_id.simple());
        format!(
            "insert into task values ({n}, x'{id}', x'{test}', '{kind}', 1, '{{\"n\":{n}}}', {zero}, {rest});"
        )
    };
    let agent = |n| slamon_domain::testing::commands::agent_id(n).simple().to_string();
    let known = format!("x'{}', {one}", agent(1));
    let lowest = i64::MIN;
    fixture.sql(&format!(
        "{VERSION_1}
         create table slamon_schema (version integer not null) strict;
         insert into slamon_schema values (1);
         insert into agent values (x'{}', 'agent 1', '{{\"wait\":1,\"\":{lowest}}}', null, {one});
         insert into agent values (x'{}', 'agent 3', '{{}}', '{{\"country\":\"FI\",\"region\":\"18\"}}',
         {two});
         {}{}{}{}{}{}",
        agent(1),
        agent(3),
        task(1, "wait", "'pending', null, null, null, null, null"),
        task(2, "wait", &format!("'claimed', {known}, null, null, null")),
        task(3, "wait", &format!("'claimed', x'{}', {one}, null, null, null", agent(2))),
        task(4, "wait", &format!("'completed', {known}, {two}, '{{\"é\": 1.0}}', null")),
        task(5, "wait", &format!("'failed', {known}, {two}, null, '\"no\"'")),
        task(6, "", "'pending', null, null, null, null, null"),
    ));
    fixture
}

#[tokio::test]
async fn every_row_of_version_1_is_brought_up() {
    let fixture = version_1();
    let store = fixture.store();
    let behind = store.check().await;
    assert!(matches!(behind, Err(StoreError::Schema(SchemaError::Behind { found: 1, .. }))), "{behind:?}");
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Migrated { from: 1 });
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Present);
    store.check().await.unwrap();

    let mut of_nobody = attempt(3, 2, at(1));
    of_nobody.agent_name = String::new();
    let held = |n| claimed(n, 1, at(1));
    for (n, state) in [
        (1, State::Pending),
        (2, held(2)),
        (3, State::Claimed(of_nobody)),
        (4, ended(held(4), at(2), End::Completed(json(r#"{"é": 1.0}"#)))),
        (5, ended(held(5), at(2), End::Failed(json(r#""no""#)))),
    ] {
        let attempts = u32::from(state != State::Pending);
        assert_eq!(store.stored(n).await, Task { posted: task(n), created: at(0), attempts, state });
        assert!(store.past(n).await.is_empty());
    }
    assert_eq!(store.stored(6).await.posted, task_of("", 1, 6));
    assert_eq!(store.stored(6).await.posted.terms, Terms::default());

    let agents = store.everything().await.agents.items;
    let names: Vec<_> = agents.iter().map(|agent| (agent.name.as_str(), agent.last_seen)).collect();
    assert_eq!(names, [("agent 3", at(2)), ("agent 1", at(1))]);
    // What agents offered is known, for those that wait.
    let diagnostics = store.queue_diagnostics(&store.stored(1).await, at(0)).await.unwrap();
    assert_eq!((diagnostics.capable, diagnostics.active, diagnostics.ahead), (1, 1, 0));
    let diagnostics = store.queue_diagnostics(&store.stored(6).await, at(0)).await.unwrap();
    assert_eq!(diagnostics.other_versions, [i64::MIN]);
}

#[tokio::test]
async fn agents_of_version_2_are_brought_up_with_what_they_asked_for() {
    let fixture = version_1();
    fixture.sql(&format!(
        "{VERSION_2}
         update slamon_schema set version = 2;
         update agent set max_tasks = 7 where name = 'agent 1';"
    ));
    let store = fixture.store();
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Migrated { from: 2 });
    let agents = "select group_concat(name || ' ' || max_tasks || ' ' || capabilities, ', ')
                  from (select * from agent order by name)";
    let lowest = i64::MIN;
    assert_eq!(
        fixture.text(agents).unwrap(),
        format!(r#"agent 1 7 {{"wait":1,"":{lowest}}}, agent 3 1 {{}}"#)
    );
    let diagnostics = store.queue_diagnostics(&store.stored(1).await, at(0)).await.unwrap();
    assert_eq!((diagnostics.capable, diagnostics.active, diagnostics.ahead), (1, 1, 0));
}

/// Names stood with each task and each attempt; now they stand with the agent.
#[tokio::test]
async fn the_names_of_forgotten_agents_are_kept_from_version_4() {
    let fixture = version_1();
    let long = "ä".repeat(500_000);
    let [gone, other] = [2, 4].map(|n| slamon_domain::testing::commands::agent_id(n).simple());
    let [first, alias] = [7, 8].map(|n| task(n).task_id.simple());
    fixture.sql(&format!(
        "{VERSION_2}{VERSION_3}{VERSION_4}
         update slamon_schema set version = 4;
         update task set agent_name = 'before' where seq = 2;
         update task set agent_name = '{long}' where seq = 3;
         update task set agent_id = x'{gone}', agent_name = 'older', claimed_at = 1 where seq = 4;
         insert into attempt (task_id, number, alias, agent_id, agent_name, claimed_at, ended_at, ending)
         values (x'{first}', 1, x'{alias}', x'{other}', 'other', 1, 2, 'lost');"
    ));
    let store = fixture.store();
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Migrated { from: 4 });
    assert_eq!(fixture.text("select cast(count(*) as text) from past_agent").unwrap(), "2");
    for (n, name) in [(2, "agent 1"), (3, &*long), (4, &*long), (5, "agent 1")] {
        assert_eq!(store.stored(n).await.last_attempt().unwrap().agent_name, name, "{n}");
    }
    assert_eq!(store.past(7).await[0].0.attempt.agent_name, "other");
    assert_eq!(store.report(at(3), completed(3, "{}")).await, Ok(Reported::Stored));
}

#[tokio::test]
async fn life_goes_on_where_version_1_left_it() {
    let fixture = version_1();
    let store = fixture.store();
    store.create_tables().await.unwrap();
    assert_eq!(store.report(at(3), completed(2, "{}")).await, Ok(Reported::Stored));
    assert_eq!(store.report(at(3), completed(4, r#"{"é":1.0}"#)).await, Ok(Reported::Repeated));
    assert_eq!(store.report(at(3), failed(5, r#""no""#)).await, Ok(Reported::Repeated));
    // Time does nothing to what was posted without terms; only the agent that nobody knows is lost.
    assert_eq!(store.sweep(at(9_999), DUE).await.settled, 0);
    assert_eq!(store.sweep(at(302), Sweep { lost_after: Some(seconds(300)), ..DUE }).await.lost, 1);
    assert_eq!(store.state(3).await.name(), "failed");
    store.post(at(303), [7]).await;
    assert_eq!(store.claim(at(304), 9, 9).await, [1, 7]);
    assert_eq!(store.poll(at(304), poll_for(9, 9, &[("", 1)])).await.len(), 1);
    assert!(store.poll(at(305), poll(1, 9)).await.is_empty());
    assert_eq!(store.sweep(at(9_999), Sweep { delete_after: Some(seconds(0)), ..DUE }).await.deleted, 4);
}

#[tokio::test]
async fn a_migration_that_fails_leaves_version_1_as_it_was() {
    let fixture = version_1();
    fixture.sql("create table attempt (name text)");
    let store = fixture.store();
    let refused = store.create_tables().await;
    assert!(matches!(refused, Err(StoreError::Failed(_))), "{refused:?}");
    assert_eq!(fixture.text("select cast(version as text) from slamon_schema").unwrap(), "1");
    assert_eq!(fixture.text("select cast(count(*) as text) from task where state = 'pending'").unwrap(), "2");
    fixture.sql("drop table attempt");
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Migrated { from: 1 });
}
