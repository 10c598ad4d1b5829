//! Tables of slamon-afm 1.1.0, the same rows in every database. What that program wrote itself is in
//! `tests/original`.

use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;
use slamon_domain::{Attempt, End, State, Task};
use slamon_protocol::JsonText;
use slamon_store::{Adopted, Prepared, SchemaError, StoreError};
use uuid::Uuid;

use crate::driver::Driver;
use crate::fixture::SharedFixture;
use slamon_domain::testing::commands::json;

const TASKS: &str = "create table tasks (
    uuid varchar(50) primary key, test_id varchar(50) not null, type varchar, version integer, data varchar,
    result_data varchar, assigned_agent_uuid varchar(50), created timestamp not null, claimed timestamp,
    completed timestamp, started timestamp, error varchar
);";
const AGENTS: &str = "create table agents (uuid varchar(50) primary key, name varchar, last_seen timestamp);";
const CAPABILITIES: &str =
    "create table agent_capabilities (agent_uuid varchar(50), type varchar, version integer);";

/// The id of a task or an agent; its end tells them apart.
fn id(n: u128) -> Uuid {
    Uuid::from_u128(0x0de3_05d5_475b_4431_badb_2eb6_b9e5_4600 | n)
}

fn upper(n: u128) -> String {
    id(n).to_string().to_uppercase()
}

/// A minute of an arbitrary hour.
fn minute(n: i8) -> Timestamp {
    date(2026, 1, 1).at(10, n, 0, 0).to_zoned(TimeZone::UTC).unwrap().timestamp()
}

/// [`minute`], as the original wrote it.
fn written(n: i8) -> String {
    format!("'2026-01-01 10:{n:02}:00.000000'")
}

/// Writes a task that was created in minute 1; `columns` and `values` come after those that all have.
fn insert(fixture: &impl SharedFixture, uuid: &str, columns: &str, values: &str) {
    let created = written(1);
    fixture.sql(&format!(
        "insert into tasks (uuid, test_id, created, {columns}) values ('{uuid}', '{}', {created}, {values})",
        id(0)
    ));
}

async fn stored(store: &Driver, n: u128) -> Task {
    store.task(id(n)).await.unwrap().unwrap()
}

fn held(n: u128, agent_id: Uuid, agent_name: &str, at: Timestamp) -> Attempt {
    Attempt { number: 1, alias: id(n), agent_id, agent_name: agent_name.to_owned(), at, deadline: None }
}

pub(super) async fn what_hands_wrote_is_adopted_as_well_as_can_be(fixture: &impl SharedFixture) {
    fixture.sql(&[TASKS, AGENTS, CAPABILITIES].concat());
    fixture.sql(&format!("insert into agents values ('{}', 'it', null)", id(0xa)));
    let agent = id(0xa);
    insert(fixture, &id(1).to_string(), "completed, result_data", &format!("{}, ''", written(2)));
    insert(fixture, &id(2).to_string(), "completed, claimed, data", &format!("{0}, {0}, ''", written(2)));
    let both = format!("{}, {}, '{agent}'", written(2), written(3));
    insert(fixture, &id(3).to_string(), "completed, started, assigned_agent_uuid", &both);
    insert(fixture, &format!("\t {} \r\n", upper(4)), "claimed", &written(2));
    insert(fixture, &id(5).to_string(), "assigned_agent_uuid", &format!("'  {}'", upper(0xa)));
    insert(fixture, &id(6).to_string(), "type, version, data", "'', -1, '{\"n\": 1.0}'");

    let store = fixture.store();
    let adopted = Adopted { tasks: 6, pending: 1, agents: 1, renamed: 0 };
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Adopted(adopted));
    let nobody = |n, at| held(n, Uuid::nil(), "", at);
    let empty = || End::Completed(json("{}"));
    for (n, state) in [
        (1, State::Ended { at: minute(2), last: Some(nobody(1, minute(1))), end: empty() }),
        (2, State::Ended { at: minute(2), last: Some(nobody(2, minute(2))), end: empty() }),
        (
            3,
            State::Ended {
                at: minute(3),
                last: Some(held(3, agent, "it", minute(1))),
                end: End::Failed(JsonText::string("")),
            },
        ),
        (4, State::Claimed(nobody(4, minute(2)))),
        (5, State::Claimed(held(5, agent, "it", minute(1)))),
        (6, State::Pending),
    ] {
        let task = stored(&store, n).await;
        assert_eq!((task.state, task.created), (state, minute(1)), "task {n}");
        assert_eq!(task.posted.test_id, id(0));
        let posted = task.posted;
        if n == 6 {
            assert_eq!((posted.task_type.as_str(), posted.task_version), ("", -1));
            assert_eq!(posted.task_data, Some(json("{\"n\": 1.0}")));
        } else {
            assert_eq!((posted.task_type.as_str(), posted.task_version, posted.task_data), ("", 0, None));
        }
    }
    let agents = store.everything().await.agents.items;
    assert_eq!((agents[0].id, agents[0].last_seen), (agent, Timestamp::UNIX_EPOCH));
}

