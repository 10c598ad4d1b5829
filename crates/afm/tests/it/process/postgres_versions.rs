//! The whole of it on each major version of PostgreSQL that is supported.

use slamon_testbed::{PgCluster, PgOptions};

use super::serve;
use crate::test_app::{Body, PATIENCE, eventually, id};

#[track_caller]
fn serves_on(version: Option<u32>) {
    let options = PgOptions { version, ..PgOptions::default() };
    let cluster = PgCluster::start(&options).expect("PostgreSQL starts");
    let database = cluster.create_database();
    cluster.create_role("afm", "pw");
    database.sql("grant all on schema public to afm");
    let uri = database.uri_as("afm", "pw");
    let (servers, clients): (Vec<_>, Vec<_>) = [serve(&uri), serve(&uri)].into_iter().unzip();
    let [one, other] = clients.as_slice() else { panic!("two were started") };

    one.post_task(Body::task(1));
    one.post("/task", Body::task(1)).is_empty();
    // What one AFM has stored, another may not have heard of yet.
    eventually("the other hands it out", || other.poll(Body::poll(9)) == [id(1)]);
    other.post("/tasks/response", Body::result(1)).is_empty();
    assert_eq!(one.task(1)["task_state"], "completed");

    let listening = "select count(*) from pg_stat_activity where datname = current_database() \
                     and application_name like '%(listens)'";
    eventually("both listen", || database.sql(listening) == "2");
    let mut held = other.connect();
    held.post("/tasks", &Body::poll(8).with("max_wait", "300").to_string());
    eventually("it is held", || one.get("/dashboard/status").body.contains(&id(8)));
    one.post_task(Body::task(2));
    assert!(!held.is_silent_for(PATIENCE), "the other AFM was not told");
    assert_eq!(held.answer().json()["tasks"][0]["task_id"], id(2));
    // An attempt that takes too long is made again, and a task that nobody wants is cancelled.
    one.post_task(Body::task(3).with("task_timeout", "0.1").with("task_max_attempts", "2"));
    assert_eq!(one.poll(Body::poll(9)), [id(3)]);
    eventually("it waits again", || one.get(&format!("/task/{}", id(3))).json()["task_state"] == "pending");
    assert_eq!(other.delete(&format!("/task/{}", id(3))).status, 200);
    one.get("/status").is_json(r#"{"agents":2,"tasks_waiting":0}"#);
    assert_eq!(one.get("/readyz").status, 200);
    for server in &servers {
        let errors = server.log_lines().iter().filter(|line| line.contains("ERROR")).count();
        assert_eq!(errors, 0, "{:#?}", server.log_lines());
    }
}

#[test]
fn the_version_that_other_tests_run_on() {
    serves_on(None);
}

#[test]
fn version_13() {
    serves_on(Some(13));
}

#[test]
fn version_14() {
    serves_on(Some(14));
}

#[test]
fn version_16() {
    serves_on(Some(16));
}

#[test]
fn version_17() {
    serves_on(Some(17));
}

#[test]
fn version_18() {
    serves_on(Some(18));
}
