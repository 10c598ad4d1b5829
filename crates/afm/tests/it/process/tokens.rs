//! Tests the commands that make, list and revoke tokens, and servers that require one.

use serde_json::Value;
use slamon_testbed::OriginalAgent;

use super::{folder, run, serve_with};
use crate::client::AfmClient;
use crate::test_app::{Answer, Client, Place, eventually, id};

const REQUIRED: &str = "AUTH_REQUIRED = True\n";

/// Runs a command, which has to succeed, and returns what it printed.
#[track_caller]
fn token(uri: &str, args: &[&str]) -> String {
    let args = [&["token"], args, &["--database-uri", uri]].concat();
    let ended = run(folder().path(), &args, &[]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    ended.stdout
}

/// Makes a token: it is all that is printed.
#[track_caller]
fn create(uri: &str, args: &[&str]) -> String {
    let printed = token(uri, &[&["create"], args].concat());
    let text = printed.strip_suffix('\n').expect("a line");
    assert!(text.starts_with("slamon_") && !text.contains(char::is_whitespace), "{printed:?}");
    text.to_owned()
}

#[track_caller]
fn list(uri: &str, args: &[&str]) -> Vec<Value> {
    let printed = token(uri, &[&["list", "--json"], args].concat());
    printed.lines().map(|line| line.parse().expect("JSON")).collect()
}

#[track_caller]
fn status(client: &Client, token: &str) -> Answer {
    client.send("GET", "/status", &[("authorization", &*format!("Bearer {token}"))], "")
}

#[test]
fn tokens_are_made_listed_and_revoked_while_a_server_runs() {
    for place in [Place::file(), Place::postgres()] {
        let uri = place.uri();
        // The first one is made before there are tables.
        let first = create(&uri, &["--role", "viewer", "--name", "first"]);
        let (afm, client) = serve_with(&uri, &[], REQUIRED);
        client.get("/status").problem(401);
        status(&client, &first).json();
        let second = create(&uri, &["--role", "operator", "--expires", "90d"]);
        status(&client, &second).json();
        create(&uri, &["--role", "agent", "--agent-id", &id(1), "--name", "one"]);
        create(&uri, &["--role", "agent", "--agent-id", "first", "--name", "any"]);
        create(&uri, &["--role", "client", "--types", "wait,ping", "--name", "shop"]);

        let tokens = list(&uri, &[]);
        let names: Vec<&str> = tokens.iter().filter_map(|token| token["name"].as_str()).collect();
        assert_eq!(names[..3], ["any", "first", "one"], "{tokens:?}");
        assert!(names[3].starts_with("operator-") && names[4] == "shop", "{tokens:?}");
        assert_eq!((&tokens[0]["agent_id"], &tokens[2]["agent_id"]), (&"first".into(), &id(1).into()));
        assert_eq!(tokens[4]["types"], serde_json::json!(["wait", "ping"]));
        assert!(tokens[3]["expires"].is_string() && tokens[1].get("expires").is_none(), "{tokens:?}");
        let table = token(&uri, &["list"]);
        assert!(table.lines().count() == 6 && table.contains("types wait,ping"), "{table}");

        token(&uri, &["revoke", "first"]);
        eventually("it is revoked", || status(&client, &first).status == 401);
        status(&client, &second).json();
        let by_id = tokens[3]["id"].as_str().expect("an id");
        token(&uri, &["revoke", by_id, "shop"]);
        eventually("it is revoked", || status(&client, &second).status == 401);
        assert_eq!(list(&uri, &[]).len(), 2);
        let all = list(&uri, &["--all"]);
        assert_eq!(all.iter().filter(|token| token["state"] == "revoked").count(), 3, "{all:?}");

        // Nothing that anybody can read has a token in it.
        let log = afm.log_lines().join("\n");
        for secret in [&first, &second] {
            assert!(
                !table.contains(&**secret)
                    && !log.contains(&**secret)
                    && !all.iter().any(|t| t.to_string().contains(&**secret))
            );
        }
        assert!(log.contains("bearer=first"), "{log}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let place = Place::file();
    let uri = place.uri();
    create(&uri, &["--role", "viewer", "--name", "kept"]);
    for (args, status, problem) in [
        (&["create"][..], 2, "--role <ROLE>"),
        (
            &["create", "--role", "root"],
            2,
            "there is no such role; there are agent, client, viewer, operator, admin",
        ),
        (
            &["create", "--role", "viewer", "--agent-id", "first"],
            2,
            "--agent-id is for --role agent, not for viewer",
        ),
        (&["create", "--role", "agent", "--types", "wait"], 2, "--types is for --role client, not for agent"),
        (&["create", "--role", "agent", "--agent-id", "second"], 2, "must be a UUID, or first"),
        (&["create", "--role", "client", "--types", "wait,"], 2, "a type is empty"),
        (&["create", "--role", "viewer", "--name", ""], 2, "is empty"),
        (&["create", "--role", "viewer", "--name", "a\nb"], 2, "has a control character"),
        (&["create", "--role", "viewer", "--expires", "soon"], 2, "must be a time such as"),
        (
            &["create", "--role", "viewer", "--expires", "2001-01-01"],
            1,
            "--expires: 2001-01-01T00:00:00Z is past",
        ),
        (&["revoke"], 2, "<ID|NAME>"),
        (
            &["revoke", "kept", "nobody"],
            1,
            "there is no token with the id or the name nobody; nothing was revoked",
        ),
    ] {
        let ended = run(folder().path(), &[&["--database-uri", &*uri, "token"], args].concat(), &[]);
        assert_eq!(ended.status, Some(status), "{ended:?}");
        assert!(ended.stderr.contains(problem) && ended.stdout.is_empty(), "{ended:?}");
    }
    assert_eq!(list(&uri, &["--all"]).len(), 1);
    let ended = run(folder().path(), &["token", "list"], &[]);
    assert_eq!(ended.status, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("the database is in memory"), "{ended:?}");
}

#[test]
fn a_revoked_token_is_no_good_at_any_server() {
    let place = Place::postgres();
    let uri = place.uri();
    let servers = [(); 2].map(|()| serve_with(&uri, &[], REQUIRED));
    let text = create(&uri, &["--role", "viewer", "--name", "gone"]);
    for (_, client) in &servers {
        status(client, &text).json();
    }
    token(&uri, &["revoke", "gone"]);
    for (_, client) in &servers {
        eventually("it is revoked", || status(client, &text).status == 401);
    }
}

/// The agent of the original shows its token as the password in its URL.
#[test]
fn the_original_agent_and_a_client_work_with_tokens() {
    for place in [Place::file(), Place::postgres()] {
        let uri = place.uri();
        let (afm, client) = serve_with(&uri, &[], REQUIRED);
        let agent = create(&uri, &["--role", "agent", "--agent-id", "first"]);
        let with = |user: &str, token: &str| afm.url().replace("://", &format!("://{user}:{token}@"));
        let _agent = OriginalAgent::start(&with("agent", &agent), 1, 1).expect("the agent runs");
        let shop = AfmClient::of(&with("shop", &create(&uri, &["--role", "client", "--name", "shop"])));
        shop.post_task(&id(1), "wait", &serde_json::json!({"time": 0.6}));
        let finished = shop.finished(&id(1));
        assert!(finished["task_result"]["time"].is_number(), "{finished}");
        client.get(&format!("/task/{}", id(1))).problem(401);
        let bound = list(&uri, &[]);
        assert!(
            bound.iter().any(|token| token["agent_id"].as_str().is_some_and(|id| id.len() == 36)),
            "{bound:?}"
        );
    }
}

#[test]
fn whoever_listens_for_all_without_tokens_is_warned() {
    use std::time::Duration;

    use slamon_testbed::Process;

    let started = |host: &str, required: &str| {
        let args = ["run", host, "0"];
        let afm =
            Process::start(env!("CARGO_BIN_EXE_slamon-afm").as_ref(), &args, &[("AUTH_REQUIRED", required)]);
        let afm = afm.expect("it starts");
        afm.wait_for_line(|line| line.contains("listening"), Duration::from_secs(60));
        afm.log_lines().iter().any(|line| line.contains("no token is required"))
    };
    assert!(started("0.0.0.0", "False"));
    assert!(!started("0.0.0.0", "True"));
    assert!(!started("127.0.0.1", "False"));
}
