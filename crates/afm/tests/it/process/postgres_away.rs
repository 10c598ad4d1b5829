//! Tests PostgreSQL that goes away and comes back.

use slamon_testbed::{PgCluster, PgOptions, Relay, Stop, TestDatabase};

use super::{run, serve, serve_with};
use crate::test_app::{Body, Client, PATIENCE, eventually, id};

/// Starts a cluster of the test's own, since it will be stopped.
#[track_caller]
fn database() -> TestDatabase {
    PgCluster::start(&PgOptions::default()).expect("PostgreSQL starts").create_database()
}

#[track_caller]
fn is_without_database(client: &Client) {
    client.post("/task", Body::task(2)).is_try_again();
    client.post("/tasks", Body::poll(9)).is_try_again();
    client.post("/tasks/response", Body::result(1)).is_try_again();
    client.get(&format!("/task/{}", id(1))).is_try_again();
    client.get("/dashboard/status").is_try_again();
    client.get("/readyz").is_try_again();
    client.get("/status").is_problem(500, "the database cannot be queried");
    assert_eq!(client.get("/healthz").status, 200);
    assert_eq!(client.get("/dashboard").status, 200);
}

#[test]
fn it_is_503_while_the_server_is_stopped() {
    let database = database();
    let (_afm, client) = serve(&database.uri());
    for stop in [Stop::Fast, Stop::Immediate] {
        client.post_task(Body::task(1));
        database.cluster().stop(stop);
        is_without_database(&client);
        database.cluster().start_again();
        eventually("it recovers", || client.get("/readyz").status == 200);
        client.get("/status").is_json(r#"{"agents":0,"tasks_waiting":1}"#);
    }
    assert_eq!(client.poll(Body::poll(9)), [id(1)]);
    client.post("/tasks/response", Body::result(1)).is_empty();
}

#[test]
fn connections_that_are_cut_are_made_anew_unseen() {
    let database = PgCluster::shared().create_database();
    let (_afm, client) = serve(&database.uri());
    client.post_task(Body::task(1));
    assert!(database.terminate_backends() > 0);
    client.post_task(Body::task(2));
    database.terminate_backends();
    assert_eq!(client.poll(Body::poll(9)), [id(1), id(2)]);
    database.terminate_backends();
    client.get("/status").is_json(r#"{"agents":1,"tasks_waiting":0}"#);
    database.terminate_backends();
    client.post("/tasks/response", Body::result(1)).is_empty();
    database.terminate_backends();
    // What the AFM does by itself may be cut, too, and it is not ready until that has gone well again.
    eventually("it is ready", || client.get("/readyz").status == 200);
}

#[test]
fn it_may_start_first() {
    let database = database();
    database.cluster().stop(Stop::Fast);
    let (afm, client) = serve(&database.uri());
    is_without_database(&client);
    afm.wait_for_line(|line| line.contains("WARN") && line.contains("database is away"), PATIENCE);
    database.cluster().start_again();
    eventually("it recovers", || client.get("/readyz").status == 200);
    client.post_task(Body::task(1));
}

#[test]
fn it_can_be_stopped_while_it_waits_for_the_database() {
    let database = database();
    database.cluster().stop(Stop::Fast);
    let (afm, _) = serve(&database.uri());
    afm.wait_for_line(|line| line.contains("database is away"), PATIENCE);
    afm.signal("TERM");
    assert_eq!(afm.wait_exit(PATIENCE).code(), Some(0));
}

#[test]
fn a_table_locked_by_another_is_503_and_passes() {
    let database = PgCluster::shared().create_database();
    let (_afm, client) = serve_with(&database.uri(), &[], "REQUEST_TIMEOUT = 0.5\n");
    eventually("it is posted", || client.post("/task", Body::task(1)).status == 200);
    let table = database.sql("select tablename from pg_tables where tablename like '%task%' limit 1");
    std::thread::scope(|scope| {
        // Held until the query is cancelled.
        let holder = scope.spawn(|| {
            database.try_sql(&format!(
                "begin; lock table {table} in access exclusive mode; select 'holder', pg_sleep(600); commit"
            ))
        });
        let holds = format!(
            "select count(*) from pg_locks where granted and mode = 'AccessExclusiveLock' and relation = '{table}'::regclass"
        );
        eventually("it is locked", || database.sql(&holds) == "1");
        client.post("/task", Body::task(2)).is_try_again();
        client.get(&format!("/task/{}", id(1))).is_try_again();
        assert_eq!(client.get("/healthz").status, 200);
        database.sql("select pg_cancel_backend(pid) from pg_stat_activity where query like '%holder%' and pid <> pg_backend_pid()");
        assert!(holder.join().expect("it ran").is_err());
    });
    eventually("it recovers", || client.post("/task", Body::task(2)).status == 200);
    eventually("both are handed out", || {
        client.get("/status").body == r#"{"agents":1,"tasks_waiting":0}"# || {
            client.post("/tasks", Body::poll(9));
            false
        }
    });
}

#[test]
fn a_wrong_password_is_an_error_that_does_not_show_it() {
    let database = PgCluster::shared().create_database();
    database.cluster().create_role("afm_wrong_password", "right");
    let uri = database.uri_as("afm_wrong_password", "s3cret");
    for command in [&["run", "127.0.0.1", "0"][..], &["create-tables"]] {
        let ended = run(super::folder().path(), &[&["--database-uri", &uri], command].concat(), &[]);
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("password authentication failed"), "{ended:?}");
        assert!(!ended.stderr.contains("s3cret"), "{ended:?}");
    }
}

