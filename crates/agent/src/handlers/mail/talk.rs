//! A conversation in lines, none of them too long, and not too many.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::failure::Failure;
use crate::network::connect::{Target, reason};
use crate::network::limit::{Limit, seconds};

/// The longest line that is read. Those of the protocols are far shorter.
const LONGEST_LINE: usize = 8 * 1024;
/// An answer that has more lines, or more bytes, is none.
const MOST_LINES: usize = 200;
const MOST_BYTES: usize = 64 * 1024;
/// Errors repeat so many characters of a line.
const QUOTED: usize = 200;

/// A connection, with TLS or without.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for S {}

/// A conversation with a server.
pub(super) struct Talk<'a> {
    stream: Box<dyn Stream>,
    target: &'a Target,
    limit: &'a Limit,
    /// What has been received and not been read as a line.
    received: Vec<u8>,
    /// How many lines and bytes of the answer have been read.
    lines: usize,
    bytes: usize,
}

impl<'a> Talk<'a> {
    pub(super) fn new(stream: Box<dyn Stream>, target: &'a Target, limit: &'a Limit) -> Self {
        Self { stream, target, limit, received: Vec::new(), lines: 0, bytes: 0 }
    }

    /// Sends a line. What is read from then on is another answer.
    pub(super) async fn send(&mut self, line: &str) -> Result<(), Failure> {
        (self.lines, self.bytes) = (0, 0);
        let target = self.target;
        let line = format!("{line}\r\n");
        let sending = async {
            self.stream.write_all(line.as_bytes()).await?;
            self.stream.flush().await
        };
        let sent = self.limit.hold(sending).await.map_err(|_| self.late("taken a line"))?;
        sent.map_err(|error| Failure::new(format!("could not send a line to {target}: {}", reason(&error))))
    }

    /// Reads a line, without its end. `done` says what the server is to have done with it, such as "greeted".
    pub(super) async fn line(&mut self, done: &str) -> Result<String, Failure> {
        let target = self.target;
        self.lines += 1;
        if self.lines > MOST_LINES || self.bytes > MOST_BYTES {
            return Err(Failure::new(format!(
                "{target} sent more than {MOST_LINES} lines or {MOST_BYTES} bytes, and has not {done}"
            )));
        }
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                self.bytes += line.len();
                let line = String::from_utf8_lossy(&line);
                return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.received.len() > LONGEST_LINE {
                return Err(Failure::new(format!(
                    "{target} sent a line of more than {LONGEST_LINE} bytes, and has not {done}"
                )));
            }
            let mut buffer = [0; 2048];
            let read = self.limit.hold(self.stream.read(&mut buffer)).await.map_err(|_| self.late(done))?;
            match read {
                Ok(0) => {
                    return Err(Failure::new(format!("{target} closed the connection, and has not {done}")));
                }
                Ok(length) => self.received.extend_from_slice(&buffer[..length]),
                Err(error) => {
                    return Err(Failure::new(format!("{target} has not {done}: {}", reason(&error))));
                }
            }
        }
    }

    /// The connection, to begin TLS on it. There must be nothing that was sent before: somebody in between could have
    /// put it there, to be taken for what came with TLS.
    pub(super) fn into_stream(self) -> Result<Box<dyn Stream>, Failure> {
        if self.received.is_empty() {
            return Ok(self.stream);
        }
        let target = self.target;
        Err(Failure::new(format!("{target} sent more than its answer before TLS began, which is not safe")))
    }

    /// Tells the server that this is all. It does not matter whether it hears it.
    pub(super) async fn goodbye(mut self, line: &str) {
        if self.send(line).await.is_ok() {
            let _ = self.limit.hold(self.stream.shutdown()).await;
        }
    }

    /// What is said of a line that does not belong to the protocol.
    pub(super) fn strange(&self, protocol: &str, line: &str) -> Failure {
        let target = self.target;
        Failure::new(format!("{target} does not speak {protocol}: it sent {:?}", quoted(line)))
    }

    /// What is said of an answer that was not wanted.
    pub(super) fn refused(&self, what: &str, line: &str) -> Failure {
        Failure::new(format!("{} {what} {:?}", self.target, quoted(line)))
    }

    fn late(&self, done: &str) -> Failure {
        let (target, time) = (self.target, seconds(self.limit.elapsed()));
        Failure::new(format!("{target} has not {done} within {time}"))
    }
}

fn quoted(line: &str) -> String {
    line.char_indices().nth(QUOTED).map_or_else(|| line.to_owned(), |(end, _)| format!("{}…", &line[..end]))
}
