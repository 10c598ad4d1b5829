//! Tests how the server ends.

use std::time::Duration;

use crate::test_app::{Body, Connection, Gate, Setup, TestApp, eventually, id};

/// Starts an AFM with a request that runs until the gate opens.
fn busy(setup: Setup) -> (TestApp, Gate, Connection) {
    let (app, gate) = setup.start_gated();
    gate.close();
    let mut connection = app.connect();
    connection.post("/task", &Body::task(1).to_string());
    gate.wait_until_reached();
    (app, gate, connection)
}

#[test]
fn what_runs_is_finished_and_nothing_new_accepted() {
    let (mut app, gate, mut connection) = busy(Setup::default());
    let mut idle = app.connect();
    idle.write("GET /healthz HTTP/1.1\r\nhost: afm\r\n\r\n");
    assert_eq!(idle.answer().status, 200);
    app.stop.cancel();
    idle.wait_until_closed();
    eventually("it accepts nothing more", || !app.listens());
    gate.open();
    let answer = connection.answer();
    answer.is_empty_and_last();
    connection.wait_until_closed();
    app.wait_until_stopped();
}

#[test]
fn without_requests_it_stops_at_once() {
    let mut app = TestApp::start();
    let mut silent = app.connect();
    assert_eq!(app.get(&format!("/task/{}", id(1))).status, 404);
    app.stop.cancel();
    silent.wait_until_closed();
    app.wait_until_stopped();
}

#[test]
fn what_does_not_finish_in_time_is_cut_off() {
    let mut setup = Setup::default();
    setup.limits.shutdown = Duration::from_millis(100);
    let (mut app, _gate, mut connection) = busy(setup);
    app.stop.cancel();
    app.wait_until_stopped();
    connection.wait_until_closed();
}

#[test]
fn the_second_signal_cuts_off() {
    let (mut app, _gate, mut connection) = busy(Setup::default());
    app.stop.cancel();
    eventually("it accepts nothing more", || !app.listens());
    app.abort.cancel();
    app.wait_until_stopped();
    connection.wait_until_closed();
}
