//! Tests PgBouncer between the server and PostgreSQL.

use slamon_testbed::{AfmProcess, PgBouncer, PgCluster, PgOptions, Stop, TestDatabase};

use super::{folder, run, serve, serve_with};
use crate::test_app::{Body, Client, PATIENCE, eventually, id};

/// Starts a cluster of the test's own with a database, and a pooler in front of it.
#[track_caller]
fn behind(settings: &[(&str, &str)]) -> (TestDatabase, PgBouncer) {
    let cluster = PgCluster::start(&PgOptions::default()).expect("PostgreSQL starts");
    let bouncer = PgBouncer::start(&cluster, settings).expect("PgBouncer starts");
    (cluster.create_database(), bouncer)
}

#[track_caller]
fn a_life(client: &Client, n: u64) {
    client.post_task(Body::task(n));
    assert_eq!(client.poll(Body::poll(9)), [id(n)]);
    client.post("/tasks/response", Body::result(n)).is_empty();
}

/// Returns the lines of the log that say what to do about the pooler.
fn said(afm: &AfmProcess) -> Vec<String> {
    afm.log_lines().into_iter().filter(|line| line.contains("pool_mode = session")).collect()
}

#[test]
fn transaction_mode_is_refused_in_one_line_that_says_what_to_do() {
    let (database, bouncer) = behind(&[("pool_mode", "transaction")]);
    let uri = bouncer.uri(database.name());
    for command in ["run", "create-tables", "drop-tables"] {
        let mut args = vec!["--database-uri", &uri, command];
        args.extend((command == "run").then_some(["127.0.0.1", "0"]).into_iter().flatten());
        let ended = run(folder().path(), &args, &[]);
        assert_eq!(ended.status, Some(1), "{ended:?}");
        let lines: Vec<_> = ended.stderr.lines().filter(|line| line.contains("pooler")).collect();
        assert_eq!(lines.len(), 1, "{ended:?}");
        assert!(lines[0].contains("set pool_mode = session"), "{ended:?}");
    }
    for setting in ["statement_timeout", "enable_seqscan", "plan_cache_mode", "jit", "application_name"] {
        let show = format!("show {setting}");
        let before = if setting == "application_name" { "psql".to_owned() } else { database.sql(&show) };
        assert_eq!(bouncer.sql(database.name(), &show), before);
    }
}

#[test]
fn one_that_starts_while_the_server_is_down_says_so_when_it_comes() {
    let (database, mut bouncer) = behind(&[("pool_mode", "transaction"), ("server_login_retry", "1")]);
    database.cluster().stop(Stop::Fast);
    let (afm, client) = serve(&bouncer.uri(database.name()));
    afm.wait_for_line(|line| line.contains("database is away"), PATIENCE);
    database.cluster().start_again();
    afm.wait_for_line(|line| line.contains("pool_mode = session"), PATIENCE);
    client.get("/readyz").is_try_again();
    client.post("/task", Body::task(1)).is_try_again();
    client.get(&format!("/task/{}", id(1))).is_try_again();
    assert_eq!(client.get("/healthz").status, 200);
    assert_eq!(said(&afm).len(), 1, "{:#?}", afm.log_lines());

    bouncer.set("pool_mode", "session");
    eventually("it recovers", || client.get("/readyz").status == 200);
    a_life(&client, 1);
}

#[test]
fn a_mode_that_changes_while_it_runs_is_found_out_and_said_once() {
    let (database, mut bouncer) = behind(&[]);
    let (afm, client) = serve(&bouncer.uri(database.name()));
    a_life(&client, 1);
    bouncer.set("pool_mode", "transaction");
    // The server notices it by itself, without a request.
    afm.wait_for_line(|line| line.contains("pool_mode = session"), PATIENCE);
    for n in 2..12 {
        client.post("/task", Body::task(n)).is_try_again();
        client.get("/readyz").is_try_again();
    }
    client.get(&format!("/task/{}", id(1))).is_try_again();
    assert!(!afm.has_ended());
    // Its sessions have left nothing to others.
    let left = "select name from pg_settings where source = 'session' and name in ('statement_timeout', 'enable_seqscan')
        union all select 'prepared ' || statement from pg_prepared_statements
        union all select 'listens ' || pg_listening_channels()";
    eventually("nothing is left", || (0..20).all(|_| bouncer.sql(database.name(), left).is_empty()));
    assert_eq!(said(&afm).len(), 1, "{:#?}", afm.log_lines());

    bouncer.set("pool_mode", "session");
    eventually("it recovers", || client.get("/readyz").status == 200);
    for n in 2..12 {
        a_life(&client, n);
    }
    assert_eq!(said(&afm).len(), 1, "{:#?}", afm.log_lines());
}

#[test]
fn in_session_mode_all_is_as_without() {
    let (database, bouncer) = behind(&[]);
    let uri = bouncer.uri(database.name());
    let config = "SQLALCHEMY_POOL_TIMEOUT = 2\nREQUEST_TIMEOUT = 2\n";
    let [(_one, client), (_two, other)] = [serve_with(&uri, &[], config), serve_with(&uri, &[], config)];
    let listening = "select count(*) from pg_stat_activity where application_name like '%(listens)'";
    eventually("both listen", || database.sql(listening) == "2");
    a_life(&client, 1);

    // A poll that is held open at one, and a task that is posted at the other.
    let mut held = client.connect();
    held.post("/tasks", &Body::poll(9).with("max_wait", "300").to_string());
    eventually("it has asked", || client.get("/dashboard/status").body.contains(&id(9)));
    other.post_task(Body::task(2));
    assert_eq!(held.answer().json()["tasks"][0]["task_id"], id(2));
    other.post("/tasks/response", Body::result(2)).is_empty();

    database.cluster().stop(Stop::Immediate);
    client.post("/task", Body::task(3)).is_try_again();
    database.cluster().start_again();
    // PgBouncer tries again 15 s after it found no server.
    for client in [&client, &other] {
        eventually("it recovers", || client.get("/readyz").status == 200);
    }
    eventually("it is posted", || client.post("/task", Body::task(3)).status == 200);
    eventually("both listen again", || database.sql(listening) == "2");
    eventually("the other hands it out", || other.poll(Body::poll(9)) == [id(3)]);
}