#[test]
fn a_database_that_does_not_exist_is_named() {
    let uri = PgCluster::shared().uri("no_such_database");
    let ended = run(super::folder().path(), &["--database-uri", &uri, "run", "127.0.0.1", "0"], &[]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("no_such_database"), "{ended:?}");
}

#[test]
fn the_right_password_is_not_shown_either() {
    let database = PgCluster::shared().create_database();
    database.cluster().create_role("afm_right_password", "s3cret");
    database.sql("grant all on schema public to afm_right_password");
    let uri = database.uri_as("afm_right_password", "s3cret");
    let (afm, client) = serve_with(&uri, &[], "LOG_LEVEL = 'DEBUG'\nSQLALCHEMY_ECHO = True\n");
    client.post_task(Body::task(1));
    database.sql("alter role afm_right_password nologin");
    database.terminate_backends();
    // This does not pass by itself, so the answer is 500.
    client.post("/task", Body::task(2)).problem(500);
    afm.signal("TERM");
    afm.wait_exit(PATIENCE);
    let lines = afm.log_lines();
    assert!(lines.iter().any(|line| line.contains("DEBUG") && line.contains("insert")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("ERROR")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("s3cret")), "{lines:#?}");
    drop(client);
    drop(afm);
    database.sql("drop owned by afm_right_password");
    database.sql("drop role afm_right_password");
}

#[test]
fn a_server_that_vanishes_without_a_word_is_503_for_as_long_as_calls_wait_and_no_longer() {
    let database = PgCluster::shared().create_database();
    let relay = Relay::to(database.cluster().way_in());
    let uri = format!("postgresql://postgres@127.0.0.1:{}/{}", relay.port(), database.name());
    let (_afm, client) = serve(&uri);
    let listening = format!(
        "select count(*) from pg_stat_activity where datname = '{}' and application_name like '%(listens)'",
        database.name()
    );
    eventually("it listens", || database.sql(&listening) == "1");
    client.post_task(Body::task(1));
    relay.go_silent();
    // A statement may take 10 s.
    client.post("/task", Body::task(2)).is_try_again();
    assert_eq!(client.get("/healthz").status, 200);
    client.post_task(Body::task(2));
    assert_eq!(client.poll(Body::poll(9)), [id(1), id(2)]);
    assert_eq!(client.get("/readyz").status, 200);
    // The server does not know yet that the first one is gone.
    eventually("it listens anew", || database.sql(&listening) == "2");
}
