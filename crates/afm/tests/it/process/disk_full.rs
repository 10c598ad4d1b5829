//! The disk of the SQLite file is full, and then is not.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use slamon_testbed::AfmProcess;

use super::{folder, program};
use crate::test_app::{Body, Client, id};

/// A server in a mount namespace of its own, its file on a small disk.
struct SmallDisk {
    afm: AfmProcess,
    mounted: PathBuf,
    _folder: tempfile::TempDir,
}

impl SmallDisk {
    #[track_caller]
    fn serve() -> Self {
        const SCRIPT: &str = "mount -t tmpfs -o size=4m tmpfs \"$1\" && shift && exec \"$@\"";
        let folder = folder();
        let mounted = folder.path().display().to_string();
        let uri = format!("sqlite:///{mounted}/afm.db");
        let program = program().display().to_string();
        let mut args = vec!["--mount", "sh", "-c", SCRIPT, "sh", &mounted, &program, "--database-uri", &uri];
        let is_root = fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
        if !is_root {
            args.insert(0, "--map-root-user");
        }
        let afm = AfmProcess::start(Path::new("unshare"), &args, &[], None);
        // As it is seen from outside.
        let mounted = PathBuf::from(format!("/proc/{}/root{mounted}", afm.pid()));
        Self { afm, mounted, _folder: folder }
    }

    fn filler(&self) -> PathBuf {
        self.mounted.join("filler")
    }

    /// Leaves not a byte free.
    #[track_caller]
    fn fill(&self) {
        let mut file = File::create(self.filler()).expect("there is room for a file");
        self.fill_up(&mut file);
    }

    #[track_caller]
    fn fill_again(&self) {
        let file = OpenOptions::new().append(true).open(self.filler());
        self.fill_up(&mut file.expect("it was filled"));
    }

    #[track_caller]
    fn fill_up(&self, file: &mut File) {
        for size in [65_536, 1] {
            loop {
                match file.write(&vec![0; size]) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
}

#[test]
fn posts_are_503_until_there_is_room_and_nothing_is_lost() {
    let disk = SmallDisk::serve();
    let client = Client::new(disk.afm.address());
    let task = |n: u64| Body::task(n).with("task_data", format!(r#"{{"a":"{}"}}"#, "x".repeat(50_000)));
    client.post_task(task(0));
    assert_eq!(client.poll(Body::poll(9)), [id(0)]);
    disk.fill();
    // What the files have already may take some more.
    let refused = (1..).find(|n| {
        disk.fill_again();
        let answer = client.post("/task", task(*n));
        if answer.status != 200 {
            answer.is_try_again();
        }
        answer.status != 200
    });
    let refused = refused.expect("there is an end");
    client.post("/task", task(refused)).is_try_again();
    client.get(&format!("/task/{}", id(refused))).problem(404);
    for n in 0..refused {
        assert_eq!(client.get(&format!("/task/{}", id(n))).status, 200);
    }
    assert_eq!(client.get("/healthz").status, 200);

    fs::remove_file(disk.filler()).expect("it was there");
    client.post_task(task(refused));
    client.post("/tasks/response", Body::result(0)).is_empty();
    assert_eq!(client.poll(Body::poll(9)), (1..=refused).map(id).collect::<Vec<_>>());
}
