//! Tests what the program tells systemd.

use std::os::unix::net::UnixDatagram;

use slamon_testbed::{PgCluster, PgOptions, Stop};

use super::{folder, serve_with};
use crate::test_app::{PATIENCE, eventually};

struct Systemd {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Systemd {
    fn new() -> Self {
        let folder = folder();
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket takes timeouts");
        Self { socket, folder }
    }

    fn path(&self) -> String {
        self.folder.path().join("notify").display().to_string()
    }

    #[track_caller]
    fn hears(&self) -> String {
        let mut bytes = [0; 1000];
        let length = self.socket.recv(&mut bytes).expect("it is told something");
        String::from_utf8_lossy(&bytes[..length]).trim_end().to_owned()
    }

    fn has_heard_nothing(&self) -> bool {
        self.socket.set_nonblocking(true).expect("a socket can be so");
        let nothing = self.socket.recv(&mut [0; 1000]).is_err();
        self.socket.set_nonblocking(false).expect("a socket can be so");
        nothing
    }
}

#[test]
fn ready_and_stopping() {
    let systemd = Systemd::new();
    let (afm, client) = serve_with("sqlite://", &[("NOTIFY_SOCKET", &systemd.path())], "");
    assert_eq!(systemd.hears(), "READY=1");
    assert_eq!(client.get("/readyz").status, 200);
    afm.signal("TERM");
    assert_eq!(systemd.hears(), "STOPPING=1");
    assert!(afm.wait_exit(PATIENCE).success());
}

#[test]
fn ready_only_once_the_database_is_there() {
    let cluster = PgCluster::start(&PgOptions::default()).expect("PostgreSQL starts");
    let database = cluster.create_database();
    cluster.stop(Stop::Fast);
    let systemd = Systemd::new();
    let (_afm, client) = serve_with(&database.uri(), &[("NOTIFY_SOCKET", &systemd.path())], "");
    client.get("/readyz").is_try_again();
    assert!(systemd.has_heard_nothing());
    cluster.start_again();
    assert_eq!(systemd.hears(), "READY=1");
    eventually("ready", || client.get("/readyz").status == 200);
}
