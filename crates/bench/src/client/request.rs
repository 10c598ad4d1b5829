//! Requests as bytes that are made once, with blanks that are filled in anew for each sending.

use std::net::SocketAddr;

/// A request, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Request(Vec<u8>);

/// Places in a request that are filled with the same text.
#[derive(Debug, Clone)]
pub(crate) struct Blank {
    places: Vec<usize>,
    length: usize,
}

impl Request {
    /// A JSON body for `path`.
    pub(crate) fn post(address: SocketAddr, close: bool, path: &str, body: &str) -> Self {
        let connection = if close { "Connection: close\r\n" } else { "" };
        let length = body.len();
        Self(
            format!(
                "POST {path} HTTP/1.1\r\nHost: {address}\r\n{connection}Content-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n{body}"
            )
            .into_bytes(),
        )
    }

    /// Asks for `path`.
    pub(crate) fn get(address: SocketAddr, close: bool, path: &str) -> Self {
        let connection = if close { "Connection: close\r\n" } else { "" };
        Self(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{connection}\r\n").into_bytes())
    }

    /// All places where `marker` stands now.
    pub(crate) fn blank(&self, marker: &str) -> Blank {
        Blank::new(&self.0, marker)
    }

    /// Writes `text`, which must be as long as the marker was, into the blank.
    pub(crate) fn fill(&mut self, blank: &Blank, text: &str) {
        blank.fill(&mut self.0, text);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Blank {
    /// All places in `bytes` where `marker` stands.
    pub(crate) fn new(bytes: &[u8], marker: &str) -> Self {
        let length = marker.len();
        let found = bytes.windows(length).enumerate().filter(|(_, window)| *window == marker.as_bytes());
        Self { places: found.map(|(place, _)| place).collect(), length }
    }

    /// Writes `text`, which must be as long as the marker was, into all places.
    pub(crate) fn fill(&self, bytes: &mut [u8], text: &str) {
        for place in &self.places {
            bytes[*place..place + self.length].copy_from_slice(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_filled_wherever_they_are() {
        let address = "127.0.0.1:80".parse().unwrap();
        let mut request = Request::post(address, true, "/task", r#"{"a":"%%","b":["%%"]}"#);
        let blank = request.blank("%%");
        request.fill(&blank, "11");
        request.fill(&blank, "22");
        assert_eq!(
            String::from_utf8_lossy(request.bytes()),
            "POST /task HTTP/1.1\r\nHost: 127.0.0.1:80\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: 21\r\n\r\n{\"a\":\"22\",\"b\":[\"22\"]}"
        );
        let mut request = Request::get(address, false, "/task/%%");
        request.fill(&request.blank("%%"), "33");
        assert_eq!(
            String::from_utf8_lossy(request.bytes()),
            "GET /task/33 HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n"
        );
    }
}
