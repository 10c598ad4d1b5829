//! Tests a role with fewer connections than the pool would make.

use std::thread;

use slamon_testbed::{AfmProcess, PgCluster, PgOptions, TestDatabase};

use super::{serve, serve_with};
use crate::test_app::{Body, Client, PATIENCE, eventually, id};

/// Creates a database of a role that may have this many connections.
#[track_caller]
fn database(connections: u32) -> (TestDatabase, String) {
    let cluster = PgCluster::start(&PgOptions::default()).expect("PostgreSQL starts");
    let database = cluster.create_database();
    cluster.create_role("afm", "pw");
    database
        .sql(&format!("grant all on schema public to afm; alter role afm connection limit {connections}"));
    let uri = database.uri_as("afm", "pw");
    (database, uri)
}

/// Sends as many requests at once as fill the pool, over and over; each must be answered.
#[track_caller]
fn works_under_load(client: &Client) {
    thread::scope(|scope| {
        for worker in 0..12 {
            scope.spawn(move || {
                for n in 0..2 {
                    let n = worker * 100 + n;
                    client.post_task(Body::task(n));
                    assert_eq!(client.get(&format!("/task/{}", id(n))).status, 200);
                    assert_eq!(client.get("/dashboard/status").status, 200);
                }
            });
        }
    });
}

fn warnings(afm: &AfmProcess) -> usize {
    afm.log_lines().iter().filter(|line| line.contains("fewer connections than SQLALCHEMY_POOL_SIZE")).count()
}

#[test]
fn calls_wait_for_the_connections_that_a_role_may_have() {
    for connections in [1, 3] {
        let (database, uri) = database(connections);
        let (afm, client) = serve(&uri);
        works_under_load(&client);
        assert_eq!(client.get("/readyz").status, 200);
        if connections > 1 {
            // How many calls there are at once is up to the machine: more than there are connections only in
            // the end.
            eventually("it says that there are fewer connections than it was given", || {
                works_under_load(&client);
                warnings(&afm) > 0
            });
            works_under_load(&client);
            assert_eq!(warnings(&afm), 1, "{:#?}", afm.log_lines());
        }
        let errors = afm.log_lines().iter().filter(|line| line.contains("ERROR")).count();
        assert_eq!(errors, 0, "{:#?}", afm.log_lines());
        // Those that are cut are made anew, within the limit.
        database.terminate_backends();
        works_under_load_again(&client);
    }
}

#[track_caller]
fn works_under_load_again(client: &Client) {
    thread::scope(|scope| {
        for worker in 0..6 {
            scope.spawn(move || client.post_task(Body::task(10_000 + worker)));
        }
    });
}

#[test]
fn a_server_without_a_connection_to_spare_is_waited_for() {
    let (database, uri) = database(2);
    let cluster = database.cluster();
    // Others have them all.
    thread::scope(|scope| {
        let (uri, name) = (&uri, database.name());
        let holders = [0, 1].map(|_| scope.spawn(move || cluster.try_sql_at(uri, "select pg_sleep(600)")));
        let held =
            format!("select count(*) from pg_stat_activity where datname = '{name}' and usename = 'afm'");
        eventually("they are taken", || cluster.sql("postgres", &held) == "2");
        let (afm, client) = serve_with(uri, &[], "SQLALCHEMY_POOL_TIMEOUT = 1\n");
        afm.wait_for_line(|line| line.contains("database is away") && line.contains("53300"), PATIENCE);
        client.get("/readyz").is_try_again();
        database.terminate_backends();
        for holder in holders {
            assert!(holder.join().expect("it ran").is_err());
        }
        eventually("it recovers", || client.get("/readyz").status == 200);
        for n in 0..10 {
            // Calls wait a second for one of the two connections, which may be too short on a busy machine.
            eventually("a task is posted", || client.post("/task", Body::task(n)).status == 200);
        }
    });
}
