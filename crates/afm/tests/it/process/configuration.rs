//! Tests configuration by files and the environment.

use super::{folder, run, serve_with, write};
use crate::test_app::PATIENCE;

#[test]
fn whatever_is_wrong_with_a_file_is_one_line_that_says_where() {
    for (text, named) in [
        ("AGENT_RETURN_TIME = 'soon'\n", ":1: AGENT_RETURN_TIME"),
        ("# a comment\n\nAGENT_RETURN_TIME = -1\n", ":3: AGENT_RETURN_TIME"),
        ("AUTO_CREATE = 'perhaps'\n", ":1: AUTO_CREATE"),
        ("LOG_LEVEL = 'LOUD'\n", ":1: LOG_LEVEL"),
        ("LOG_FORMAT = 'xml'\n", ":1: LOG_FORMAT"),
        ("STATSD_PORT = 65536\n", ":1: STATSD_PORT"),
        ("MAX_CONTENT_LENGTH = 0\n", ":1: MAX_CONTENT_LENGTH"),
        ("SQLALCHEMY_DATABASE_URI = 5\n", ":1: SQLALCHEMY_DATABASE_URI"),
        ("AGENT_RETURN_TIME = f()\n", ":1:21: "),
        ("AGENT_RETURN_TIME = \n", ":1:21: AGENT_RETURN_TIME: this is not Python"),
        ("import os\nAGENT_RETURN_TIME = os.environ['X']\n", ":2:21: AGENT_RETURN_TIME"),
        ("this is no assignment\n", ":1:12: this is not Python"),
        ("AGENT_ACTIVE_THRESHOLD = 10\nAGENT_DROP_THRESHOLD = 5\n", ":2)"),
    ] {
        let folder = folder();
        write(folder.path(), "afm.cfg", text);
        let ended = run(folder.path(), &["-c", "afm.cfg", "run", "127.0.0.1", "0"], &[]);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""), "{text}: {ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{text}: {ended:?}");
        assert!(ended.stderr.starts_with("slamon-afm: "), "{text}: {ended:?}");
        assert!(ended.stderr.contains(&format!("afm.cfg{named}")), "{text}: {ended:?}");
        for key in ["AGENT_RETURN_TIME", "AGENT_DROP_THRESHOLD"] {
            assert!(!text.contains(key) || ended.stderr.contains(key), "{text}: {ended:?}");
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    for (args, env, named_by) in [
        (["--config", "gone.cfg", "run"].as_slice(), [].as_slice(), "--config"),
        (&["run"], &[("SLAMON_AFM_CFG", "gone.cfg")], "SLAMON_AFM_CFG"),
    ] {
        let ended = run(folder().path(), args, env);
        assert_eq!((ended.status, ended.stderr.lines().count()), (Some(2), 1), "{ended:?}");
        assert!(ended.stderr.contains("gone.cfg"), "{ended:?}");
        assert!(ended.stderr.contains(named_by), "{ended:?}");
    }
}

#[test]
fn a_bad_variable_is_named() {
    let ended = run(folder().path(), &["run"], &[("AGENT_RETURN_TIME", "soon")]);
    assert_eq!((ended.status, ended.stderr.lines().count()), (Some(2), 1), "{ended:?}");
    assert!(ended.stderr.contains("environment variable AGENT_RETURN_TIME"), "{ended:?}");
}

