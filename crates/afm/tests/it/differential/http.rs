//! Sends a request byte by byte as it is written, to a server that may close the connection early.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A request, on a connection of its own.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) content_type: Option<&'static str>,
    pub(super) body: Vec<u8>,
    /// Sends the body in chunks instead of saying its length.
    pub(super) chunked: bool,
}

/// What came back.
pub(super) struct Response {
    pub(super) status: u16,
    /// Without parameters; empty when there is none.
    pub(super) media_type: String,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn new(method: &'static str, path: &str) -> Self {
        Self { method, path: path.to_owned(), content_type: None, body: Vec::new(), chunked: false }
    }

    pub(super) fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// A body that is sent as JSON, whatever it is.
    pub(super) fn post(path: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref().to_vec();
        Self { content_type: Some("application/json"), body, ..Self::new("POST", path) }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut head =
            format!("{} {} HTTP/1.1\r\nHost: afm\r\nConnection: close\r\n", self.method, self.path);
        if let Some(media_type) = self.content_type {
            head += &format!("Content-Type: {media_type}\r\n");
        }
        if self.chunked {
            let mut bytes = (head + "Transfer-Encoding: chunked\r\n\r\n").into_bytes();
            for chunk in self.body.chunks(50) {
                bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            return bytes;
        }
        if self.method != "GET" {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

/// # Panics
/// When no whole answer comes back.
#[track_caller]
pub(super) fn send(server: SocketAddr, request: &Request) -> Response {
    let mut stream = TcpStream::connect(server).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    // A server that refuses a request by its head may hang up before it has read the body.
    let _ = stream.write_all(&request.to_bytes());
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes);
    response(&bytes).unwrap_or_else(|| {
        let begin = String::from_utf8_lossy(&bytes);
        panic!("{} {} was answered with {begin:?}, then {end:?}", request.method, request.path)
    })
}

fn response(bytes: &[u8]) -> Option<Response> {
    let head_end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..head_end]).ok()?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let header = |wanted: &str| {
        let mut headers = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    assert_eq!(header("Transfer-Encoding"), None, "answers of known length are expected");
    let media_type = header("Content-Type").unwrap_or_default().split(';').next()?.to_owned();
    Some(Response { status, media_type, body: bytes[head_end + 4..].to_vec() })
}
