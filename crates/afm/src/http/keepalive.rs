//! Has the kernel find out that the other end of a connection has vanished.

use std::io;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::TcpListener;

/// After this much silence the kernel probes whether the other end is still there. It is longer than
/// [`UNACKNOWLEDGED`], so that it is clear which of the two has ended a connection.
pub(crate) const KEEPALIVE_IDLE: Duration = Duration::from_secs(45);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// The kernel waits this many milliseconds for the other end to acknowledge data.
const UNACKNOWLEDGED: u32 = 30_000;

/// Ends connections whose other end has vanished, among those that are accepted from now on. They inherit the
/// options, which saves system calls for each connection.
///
/// # Errors
/// Fails when the system has no such options.
pub fn find_the_vanished(listener: &TcpListener) -> io::Result<()> {
    sockopt::set_socket_keepalive(listener, true)?;
    sockopt::set_tcp_keepidle(listener, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(listener, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(listener, KEEPALIVE_PROBES)?;
    sockopt::set_tcp_user_timeout(listener, UNACKNOWLEDGED)?;
    // An answer is one small packet, so there is nothing to gather.
    sockopt::set_tcp_nodelay(listener, true)?;
    Ok(())
}
