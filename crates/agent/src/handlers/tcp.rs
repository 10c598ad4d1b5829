//! `tcp`: connects to a port, and compares what comes from it with what was expected.

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Context, Environment, Failure};
use crate::network::connect::{IpVersion, Target, reason};
use crate::network::limit::{Timeout, milliseconds, seconds};

/// What was expected has to be within so many bytes.
const MOST_RECEIVED: usize = 64 * 1024;
/// Results and errors repeat so many characters of what was received.
const QUOTED: usize = 500;

/// Connects to a port, and compares what comes from it with what was expected.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    /// The name or the address of the host.
    host: String,
    /// The port.
    port: u16,
    /// A text to send once there is a connection, with the ends of its lines.
    #[serde(default)]
    send: Option<String>,
    /// A text that has to be in what the other side sends, within the first 64 KiB.
    #[serde(default)]
    expected: Option<String>,
    /// 4 or 6: only IPv4, or only IPv6.
    #[serde(default)]
    ip_version: Option<IpVersion>,
    /// How many seconds it may take in all.
    #[serde(default)]
    timeout: Timeout,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct Output {
    /// The address that was connected to.
    address: String,
    /// What was received until the expected text had come, if any was expected: the end of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    received: Option<String>,
    /// How long it took to find the address.
    dns_ms: f64,
    /// How long it took to connect.
    connect_ms: f64,
    /// From the connection to the first byte that was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_ms: Option<f64>,
    /// From the connection until the expected text had come.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_ms: Option<f64>,
    /// How long everything took.
    total_ms: f64,
}

/// What has come from the other side.
#[derive(Debug, Default)]
struct Received {
    bytes: Vec<u8>,
    first: Option<Duration>,
}

pub(super) async fn execute(
    data: Data,
    context: Context,
    environment: Arc<Environment>,
) -> Result<Output, Failure> {
    if data.expected.as_deref() == Some("") {
        return Err(Failure::new("task_data.expected: must not be empty; leave it out to expect nothing"));
    }
    let limit = data.timeout.limit(&context);
    let target = Target::new(&data.host, data.port);
    let connection = target.connect(&environment.network, data.ip_version, &limit).await?;
    let (began, mut stream) = (Instant::now(), connection.stream);
    if let Some(text) = &data.send {
        let late =
            |_| Failure::new(format!("{target} has not taken the text within {}", seconds(limit.elapsed())));
        let sent = limit.hold(stream.write_all(text.as_bytes())).await.map_err(late)?;
        sent.map_err(|error| {
            Failure::new(format!("could not send the text to {target}: {}", reason(&error)))
        })?;
    }
    let mut received = Received::default();
    if let Some(expected) = &data.expected {
        let found = limit.hold(received.read_until(&mut stream, expected.as_bytes())).await;
        let why = match found {
            Ok(Ok(true)) => None,
            Ok(Ok(false)) => Some("the other side closed the connection".to_owned()),
            Ok(Err(error)) => Some(reason(&error)),
            Err(_) => Some(format!("the time was over after {}", seconds(limit.elapsed()))),
        };
        if let Some(why) = why {
            let came = received.described();
            return Err(Failure::new(format!("expected {expected:?} from {target}, but {why}{came}")));
        }
    }
    let took = began.elapsed();
    Ok(Output {
        address: connection.address.ip().to_string(),
        received: data.expected.is_some().then(|| received.end()),
        dns_ms: milliseconds(connection.resolve),
        connect_ms: milliseconds(connection.connect),
        first_byte_ms: received.first.map(milliseconds),
        expected_ms: data.expected.is_some().then(|| milliseconds(took)),
        total_ms: milliseconds(limit.elapsed()),
    })
}

impl Received {
    /// Reads until a text has come, and returns whether it has: not if the other side closes the connection before.
    async fn read_until(&mut self, stream: &mut TcpStream, text: &[u8]) -> io::Result<bool> {
        let began = Instant::now();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let most = buffer.len().min(MOST_RECEIVED - self.bytes.len());
            if most == 0 {
                return Err(io::Error::other(format!("it was not in the first {MOST_RECEIVED} bytes")));
            }
            let length = stream.read(&mut buffer[..most]).await?;
            if length == 0 {
                return Ok(false);
            }
            self.first.get_or_insert_with(|| began.elapsed());
            let from = self.bytes.len().saturating_sub(text.len());
            self.bytes.extend_from_slice(&buffer[..length]);
            if self.bytes[from..].windows(text.len()).any(|window| window == text) {
                return Ok(true);
            }
        }
    }

    /// The end of it, as text.
    fn end(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        match text.char_indices().rev().nth(QUOTED - 1) {
            Some((from, _)) if from > 0 => format!("…{}", &text[from..]),
            _ => text.into_owned(),
        }
    }

    fn described(&self) -> String {
        match self.bytes.len() {
            0 => "; nothing was received".to_owned(),
            _ => format!("; {} bytes were received, at the end {:?}", self.bytes.len(), self.end()),
        }
    }
}
