//! Opens TCP connections to what tasks name: name → addresses → those that the policy allows → connection.
//!
//! A name that leads to a forbidden address is refused by that address, after it was looked up. Whoever follows a
//! redirect, or a name in an answer, has to come here again.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use tokio::net::TcpStream;

use super::limit::{Limit, TimeIsUp, seconds};
use super::look_up::{LONGEST_NAME, is_name, look_up, reason_of_lookup};
use super::policy::NetworkPolicy;

/// A host, by its name or its address (of IPv6 with or without brackets), and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Which addresses of a name count: the member `ip_version` of a task's data, 4 or 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub(crate) enum IpVersion {
    V4,
    V6,
}

/// What a name led to.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// What may be reached, in the order in which the system gave it; never empty.
    pub(crate) addresses: Vec<SocketAddr>,
    /// How long it took; next to nothing for an address.
    pub(crate) took: Duration,
}

/// A connection that stands.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// Which of the addresses it leads to.
    pub(crate) address: SocketAddr,
    /// How long it took to find the addresses.
    pub(crate) resolve: Duration,
    /// How long it took to connect, together with the addresses that were tried before.
    pub(crate) connect: Duration,
}

/// Why there is no connection; as a text it is a sentence that names the target.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The name has no address.
    #[error("could not find the address of {host}: {problem}")]
    Resolve { host: String, problem: String },
    /// All of the name's addresses are forbidden.
    #[error("this agent does not allow tasks to reach {}", places(host, addresses))]
    Forbidden { host: String, addresses: Vec<IpAddr> },
    /// The task may reach other hosts only, since it names secrets that are for those.
    #[error("a task that names this secret may reach {} alone, and not {host}", named(hosts))]
    OtherHost { host: String, hosts: Vec<String> },
    /// No address could be connected to.
    #[error("could not connect to {target}{}", told(target, tries))]
    Connect { target: Target, tries: Vec<Try> },
}

/// An address that could not be connected to.
#[derive(Debug)]
pub(crate) struct Try {
    pub(crate) address: SocketAddr,
    /// `None`: there was no answer in time.
    pub(crate) cause: Option<io::Error>,
    pub(crate) took: Duration,
}

impl Target {
    pub(crate) fn new(host: &str, port: u16) -> Self {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Self { host: in_ascii(bare).unwrap_or_else(|| bare.to_owned()), port }
    }

    /// Looks up the addresses, and keeps those that tasks may reach.
    pub(crate) async fn resolve(
        &self,
        policy: &NetworkPolicy,
        version: Option<IpVersion>,
        limit: &Limit,
    ) -> Result<Resolved, ConnectError> {
        if !policy.allows_host(&self.host) {
            let hosts = policy.hosts().into_iter().flatten().cloned().collect();
            return Err(ConnectError::OtherHost { host: self.host.clone(), hosts });
        }
        let began = Instant::now();
        let failed = |problem: String| ConnectError::Resolve { host: self.host.clone(), problem };
        let found: Vec<SocketAddr> = match self.host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, self.port)],
            Err(_) if !is_name(&self.host) => {
                let shown: String = self.host.chars().take(LONGEST_NAME).collect();
                let (host, problem) = (format!("{shown:?}"), "it is no name".to_owned());
                return Err(ConnectError::Resolve { host, problem });
            }
            Err(_) => match limit.hold(look_up(&self.host, self.port)).await {
                Ok(Ok(found)) => found,
                Ok(Err(error)) => return Err(failed(reason_of_lookup(&error))),
                Err(TimeIsUp) => {
                    return Err(failed(format!("no answer within {}", seconds(began.elapsed()))));
                }
            },
        };
        let mut addresses: Vec<SocketAddr> = Vec::with_capacity(found.len());
        for address in found {
            if version.is_none_or(|version| version.is_of(address.ip())) && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(failed(match version {
                Some(version) => format!("it has no address of {version}"),
                None => "it has none".to_owned(),
            }));
        }
        let (allowed, forbidden): (Vec<_>, Vec<_>) =
            addresses.into_iter().partition(|address| policy.allows(address.ip()));
        if allowed.is_empty() {
            let addresses = forbidden.iter().map(SocketAddr::ip).collect();
            return Err(ConnectError::Forbidden { host: self.host.clone(), addresses });
        }
        Ok(Resolved { addresses: allowed, took: began.elapsed() })
    }

    /// Connects to the first address that answers. Each of them has an equal part of the time that is left.
    pub(crate) async fn connect(
        &self,
        policy: &NetworkPolicy,
        version: Option<IpVersion>,
        limit: &Limit,
    ) -> Result<Connection, ConnectError> {
        let Resolved { addresses, took: resolve } = self.resolve(policy, version, limit).await?;
        let began = Instant::now();
        let mut tries = Vec::new();
        for (index, address) in addresses.iter().copied().enumerate() {
            let began_this = Instant::now();
            let part = limit.part(addresses.len() - index);
            let cause = match part.hold(TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Only the times of small requests depend on it; without it they are longer.
                    let _ = stream.set_nodelay(true);
                    return Ok(Connection { stream, address, resolve, connect: began.elapsed() });
                }
                Ok(Err(error)) => Some(error),
                Err(TimeIsUp) => None,
            };
            tries.push(Try { address, cause, took: began_this.elapsed() });
        }
        Err(ConnectError::Connect { target: self.clone(), tries })
    }
}

