//! Tests creating, missing and dropping tables.

use rusqlite::Connection as Sqlite;

use super::{file_uri, folder, run, serve};
use crate::test_app::{Body, PATIENCE, Place, id};

fn on_every_lasting_store(test: impl Fn(&str)) {
    for place in [Place::file(), Place::postgres()] {
        test(&place.uri());
    }
}

#[test]
fn without_tables_it_says_how_to_make_them() {
    on_every_lasting_store(|uri| {
        let folder = folder();
        let command = |command: &str| {
            let args = ["--database-uri", uri, command, "127.0.0.1", "0"];
            let args = if command == "run" { args.as_slice() } else { &args[..3] };
            run(folder.path(), args, &[("AUTO_CREATE", "False")])
        };
        let ended = command("run");
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("run `slamon-afm create-tables`"), "{ended:?}");
        let ended = command("create-tables");
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert!(ended.stderr.contains("tables created"), "{ended:?}");
        let ended = command("create-tables");
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert!(ended.stderr.contains("up to date"), "{ended:?}");
        {
            let (_afm, client) = super::serve_with(uri, &[("AUTO_CREATE", "False")], "");
            client.post_task(Body::task(1));
        }
        let ended = command("drop-tables");
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert!(ended.stderr.contains("tables dropped"), "{ended:?}");
        let ended = command("drop-tables");
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert!(ended.stderr.contains("no tables to drop"), "{ended:?}");
        assert_eq!(command("run").status, Some(1));
    });
}

#[test]
fn what_was_dropped_is_gone() {
    on_every_lasting_store(|uri| {
        {
            let (_afm, client) = serve(uri);
            client.post_task(Body::task(1));
        }
        {
            let (_afm, client) = serve(uri);
            assert_eq!(client.get(&format!("/task/{}", id(1))).status, 200);
        }
        let ended = run(folder().path(), &["drop-tables", "--database-uri", uri], &[]);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        let (_afm, client) = serve(uri);
        client.get(&format!("/task/{}", id(1))).problem(404);
    });
}

#[test]
fn tables_dropped_under_a_running_server_are_503_until_they_are_back() {
    on_every_lasting_store(|uri| {
        let (_afm, client) = serve(uri);
        client.post_task(Body::task(1));
        let table = |command| run(folder().path(), &[command, "--database-uri", uri], &[]);
        assert_eq!(table("drop-tables").status, Some(0));
        client.post("/task", Body::task(2)).is_try_again();
        client.get(&format!("/task/{}", id(1))).is_try_again();
        client.get("/readyz").is_try_again();
        client.get("/status").problem(500);
        assert_eq!(table("create-tables").status, Some(0));
        client.post_task(Body::task(2));
        assert_eq!(client.get("/readyz").status, 200);
    });
}

#[test]
fn a_migration_is_said_before_it_begins() {
    const SQLITE: &str = include_str!("../../../../store/migrations/sqlite/0001_tasks.sql");
    const POSTGRES: &str = include_str!("../../../../store/migrations/postgres/0001_tasks.sql");
    const VERSION: &str =
        "create table slamon_schema (version integer not null); insert into slamon_schema values (1)";
    let folder = folder();
    let file = folder.path().join("afm.db");
    let sqlite = Sqlite::open(&file).expect("it can be made");
    sqlite.execute_batch(&format!("{SQLITE}; {VERSION}")).expect("they are tables");
    drop(sqlite);
    let place = Place::postgres();
    place.sql(POSTGRES);
    for uri in [file_uri(&file), place.uri()] {
        let ended = run(folder.path(), &["--database-uri", &uri, "create-tables"], &[]);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        let said = ["migrating the tables, which takes a while", "tables migrated from=1"];
        let at = said.map(|text| ended.stderr.find(text).unwrap_or_else(|| panic!("{text}: {ended:?}")));
        assert!(at.is_sorted(), "{ended:?}");
    }
}

#[test]
fn in_memory_it_warns() {
    let (afm, _) = serve("sqlite://");
    let line = afm.wait_for_line(|line| line.contains("in memory"), PATIENCE);
    assert!(line.contains("WARN"), "{line}");
    assert!(line.contains("--database-uri sqlite:///"), "{line}");
}

#[test]
fn a_file_that_is_no_database_is_named_and_left_alone() {
    let folder = folder();
    let text = "not a database ".repeat(1000);
    let file = super::write(folder.path(), "afm.db", &text);
    let ended = run(folder.path(), &["--database-uri", "sqlite:///afm.db", "run", "127.0.0.1", "0"], &[]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("not a database"), "{ended:?}");
    assert_eq!(std::fs::read_to_string(file).expect("it is there"), text);
}
