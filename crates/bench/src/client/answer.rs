//! Reads the head of an answer, and bodies in chunks.

use super::failure::Failure;

/// What the head of an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// The head's own length, in bytes.
    pub(super) length: usize,
    pub(super) body: Body,
    /// Whether the connection can be used again.
    pub(super) keep_alive: bool,
}

/// Where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Length(usize),
    Chunked,
    UntilClosed,
}

impl Head {
    /// `None`: it has not all come yet.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, Failure> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Failure::NoHttp),
        };
        let status = response.code.ok_or(Failure::NoHttp)?;
        let mut keep_alive = response.version == Some(1);
        let mut body = if matches!(status, 204 | 304) { Body::Length(0) } else { Body::UntilClosed };
        for header in response.headers.iter() {
            if header.name.eq_ignore_ascii_case("content-length") {
                let length =
                    std::str::from_utf8(header.value).ok().and_then(|value| value.trim().parse().ok());
                body = Body::Length(length.ok_or(Failure::NoHttp)?);
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                body = Body::Chunked;
            } else if header.name.eq_ignore_ascii_case("connection") {
                keep_alive = header.value.eq_ignore_ascii_case(b"keep-alive")
                    || keep_alive && !header.value.eq_ignore_ascii_case(b"close");
            }
        }
        keep_alive &= body != Body::UntilClosed;
        Ok(Some(Self { status, length, body, keep_alive }))
    }
}

/// Puts together what came in chunks; `false` while the last one is missing.
pub(super) fn unchunk(mut bytes: &[u8], body: &mut Vec<u8>) -> Result<bool, Failure> {
    body.clear();
    loop {
        let (start, size) = match httparse::parse_chunk_size(bytes) {
            Ok(httparse::Status::Complete(chunk)) => chunk,
            Ok(httparse::Status::Partial) => return Ok(false),
            Err(_) => return Err(Failure::NoHttp),
        };
        let size = usize::try_from(size).map_err(|_| Failure::NoHttp)?;
        // The line end after a chunk counts; trailers after the last one are not waited for.
        let Some(chunk) = bytes.get(start..start.saturating_add(size).saturating_add(2)) else {
            return Ok(false);
        };
        if size == 0 {
            return Ok(true);
        }
        body.extend_from_slice(&chunk[..size]);
        bytes = &bytes[start + size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        Head::parse(text.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn a_head_says_where_the_body_ends() {
        let length = head("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n");
        assert_eq!(length, Head { status: 200, length: 39, body: Body::Length(12), keep_alive: true });
        let chunked = head("HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n");
        assert_eq!((chunked.status, chunked.body, chunked.keep_alive), (503, Body::Chunked, false));
        let old = head("HTTP/1.0 200 OK\r\n\r\n");
        assert_eq!((old.body, old.keep_alive), (Body::UntilClosed, false));
        let kept = head("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n");
        assert_eq!((kept.body, kept.keep_alive), (Body::Length(0), true));
    }

    #[test]
    fn a_head_in_parts_is_waited_for() {
        assert_eq!(Head::parse(b"HTTP/1.1 200 OK\r\nContent-Le"), Ok(None));
        assert_eq!(Head::parse(b"SSH-2.0-OpenSSH"), Err(Failure::NoHttp));
        assert_eq!(Head::parse(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"), Err(Failure::NoHttp));
    }

    #[test]
    fn chunks_are_put_together_when_all_have_come() {
        let mut body = Vec::new();
        let whole = b"4\r\n{\"a\"\r\n3;x=y\r\n:1}\r\n0\r\n\r\n";
        for length in 0..whole.len() {
            assert_eq!(unchunk(&whole[..length], &mut body), Ok(false), "{length}");
        }
        assert_eq!(unchunk(whole, &mut body), Ok(true));
        assert_eq!(body, b"{\"a\":1}");
        assert_eq!(unchunk(b"no\r\n", &mut body), Err(Failure::NoHttp));
    }
}
