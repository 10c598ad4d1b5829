//! Tests the command line.

use slamon_testbed::Process;

use super::{folder, program, run, write};
use crate::test_app::PATIENCE;

#[test]
fn without_a_subcommand_it_helps_and_fails() {
    let ended = run(folder().path(), &[], &[]);
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(1), ""));
    for word in ["run", "create-tables", "drop-tables", "--database-uri", "--config"] {
        assert!(ended.stdout.contains(word), "{}", ended.stdout);
    }
    // Also with options alone.
    assert_eq!(run(folder().path(), &["--database-uri", "sqlite://"], &[]).status, Some(1));
}

#[test]
fn help_and_version_are_no_failure() {
    let ended = run(folder().path(), &["--help"], &[]);
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
    for word in ["config.example.cfg", "SLAMON_AFM_CFG", "environment variables", "AGENT_RETURN_TIME"] {
        assert!(ended.stdout.contains(word), "{}", ended.stdout);
    }
    let ended = run(folder().path(), &["--version"], &[]);
    assert_eq!(ended.status, Some(0));
    assert_eq!(ended.stdout, concat!("slamon-afm ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn what_it_does_not_understand_is_2() {
    for (args, named) in [
        (["run", "127.0.0.1", "65536"].as_slice(), "65536"),
        (&["run", "127.0.0.1", "-1"], "-1"),
        (&["run", "127.0.0.1", "http"], "http"),
        (&["run", "127.0.0.1", "8080", "x"], "'x'"),
        (&["run", "99999"], "99999"),
        (&["run", "8080", "9090"], "9090"),
        (&["run", "--port", "1"], "--port"),
        (&["serve"], "serve"),
        (&["create-tables", "now"], "now"),
        (&["--config"], "--config"),
    ] {
        let ended = run(folder().path(), args, &[]);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
        assert!(ended.stderr.contains(named), "{ended:?}");
    }
}

#[test]
fn that_tables_are_dropped_without_a_question_is_said() {
    let help = run(folder().path(), &["drop-tables", "--help"], &[]).stdout;
    assert!(help.contains("Does not ask"), "{help}");
}

/// Returns the line that says where `run ARGS` listens, or that it cannot.
#[track_caller]
fn where_it_listens(args: &[&str]) -> String {
    let process = Process::start(program(), &[&["run"], args].concat(), &[]).expect("the program starts");
    process.wait_for_line(|line| line.contains("listen"), PATIENCE)
}

#[test]
fn a_number_alone_is_a_port_on_all_interfaces() {
    let line = where_it_listens(&["0"]);
    assert!(line.contains("addr=0.0.0.0:"), "{line}");
}

#[test]
fn host_and_port() {
    for args in [&["127.0.0.1", "0"][..], &["localhost", "0"], &["127.0.0.1:0"], &["[::1]:0"]] {
        let line = where_it_listens(args);
        assert!(line.contains("addr=127.0.0.1:") || line.contains("addr=[::1]:"), "{line}");
    }
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = taken.local_addr().expect("it has an address").port().to_string();
    let ended = run(folder().path(), &["run", "127.0.0.1", &port], &[]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(&format!("cannot listen on 127.0.0.1 port {port}")), "{ended:?}");
}

#[test]
fn options_may_come_before_and_after_the_subcommand() {
    for args in [
        ["--database-uri", "sqlite:///a.db", "create-tables"].as_slice(),
        &["create-tables", "--database-uri", "sqlite:///a.db"],
        &["--database-uri=sqlite:///a.db", "create-tables"],
        &["--database", "sqlite:///a.db", "create-tables"],
        &["-c", "afm.cfg", "create-tables"],
        &["create-tables", "-c", "afm.cfg"],
        &["create-tables", "--config", "afm.cfg"],
        &["--config=afm.cfg", "create-tables"],
        &["--config", "other.cfg", "create-tables", "--database-uri", "sqlite:///a.db"],
    ] {
        let folder = folder();
        write(folder.path(), "afm.cfg", "SQLALCHEMY_DATABASE_URI = 'sqlite:///a.db'\n");
        write(folder.path(), "other.cfg", "SQLALCHEMY_DATABASE_URI = 'sqlite:///b.db'\n");
        let ended = run(folder.path(), args, &[]);
        assert_eq!(ended.status, Some(0), "{args:?}: {ended:?}");
        assert!(folder.path().join("a.db").exists(), "{args:?}: {ended:?}");
        assert!(!folder.path().join("b.db").exists(), "{args:?}: {ended:?}");
    }
}

#[test]
fn a_uri_in_the_wrong_place_is_not_shown() {
    let uri = "postgresql://u:s3cret@h/d";
    let http = "http://u:s3cret@localhost:8092";
    for args in
        [&[uri, "run"][..], &["run", uri], &["run", uri, "0"], &["run", "127.0.0.1", uri], &["run", http]]
    {
        let ended = run(folder().path(), args, &[]);
        assert_eq!(ended.status, Some(2), "{ended:?}");
        assert!(!ended.stderr.contains("s3cret") && !ended.stdout.contains("s3cret"), "{ended:?}");
        assert!(ended.stderr.contains("--database-uri"), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
}
