//! Tests how commands reach an AFM, and that they are no AFM.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConnection, StreamOwned};
use slamon_testbed::{PgCluster, PgOptions, Stop};

use super::super::certificates::tls_for_localhost;
use super::super::{folder, program, run, write};
use super::{Asked, run_at};
use crate::test_app::eventually;

/// An AFM that answers one request with a list of no types, and returns what it was asked.
fn answer_once(stream: &mut (impl Read + Write)) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        head.push(byte[0]);
    }
    let body = r#"{"types":[],"next_cursor":null}"#;
    let answer =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    // One that does not trust the certificate has gone.
    let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.flush());
    String::from_utf8(head).expect("UTF-8").to_ascii_lowercase()
}

#[test]
fn health_tells_whether_the_database_takes_writes() {
    let database = PgCluster::start(&PgOptions::default()).expect("PostgreSQL starts").create_database();
    let asked = Asked::on(&database.uri());
    assert_eq!(asked.done(&["health"]), "ready\n");
    assert_eq!(asked.done(&["health", "--json"]), "{\"ready\":true}\n");
    database.cluster().stop(Stop::Fast);
    // The AFM asks its database once a second at most.
    eventually("it is not ready", || asked.run(&["health"]).status != Some(0));
    let ended = asked.run(&["health"]);
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(4), ""), "{ended:?}");
    assert!(ended.stderr.starts_with("slamon-afm: the AFM cannot do it now: "), "{ended:?}");
}

#[test]
fn an_afm_that_is_away_is_4_within_the_time() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", free.local_addr().expect("an address"));
    let began = Instant::now();
    // It accepts, and says nothing.
    for command in [&["status"][..], &["task", "post", "wait"], &["task", "list"], &["top"]] {
        let ended = run_at(&url, &[command, &["--timeout", "0.3"]].concat(), "");
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(4), ""), "{ended:?}");
    }
    drop(free);
    let ended = run_at(&url, &["agents", "--timeout", "1"], "");
    assert_eq!(ended.status, Some(4), "{ended:?}");
    assert!(ended.stderr.contains("could not be reached"), "{ended:?}");
    let lines = "{\"task_type\":\"wait\",\"task_version\":1}\n".repeat(2);
    let ended = run_at(&url, &["task", "post", "--file", "-", "--timeout", "0.3", "--json"], &lines);
    assert_eq!((ended.status, ended.stdout.matches("503").count()), (Some(4), 2), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn what_answers_and_is_no_afm_is_4() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", server.local_addr().expect("an address"));
    thread::scope(|scope| {
        scope.spawn(|| answer_once(&mut server.accept().expect("a client").0));
        let ended = run_at(&url, &["status"], "");
        assert_eq!(ended.status, Some(4), "{ended:?}");
        assert!(ended.stderr.contains("could not read the answer"), "{ended:?}");
    });
}

#[test]
fn a_token_or_a_user_is_shown_to_the_afm_and_to_nobody_else() {
    let folder = folder();
    let token = write(folder.path(), "token", "s3cret-token\n");
    let token = token.to_str().expect("UTF-8");
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("an address");
    thread::scope(|scope| {
        let asked = scope.spawn(|| answer_once(&mut server.accept().expect("a client").0));
        let ended = run_at(&format!("http://{address}/base"), &["types", "--token-file", token], "");
        assert_eq!(ended.status, Some(0), "{ended:?}");
        let head = asked.join().expect("it answers");
        assert!(head.starts_with("get /base/api/v1/types?limit=50 "), "{head}");
        assert!(head.contains("authorization: bearer s3cret-token\r\n"), "{head}");
        let asked = scope.spawn(|| answer_once(&mut server.accept().expect("a client").0));
        let ended = run_at(&format!("http://user:s3cret@{address}"), &["types"], "");
        assert_eq!(ended.status, Some(0), "{ended:?}");
        let head = asked.join().expect("it answers");
        assert!(head.contains("authorization: basic dxnlcjpzm2nyzxq=\r\n"), "{head}");
    });
    drop(server);
    for url in
        [format!("http://user:s3cret@{address}"), "nonsense://user:s3cret@x".to_owned(), "s3cret".to_owned()]
    {
        for command in [&["status"][..], &["task", "get", "--help"]] {
            let ended = run_at(&url, &[command, &["--timeout", "0.3"]].concat(), "");
            assert!(!format!("{ended:?}").contains("s3cret"), "{ended:?}");
        }
    }
    for (option, file) in
        [("--token-file", "/no/such/file"), ("--token-file", "/dev/null"), ("--ca-file", token)]
    {
        let ended = run_at(&format!("http://{address}"), &["types", option, file], "");
        assert_eq!(ended.status, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(&option[2..]), "{ended:?}");
    }
}

