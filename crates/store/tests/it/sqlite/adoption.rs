//! Takes over `tests/original/sqlite.sql`, the dump of a database that slamon-afm 1.1.0 wrote.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use slamon_domain::{Attempt, End, Refusal, Reported, State, Submitted, Task};
use slamon_protocol::{JsonText, PostTask, ResultPost, TaskOutcome, Terms, parse_id};
use slamon_store::{Adopted, Counts, Prepared, SchemaError, StoreError};
use uuid::Uuid;

use crate::driver::Driver;
use crate::fixture::{Fixture, SharedFixture, SqliteFile};
use slamon_domain::testing::commands::{at, json, poll_for};

const DUMP: &str = include_str!("../../original/sqlite.sql");

const WHOLE: Prepared = Prepared::Adopted(Adopted { tasks: 11, pending: 8, agents: 2, renamed: 1 });

pub(super) fn original() -> SqliteFile {
    let fixture = SqliteFile::empty();
    // The dump is in the order of names, not of references; Python's driver does not look at these.
    fixture.sql(&format!("pragma foreign_keys = off; {DUMP}"));
    fixture
}

async fn adopted() -> (SqliteFile, Driver) {
    let fixture = original();
    let store = fixture.store();
    assert_eq!(store.create_tables().await.unwrap(), WHOLE);
    (fixture, store)
}

#[track_caller]
fn id(text: &str) -> Uuid {
    parse_id(text).unwrap()
}

/// Task `n` of those with ids that start with a 1.
fn numbered(n: &str) -> Uuid {
    id(&format!("10000000-0000-4000-8000-0000000000{n}"))
}

/// A time as the original wrote it.
#[track_caller]
fn utc(text: &str) -> Timestamp {
    text.parse::<DateTime>().unwrap().to_zoned(TimeZone::UTC).unwrap().timestamp()
}

/// The attempt of a task that the original gave to an agent.
fn taken(task: Uuid, agent_id: Uuid, name: &str, at: &str) -> Attempt {
    Attempt { number: 1, alias: task, agent_id, agent_name: name.to_owned(), at: utc(at), deadline: None }
}

async fn stored(store: &Driver, id: Uuid) -> Task {
    store.task(id).await.unwrap().unwrap()
}

fn agent_a() -> Uuid {
    id("a9e00000-0000-4000-8000-00000000000a")
}

fn agent_b() -> Uuid {
    id("a9e00000-0000-4000-8000-00000000000b")
}

fn report(id: Uuid, result: &str) -> ResultPost {
    let outcome = TaskOutcome::Completed(json(result));
    ResultPost { task_id: id, agent_id: None, outcome }
}

#[tokio::test]
async fn an_original_database_is_named_until_it_is_adopted() {
    let fixture = original();
    let store = fixture.store();
    let refused = store.check().await;
    assert!(matches!(refused, Err(StoreError::Schema(SchemaError::Original))), "{refused:?}");
    assert!(!store.drop_tables().await.unwrap());
    assert_eq!(fixture.text("select count(*) || '' from tasks").unwrap(), "11");

    assert_eq!(store.create_tables().await.unwrap(), WHOLE);
    store.check().await.unwrap();
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Present);
    let tables = "select group_concat(name) from (select name from sqlite_schema
                  where type = 'table' and name not like 'sqlite_%' order by name)";
    assert_eq!(
        fixture.text(tables).unwrap(),
        "agent,agent_census,agent_offer,agent_outcome,attempt,minute_statistics,offer_count,past_agent,pause,slamon_schema,\
         task,task_count,task_of_test,task_total,task_trace,token"
    );
}

