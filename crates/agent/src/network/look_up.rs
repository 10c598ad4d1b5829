//! Looks up the addresses of names, as the system does.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use tokio::sync::Semaphore;

/// So many names are looked up at the same time. The system's call cannot be ended: it keeps its thread when the time of
/// a task is over, and threads are needed for other things.
const MOST_LOOK_UPS: usize = 32;
static LOOK_UPS: Semaphore = Semaphore::const_new(MOST_LOOK_UPS);
/// A name has no more letters (RFC 1035, 2.3.4).
pub(super) const LONGEST_NAME: usize = 253;

/// Asks the system for the addresses of a name. The call goes on where nobody waits for it any longer.
pub(super) async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let permit = LOOK_UPS.acquire().await.map_err(io::Error::other)?;
    let host = host.to_owned();
    let looking = tokio::task::spawn_blocking(move || {
        let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        drop(permit);
        found
    });
    looking.await.map_err(io::Error::other)?
}

/// Whether the system can be asked for a name. A last dot is not counted.
pub(super) fn is_name(host: &str) -> bool {
    let length = host.strip_suffix('.').unwrap_or(host).len();
    (1..=LONGEST_NAME).contains(&length)
        && !host.contains(|letter: char| letter.is_control() || letter.is_whitespace())
}

/// What the system's resolver says.
pub(super) fn reason_of_lookup(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
