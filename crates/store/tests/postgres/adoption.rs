//! Taking over the tables of slamon-afm 1.1.0. `original/postgres.sql` was dumped from a database it had
//! filled.

use slamon_domain::{End, Reported, State};
use slamon_store::{Adopted, Prepared, SchemaError, Store, StoreError};
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::{apply, at, given, poll};
use slamon_domain::testing::outcome::Outcome;

const ORIGINAL: &str = include_str!("../original/postgres.sql");

fn task_id(n: u8) -> Uuid {
    Uuid::parse_str(&format!("de305d54-75b4-431b-adb2-eb6b9e5460{n:02x}")).unwrap()
}

const FIRST_AGENT: &str = "a9e00000-0000-4000-8000-000000000001";

#[tokio::test]
async fn everything_is_kept() {
    let cluster = Cluster::start();
    cluster.sql(ORIGINAL);
    cluster.sql("insert into agent_capabilities values ('a9e00000-0000-4000-8000-000000000001', 'held', 12)");
    let store = cluster.store();
    assert!(matches!(store.check().await, Err(StoreError::Schema(SchemaError::Original))));
    let adopted = Adopted { tasks: 9, pending: 6, agents: 2, renamed: 1 };
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Adopted(adopted));
    store.check().await.unwrap();
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Present);
    assert_eq!(
        cluster.sql(
            "select count(*) from pg_tables where tablename in ('tasks', 'agents', 'agent_capabilities')"
        ),
        "0"
    );
    assert_eq!(
        cluster.sql("select capabilities::jsonb, extract(year from last_seen) from agent order by id"),
        "{\"held\": 12}|2026\n{\"x\": 7, \"fail\": 2}|2026"
    );

    assert_eq!(
        cluster.sql("select type, version from agent_offer order by agent_id, type"),
        "held|12\nfail|2\nx|7"
    );

    let completed = store.task(task_id(1)).await.unwrap().unwrap();
    assert_eq!(completed.created.to_string(), "2026-11-22T21:26:07.813189Z");
    assert_eq!(completed.posted.task_data.unwrap().as_str(), r#"{"a": 1.0, "\u00e9 \"q\"": "\u0000"}"#);
    let State::Ended { last: Some(claim), at: end, end: End::Completed(result) } = completed.state else {
        panic!()
    };
    assert_eq!((claim.agent_id.to_string().as_str(), claim.agent_name.as_str()), (FIRST_AGENT, "agent one"));
    assert_eq!((claim.number, claim.alias), (1, task_id(1)));
    assert_eq!(claim.at.to_string(), "2026-11-22T21:26:07.826072Z");
    assert_eq!(end.to_string(), "2026-11-22T21:26:07.831812Z");
    assert_eq!(result.as_str(), r#"{"z": 1, "a": [1.5, null]}"#);

    let failed = store.task(task_id(2)).await.unwrap().unwrap();
    let State::Ended { end: End::Failed(error), at: end, .. } = failed.state else { panic!() };
    assert_eq!(error.as_str(), "\"it \\\"broke\\\"\\né\"");
    assert_eq!(end.to_string(), "2026-11-22T21:26:07.849216Z");

    let State::Claimed(claim) = store.task(task_id(3)).await.unwrap().unwrap().state else { panic!() };
    assert_eq!(claim.agent_id.to_string(), FIRST_AGENT);
    assert_eq!(store.task(task_id(5)).await.unwrap().unwrap().posted.task_data, None);
    let kept = store.task(task_id(0xbb)).await.unwrap().unwrap();
    assert_eq!(kept.posted.task_data.unwrap().as_str(), r#"{"case": "lower"}"#);
    assert!(store.task(task_id(0xaa)).await.unwrap().is_some());

    // Life goes on: what was claimed is finished, what waits is claimed, in the order of before.
    let body = format!(r#"{{"protocol": 1, "task_id": "{}", "task_data": {{}}}}"#, task_id(3));
    let report = slamon_domain::Command::Report(slamon_protocol::ResultPost::parse(&body).unwrap());
    let outcomes =
        apply(&store, vec![report, crate::submit(1, "wait"), poll(1, &["upper", "wait"], 9)]).await;
    assert_eq!(outcomes[0], Outcome::Report(Ok(Reported::Stored)));
    assert_eq!(given(&outcomes[2]), [task_id(4).as_u128(), task_id(5).as_u128(), task_id(0xaa).as_u128(), 1]);
    assert_eq!(store.counts(at(0)).await.unwrap().tasks_waiting, 3);
}

#[tokio::test]
async fn what_hands_wrote_is_taken_as_well_as_can_be() {
    let cluster = Cluster::start();
    cluster.sql(ORIGINAL);
    cluster.sql(
        "insert into tasks (uuid, test_id, created, data, started) values
             ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000000', '2026-01-01',
             '', '2026-01-02');
         insert into tasks (uuid, test_id, created, claimed, completed, result_data) values
             ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000000', '2026-01-01',
             null, '2026-01-02', '');
         insert into agents values ('a9e00000-0000-4000-8000-000000000002', 'lower', null),
             ('a9e00000-0000-4000-8000-000000000003', 'never seen', null)",
    );
    let store = cluster.store();
    let adopted = Adopted { tasks: 11, pending: 6, agents: 3, renamed: 1 };
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Adopted(adopted));
    assert_eq!(
        cluster.sql(
            "select type, version, data is null, state, agent_id, result, error from task
             where created_at = '2026-01-01Z' order by id"
        ),
        "|0|t|failed|00000000-0000-0000-0000-000000000000||\"\"\n\
         |0|t|completed|00000000-0000-0000-0000-000000000000|{}|"
    );
    assert_eq!(cluster.sql("select name from agent order by id"), "agent one\nagent two\nnever seen");
}