#[test]
fn tls_is_spoken_with_an_authority_of_a_file() {
    let folder = folder();
    let config = Arc::new(tls_for_localhost(folder.path()));
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://localhost:{}", server.local_addr().expect("an address").port());
    for (file, status) in [("authority.pem", 0), ("stranger.pem", 4)] {
        let file = folder.path().join(file);
        thread::scope(|scope| {
            scope.spawn(|| {
                let stream = server.accept().expect("a client").0;
                let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
                answer_once(&mut StreamOwned::new(session, stream));
            });
            let args = ["types", "--timeout", "0.5", "--ca-file", file.to_str().expect("UTF-8")];
            let ended = run_at(&url, &args, "");
            assert_eq!(ended.status, Some(status), "{ended:?}");
        });
    }
}

#[test]
fn a_command_reads_no_configuration_of_an_afm_and_opens_no_database() {
    let asked = Asked::new();
    let folder = folder();
    let database = format!("sqlite:///{}", folder.path().join("a.db").display());
    let output = Command::new(program())
        .args(["status", "--url", &asked.afm.url()])
        .current_dir(folder.path())
        .env_clear()
        .env("SLAMON_AFM_CFG", "/no/such/file")
        .env("SQLALCHEMY_DATABASE_URI", &database)
        .env("AGENT_RETURN_TIME", "nonsense")
        .output()
        .expect("the program runs");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    for args in [
        &["--config", "a.cfg", "status"][..],
        &["--database-uri", "sqlite://", "task", "list"],
        &["status", "--config", "a.cfg"],
        &["--config", "a.cfg", "man"],
    ] {
        let ended = run(folder.path(), args, &[]);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""), "{args:?}: {ended:?}");
    }
}

#[test]
fn what_a_command_does_not_understand_is_2() {
    let id = crate::test_app::id(1);
    for args in [
        &["task"][..],
        &["task", "post"],
        &["task", "post", "wait", "x"],
        &["task", "post", "wait", "1", "2"],
        &["task", "post", "wait", "--file", "-"],
        &["task", "post", "wait", "--ttl", "soon"],
        &["task", "post", "wait", "--ttl", "NaN"],
        &["task", "post", "wait", "--for", "1"],
        &["task", "get", "7"],
        &["task", "wait", &id, "--for", "-1"],
        &["task", "list", "--limit", "0"],
        &["task", "list", "--all", "--limit", "3"],
        &["status", "--timeout", "0"],
        &["status", "--timeout", "inf"],
        &["status", "--url", "127.0.0.1:8080"],
        &["completions", "cobol"],
    ] {
        let ended = run_at("http://127.0.0.1:9", args, "");
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""), "{args:?}: {ended:?}");
        assert!(!ended.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn an_argument_that_is_wrong_is_named_with_what_it_has_to_be() {
    let (id, number) = ("must be a UUID of 8-4-4-4-12", "must be a whole number");
    for (args, name, words) in [
        (&["task", "post", "wait", "x"][..], "[VERSION]", number),
        (&["task", "post", "wait", "9223372036854775808"], "[VERSION]", number),
        (&["task", "post", "wait", "--id", "abc"], "--id <ID>", id),
        (&["task", "post", "wait", "--test", "abc"], "--test <ID>", id),
        (&["task", "post", "wait", "--agent", "vm"], "--agent <ID>", "slamon-afm agents"),
        (&["task", "post", "wait", "--priority", "high"], "--priority <N>", "must be a number"),
        (&["task", "get", "7"], "<ID>", id),
        (&["task", "wait", "7"], "<ID>", id),
        (&["task", "cancel", "7"], "[ID]", id),
        (&["task", "list", "--id", "7"], "--id <ID>", id),
        (&["task", "list", "--test", "7"], "--test <ID>", id),
        (&["task", "list", "--agent", "vm"], "--agent <ID>", "slamon-afm agents"),
        (&["task", "list", "--limit", "many"], "--limit <N>", "must be a whole number from 1 to 4294967295"),
        (&["task", "list", "--type-version", "x"], "--type-version <VERSION>", number),
        (&["agents", "vm"], "[ID]", "slamon-afm agents"),
        (&["types", "pause", "wait", "x"], "[VERSION]", number),
        (&["tests", "7"], "<ID>", id),
        (&["status", "--timeout", "0"], "--timeout <SECONDS>", "must be a number of seconds above 0"),
        (&["status", "--timeout", "soon"], "--timeout <SECONDS>", "must be a number of seconds"),
        (&["health", "--url", "127.0.0.1:8080"], "url: ", "must begin with http:// or https://"),
        (&["run", "127.0.0.1", "http"], "[PORT]", "must be a whole number from 0 to 65535"),
    ] {
        let ended = run_at("http://127.0.0.1:9", args, "");
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(name) && ended.stderr.contains(words), "{args:?}: {ended:?}");
    }
}

#[test]
fn the_usage_does_not_require_what_the_environment_says() {
    for args in [&["task", "get"][..], &["task", "list", "--nonsense"], &["status", "now"]] {
        let ended = run_at("http://127.0.0.1:9", args, "");
        assert_eq!(ended.status, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("Usage: slamon-afm"), "{ended:?}");
        assert!(!ended.stderr.contains("--url"), "{ended:?}");
    }
}
