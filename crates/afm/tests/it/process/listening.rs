//! Tests where the server listens, and how.

use std::fs;
use std::net::TcpStream;

use rustix::net::sockopt;

use super::serve;
use crate::test_app::eventually;

/// A server listens on all addresses of a name: `server::tests` has names of several; this machine's may have
/// one.
#[test]
fn every_address_of_a_name_is_served() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let listeners = runtime.block_on(slamon_afm::http::server::listen("localhost", 0)).expect("it listens");
    let ports: Vec<u16> = listeners.iter().map(|it| it.local_addr().expect("an address").port()).collect();
    assert!(ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    for listener in &listeners {
        TcpStream::connect(listener.local_addr().expect("an address")).expect("it listens");
    }
}

/// The kernel notices clients that vanish without closing their connections.
#[test]
fn connections_are_looked_after_by_the_kernel() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        slamon_afm::http::server::find_the_vanished(&listener).expect("a socket takes options");
        let address = listener.local_addr().expect("an address");
        let _client = tokio::net::TcpStream::connect(address).await.expect("it listens");
        let (accepted, _) = listener.accept().await.expect("it accepts");
        assert!(sockopt::socket_keepalive(&accepted).expect("an option"));
        assert_eq!(sockopt::tcp_keepidle(&accepted).expect("an option").as_secs(), 45);
        assert_eq!(sockopt::tcp_user_timeout(&accepted).expect("an option"), 30_000);
        assert!(accepted.nodelay().expect("an option"));
    });
}

/// What the kernel waits for on the connection from one port of this machine to another: 2 is the time to ask
/// whether the other side is still there, 0 nothing.
fn kernel_timer(from: u16, to: u16) -> Option<u8> {
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux lists connections");
    let [from, to] = [from, to].map(|port| format!(":{port:04X}"));
    let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row =
        row.into_iter().find(|row| row.len() > 5 && row[1].ends_with(&from) && row[2].ends_with(&to))?;
    row[5].get(..2)?.parse().ok()
}

#[test]
fn who_is_silent_is_asked_whether_it_is_there() {
    let (afm, _) = serve("sqlite://");
    let client = TcpStream::connect(afm.address()).expect("it listens");
    let port = client.local_addr().expect("an address").port();
    eventually("the kernel is to ask", || kernel_timer(afm.address().port(), port) == Some(2));
}
