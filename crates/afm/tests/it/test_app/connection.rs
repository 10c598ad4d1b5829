//! A connection to which a test writes bytes, and from which it reads answers.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::{Answer, PATIENCE};

pub(crate) struct Connection {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes timeouts");
        let answers = BufReader::new(stream.try_clone().expect("a socket can be cloned"));
        Self { stream, answers }
    }

    #[track_caller]
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server reads");
    }

    /// Writes, and returns `false` if the server has hung up.
    pub(crate) fn try_write(&mut self, bytes: &str) -> bool {
        self.stream.write_all(bytes.as_bytes()).is_ok()
    }

    /// Posts a JSON body, without waiting for the answer.
    #[track_caller]
    pub(crate) fn post(&mut self, path: &str, body: &str) {
        let length = body.len();
        self.write(format!(
            "POST {path} HTTP/1.1\r\nhost: afm\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ));
    }

    /// Gets a path, without waiting for the answer.
    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) {
        self.write(format!("GET {path} HTTP/1.1\r\nhost: afm\r\n\r\n"));
    }

    /// Reads the next answer, which has a body.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        let (status, headers) = self.head();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length =
            length.and_then(|(_, value)| value.parse().ok()).expect("every answer says how long it is");
        let mut body = vec![0; length];
        self.answers.read_exact(&mut body).expect("the whole body comes");
        Answer::new("bytes".to_owned(), status, headers, body)
    }

    /// Reads the next answer without a body, whatever its headers say.
    #[track_caller]
    pub(crate) fn answer_without_body(&mut self) -> Answer {
        let (status, headers) = self.head();
        Answer::new("bytes".to_owned(), status, headers, Vec::new())
    }

    /// Begins to read an answer that comes in chunks, and gives its headers.
    #[track_caller]
    pub(crate) fn answer_in_chunks(&mut self) -> Answer {
        let (status, headers) = self.head();
        assert!(headers.contains(&("transfer-encoding".to_owned(), "chunked".to_owned())), "{headers:?}");
        Answer::new("bytes".to_owned(), status, headers, Vec::new())
    }

    /// Reads the next chunk; `None` after the last one.
    #[track_caller]
    pub(crate) fn chunk(&mut self) -> Option<String> {
        let length = usize::from_str_radix(&self.line(), 16).expect("a chunk says how long it is");
        let mut chunk = vec![0; length];
        self.answers.read_exact(&mut chunk).expect("the whole chunk comes");
        assert_eq!(self.line(), "");
        (length > 0).then(|| String::from_utf8(chunk).expect("it is text"))
    }

    #[track_caller]
    fn head(&mut self) -> (u16, Vec<(String, String)>) {
        let status_line = self.line();
        let mut words = status_line.split(' ');
        assert!(matches!(words.next(), Some("HTTP/1.1" | "HTTP/1.0")), "{status_line}");
        let status = words.next().and_then(|word| word.parse().ok()).expect("a status");
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return (status, headers);
            }
            let (name, value) = line.split_once(": ").expect("a header");
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("a line comes");
        line.strip_suffix("\r\n").unwrap_or_else(|| panic!("the server hung up after {line:?}")).to_owned()
    }

    /// Waits until the server hangs up, which must be the next thing it does.
    #[track_caller]
    pub(crate) fn wait_until_closed(&mut self) {
        let mut rest = Vec::new();
        match self.answers.read_to_end(&mut rest) {
            Ok(_) => assert_eq!(String::from_utf8_lossy(&rest), ""),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }

    /// Whether the server has neither answered nor hung up within `time`.
    pub(crate) fn is_silent_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).expect("a socket takes timeouts");
        let silent = matches!(
            self.answers.fill_buf(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
        );
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes timeouts");
        silent
    }

    /// Says that it sends nothing more; it still reads.
    pub(crate) fn finish_writing(&self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection was up");
    }

    /// Hangs up as a process that dies with something unread, or one that wants to be rid of the connection.
    pub(crate) fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))
            .expect("a socket takes options");
    }

    /// Hangs up.
    pub(crate) fn hang_up(self) {
        self.stream.shutdown(Shutdown::Both).expect("the connection was up");
    }
}
