//! Tests PostgreSQL servers, databases and users that cannot keep tasks, or not now.

use slamon_testbed::{AfmProcess, PgCluster, PgOptions, Stop, TestDatabase};

use super::{Ended, folder, run, serve, serve_with};
use crate::test_app::{Body, Client, PATIENCE, eventually, id};

#[track_caller]
fn start(options: &PgOptions) -> PgCluster {
    PgCluster::start(options).expect("PostgreSQL starts")
}

/// Returns the only line at level ERROR of a start that must fail.
#[track_caller]
fn refusal(uri: &str, command: &[&str]) -> String {
    let ended: Ended = run(folder().path(), &[&["--database-uri", uri], command].concat(), &[]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let errors: Vec<_> = ended.stderr.lines().filter(|line| line.contains("ERROR")).collect();
    let [error] = errors.as_slice() else { panic!("{ended:?}") };
    assert!(!ended.stderr.contains("tasks are kept in") && !ended.stderr.contains("listening"), "{ended:?}");
    (*error).to_owned()
}

const RUN: [&str; 3] = ["run", "127.0.0.1", "0"];

#[track_caller]
fn says(error: &str, words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "{word}: {error}");
    }
}

/// Returns the command in a message, from its first words on.
#[track_caller]
fn command<'m>(message: &'m str, begin: &str) -> &'m str {
    let at = message.find(begin).unwrap_or_else(|| panic!("{begin}: {message}"));
    &message[at..=message.rfind(';').expect("it ends with a semicolon")]
}

#[track_caller]
fn lives(client: &Client) {
    client.post_task(Body::task(1));
    assert_eq!(client.poll(Body::poll(9)), [id(1)]);
    client.post("/tasks/response", Body::result(1)).is_empty();
    assert_eq!(client.task(1)["task_state"], "completed");
}

#[test]
fn version_12_is_refused_in_one_line() {
    let cluster = start(&PgOptions { version: Some(12), ..PgOptions::default() });
    let database = cluster.create_database();
    for command in [&RUN[..], &["create-tables"]] {
        says(&refusal(&database.uri(), command), &["PostgreSQL 12", "13 or newer", "--database-uri"]);
    }
    assert_eq!(database.sql("select count(*) from pg_tables where schemaname = 'public'"), "0");
}

#[test]
fn an_encoding_other_than_utf8_is_refused_with_what_makes_a_right_one() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let (encoding, locale) = (encoding.to_owned(), "C".to_owned());
        let cluster = start(&PgOptions { encoding: encoding.clone(), locale, ..PgOptions::default() });
        let database = cluster.create_database();
        let error = refusal(&database.uri(), &RUN);
        says(&error, &[&encoding, "UTF8", database.name()]);
        cluster.sql("postgres", command(&error, "CREATE DATABASE"));
        let (_afm, client) = serve(&cluster.uri(&format!("{}_utf8", database.name())));
        lives(&client);
    }
}

#[test]
fn a_search_path_that_leads_nowhere_is_blamed_and_mended() {
    let cluster = PgCluster::shared();
    cluster.create_role("afm_lost", "pw");
    for (set, mend) in [
        ("alter role afm_lost set search_path = nowhere", "ALTER ROLE"),
        ("alter database NAME set search_path = nowhere", "ALTER DATABASE"),
        ("alter role afm_lost in database NAME set search_path = nowhere", "ALTER ROLE"),
    ] {
        let database = cluster.create_database();
        database.sql(&format!(
            "grant all on schema public to afm_lost; {}",
            set.replace("NAME", database.name())
        ));
        let error = refusal(&database.uri_as("afm_lost", "pw"), &RUN);
        says(&error, &["search_path", "nowhere", mend, "SET search_path"]);
        let all = command(&error, mend);
        database.sql(&all[..=all.find(';').expect("it ends")]);
        let (afm, client) = serve(&database.uri_as("afm_lost", "pw"));
        lives(&client);
        drop((afm, client));
        database.sql("alter role afm_lost reset search_path; drop owned by afm_lost");
    }
    let database = cluster.create_database();
    let uri = format!("{}?options=-csearch_path%3Dnowhere", database.uri());
    says(&refusal(&uri, &RUN), &["search_path", "options"]);
    cluster.sql("postgres", "drop role afm_lost");
}

