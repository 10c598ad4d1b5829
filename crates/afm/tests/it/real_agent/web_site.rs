//! A web site that always answers in the same way.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// It answers 418 until it is dropped.
pub(super) struct WebSite {
    address: SocketAddr,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl WebSite {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let closing = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&closing);
        let serve = move || {
            for stream in listener.incoming() {
                if seen.load(Ordering::SeqCst) {
                    break;
                }
                // A client that hangs up is its own concern.
                let _ = stream.and_then(|stream| answer(&stream));
            }
        };
        Self { address, closing, thread: Some(thread::spawn(serve)) }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/coffee", self.address)
    }
}

fn answer(mut stream: &TcpStream) -> std::io::Result<()> {
    let head = BufReader::new(stream).lines();
    for line in head {
        if line?.is_empty() {
            break;
        }
    }
    stream.write_all(b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

impl Drop for WebSite {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        // Wakes the thread.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