#[tokio::test]
async fn finished_tasks_are_kept() {
    let (_fixture, store) = adopted().await;
    let completed = stored(&store, numbered("01")).await;
    assert_eq!(
        completed,
        Task {
            posted: PostTask {
                task_id: numbered("01"),
                test_id: id("7e570000-0000-4000-8000-000000000001"),
                task_type: "wait".to_owned(),
                task_version: 1,
                task_data: Some(json(r#"{"time": 1}"#)),
                terms: Terms::default(),
                posted_by: None,
            },
            created: utc("2026-11-22 21:17:02.955963"),
            attempts: 1,
            state: State::Ended {
                at: utc("2026-11-22 21:17:03.098680"),
                last: Some(taken(numbered("01"), agent_a(), "agent ä", "2026-11-22 21:17:03.039325")),
                end: End::Completed(json(
                    r#"{"done": true, "list": [1, 1.0, "\u00e4\ud83d\ude00"], "z": null, "a": 0}"#
                )),
            },
        }
    );
    let failed = stored(&store, numbered("02")).await;
    assert_eq!(
        failed.posted.task_data,
        Some(json(
            r#"{"url": "https://www.example.org/\u00e4/\ud83d\ude00", "n": 123456789012345678901234567890, "f": 1.0}"#
        ))
    );
    assert_eq!(
        failed.state,
        State::Ended {
            at: utc("2026-11-22 21:17:03.116153"),
            last: Some(taken(numbered("02"), agent_a(), "agent ä", "2026-11-22 21:17:03.039477")),
            end: End::Failed(json(r#""it said \"no\": ä😀\n\tat line 2""#)),
        }
    );
    // The clients of the old AFM go on with the new one.
    let again = report(numbered("01"), r#"{"done":true,"list":[1,1.0,"ä😀"],"z":null,"a":0}"#);
    assert_eq!(store.report(at(0), again).await, Ok(Reported::Repeated));
    let another = report(numbered("02"), "{}");
    assert_eq!(store.report(at(0), another).await, Err(Refusal::AlreadyFinished));
    assert_eq!(store.submit(at(0), completed.posted).await, Ok(Submitted::Repeated));
}

#[tokio::test]
async fn claimed_tasks_can_be_finished() {
    let (_fixture, store) = adopted().await;
    let attempt = taken(numbered("03"), agent_b(), "agent b", "2026-11-22 21:17:03.073371");
    let task = stored(&store, numbered("03")).await;
    assert_eq!((task.attempts, task.state), (1, State::Claimed(attempt.clone())));
    assert_eq!(store.report(at(0), report(numbered("03"), "{}")).await, Ok(Reported::Stored));
    let ended = State::Ended { at: at(0), last: Some(attempt), end: End::Completed(json("{}")) };
    assert_eq!(stored(&store, numbered("03")).await.state, ended);
}

#[tokio::test]
async fn pending_tasks_are_claimed_in_their_order() {
    let (_fixture, store) = adopted().await;
    assert_eq!(store.waiting().await, 8);
    let delivered = store.poll(at(0), poll_for(1, 100, &[("wait", 1), ("typ ä😀", -3)])).await;
    let data: Vec<_> =
        delivered.iter().map(|delivery| delivery.task_data.as_ref().map(JsonText::as_str)).collect();
    assert_eq!(
        data,
        [
            Some(r#"{"order": 1}"#),
            Some(r#"{"order": 2}"#),
            None,
            Some(r#"{"order": 4, "late": "\u0001 / \\"}"#),
            Some(r#"{"case": "upper"}"#),
            Some(r#"{"case": "lower"}"#),
            Some(r#"{"newline": true}"#),
            Some(r#"{"case": "upper only"}"#),
        ]
    );
    assert_eq!(delivered[1].task_id, numbered("12"));
    assert_eq!((delivered[1].task_type.as_str(), delivered[1].task_version), ("typ ä😀", -3));
    for delivery in delivered {
        assert_eq!(store.report(at(1), report(delivery.task_id, "{}")).await, Ok(Reported::Stored));
    }
}

#[tokio::test]
async fn ids_that_differ_only_in_writing_are_told_apart() {
    let (_fixture, store) = adopted().await;
    let data = async |id: Uuid| stored(&store, id).await.posted.task_data.unwrap();
    // The one that clients of the original could ask for keeps the id, also from an older one.
    let lower = id("abcdef00-0000-4000-8000-000000000001");
    assert_eq!(data(lower).await, json(r#"{"case": "lower"}"#));
    assert_eq!(data(id("abcdef00-0000-4000-8000-000000000002")).await, json(r#"{"newline": true}"#));
    assert_eq!(data(id("abcdef00-0000-4000-8000-000000000003")).await, json(r#"{"case": "upper only"}"#));

    let waiting = store.everything().await.waiting.items;
    let mut renamed = Vec::new();
    for task in waiting {
        let task = stored(&store, task.task_id).await;
        if task.posted.task_data == Some(json(r#"{"case": "upper"}"#)) {
            renamed.push(task);
        }
    }
    assert_eq!(renamed.len(), 1);
    assert_eq!(renamed[0].posted.test_id, id("7e570000-0000-4000-8000-000000000001"));
    assert_eq!(renamed[0].posted.task_id.get_version_num(), 4);
    assert_ne!(renamed[0].posted.task_id, lower);
}

#[tokio::test]
async fn agents_are_kept_with_their_last_capabilities() {
    let (fixture, store) = adopted().await;
    let agents = store.everything().await.agents.items;
    let seen: Vec<_> = agents
        .iter()
        .map(|agent| (agent.id, agent.name.as_str(), agent.last_seen, agent.tasks.len()))
        .collect();
    assert_eq!(
        seen,
        [
            (agent_b(), "agent b", utc("2026-11-22 21:17:03.171416"), 1),
            // The original never changed a name.
            (agent_a(), "agent ä", utc("2026-11-22 21:17:03.147133"), 2),
        ]
    );
    let since = utc("2026-11-22 21:17:03.171416");
    assert_eq!(store.counts(since).await.unwrap(), Counts { agents: 1, tasks_waiting: 8 });
    let capabilities =
        "select group_concat(capabilities, ' ') from (select capabilities from agent order by id)";
    assert_eq!(fixture.text(capabilities).unwrap(), r#"{"gone":3,"third":4,"wait":2} {"old":8,"wait":4}"#);
}

#[tokio::test]
async fn an_adoption_that_fails_leaves_the_original_as_it_was() {
    let long = format!("insert into agents (uuid, name) values ('{}', 'x')", "z".repeat(1_000));
    let cut = format!("\"{}…\" is not a UUID", "z".repeat(199));
    for (spoil, mend, problem) in [
        (&*long, "delete from agents where name = 'x'", &*cut),
        (
            "insert into tasks (uuid, test_id, created)
             values ('not an id', 'x', '2026-01-01 00:00:00.000000')",
            "delete from tasks where uuid = 'not an id'",
            "\"not an id\" is not a UUID",
        ),
        (
            "update tasks set claimed = 'yesterday' where uuid like '1%03'",
            "update tasks set claimed = '2026-11-22 21:17:03.073371' where claimed = 'yesterday'",
            "column claimed: \"yesterday\" is not a time",
        ),
    ] {
        let fixture = original();
        fixture.sql(spoil);
        let before = contents(&fixture);
        let store = fixture.store();
        let error = store.create_tables().await.unwrap_err();
        assert!(matches!(error, StoreError::Failed(_)), "{error:?}");
        assert!(error.to_string().contains(problem), "{error}");
        assert_eq!(contents(&fixture), before);
        let refused = store.check().await;
        assert!(matches!(refused, Err(StoreError::Schema(SchemaError::Original))), "{refused:?}");

        fixture.sql(mend);
        assert_eq!(store.create_tables().await.unwrap(), WHOLE);
    }
}

#[tokio::test]
async fn an_adoption_that_is_locked_out_leaves_the_original_as_it_was() {
    let fixture = original();
    let before = contents(&fixture);
    let store = fixture.impatient();
    let lock = fixture.lock().await;
    let refused = store.create_tables().await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    SqliteFile::unlock(lock).await;
    assert_eq!(contents(&fixture), before);
    assert_eq!(store.create_tables().await.unwrap(), WHOLE);
}

/// Every table's definition, and every row of the original's tables.
pub(super) fn contents(fixture: &SqliteFile) -> Vec<String> {
    let rows = |query: &str| {
        let connection = fixture.connect();
        let mut statement = connection.prepare(query).unwrap();
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            let values = (0..columns).map(|n| format!("{:?}", row.get_ref(n).unwrap()));
            Ok(values.collect::<Vec<_>>().join("|"))
        };
        statement.query_map([], row).unwrap().collect::<Result<Vec<_>, _>>().unwrap()
    };
    [
        "select * from sqlite_schema",
        "select * from tasks",
        "select * from agents",
        "select * from agent_capabilities",
    ]
    .into_iter()
    .flat_map(rows)
    .collect()
}