#[tokio::test]
async fn an_adoption_that_fails_changes_nothing() {
    let cluster = Cluster::start();
    cluster.sql(ORIGINAL);
    let store = cluster.store();
    let unchanged = || {
        let tables =
            "select string_agg(tablename, ' ' order by tablename) from pg_tables where schemaname = 'public'";
        assert_eq!(cluster.sql(tables), "agent_capabilities agents tasks");
    };

    cluster.sql("insert into tasks (uuid, test_id, created) values ('by hand', 'x', now())");
    let error = store.create_tables().await.unwrap_err();
    assert!(matches!(error, StoreError::Failed(_)), "{error:?}");
    assert!(error.to_string().contains("tasks.uuid \"by hand"), "{error}");
    unchanged();
    cluster.sql("delete from tasks where uuid = 'by hand'");

    // Fails at the very end, when all is copied and their tables are to go.
    cluster.sql("create view report as select * from tasks");
    let error = store.create_tables().await.unwrap_err();
    assert!(error.to_string().contains("cannot drop table tasks"), "{error}");
    unchanged();
    cluster.sql("drop view report");

    assert!(matches!(store.create_tables().await.unwrap(), Prepared::Adopted(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adoption_given_up_changes_nothing() {
    let cluster = Cluster::start();
    cluster.sql(ORIGINAL);
    let mut client = cluster.connect().await;
    let original = client.transaction().await.unwrap();
    original.batch_execute("select * from agent_capabilities").await.unwrap();
    let store = std::sync::Arc::new(cluster.store());
    let adopting = {
        let store = std::sync::Arc::clone(&store);
        tokio::spawn(async move { store.create_tables().await })
    };
    let ours = "select count(*) from pg_stat_activity where application_name = 'slamon-afm'";
    cluster.wait_for(&format!("{ours} and wait_event_type = 'Lock'"), "1");
    adopting.abort();
    let _ = adopting.await;
    original.rollback().await.unwrap();
    cluster.wait_for(ours, "0");
    assert_eq!(cluster.sql("select count(*) from tasks"), "9");
    assert!(matches!(store.check().await, Err(StoreError::Schema(SchemaError::Original))));
    assert!(matches!(store.create_tables().await.unwrap(), Prepared::Adopted(_)));
}

#[tokio::test]
async fn tasks_alone_are_adopted_and_agents_alone_are_not() {
    let cluster = Cluster::start();
    cluster.sql(ORIGINAL);
    cluster.sql(
        "alter table tasks drop constraint tasks_assigned_agent_uuid_fkey; drop table agent_capabilities",
    );
    cluster.sql("drop table agents; create table agents (id integer)");
    let store = cluster.store();
    let adopted = Adopted { tasks: 9, pending: 6, agents: 0, renamed: 1 };
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Adopted(adopted));
    assert_eq!(cluster.sql("select count(*) from agents"), "0", "somebody else's table");
    assert!(store.drop_tables().await.unwrap());
    cluster.sql("drop table agents; create table agents (uuid char(36), name varchar, last_seen timestamp)");
    assert!(matches!(store.check().await, Err(StoreError::Schema(SchemaError::Missing))));
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Created);
}