/// A name with letters beyond ASCII as DNS has it; `None` for any other.
fn in_ascii(host: &str) -> Option<String> {
    if host.is_ascii() {
        return None;
    }
    let url = reqwest::Url::parse(&format!("http://{host}/")).ok()?;
    url.host_str().filter(|_| url.path() == "/").map(str::to_owned)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl IpVersion {
    fn is_of(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }
}

impl fmt::Display for IpVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

impl TryFrom<u64> for IpVersion {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        match number {
            4 => Ok(Self::V4),
            6 => Ok(Self::V6),
            _ => Err(format!("must be 4 or 6, and is {number}")),
        }
    }
}

impl JsonSchema for IpVersion {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "IpVersion".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "enum": [4, 6] })
    }
}

/// What went wrong with a socket, in words: `connection refused`.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset => "the other side reset the connection",
        io::ErrorKind::ConnectionAborted => "the connection was aborted",
        io::ErrorKind::BrokenPipe => "the other side closed the connection",
        io::ErrorKind::UnexpectedEof => "the connection ended too soon",
        io::ErrorKind::HostUnreachable => "the host is unreachable",
        io::ErrorKind::NetworkUnreachable => "the network is unreachable",
        io::ErrorKind::TimedOut => "the system gave up waiting",
        io::ErrorKind::PermissionDenied => "the system does not permit it",
        io::ErrorKind::AddrNotAvailable => "the address is not available",
        _ => {
            let text = error.to_string();
            return text.split_once(" (os error").map_or(text.as_str(), |(text, _)| text).to_owned();
        }
    };
    text.to_owned()
}

/// ` (203.0.113.7): connection refused after 0.3 s`, for each address that was tried.
fn told(target: &Target, tries: &[Try]) -> String {
    let told = tries.iter().map(|Try { address, cause, took }| {
        // What is an address already is not repeated.
        let place = match target.host.parse::<IpAddr>() {
            Ok(_) => String::new(),
            Err(_) => format!(" ({})", address.ip()),
        };
        match cause {
            Some(cause) => format!("{place}: {} after {}", reason(cause), seconds(*took)),
            None => format!("{place}: no answer within {}", seconds(*took)),
        }
    });
    told.collect::<Vec<_>>().join(", then")
}

/// Hosts, of which there may be none.
fn named(hosts: &[String]) -> String {
    if hosts.is_empty() { "no host".to_owned() } else { hosts.join(", ") }
}

