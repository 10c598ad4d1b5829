//! Tests a disk of the SQLite file that is full, and then is not.
//!
//! A limit on the size of files, which is tested itself with that, stands for the disk. It can be lowered and
//! raised from outside while the program runs, without privileges, and fails the same system calls as a full
//! disk, after as many bytes as still fit; only the number of the error is another one, and a test beside
//! `sqlite::errors` shows that the store takes both for the same.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use slamon_testbed::AfmProcess;

use super::{file_uri, folder, program};
use crate::test_app::{Body, Client, id};

/// A server whose files can be kept from growing, as on a small disk.
struct SmallDisk {
    afm: AfmProcess,
    folder: tempfile::TempDir,
}

impl SmallDisk {
    #[track_caller]
    fn serve() -> Self {
        let folder = folder();
        let uri = file_uri(&folder.path().join("afm.db"));
        Self { afm: AfmProcess::start(program(), &["--database-uri", &uri], &[], None), folder }
    }

    /// Keeps every file from becoming larger than the largest is now.
    #[track_caller]
    fn fill(&self) {
        let files = fs::read_dir(self.folder.path()).expect("the folder is there");
        let size = |file: PathBuf| fs::metadata(file).map_or(0, |file| file.len());
        let largest = files.map(|file| size(file.expect("a file").path())).max();
        self.limit_files(largest);
    }

    #[track_caller]
    fn make_room(&self) {
        self.limit_files(None);
    }

    #[track_caller]
    fn limit_files(&self, bytes: Option<u64>) {
        let pid = i32::try_from(self.afm.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        // What it has inherited from this process.
        let maximum = getrlimit(Resource::Fsize).maximum;
        let limit = Rlimit { current: bytes.or(maximum), maximum };
        prlimit(Some(pid), Resource::Fsize, limit).expect("it is ours");
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
    // The files may still hold some more.
    let refused = (1..).find(|n| {
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

    disk.make_room();
    client.post_task(task(refused));
    client.post("/tasks/response", Body::result(0)).is_empty();
    assert_eq!(client.poll(Body::poll(9)), (1..=refused).map(id).collect::<Vec<_>>());
}