/// Creates a role that has only these rights to the tables of an AFM.
#[track_caller]
fn role_with(database: &TestDatabase, role: &str, rights: &str) -> String {
    assert_eq!(
        run(folder().path(), &["--database-uri", &database.uri(), "create-tables"], &[]).status,
        Some(0)
    );
    database.cluster().create_role(role, "pw");
    database.sql(&rights.replace("ROLE", role));
    database.uri_as(role, "pw")
}

#[test]
fn a_role_that_may_only_read_is_refused_with_the_rights_that_it_needs() {
    let database = PgCluster::shared().create_database();
    let uri = role_with(&database, "afm_reads", "grant select on all tables in schema public to ROLE");
    let error = refusal(&uri, &RUN);
    says(&error, &["afm_reads", "lacks rights", "INSERT, UPDATE, DELETE on task", "USAGE on task_arrival"]);
    database.sql(command(&error, "GRANT"));
    {
        let (_afm, client) = serve_with(&uri, &[], "TASK_RETENTION = 3600\n");
        lives(&client);
    }
    // One right alone.
    for (revoke, mend) in [
        ("revoke update on attempt from ROLE", "GRANT UPDATE ON attempt TO"),
        ("revoke update on past_agent from ROLE", "GRANT UPDATE ON past_agent TO"),
        ("revoke usage on sequence task_arrival from ROLE", "GRANT USAGE ON SEQUENCE task_arrival TO"),
        ("revoke select on slamon_schema from ROLE", "GRANT SELECT ON slamon_schema TO"),
    ] {
        database.sql(&revoke.replace("ROLE", "afm_reads"));
        let error = refusal(&uri, &RUN);
        database.sql(command(&error, mend));
    }
    let (_afm, client) = serve(&uri);
    assert_eq!(client.task(1)["task_state"], "completed");
    drop((_afm, client));
    database.sql("drop owned by afm_reads; drop role afm_reads");
}

/// Returns how many lines of the log contain a text.
fn said(afm: &AfmProcess, what: &str) -> usize {
    afm.log_lines().iter().filter(|line| line.contains(what)).count()
}

#[test]
fn a_right_that_is_lost_later_is_503_and_the_same_line_once() {
    let database = PgCluster::shared().create_database();
    let rights = "grant select, insert, update, delete on all tables in schema public to ROLE; \
                  grant usage on sequence task_arrival to ROLE";
    let uri = role_with(&database, "afm_loses", rights);
    let (afm, client) = serve(&uri);
    client.post_task(Body::task(1));
    database.sql("revoke insert, update, delete on task from afm_loses");
    for _ in 0..10 {
        client.post("/task", Body::task(2)).is_try_again();
        client.get("/readyz").is_try_again();
    }
    let line = afm.wait_for_line(|line| line.contains("lacks rights"), PATIENCE);
    assert_eq!(said(&afm, "lacks rights"), 1, "{:#?}", afm.log_lines());
    assert_eq!(said(&afm, "takes commits again"), 0, "{:#?}", afm.log_lines());
    let detail = client.get("/readyz").body;
    assert!(!detail.contains("afm_loses"), "names are for the log: {detail}");
    database.sql(command(&line, "GRANT"));
    eventually("it recovers", || client.get("/readyz").status == 200);
    client.post_task(Body::task(2));
    afm.wait_for_line(|line| line.contains("takes commits again"), PATIENCE);
    drop((afm, client));
    database.sql("drop owned by afm_loses; drop role afm_loses");
}

