//! Tables of version 1, brought up.

use slamon_domain::{End, Reported, State};
use slamon_store::{Prepared, SchemaError, Store, StoreError};

use crate::cluster::Cluster;
use crate::{apply, given, id, poll, report, submit};
use slamon_domain::testing::outcome::Outcome;

const VERSION_1: &str = include_str!("../../migrations/postgres/0001_tasks.sql");

fn with_rows(cluster: &Cluster) {
    cluster.sql(VERSION_1);
    let [one, two, three, four, five, test, known, unknown] = [1, 2, 3, 4, 5, 0, 51, 52].map(id);
    cluster.sql(&format!(
        r#"insert into task (id, test_id, type, version, data, created_at, state, agent_id, claimed_at,
        finished_at,
                             result, error)
        values ('{one}', '{test}', 't', 1, '{{"a": 1.0}}', '2026-01-01Z', 'pending', null, null, null, null,
               null),
               ('{two}', '{test}', 't', 1, null, '2026-01-01Z', 'claimed', '{known}', '2026-01-02Z', null,
               null, null),
               ('{three}', '{test}', 't', 1, null, '2026-01-01Z', 'completed', '{known}', '2026-01-02Z',
               '2026-01-03Z',
                '{{}}', null),
               ('{four}', '{test}', 't', 1, null, '2026-01-01Z', 'failed', '{unknown}', '2026-01-02Z',
               '2026-01-03Z',
                null, '"no"'),
               ('{five}', '{test}', 'u', 2, null, '2026-01-01Z', 'claimed', '{unknown}', '2026-01-02Z', null,
               null,
                null);
        insert into agent (id, name, capabilities, location, last_seen)
        values ('{known}', 'known', '{{"t": 1, "u": -2}}', null, '2026-01-02Z')"#
    ));
}

#[tokio::test]
async fn rows_in_every_state_are_kept() {
    let cluster = Cluster::start();
    with_rows(&cluster);
    let store = cluster.store();
    let behind = store.check().await;
    assert!(matches!(behind, Err(StoreError::Schema(SchemaError::Behind { found: 1, .. }))), "{behind:?}");
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Migrated { from: 1 });
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Present);

    let pending = store.task(id(1)).await.unwrap().unwrap();
    assert_eq!((pending.state.clone(), pending.attempts), (State::Pending, 0));
    assert_eq!(pending.posted.terms, slamon_protocol::Terms::default());
    let claimed = store.task(id(2)).await.unwrap().unwrap();
    let State::Claimed(attempt) = claimed.state else { panic!("{claimed:?}") };
    assert_eq!((attempt.number, attempt.alias, attempt.agent_id), (1, id(2), id(51)));
    assert_eq!((attempt.agent_name.as_str(), attempt.deadline), ("known", None));
    let completed = store.task(id(3)).await.unwrap().unwrap();
    assert!(matches!(completed.state, State::Ended { end: End::Completed(_), last: Some(_), .. }));
    let failed = store.task(id(4)).await.unwrap().unwrap();
    let State::Ended { last: Some(attempt), end: End::Failed(error), .. } = failed.state else { panic!() };
    assert_eq!((attempt.agent_name.as_str(), error.as_str()), ("", "\"no\""));
    assert_eq!(cluster.sql("select type, version from agent_offer order by type"), "t|1\nu|-2");

    // Life goes on.
    let outcomes = apply(&store, vec![report(2), submit(9, "t"), poll(51, &["t"], 9), report(5)]).await;
    assert_eq!(outcomes[0], Outcome::Report(Ok(Reported::Stored)));
    assert_eq!(given(&outcomes[2]), [1, 9]);
    assert_eq!(outcomes[3], Outcome::Report(Ok(Reported::Stored)));
}

/// Names stood with each task and each attempt; now they stand with the agent.
#[tokio::test]
async fn the_names_of_forgotten_agents_are_kept_from_version_4() {
    let cluster = Cluster::start();
    with_rows(&cluster);
    cluster.sql(include_str!("../../migrations/postgres/0002_life.sql"));
    cluster.sql(include_str!("../../migrations/postgres/0003_speed.sql"));
    cluster.sql(include_str!("../../migrations/postgres/0004_abandoned.sql"));
    let [two, four, five, known, gone, other] = [2, 4, 5, 51, 52, 53].map(id);
    let long = "ä".repeat(500_000);
    cluster.sql(&format!(
        "update task set agent_name = 'before' where id = '{two}';
         update task set agent_name = 'older' where id = '{four}';
         update task set agent_name = repeat('ä', 500000), claimed_at = '2026-01-03Z' where id = '{five}';
         insert into attempt (task_id, number, alias, agent_id, agent_name, claimed_at, ended_at, ending)
         values ('{five}', 1, gen_random_uuid(), '{other}', 'other', '2026-01-02Z', '2026-01-03Z', 'lost')"
    ));
    let store = cluster.store();
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Migrated { from: 4 });
    let names = "select string_agg(id || ' ' || left(name, 10), ', ' order by id) from past_agent";
    assert_eq!(cluster.sql(names), format!("{gone} {}, {other} other", "ä".repeat(10)));
    for (n, agent, name) in [(2, known, "known"), (4, gone, &*long), (5, gone, &*long)] {
        let task = store.task(id(n)).await.unwrap().unwrap();
        let attempt = task.last_attempt().unwrap();
        assert_eq!((attempt.agent_id, attempt.agent_name.as_str()), (agent, name));
    }
    let attempts = store.attempts(id(5)).await.unwrap();
    assert_eq!(attempts[0].0.attempt.agent_name, "other");
    assert_eq!(apply(&store, vec![report(5)]).await, [Outcome::Report(Ok(Reported::Stored))]);
}

/// A database that was migrated and one that was made are the same.
#[tokio::test]
async fn migrated_tables_are_as_new_ones() {
    let (old, new) = (Cluster::start(), Cluster::start());
    with_rows(&old);
    old.store().create_tables().await.unwrap();
    new.store().create_tables().await.unwrap();
    for sql in [
        "select table_name, column_name, data_type, is_nullable, column_default from
        information_schema.columns
         where table_schema = 'public' order by table_name, ordinal_position",
        "select indexdef from pg_indexes where schemaname = 'public' order by 1",
        "select conrelid::regclass, conname, pg_get_constraintdef(oid) from pg_constraint
         where connamespace = 'public'::regnamespace order by conrelid::regclass::text, 2",
        "select relname, reloptions from pg_class where relnamespace = 'public'::regnamespace order by 1",
        "select version from slamon_schema",
    ] {
        assert_eq!(old.sql(sql), new.sql(sql));
    }
}