pub(super) async fn agents_with_one_id_become_one(fixture: &impl SharedFixture) {
    fixture.sql(&[TASKS, AGENTS, CAPABILITIES].concat());
    let (agent, capital) = (id(0xa), upper(0xa));
    fixture.sql(&format!(
        "insert into agents values ('{agent}', 'later', {}), ('{capital}', 'sooner', {});
         insert into agents values ('{}', 'never', null), ('{}', 'lower', null);
         insert into agent_capabilities values ('{agent}', 'a', 9), ('{agent}', 'a', 12), ('{agent}', null,
         1),
             ('{agent}', 'b', null), ('{capital}', 'c', 1)",
        written(2),
        written(1),
        upper(0xb),
        id(0xb),
    ));
    insert(fixture, &upper(1), "type", "'capital'");
    insert(fixture, &id(1).to_string(), "type", "'lower'");

    let store = fixture.store();
    let adopted = Adopted { tasks: 2, pending: 2, agents: 2, renamed: 1 };
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Adopted(adopted));
    assert_eq!(stored(&store, 1).await.posted.task_type, "lower");
    let agents = store.everything().await.agents.items;
    let agents: Vec<_> =
        agents.iter().map(|agent| (agent.id, agent.name.as_str(), agent.last_seen)).collect();
    assert_eq!(agents, [(agent, "later", minute(2)), (id(0xb), "lower", Timestamp::UNIX_EPOCH)]);
    let count = |rest: &str| fixture.text(&format!("select count(*) || '' from agent_offer {rest}")).unwrap();
    assert_eq!((count("").as_str(), count("where type = 'a' and version = 12").as_str()), ("1", "1"));
}

pub(super) async fn tables_of_others_are_spared(fixture: &impl SharedFixture) {
    let theirs = "create table agents (code integer); insert into agents values (7);
                  create table agent_capabilities (agent_uuid integer, skill integer);
                  insert into agent_capabilities values (1, 8);";
    fixture.sql(&format!("{TASKS}{theirs}"));
    insert(fixture, &id(1).to_string(), "assigned_agent_uuid", &format!("'{}'", id(0xa)));
    let store = fixture.store();
    let adopted = Adopted { tasks: 1, pending: 0, agents: 0, renamed: 0 };
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Adopted(adopted));
    assert_eq!(stored(&store, 1).await.state, State::Claimed(held(1, id(0xa), "", minute(1))));
    assert!(store.drop_tables().await.unwrap());
    assert_eq!(fixture.text("select code || '' from agents").unwrap(), "7");
    assert_eq!(fixture.text("select skill || '' from agent_capabilities").unwrap(), "8");
    assert!(matches!(store.check().await, Err(StoreError::Schema(SchemaError::Missing))));
}

pub(super) async fn what_is_no_original_is_left_alone(fixture: &impl SharedFixture) {
    // All columns but one.
    fixture.sql(&TASKS.replace("result_data varchar,", ""));
    insert(fixture, "x", "type", "'t'");
    let store = fixture.store();
    assert!(matches!(store.check().await, Err(StoreError::Schema(SchemaError::Missing))));
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Created);
    assert_eq!(store.waiting().await, 0);
    assert_eq!(fixture.text("select uuid from tasks").unwrap(), "x");
}

pub(super) async fn an_id_that_is_none_is_named_and_nothing_changes(fixture: &impl SharedFixture) {
    fixture.sql(&[TASKS, AGENTS, CAPABILITIES].concat());
    insert(fixture, &id(1).to_string(), "type", "'t'");
    let store = fixture.store();
    for (table, columns, values) in [
        // White space of Unicode is none of SQL's.
        ("tasks", "uuid, test_id, created", format!("'\u{a0}{}', '{}', {}", id(2), id(0), written(1))),
        ("tasks", "uuid, test_id, created", format!("'{{{}}}', '{}', {}", id(2), id(0), written(1))),
        ("tasks", "uuid, test_id, created", format!("'{}', '', {}", id(2), written(1))),
        (
            "tasks",
            "uuid, test_id, created, assigned_agent_uuid",
            format!("'{}', '{}', {}, ''", id(2), id(0), written(1)),
        ),
        ("agents", "uuid, name", "'nobody', 'nobody'".to_owned()),
        ("agent_capabilities", "agent_uuid, type, version", "'nobody', 'a', 1".to_owned()),
    ] {
        fixture.sql(&format!("insert into {table} ({columns}) values ({values})"));
        let error = store.create_tables().await.unwrap_err();
        assert!(matches!(error, StoreError::Failed(_)), "{values}: {error:?}");
        assert!(error.to_string().contains(table), "{error}");
        assert!(matches!(store.check().await, Err(StoreError::Schema(SchemaError::Original))), "{values}");
        let keep = if table == "tasks" { format!("where uuid <> '{}'", id(1)) } else { String::new() };
        fixture.sql(&format!("delete from {table} {keep}"));
    }
    assert!(matches!(store.create_tables().await.unwrap(), Prepared::Adopted(_)));
}
