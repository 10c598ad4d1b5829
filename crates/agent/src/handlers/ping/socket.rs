//! Sockets for ICMP: those that need no privilege, or else raw ones.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};
use tokio::net::UdpSocket;

use crate::failure::Failure;
use crate::network::connect::reason;

/// A socket for echo requests to an address, and for what comes from it.
#[derive(Debug)]
pub(super) struct EchoSocket {
    /// Sends and receives whole messages, as all such sockets do.
    socket: UdpSocket,
    /// Whether the header of IP comes with what is received.
    has_ip_header: bool,
}

impl EchoSocket {
    pub(super) fn open(address: IpAddr) -> Result<Self, Failure> {
        let opened = create(address, SocketType::DGRAM).map(|socket| (socket, false)).or_else(|refused| {
            // Who has the capability need not be in the group.
            let has_ip_header = address.is_ipv4();
            create(address, SocketType::RAW).map(|socket| (socket, has_ip_header)).map_err(|_| refused)
        });
        let (socket, has_ip_header) = opened.map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Failure::new(NOT_PERMITTED),
            _ => Failure::new(format!("could not open a socket for pings: {}", reason(&error))),
        })?;
        // Only what comes from the address is received then.
        let connected = rustix::net::connect(&socket, &SocketAddr::new(address, 0)).map_err(io::Error::from);
        let failed =
            |error: io::Error| Failure::new(format!("could not send pings to {address}: {}", reason(&error)));
        let socket = connected.and_then(|()| UdpSocket::from_std(socket.into())).map_err(failed)?;
        Ok(Self { socket, has_ip_header })
    }

    pub(super) async fn send(&self, message: &[u8]) -> io::Result<()> {
        self.socket.send(message).await.map(drop)
    }

    /// Receives a message of ICMP.
    pub(super) async fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let length = self.socket.recv(buffer).await?;
        let message = &buffer[..length];
        if !self.has_ip_header {
            return Ok(message);
        }
        let header = message.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
        Ok(message.get(header..).unwrap_or_default())
    }
}

fn create(address: IpAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let (family, protocol) = match address {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(family, kind, flags, Some(protocol))?)
}

const NOT_PERMITTED: &str = "the system of this agent does not let it ping: the agent's group has to be within the \
     sysctl net.ipv4.ping_group_range, as after `sysctl -w net.ipv4.ping_group_range='0 2147483647'`, or the agent has to \
     have the capability CAP_NET_RAW";
