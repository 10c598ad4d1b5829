//! Where it listens, and how.

use std::net::TcpStream;

use rustix::net::sockopt;

/// A server listens on all addresses of a name: `server::tests` has names of several; this machine's may have one.
#[test]
fn every_address_of_a_name_is_served() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let listeners = runtime.block_on(slamon_afm::server::listen("localhost", 0)).expect("it listens");
    let ports: Vec<u16> = listeners.iter().map(|it| it.local_addr().expect("an address").port()).collect();
    assert!(ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    for listener in &listeners {
        TcpStream::connect(listener.local_addr().expect("an address")).expect("it listens");
    }
}

/// Also where clients vanish without a word.
#[test]
fn connections_are_looked_after_by_the_kernel() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        slamon_afm::server::find_the_vanished(&listener).expect("a socket takes options");
        let address = listener.local_addr().expect("an address");
        let _client = tokio::net::TcpStream::connect(address).await.expect("it listens");
        let (accepted, _) = listener.accept().await.expect("it accepts");
        assert!(sockopt::socket_keepalive(&accepted).expect("an option"));
        assert_eq!(sockopt::tcp_keepidle(&accepted).expect("an option").as_secs(), 45);
        assert_eq!(sockopt::tcp_user_timeout(&accepted).expect("an option"), 30_000);
        assert!(accepted.nodelay().expect("an option"));
    });
}
