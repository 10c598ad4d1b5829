//! Servers that end a connection by themselves.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use slamon_store::{Store, StoreError};

use crate::cluster::{Cluster, store};

/// When a [`Server`] ends its connections.
#[derive(Clone, Copy)]
enum When {
    Connecting,
    FirstStatement,
}

/// Something that speaks just enough of PostgreSQL's protocol to refuse.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Ends every connection with this SQLSTATE.
    fn start(when: When, code: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        // Ends with the test program.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut stream = stream.unwrap();
                read(&mut stream, false);
                if let When::FirstStatement = when {
                    // AuthenticationOk and ReadyForQuery.
                    stream.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").unwrap();
                    read(&mut stream, true);
                }
                let fields = format!("SFATAL\0VFATAL\0C{code}\0Mthat is enough\0\0");
                let length = u32::try_from(fields.len() + 4).unwrap();
                stream.write_all(&[b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat()).unwrap();
            }
        });
        Self { port, connections }
    }

    fn uri(&self) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }
}

/// Reads one message; all but the first have a type.
fn read(stream: &mut TcpStream, has_type: bool) {
    let mut head = [0; 5];
    let head = if has_type { &mut head[..] } else { &mut head[1..] };
    stream.read_exact(head).unwrap();
    let length = u32::from_be_bytes(head[head.len() - 4..].try_into().unwrap());
    stream.read_exact(&mut vec![0; length as usize - 4]).unwrap();
}

#[tokio::test]
async fn a_connection_that_the_server_ends_is_tried_again_and_then_unavailable() {
    // Shut down, crashed, idle for too long (in a transaction, or at all), its database dropped, an internal
    // error.
    for code in ["57P01", "57P02", "25P03", "57P05", "57P04", "XX000"] {
        for when in [When::Connecting, When::FirstStatement] {
            let server = Server::start(when, code);
            let error = store(&server.uri()).check().await.unwrap_err();
            assert!(matches!(error, StoreError::Unavailable(_)), "{code}: {error:?}");
            assert!(error.to_string().contains("that is enough"), "{error}");
            assert_eq!(server.connections.load(Ordering::SeqCst), 2, "{code}");
        }
    }
}

#[tokio::test]
async fn a_connection_refused_for_what_it_asks_is_not_tried_again() {
    // No such user, a wrong password, no such database.
    for code in ["28000", "28P01", "3D000"] {
        let server = Server::start(When::Connecting, code);
        let error = store(&server.uri()).check().await.unwrap_err();
        assert!(matches!(error, StoreError::Failed(_)), "{code}: {error:?}");
        assert_eq!(server.connections.load(Ordering::SeqCst), 1, "{code}");
    }
}

#[tokio::test]
async fn a_host_that_ends_its_first_statement_is_passed_over() {
    let cluster = Cluster::start();
    cluster.store().create_tables().await.unwrap();
    let server = Server::start(When::FirstStatement, "57P01");
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", server.port, cluster.way_in());
    store(&format!("postgresql://postgres@{hosts}/postgres?sslmode=disable")).check().await.unwrap();
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}
