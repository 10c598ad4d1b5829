//! Which servers are asked.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::Data;
use crate::failure::Failure;
use crate::handlers::Environment;
use crate::network::NetworkPolicy;
use crate::network::connect::Target;
use crate::network::limit::Limit;

const SYSTEM: &str = "/etc/resolv.conf";

/// The servers that a task may ask.
#[derive(Debug)]
pub(super) struct Servers {
    /// Never empty.
    pub(super) addresses: Vec<SocketAddr>,
    /// What connections to them have to keep to.
    pub(super) policy: NetworkPolicy,
}

/// The servers that a task names, or those of the system.
pub(super) async fn find(data: &Data, environment: &Environment, limit: &Limit) -> Result<Servers, Failure> {
    let policy = environment.network.clone();
    let Some(server) = &data.server else {
        return match policy.hosts() {
            // They would pass the question on to anybody.
            Some(_) => Err(Failure::new(
                "task_data.server: must be given, since the task names a secret that is not for all hosts",
            )),
            None => system(Path::new(SYSTEM), data.port),
        };
    };
    let resolved = Target::new(server, data.port).resolve(&policy, None, limit).await?;
    Ok(Servers { addresses: resolved.addresses, policy })
}

/// The servers that the system asks itself. They need not be allowed: each task that names a host has them asked, and
/// those of clouds have addresses that are denied by default.
fn system(path: &Path, port: u16) -> Result<Servers, Failure> {
    let failed = |problem: &str| {
        let path = path.display();
        Failure::new(format!(
            "the system of this agent has no DNS server: {path} {problem}; name one in `server`"
        ))
    };
    let text = std::fs::read_to_string(path).map_err(|problem| failed(&format!("says: {problem}")))?;
    let addresses: Vec<SocketAddr> =
        text.lines().filter_map(server).map(|address| SocketAddr::new(address, port)).collect();
    if addresses.is_empty() {
        return Err(failed("names none"));
    }
    Ok(Servers { addresses, policy: NetworkPolicy::everything() })
}

/// The server that a line of resolv.conf(5) names.
fn server(line: &str) -> Option<IpAddr> {
    let mut words = line.split_whitespace();
    words.next().filter(|word| *word == "nameserver")?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_of_the_system_are_those_that_its_file_names() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines = "# nameserver 192.0.2.9\nsearch example.org\n nameserver\t169.254.169.253 \nnameserver ::1\n\
                     nameserver x\nnameserver\n;nameserver 192.0.2.8\noptions edns0\n";
        std::fs::write(file.path(), lines).unwrap();
        let servers = system(file.path(), 53).unwrap();
        assert_eq!(servers.addresses, ["169.254.169.253:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
        assert!(servers.addresses.iter().all(|address| servers.policy.allows(address.ip())));
        std::fs::write(file.path(), "search example.org\n").unwrap();
        assert!(
            system(file.path(), 53).unwrap_err().to_string().ends_with("names none; name one in `server`")
        );
    }
}
