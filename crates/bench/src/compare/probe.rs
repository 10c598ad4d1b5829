//! One request and the status of its answer, with nothing in between that takes time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// Between two attempts: well below what is measured with it.
const AGAIN: Duration = Duration::from_micros(500);

/// Far beyond what any answer takes.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks for `path` until the status is `wanted`, as often as a connection allows; says how long that took since `began`.
///
/// # Errors
/// When it was not after `patience`, or when `alive` says that there is nobody to wait for.
pub(crate) fn until_answered(
    (address, path): (SocketAddr, &str),
    wanted: u16,
    began: Instant,
    patience: Duration,
    mut alive: impl FnMut() -> bool,
) -> Result<Duration> {
    loop {
        let answered = status(address, path);
        let took = began.elapsed();
        if answered.as_ref().is_ok_and(|status| *status == wanted) {
            return Ok(took);
        }
        ensure!(alive(), "the server has ended");
        ensure!(
            took < patience,
            "{address}{path} was not answered with {wanted} in {patience:?}: {answered:?}"
        );
        thread::sleep(AGAIN);
    }
}

/// The status of `GET path`.
fn status(address: SocketAddr, path: &str) -> io::Result<u16> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    // `HTTP/1.1 200`
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    let digits = head.get(9..).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
