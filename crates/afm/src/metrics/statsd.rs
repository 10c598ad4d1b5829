//! Sends packets to STATSD_HOST. Its address is looked up again and again, since it may not be known yet and
//! may change.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use cadence::MetricSink;

/// The host is looked up once in this long.
const RESOLVE_AGAIN: Duration = Duration::from_secs(60);

/// A host that could not be found is looked up again after this long.
const RESOLVE_FAILED_AGAIN: Duration = Duration::from_secs(5);

/// Sends each metric as a packet of its own: one that is gathered until a packet is full may wait for hours.
#[derive(Debug, Clone, Default)]
pub(super) struct PacketSink(Arc<SharedTarget>);

#[derive(Debug, Default)]
struct SharedTarget {
    state: Mutex<TargetState>,
    /// Notified when the host has been looked up.
    looked_up: Condvar,
}

#[derive(Debug, Default)]
struct TargetState {
    /// Where packets go.
    target: Option<(UdpSocket, SocketAddr)>,
    /// Whether the last look-up has found the host; `None` before the first one.
    was_found: Option<bool>,
}

impl PacketSink {
    /// Creates a sink for this host, which a thread looks up.
    pub(super) fn start(host: &str, port: u16) -> io::Result<Self> {
        let (sink, host) = (Self::default(), host.to_owned());
        let resolver = sink.clone();
        thread::Builder::new().name("statsd-resolve".to_owned()).spawn(move || {
            loop {
                let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
                let pause = resolver.follow(&host, found);
                thread::sleep(pause);
            }
        })?;
        Ok(sink)
    }

    /// Takes what a look-up has found, and returns when to look again.
    fn follow(&self, host: &str, found: io::Result<Vec<SocketAddr>>) -> Duration {
        let was_found = self.lock().was_found;
        let taken = found.and_then(|addresses| self.take(&addresses));
        let is_found = taken.is_ok();
        match taken {
            Ok(Some(addr)) => tracing::info!(host, %addr, "metrics are sent to STATSD_HOST"),
            Ok(None) => {}
            Err(error) if was_found != Some(false) => {
                let sent = self.lock().target.is_some();
                tracing::warn!(
                    host,
                    %error,
                    "could not find STATSD_HOST: {}",
                    if sent { "metrics go on to where it was" } else { "metrics are lost until it can" }
                );
            }
            Err(_) => {}
        }
        self.lock().was_found = Some(is_found);
        self.0.looked_up.notify_all();
        if is_found { RESOLVE_AGAIN } else { RESOLVE_FAILED_AGAIN }
    }

    /// Chooses one of these addresses to send to; returns it if it is another than before.
    fn take(&self, addresses: &[SocketAddr]) -> io::Result<Option<SocketAddr>> {
        let current = self.lock().target.as_ref().map(|(_, address)| *address);
        if current.is_some_and(|current| addresses.contains(&current)) {
            return Ok(None);
        }
        // The original sends to IPv4 only: where there are both, StatsD listens there.
        let address = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
        let address = *address.ok_or_else(|| io::Error::other("it has no address"))?;
        let socket = match address {
            SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?,
            SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?,
        };
        socket.set_nonblocking(true)?;
        self.lock().target = Some((socket, address));
        Ok(Some(address))
    }

    fn lock(&self) -> MutexGuard<'_, TargetState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MetricSink for PacketSink {
    /// Sends a metric; called on the thread that takes metrics from the queue.
    fn emit(&self, metric: &str) -> io::Result<usize> {
        // Until the first look-up has ended, metrics wait in the queue.
        let never = |state: &mut TargetState| state.was_found.is_none();
        let state = self.0.looked_up.wait_while(self.lock(), never).unwrap_or_else(PoisonError::into_inner);
        match &state.target {
            Some((socket, address)) => socket.send_to(metric.as_bytes(), address),
            None => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(address: impl ToSocketAddrs) -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    fn received(socket: &UdpSocket) -> String {
        let mut bytes = [0; 100];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    fn not_found() -> io::Result<Vec<SocketAddr>> {
        Err(io::Error::other("Name or service not known"))
    }

    #[test]
    fn a_host_that_cannot_be_found_is_looked_up_until_it_can_and_followed_where_it_goes() {
        let ((first, first_addr), (second, second_addr)) = (listener("127.0.0.1:0"), listener("127.0.0.1:0"));
        let sink = PacketSink::default();
        assert_eq!(sink.follow("statsd", not_found()), RESOLVE_FAILED_AGAIN);
        assert_eq!(sink.emit("lost:1|c").unwrap(), 0);
        assert_eq!(sink.follow("statsd", Ok(Vec::new())), RESOLVE_FAILED_AGAIN, "a name without addresses");

        assert_eq!(sink.follow("statsd", Ok(vec![first_addr])), RESOLVE_AGAIN);
        sink.emit("a:1|c").unwrap();
        assert_eq!(received(&first), "a:1|c");
        // The host has one more address, which is no reason to change.
        sink.follow("statsd", Ok(vec![second_addr, first_addr]));
        sink.emit("b:1|c").unwrap();
        assert_eq!(received(&first), "b:1|c");
        sink.follow("statsd", Ok(vec![second_addr]));
        sink.emit("c:1|c").unwrap();
        assert_eq!(received(&second), "c:1|c");
        assert_eq!(sink.follow("statsd", not_found()), RESOLVE_FAILED_AGAIN);
        sink.emit("d:1|c").unwrap();
        assert_eq!(received(&second), "d:1|c");
    }

    #[test]
    fn metrics_wait_for_the_first_look_up() {
        let (socket, address) = listener("127.0.0.1:0");
        let sink = PacketSink::start("127.0.0.1", address.port()).unwrap();
        sink.emit("a:1|c").unwrap();
        assert_eq!(received(&socket), "a:1|c");
    }

    #[test]
    fn of_both_kinds_of_addresses_the_older_is_taken() {
        let (socket, address) = listener("127.0.0.1:0");
        let sink = PacketSink::default();
        sink.follow("localhost", Ok(vec![(Ipv6Addr::LOCALHOST, address.port()).into(), address]));
        sink.emit("a:1|c").unwrap();
        assert_eq!(received(&socket), "a:1|c");
    }
}
