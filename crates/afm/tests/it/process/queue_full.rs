//! Tests a full queue of notifications. All databases of a cluster share it, and a session of another one
//! does not empty it.

use std::time::{Duration, Instant};

use slamon_testbed::{AfmProcess, PgCluster, PgOptions};

use super::psql_session::PsqlSession;
use super::serve;
use crate::test_app::{Body, Client, PATIENCE, eventually, id};

/// Less than the 15 s after which a request that is held open looks for itself.
const SOON: Duration = Duration::from_secs(10);

/// A cluster whose queue is as small as can be: PostgreSQL 17 lets one choose.
#[track_caller]
fn cluster() -> PgCluster {
    let settings = vec![("max_notify_queue_pages".to_owned(), "64".to_owned())];
    PgCluster::start(&PgOptions { version: Some(17), settings, ..PgOptions::default() })
        .expect("PostgreSQL 17 starts")
}

/// Fills the queue, until the session that keeps it full is dropped.
#[track_caller]
fn fill(cluster: &PgCluster) -> PsqlSession {
    let mut listener = PsqlSession::start(cluster, "postgres");
    listener.run("listen x");
    listener.run("begin; select 1");
    for (length, times) in [(7_900, 80), (2_000, 20), (10, 200)] {
        for _ in 0..times {
            let _ = cluster.try_sql("postgres", &format!("select pg_notify('x', repeat('x', {length}))"));
        }
    }
    let error = cluster.try_sql("postgres", "notify x").expect_err("the queue is full");
    assert!(error.to_string().contains("NOTIFY queue"), "{error}");
    listener
}

fn count(afm: &AfmProcess, text: &str) -> usize {
    afm.log_lines().iter().filter(|line| line.contains(text)).count()
}

#[track_caller]
fn hold(client: &Client, agent: u64) -> crate::test_app::Connection {
    let mut connection = client.connect();
    let poll = Body::poll(agent).with("max_wait", "300").with("max_tasks", "1");
    connection.post("/tasks", &poll.to_string());
    eventually("it has asked", || client.get("/dashboard/status").body.contains(&id(agent)));
    connection
}

#[test]
fn commits_go_on_and_other_afms_look_for_themselves() {
    let cluster = cluster();
    let database = cluster.create_database();
    let [(afm, client), (other_afm, other)] = [serve(&database.uri()), serve(&database.uri())];
    let listening = "select count(*) from pg_stat_activity where application_name like '%(listens)'";
    eventually("both listen", || database.sql(listening) == "2");
    let mut agent = hold(&other, 1_001);
    let full = fill(&cluster);

    client.post_task(Body::task(1));
    assert!(!agent.is_silent_for(SOON), "the other AFM does not look");
    assert!(agent.answer().body.contains(&id(1)));
    let mut read = other.connect();
    read.get(&format!("/task/{}?wait=300", id(1)));
    client.post("/tasks/response", Body::result(1)).is_empty();
    assert!(!read.is_silent_for(SOON), "the other AFM does not look");
    assert_eq!(read.answer().json()["task_state"], "completed");
    for n in 2..20 {
        client.post_task(Body::task(n));
        client.delete(&format!("/task/{}", id(n))).json();
    }
    assert_eq!(count(&afm, "commits go on without NOTIFY"), 1, "{:#?}", afm.log_lines());
    other_afm.wait_for_line(|line| line.contains("at least half full"), PATIENCE);
    assert_eq!(count(&other_afm, "at least half full"), 1);
    assert_eq!(count(&afm, "ERROR"), 0, "{:#?}", afm.log_lines());

    drop(full);
    afm.wait_for_line(|line| line.contains("other AFMs are notified again"), PATIENCE);
    other_afm.wait_for_line(|line| line.contains("notifications of other AFMs arrive again"), PATIENCE);
    let mut agent = hold(&other, 1_002);
    client.post_task(Body::task(100));
    let began = Instant::now();
    assert!(!agent.is_silent_for(SOON));
    assert!(began.elapsed() < SOON);
    assert!(agent.answer().body.contains(&id(100)));
    assert_eq!(count(&afm, "without NOTIFY"), 1, "{:#?}", afm.log_lines());
}
