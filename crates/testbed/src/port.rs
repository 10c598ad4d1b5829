//! Ports that stay free between two runs of a server.

use std::net::TcpListener;

use uuid::Uuid;

/// Below Linux's range for outgoing connections: while the server that owns the port is down, no client's connection takes
/// it, and a client that dials it cannot be connected to itself.
const FIRST: u16 = 10_240;
const COUNT: u16 = 22_528;

/// A TCP port of 127.0.0.1 on which nothing listens. Another process may still take it first: whoever binds it must be ready
/// to ask again.
///
/// # Panics
///
/// When a thousand ports in a row are taken.
#[must_use]
pub fn free_port() -> u16 {
    (0..1000)
        .map(|_| {
            let (random, _) = Uuid::new_v4().as_u64_pair();
            FIRST + (random >> 48) as u16 % COUNT
        })
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port on 127.0.0.1")
}
