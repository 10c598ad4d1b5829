//! How the kernel finds out that the other end of a connection has vanished.

use std::io;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::TcpListener;

/// After how much silence the kernel asks whether the other end is still there, and how often again. Later than
/// [`UNACKNOWLEDGED`], so that it is known which of the two a connection died of.
pub(crate) const KEEPALIVE_IDLE: Duration = Duration::from_secs(45);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// How long the kernel waits for the other end to say that it has got something, in milliseconds.
const UNACKNOWLEDGED: u32 = 30_000;

/// Has connections that are accepted from now on end when the other end has vanished. They inherit it, which costs no system
/// call a connection.
///
/// # Errors
/// When the system has no such options.
pub fn find_the_vanished(listener: &TcpListener) -> io::Result<()> {
    sockopt::set_socket_keepalive(listener, true)?;
    sockopt::set_tcp_keepidle(listener, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(listener, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(listener, KEEPALIVE_PROBES)?;
    sockopt::set_tcp_user_timeout(listener, UNACKNOWLEDGED)?;
    // Answers are one small packet: there is nothing to gather.
    sockopt::set_tcp_nodelay(listener, true)?;
    Ok(())
}
