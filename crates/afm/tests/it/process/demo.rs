//! Tests `slamon-afm demo`.

use std::collections::BTreeSet;
use std::net::TcpListener;

use super::{folder, program, run};
use crate::test_app::{Client, PATIENCE, eventually};
use slamon_testbed::Process;

#[test]
fn the_demo_shows_agents_and_tasks_and_keeps_nothing() {
    let folder = folder();
    // A program sees only the folder that it is started in and its environment.
    let start = ["-c", "cd \"$1\" && exec \"$0\" demo 127.0.0.1 0", program().to_str().expect("UTF-8")];
    let words = [&start[..], &[folder.path().to_str().expect("UTF-8")]].concat();
    // Where the environment names proxies, the demo asks none of them.
    let proxies = ["http_proxy", "HTTP_PROXY", "https_proxy"].map(|name| (name, "http://127.0.0.1:9"));
    let demo = Process::start("/bin/sh".as_ref(), &words, &proxies).expect("sh runs");
    let url = |line: &str| line.strip_prefix("The AFM is at ").map(|url| url.trim().to_owned());
    let url = demo.find_line(PATIENCE, url).expect("it says where it is");
    for line in ["The dashboard is at", "Ctrl-C ends the demo"] {
        demo.wait_for_line(|said| said.starts_with(line), PATIENCE);
    }
    let address = url.strip_prefix("http://").and_then(|address| address.parse().ok());
    let client = Client::new(address.expect("an address"));
    assert_eq!(client.get("/dashboard").status, 200);
    eventually("three agents offer types, and tasks end", || {
        let types = client.get("/api/v1/types").json();
        let offered = types["types"].as_array().expect("types");
        let ended: u64 = offered.iter().filter_map(|of| of["last_hour"]["completed"].as_u64()).sum();
        ended >= 3 && offered.iter().all(|of| of["agents"]["active"] == 3)
    });
    let agents = client.get("/api/v1/agents").json();
    let places: BTreeSet<String> = agents["agents"]
        .as_array()
        .expect("agents")
        .iter()
        .map(|agent| agent["agent_location"]["region"].to_string())
        .collect();
    assert_eq!(places.len(), 3, "{agents}");
    demo.signal("INT");
    assert!(demo.wait_exit(PATIENCE).success());
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn a_port_that_is_in_use_ends_the_demo_and_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let ended = run(folder().path(), &["demo", "127.0.0.1", &port], &[]);
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    assert!(ended.stderr.contains(&port), "{ended:?}");
}

#[test]
fn the_demo_takes_no_database() {
    let folder = folder();
    for args in [
        &["demo", "127.0.0.1", "0", "--database-uri", "sqlite:///x.db"][..],
        &["--database-uri", "sqlite:///x.db", "demo", "127.0.0.1", "0"],
    ] {
        let ended = run(folder.path(), args, &[]);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
        assert!(ended.stderr.contains("demo keeps its tasks in memory"), "{ended:?}");
    }
    let help = run(folder.path(), &["demo", "--help"], &[]).stdout;
    assert!(help.contains("--config") && !help.contains("--database-uri"), "{help}");
}
