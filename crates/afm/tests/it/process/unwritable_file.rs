//! Tests SQLite files that cannot be written, and other places that cannot keep tasks.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use rusqlite::Connection as Sqlite;
use slamon_testbed::AfmProcess;

use super::{Ended, file_uri, folder, program, run, serve};
use crate::test_app::{Body, Client, PATIENCE, eventually, id};

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// Returns the words that run a program with no more rights to files than their modes give, also as root.
fn under_permissions() -> Vec<String> {
    let program = program().display().to_string();
    if !is_root() {
        return vec![program];
    }
    let without = "-dac_override,-dac_read_search,-fowner";
    ["setpriv", "--bounding-set", without, "--inh-caps", without, &program].map(str::to_owned).into()
}

#[track_caller]
fn run_under_permissions(args: &[&str]) -> Ended {
    let words = under_permissions();
    let output = Command::new(&words[0]).args(&words[1..]).args(args).output().expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("it prints UTF-8");
    Ended { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[track_caller]
fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("its mode can be set");
}

/// Creates a file with tables, and nothing beside it.
#[track_caller]
fn with_tables(file: &Path) {
    let ended = run_under_permissions(&["--database-uri", &file_uri(file), "create-tables"]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
}

/// Starts the server, which must end with one line that says all of this.
#[track_caller]
fn is_refused(file: &Path, said: &[&str]) {
    for auto_create in ["True", "False"] {
        let words = under_permissions();
        let output = Command::new(&words[0])
            .args(&words[1..])
            .args(["--database-uri", &file_uri(file), "run", "127.0.0.1", "0"])
            .env("AUTO_CREATE", auto_create)
            .output()
            .expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let errors: Vec<_> = stderr.lines().filter(|line| line.contains("ERROR")).collect();
        let [error] = errors.as_slice() else { panic!("{stderr}") };
        for said in said {
            assert!(error.contains(said), "{said}: {error}");
        }
        assert!(!stderr.contains("tasks are kept in") && !stderr.contains("listening"), "{stderr}");
    }
}

#[test]
fn a_file_that_cannot_be_written_ends_the_start() {
    let folder = folder();
    let file = folder.path().join("afm.db");
    with_tables(&file);
    set_mode(&file, 0o444);
    let shown = file.display().to_string();
    is_refused(&file, &["--database-uri", &shown, "cannot be written", "mode 444", "run `chmod u+rwX "]);
    if is_root() {
        set_mode(&file, 0o644);
        chown(&file, Some(65_534), None).expect("root may");
        is_refused(&file, &[&shown, "user 65534's", "as root, run `chown 0 "]);
    }
}

#[test]
fn a_folder_in_which_nothing_can_be_made_ends_the_start() {
    let folder = folder();
    let file = folder.path().join("afm.db");
    with_tables(&file);
    set_mode(folder.path(), 0o555);
    is_refused(&file, &["the folder", "cannot be written", "SQLite makes files in it", "chmod"]);
    // So does one that could not be made at all.
    is_refused(&folder.path().join("new.db"), &["the folder", "cannot be written"]);
    set_mode(folder.path(), 0o755);
}

#[test]
fn files_beside_it_that_cannot_be_written_end_the_start() {
    for end in ["-wal", "-shm"] {
        let folder = folder();
        let file = folder.path().join("afm.db");
        with_tables(&file);
        // They stay as long as somebody has the file open.
        let other = Sqlite::open(&file).expect("it is there");
        other.execute_batch("create table other (n); insert into other values (1)").expect("it is written");
        let beside = folder.path().join(format!("afm.db{end}"));
        set_mode(&beside, 0o444);
        is_refused(&file, &[&beside.display().to_string(), "cannot be written", "chmod"]);
    }
}

/// A limit on the size of files stands for the disk, as in `disk_full`.
#[test]
fn a_full_disk_ends_the_start() {
    let folder = folder();
    let file = folder.path().join("afm.db");
    with_tables(&file);
    let output = Command::new("sh")
        .args(["-c", r#"ulimit -f 0; exec "$@""#, "sh"])
        .arg(program())
        .args(["--database-uri", &file_uri(&file), "run", "127.0.0.1", "0"])
        .output()
        .expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&format!("df -h {}", file.display())), "{stderr}");
    assert!(!stderr.contains("listening"), "{stderr}");
}

#[test]
fn a_folder_that_is_missing_is_named() {
    let folder = folder();
    let missing = folder.path().join("var/lib");
    let made = format!("mkdir -p {}`", missing.display());
    is_refused(&missing.join("afm.db"), &["--database-uri", "does not exist", &made]);
    is_refused(folder.path(), &["is a folder: name a file in it"]);
    let uri = file_uri(&missing.join("afm.db"));
    for (variable, args) in
        [("AFM_DB_URI", &["run", "127.0.0.1", "0"][..]), ("SQLALCHEMY_DATABASE_URI", &["create-tables"])]
    {
        let ended = run(folder.path(), args, &[(variable, &uri)]);
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(&format!("environment variable {variable}: ")), "{ended:?}");
    }
    let config = format!("\nSQLALCHEMY_DATABASE_URI = '{uri}'\n");
    super::write(folder.path(), "afm.cfg", &config);
    let ended = run(folder.path(), &["-c", "afm.cfg", "run", "127.0.0.1", "0"], &[]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("afm.cfg:2: SQLALCHEMY_DATABASE_URI: "), "{ended:?}");
}

#[test]
fn a_file_that_another_program_holds_is_named_with_who_can_tell() {
    let folder = folder();
    let file = folder.path().join("afm.db");
    with_tables(&file);
    let lock = Sqlite::open(&file).expect("it is there");
    lock.execute_batch("begin immediate").expect("nobody else writes");
    let uri = format!("{}?timeout=0.05", file_uri(&file));
    let ended = run(folder.path(), &["--database-uri", &uri, "run", "127.0.0.1", "0"], &[]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(&format!("fuser -v {}", file.display())), "{ended:?}");
}

#[test]
fn what_is_lost_while_it_runs_is_503_and_one_line_until_it_is_mended() {
    let folder = folder();
    let file = folder.path().join("afm.db");
    with_tables(&file);
    let words = under_permissions();
    let uri = file_uri(&file);
    let args: Vec<&str> = words[1..].iter().map(String::as_str).chain(["--database-uri", &uri]).collect();
    let afm = AfmProcess::start(words[0].as_ref(), &args, &[], None);
    let client = Client::new(afm.address());
    client.post_task(Body::task(1));
    assert_eq!(client.get("/readyz").status, 200);

    // A restored copy, which is somebody else's.
    let copy = folder.path().join("copy.db");
    let source = Sqlite::open(&file).expect("it is there");
    source.execute("vacuum into ?1", [copy.display().to_string()]).expect("it can be copied");
    drop(source);
    set_mode(&copy, 0o444);
    fs::rename(&copy, &file).expect("it can be moved");
    for _ in 0..20 {
        client.post("/task", Body::task(2)).is_try_again();
        client.get("/readyz").is_try_again();
    }
    // Sweeps, which find nothing to do, go on.
    afm.wait_for_line(|line| line.contains("cannot be written"), PATIENCE);
    let said = |what: &str| afm.log_lines().iter().filter(|line| line.contains(what)).count();
    assert_eq!((said("cannot be written"), said("takes commits again")), (1, 0), "{:#?}", afm.log_lines());
    assert_eq!(client.get(&format!("/task/{}", id(1))).status, 200);

    set_mode(&file, 0o644);
    eventually("it recovers", || client.get("/readyz").status == 200);
    client.post_task(Body::task(2));
    afm.wait_for_line(|line| line.contains("takes commits again"), PATIENCE);
    assert_eq!(said("takes commits again"), 1);
}

#[test]
fn dropping_tables_makes_no_file_and_creating_them_in_memory_is_refused() {
    let folder = folder();
    let ended = run(folder.path(), &["--database-uri", "sqlite:///afm.db", "drop-tables"], &[]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("no tables to drop"), "{ended:?}");
    assert!(!folder.path().join("afm.db").exists());
    for uri in [&["create-tables"][..], &["create-tables", "--database-uri", "sqlite:///:memory:"]] {
        let ended = run(folder.path(), uri, &[]);
        assert_eq!((ended.status, ended.stderr.lines().count()), (Some(2), 1), "{ended:?}");
        assert!(ended.stderr.contains("--database-uri sqlite:///"), "{ended:?}");
    }
}

#[test]
fn where_tasks_are_kept_is_said_once_it_is_true() {
    let folder = folder();
    let (afm, _) = serve(&file_uri(&folder.path().join("afm.db")));
    let lines = afm.log_lines();
    let at = |what: &str| lines.iter().position(|line| line.contains(what));
    assert!(at("tables created") < at("tasks are kept in"), "{lines:#?}");
    assert!(at("tasks are kept in").is_some(), "{lines:#?}");
}
