//! Tests the cursors of the waiting index, on a PostgreSQL that others use, too.

use std::time::{Duration, Instant};

use slamon_testbed::{PgCluster, TestDatabase};

use super::psql_session::PsqlSession;
use super::serve;
use crate::test_app::{Body, Client, PATIENCE, eventually, id};

/// Less than the 15 s after which all that waits is read again.
const TOLD: Duration = Duration::from_secs(8);

/// A database, and a session of somebody else in it.
fn place() -> (TestDatabase, PsqlSession) {
    let database = PgCluster::shared().create_database();
    let session = PsqlSession::start(database.cluster(), database.name());
    (database, session)
}

#[track_caller]
fn listens(place: &TestDatabase, servers: &str) {
    let listening = "select count(*) from pg_stat_activity
        where datname = current_database() and application_name like '%(listens)'";
    eventually("they listen", || place.sql(listening) == servers);
}

fn poll(client: &Client, agent: u64, most: &str) -> Vec<String> {
    client.poll(Body::poll(agent).with("max_tasks", most))
}

#[test]
fn claims_start_past_what_was_claimed_while_a_transaction_is_open() {
    const TASKS: u64 = 1_200;
    let (place, mut somebody) = place();
    let (afm, client) = serve(&place.uri());
    listens(&place, "1");
    for n in 0..TASKS {
        client.post_task(Body::task(n));
    }
    somebody.run("begin isolation level repeatable read; select 1");
    for n in 0..TASKS / 40 {
        assert_eq!(poll(&client, 9, "40"), (n * 40..n * 40 + 40).map(id).collect::<Vec<_>>());
        // What is posted meanwhile is behind it.
        client.post_task(Body::task(TASKS + n));
    }
    // A connection tells what it did at its end.
    drop(afm);
    let connected = "select count(*) from pg_stat_activity
        where datname = current_database() and application_name like 'slamon-afm%'";
    eventually("it is gone", || place.sql(connected) == "0");
    // From the very start each time, it would be 18,600.
    let read = "select idx_tup_read from pg_stat_user_indexes where indexrelname = 'task_waiting'";
    eventually("what it read is told", || place.sql(read).parse::<u64>().is_ok_and(|read| read >= TASKS));
    let read = place.sql(read);
    assert!(read.parse::<u64>().is_ok_and(|read| read < 6_000), "{read}");
    somebody.run("commit");
}

#[test]
fn a_task_that_another_commits_late_keeps_its_place() {
    let (place, mut somebody) = place();
    let (_one, one) = serve(&place.uri());
    let (_other, other) = serve(&place.uri());
    listens(&place, "2");
    place.sql(&format!(
        "create function hold_up() returns trigger language plpgsql as
             'begin while not pg_try_advisory_xact_lock(1) loop perform pg_sleep(0.01); end loop; return null; end';
         create constraint trigger hold_up after insert on task deferrable initially deferred
             for each row when (new.id = '{}') execute function hold_up()",
        id(1)
    ));
    somebody.run("begin; select pg_advisory_xact_lock(1)");
    let mut late = other.connect();
    late.post("/task", &Body::task(1).to_string());
    let waits =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
    eventually("it is being committed", || place.sql(waits) == "1");
    for n in 2..=4 {
        one.post_task(Body::task(n));
    }
    assert_eq!(poll(&one, 9, "1"), [id(2)]);
    assert_eq!(poll(&one, 9, "1"), [id(3)]);
    somebody.run("commit");
    assert_eq!(late.answer().status, 200);
    let deadline = Instant::now() + TOLD;
    let mut found = poll(&one, 9, "1");
    if found == [id(4)] {
        // It had not been told yet.
        found.clear();
    }
    while found.is_empty() {
        assert!(Instant::now() < deadline, "it was passed over");
        found = poll(&one, 9, "1");
    }
    assert_eq!(found, [id(1)]);
}

#[test]
fn a_task_that_comes_to_wait_without_a_word_is_found() {
    let (place, _) = place();
    let (_afm, client) = serve(&place.uri());
    listens(&place, "1");
    for n in 1..=3 {
        client.post_task(Body::task(n));
    }
    assert_eq!(poll(&client, 9, "2"), [id(1), id(2)]);
    // As an operator may do it, or a program of another version.
    place.sql(&format!(
        "update task set state = 'pending', attempts = 0, agent_id = null, claimed_at = null where id = '{}'",
        id(1)
    ));
    // What waits behind it is handed out meanwhile, and it too if all was read anew just then.
    let mut found = poll(&client, 9, "2");
    assert!(found.contains(&id(3)), "{found:?}");
    let deadline = Instant::now() + PATIENCE;
    while !found.contains(&id(1)) {
        assert!(Instant::now() < deadline, "it was never found");
        std::thread::sleep(Duration::from_millis(200));
        found.extend(poll(&client, 9, "1"));
    }
}