#[test]
fn a_standby_is_unready_until_it_is_promoted() {
    let primary = start(&PgOptions::default());
    let database = primary.create_database();
    {
        let (_afm, client) = serve(&database.uri());
        client.post_task(Body::task(1));
    }
    let standby = primary.start_standby(&PgOptions::default()).expect("it starts");
    let (afm, client) = serve(&standby.uri(database.name()));
    for _ in 0..5 {
        client.post("/task", Body::task(2)).is_try_again();
        client.post("/tasks", Body::poll(9)).is_try_again();
        let answer = client.get("/readyz");
        answer.is_try_again();
        assert!(answer.body.contains("takes no writes"), "{answer:?} {:#?}", afm.log_lines());
        client.get("/status").is_json(r#"{"agents":0,"tasks_waiting":1}"#);
        assert_eq!(client.get(&format!("/task/{}", id(1))).status, 200, "it can be read");
    }
    let line = afm.wait_for_line(|line| line.contains("hot standby"), PATIENCE);
    says(&line, &["pg_promote", "target_session_attrs=read-write"]);
    assert!(
        said(&afm, "hot standby") <= 2,
        "at the start, and for the first request: {:#?}",
        afm.log_lines()
    );
    standby.promote();
    eventually("it recovers", || client.get("/readyz").status == 200);
    lives_on(&client);
    afm.wait_for_line(|line| line.contains("tasks are kept in PostgreSQL"), PATIENCE);
}

#[track_caller]
fn lives_on(client: &Client) {
    client.post_task(Body::task(2));
    assert_eq!(client.poll(Body::poll(9)), [id(1), id(2)]);
}

#[test]
fn a_server_that_comes_back_as_another_one_is_looked_at_again() {
    let cluster = start(&PgOptions::default());
    let database = cluster.create_database();
    let (afm, client) = serve(&database.uri());
    client.post_task(Body::task(1));
    database.sql(&format!("alter database {} set search_path = nowhere", database.name()));
    cluster.stop(Stop::Fast);
    cluster.start_again();
    eventually("it is seen", || said(&afm, "names no schema that exists") == 1);
    for _ in 0..5 {
        client.post("/task", Body::task(2)).is_try_again();
        client.get("/readyz").is_try_again();
    }
    assert_eq!(said(&afm, "names no schema that exists"), 1, "{:#?}", afm.log_lines());
    database.sql(&format!("alter database {} reset search_path", database.name()));
    eventually("it recovers", || client.get("/readyz").status == 200);
    lives_on(&client);
}

#[test]
fn transactions_that_are_read_only_by_default_are_no_obstacle() {
    let database = PgCluster::shared().create_database();
    database.sql(&format!("alter database {} set default_transaction_read_only = on", database.name()));
    let (_afm, client) = serve(&database.uri());
    lives(&client);
}

#[test]
fn a_password_that_is_missing_names_where_to_put_it() {
    let database = PgCluster::shared().create_database();
    database.cluster().create_role("afm_no_password", "pw");
    let uri = database.uri_as("afm_no_password", "pw").replace(":pw@", "@");
    says(&refusal(&uri, &RUN), &["password", "PGPASSWORD", ".pgpass"]);
    database.sql("drop role afm_no_password");
}

#[test]
fn commits_that_the_server_would_answer_early_outlive_its_crash() {
    // What is not flushed for the answer's sake waits for the WAL writer.
    let settings = [("synchronous_commit", "off"), ("wal_writer_delay", "10s")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let cluster = start(&PgOptions { fsync: true, settings, ..PgOptions::default() });
    let database = cluster.create_database();
    let (afm, client) = serve(&database.uri());
    afm.wait_for_line(|line| line.contains("synchronous_commit is off"), PATIENCE);
    for n in 0..2 {
        client.post_task(Body::task(n));
        cluster.stop(Stop::Immediate);
        cluster.start_again();
        eventually("it recovers", || client.get("/readyz").status == 200);
        assert_eq!(client.get(&format!("/task/{}", id(n))).status, 200, "task {n} was answered");
    }
    assert_eq!(said(&afm, "synchronous_commit is off"), 1);
    assert_eq!(said(&afm, "fsync is off"), 0);
    let (afm, _) = serve(&PgCluster::shared().create_database().uri());
    afm.wait_for_line(|line| line.contains("WARN") && line.contains("fsync is off"), PATIENCE);
}