/// `127.0.0.1, the address of localhost`
fn places(host: &str, addresses: &[IpAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    match addresses {
        [address] if host.parse() == Ok(*address) => host.to_owned(),
        [_] => format!("{}, the address of {host}", texts.join("")),
        _ => format!("{}, the addresses of {host}", texts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::context::Context;
    use crate::network::limit::Timeout;

    fn limit(seconds: f64) -> Limit {
        Timeout::try_from(seconds).unwrap().limit(&Context::alone())
    }

    async fn connect(target: &Target, policy: &NetworkPolicy) -> Result<Connection, String> {
        target.connect(policy, None, &limit(20.0)).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_name_and_an_address_lead_to_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        for host in ["127.0.0.1", "localhost"] {
            let target = Target::new(host, address.port());
            let version = Some(IpVersion::V4);
            let connection = target.connect(&NetworkPolicy::default(), version, &limit(20.0)).await.unwrap();
            assert_eq!(connection.address, address);
            listener.accept().await.unwrap();
        }
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = Target::new("[::1]", address.port());
        assert_eq!(connect(&target, &NetworkPolicy::default()).await.unwrap().address, address);
        assert_eq!(target.to_string(), address.to_string());
    }

    #[tokio::test]
    async fn a_closed_port_is_told_with_its_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let problem = connect(&Target::new("127.0.0.1", port), &NetworkPolicy::default()).await.unwrap_err();
        let begin = format!("could not connect to 127.0.0.1:{port}: connection refused after 0.");
        assert!(problem.starts_with(&begin) && problem.ends_with(" s"), "{problem}");
        let target = Target::new("localhost", port);
        let problem = target.connect(&NetworkPolicy::default(), Some(IpVersion::V4), &limit(20.0)).await;
        let problem = problem.unwrap_err().to_string();
        let begin = format!("could not connect to localhost:{port} (127.0.0.1): connection refused after 0.");
        assert!(problem.starts_with(&begin), "{problem}");
    }

    #[tokio::test]
    async fn what_the_policy_forbids_is_refused_by_its_address() {
        let policy = NetworkPolicy::new(Vec::new(), vec!["127.0.0.0/8".parse().unwrap()]);
        for (host, expected) in [
            ("127.0.0.1", "127.0.0.1"),
            ("0.0.0.0", "0.0.0.0"),
            ("0177.1", "127.0.0.1, the address of 0177.1"),
            ("169.254.169.254", "169.254.169.254"),
            ("::ffff:127.0.0.1", "::ffff:127.0.0.1"),
        ] {
            let problem = connect(&Target::new(host, 80), &policy).await.unwrap_err();
            assert_eq!(problem, format!("this agent does not allow tasks to reach {expected}"));
        }
        let v4 = Target::new("localhost", 80).resolve(&policy, Some(IpVersion::V4), &limit(20.0)).await;
        assert_eq!(
            v4.unwrap_err().to_string(),
            "this agent does not allow tasks to reach 127.0.0.1, the address of localhost"
        );
    }

    #[test]
    fn names_in_any_language_are_looked_up() {
        assert_eq!(Target::new("münchen.example", 443).to_string(), "xn--mnchen-3ya.example:443");
        assert_eq!(Target::new("ü/x", 443).host, "ü/x");
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_told() {
        for (host, expected) in [
            ("", "could not find the address of \"\": it is no name"),
            ("a\0b\n", "could not find the address of \"a\\0b\\n\": it is no name"),
            ("a b", "could not find the address of \"a b\": it is no name"),
            ("a..invalid", "could not find the address of a..invalid: "),
        ] {
            let problem = connect(&Target::new(host, 80), &NetworkPolicy::default()).await.unwrap_err();
            assert!(problem.starts_with(expected), "{problem}");
        }
        let target = Target::new("127.0.0.1", 80);
        let problem = target.resolve(&NetworkPolicy::default(), Some(IpVersion::V6), &limit(20.0)).await;
        assert_eq!(
            problem.unwrap_err().to_string(),
            "could not find the address of 127.0.0.1: it has no address of IPv6"
        );
    }

    #[test]
    fn several_addresses_are_told_in_their_order() {
        let tries = vec![
            Try {
                address: "[2001:db8::1]:443".parse().unwrap(),
                cause: Some(io::ErrorKind::NetworkUnreachable.into()),
                took: Duration::from_millis(1),
            },
            Try { address: "203.0.113.7:443".parse().unwrap(), cause: None, took: Duration::from_secs(15) },
        ];
        let error = ConnectError::Connect { target: Target::new("example.org", 443), tries };
        assert_eq!(
            error.to_string(),
            "could not connect to example.org:443 (2001:db8::1): the network is unreachable after 0.001 s, then \
             (203.0.113.7): no answer within 15.0 s"
        );
    }
}