#[test]
fn the_later_place_holds() {
    let folder = folder();
    let uri = |name: &str| format!("sqlite:///{name}.db");
    let file = |name: &str| format!("SQLALCHEMY_DATABASE_URI = '{}'\n", uri(name));
    write(folder.path(), "first.cfg", &file("first"));
    write(folder.path(), "second.cfg", &file("second"));
    let (variable, alias) = (uri("variable"), uri("alias"));
    let uri_variable = ("SQLALCHEMY_DATABASE_URI", variable.as_str());
    let named = ("SLAMON_AFM_CFG", "first.cfg");
    for (args, env, used) in [
        ([].as_slice(), [("AFM_DB_URI", alias.as_str())].as_slice(), "alias"),
        (&[], &[uri_variable], "variable"),
        (&[], &[uri_variable, named], "first"),
        (&["-c", "second.cfg"], &[uri_variable, named], "second"),
        (&["-c", "second.cfg", "--database-uri", "sqlite:///option.db"], &[uri_variable, named], "option"),
    ] {
        let ended = run(folder.path(), &[args, &["create-tables"]].concat(), env);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        let database = folder.path().join(format!("{used}.db"));
        std::fs::remove_file(&database).unwrap_or_else(|error| panic!("{used}: {error}: {ended:?}"));
    }
    let ended = run(folder.path(), &["run"], &[uri_variable, ("AFM_DB_URI", &alias)]);
    assert_eq!((ended.status, ended.stderr.lines().count()), (Some(2), 1), "{ended:?}");
}

#[test]
fn a_dialect_that_is_not_known_names_those_that_are() {
    let ended = run(folder().path(), &["--database-uri", "mysql://u:p@h/db", "run"], &[]);
    assert_eq!((ended.status, ended.stderr.lines().count()), (Some(2), 1), "{ended:?}");
    for word in ["--database-uri", "`mysql`", "sqlite:///", "postgresql://"] {
        assert!(ended.stderr.contains(word), "{ended:?}");
    }
}

/// Database URIs that are wrong in their own ways, each with a password.
const WITH_PASSWORD: [&str; 9] = [
    "mysql://user:s3cret@host/db",
    "user:s3cret@host/db",
    "s3cret@host/db",
    "host=db password=s3cret",
    "sqlite://user:s3cret@host/db",
    "postgresql://user:s3cret@host:port/db",
    "postgresql://user:s3cret@host/db?sslmode=s3cret",
    "postgresql//user:s3cret@host/db",
    "postgresql+psycopg2:/user:s3cret@host/db",
];

#[test]
fn passwords_are_never_shown() {
    for uri in WITH_PASSWORD {
        let folder = folder();
        write(folder.path(), "good.cfg", &format!("SQLALCHEMY_DATABASE_URI = '{uri}'\n"));
        write(folder.path(), "bad.cfg", &format!("SQLALCHEMY_DATABASE_URI = '{uri}\n"));
        for (args, env) in [
            (["--database-uri", uri, "create-tables"].as_slice(), [].as_slice()),
            (&["create-tables"], &[("SQLALCHEMY_DATABASE_URI", uri)]),
            (&["create-tables"], &[("AFM_DB_URI", uri)]),
            (&["-c", "good.cfg", "create-tables"], &[]),
            (&["-c", "bad.cfg", "create-tables"], &[]),
        ] {
            let ended = run(folder.path(), args, env);
            assert_eq!((ended.status, ended.stderr.lines().count()), (Some(2), 1), "{uri}: {ended:?}");
            assert!(!ended.stderr.contains("s3cret"), "{uri}: {ended:?}");
        }
    }
}

#[test]
fn a_key_that_is_not_known_is_a_warning_that_names_the_nearest() {
    let (afm, _) = serve_with("sqlite://", &[], "AGENT_RETURN_TIMES = 5\n");
    let line = afm.wait_for_line(|line| line.contains("AGENT_RETURN_TIMES"), PATIENCE);
    assert!(line.contains("WARN"), "{line}");
    assert!(line.contains(":1: "), "{line}");
    assert!(line.contains("did you mean AGENT_RETURN_TIME?"), "{line}");
}

#[test]
fn settings_reach_the_answers() {
    let config = "MAX_CONTENT_LENGTH = 1\n";
    let (_afm, client) = serve_with("sqlite://", &[], config);
    client.post("/task", "{}").is_problem(413, "request body: is larger than 1 bytes");
}
