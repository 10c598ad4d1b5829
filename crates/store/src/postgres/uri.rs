//! Database URIs as SQLAlchemy 1.3 and libpq take them.

mod error;
mod keywords;
pub(super) mod options;
mod passfile;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, LoadBalanceHosts, SslMode, TargetSessionAttrs};

pub use self::error::UriError;
use self::keywords::Keywords;
use super::tls::{Tls, Verify};

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    Disable,
    Allow,
    Prefer,
    Require,
}

/// One of the servers that a URI names.
#[derive(Debug, Clone)]
pub(super) struct Host {
    config: Config,
    is_socket: bool,
}

/// The servers, the user and the database that a URI names.
#[derive(Debug, Clone)]
pub(super) struct ConnectionTarget {
    pub(super) hosts: Vec<Host>,
    pub(super) user: String,
    pub(super) database: String,
    /// The settings that the server is asked for when a connection begins, as on its command line.
    pub(super) options: Option<String>,
    encryption: Encryption,
    tls: Tls,
}

impl ConnectionTarget {
    /// Reads a URI. Parts that it leaves out are as for libpq: from the environment, or a default.
    ///
    /// `environment` looks up variables; of the file system, only the password file is read. `patience` is
    /// how long a call waits for a connection: each server gets its part of it, unless `connect_timeout` is
    /// set.
    pub(super) fn parse(
        uri: &str,
        environment: &dyn Fn(&str) -> Option<String>,
        patience: Duration,
    ) -> Result<Self, UriError> {
        let keywords = Keywords::read(uri, environment)?;
        let user = match keywords.get("user") {
            Some(user) => user.to_owned(),
            None => whoami::username().map_err(|e| UriError::new(format!("it names no user, and {e}")))?,
        };
        let database = keywords.get("dbname").unwrap_or(&user).to_owned();
        let (encryption, tls) = encryption(&keywords, environment)?;
        let addresses = addresses(&keywords)?;
        let mut base = base(&keywords)?;
        base.user(&user).dbname(&database);
        if base.get_connect_timeout().is_none() {
            let servers = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
            base.connect_timeout((patience / servers).max(Duration::from_millis(1)));
        }
        let passwords = passfile::Passwords::read(&keywords, environment);
        let hosts = addresses.into_iter().map(|(name, port)| {
            let is_socket = name.starts_with('/');
            let mut config = base.clone();
            config.host(&name).port(port);
            let password = match keywords.get("password") {
                Some(password) => Some(password.to_owned()),
                None => passwords.find(&name, port, &database, &user),
            };
            if let Some(password) = password {
                config.password(password);
            }
            Host { config, is_socket }
        });
        let options = keywords.get("options").map(str::to_owned);
        Ok(Self { hosts: hosts.collect(), user, database, options, encryption, tls })
    }

    /// The ways to connect to a host, in the order in which they are tried.
    pub(super) fn configs(&self, host: &Host) -> Vec<(Config, Option<Tls>)> {
        let with = |mode, tls| {
            let mut config = host.config.clone();
            config.ssl_mode(mode);
            (config, tls)
        };
        let plain = || with(SslMode::Disable, None);
        // PostgreSQL has no TLS on its sockets; libpq ignores sslmode there.
        if host.is_socket {
            return vec![plain()];
        }
        let tls = Some(self.tls.clone());
        match self.encryption {
            Encryption::Disable => vec![plain()],
            Encryption::Allow => vec![plain(), with(SslMode::Require, tls)],
            Encryption::Prefer => vec![with(SslMode::Prefer, tls), plain()],
            Encryption::Require => vec![with(SslMode::Require, tls)],
        }
    }
}

fn addresses(keywords: &Keywords) -> Result<Vec<(String, u16)>, UriError> {
    let hosts: Vec<String> = match keywords.get("host").filter(|hosts| !hosts.is_empty()) {
        Some(hosts) => hosts.split(',').map(str::to_owned).collect(),
        None => vec![String::new()],
    };
    let ports: Vec<&str> = keywords.get("port").unwrap_or_default().split(',').collect();
    if ports.len() > 1 && ports.len() != hosts.len() {
        return Err(UriError::new(format!("names {} hosts, but {} ports", hosts.len(), ports.len())));
    }
    let port = |at: usize| {
        match ports.get(at).or(ports.first()).copied().unwrap_or_default() {
        "" => Ok(5432),
        digits => digits.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
            // The text is not shown, since it may be the rest of a password.
            UriError::new(
                "port must be a number from 1 to 65535 (in a password, write % as %25, / as %2F, ? as %3F, \
                 @ as %40)",
            )
        }),
    }
    };
    let address = |(at, host): (usize, String)| {
        let host = if host.is_empty() { default_host() } else { host };
        Ok((host, port(at)?))
    };
    hosts.into_iter().enumerate().map(address).collect()
}

fn default_host() -> String {
    let sockets = "/var/run/postgresql";
    if Path::new(sockets).is_dir() { sockets.to_owned() } else { "localhost".to_owned() }
}

fn encryption(
    keywords: &Keywords,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<(Encryption, Tls), UriError> {
    let roots = keywords.get("sslrootcert").filter(|path| !path.is_empty());
    let (encryption, verify) = match keywords.get("sslmode").unwrap_or("prefer") {
        "disable" => (Encryption::Disable, Verify::Nothing),
        "allow" => (Encryption::Allow, Verify::Nothing),
        "prefer" => (Encryption::Prefer, Verify::Nothing),
        // Whoever names an authority wants it to be asked.
        "require" if roots.is_some() => (Encryption::Require, Verify::Authority),
        "require" => (Encryption::Require, Verify::Nothing),
        "verify-ca" => (Encryption::Require, Verify::Authority),
        "verify-full" => (Encryption::Require, Verify::AuthorityAndName),
        _ => {
            return Err(UriError::new(
                "sslmode must be disable, allow, prefer, require, verify-ca or verify-full",
            ));
        }
    };
    let home_roots = || {
        let path = Path::new(&environment("HOME")?).join(".postgresql/root.crt");
        path.is_file().then_some(path)
    };
    let roots = match roots {
        Some("system") => None,
        Some(path) => Some(path.into()),
        None => home_roots(),
    };
    let client = match (keywords.get("sslcert"), keywords.get("sslkey")) {
        (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
        (None, None) => None,
        _ => return Err(UriError::new("sslcert and sslkey go together")),
    };
    Ok((encryption, Tls { verify, roots, client }))
}

/// The settings that are the same for every host.
fn base(keywords: &Keywords) -> Result<Config, UriError> {
    let mut config = Config::new();
    config.application_name(keywords.get("application_name").unwrap_or("slamon-afm"));
    // libpq: zero, or a negative number, is no limit; here, as long as a call waits.
    if let Some(seconds) = keywords.number("connect_timeout")?.filter(|seconds| *seconds > 0) {
        config.connect_timeout(Duration::from_secs(seconds.unsigned_abs()));
    }
    if let Some(on) = keywords.number("keepalives")? {
        config.keepalives(on != 0);
    }
    let positive = |name| Ok::<_, UriError>(keywords.number(name)?.filter(|n| *n > 0).map(i64::unsigned_abs));
    if let Some(seconds) = positive("keepalives_idle")? {
        config.keepalives_idle(Duration::from_secs(seconds));
    }
    if let Some(seconds) = positive("keepalives_interval")? {
        config.keepalives_interval(Duration::from_secs(seconds));
    }
    if let Some(count) = positive("keepalives_count")? {
        config.keepalives_retries(u32::try_from(count).unwrap_or(u32::MAX));
    }
    if let Some(milliseconds) = positive("tcp_user_timeout")? {
        config.tcp_user_timeout(Duration::from_millis(milliseconds));
    }
    match keywords.get("target_session_attrs") {
        None | Some("any") => {}
        Some("read-write" | "primary") => {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        Some(_) => {
            return Err(UriError::new(
                "target_session_attrs must be any, read-write or primary: tasks have to be written",
            ));
        }
    }
    match keywords.get("channel_binding") {
        None | Some("prefer") => {}
        Some("disable") => {
            config.channel_binding(ChannelBinding::Disable);
        }
        Some("require") => {
            config.channel_binding(ChannelBinding::Require);
        }
        Some(_) => return Err(UriError::new("channel_binding must be disable, prefer or require")),
    }
    match keywords.get("load_balance_hosts") {
        None | Some("disable") => {}
        // The addresses of each host are shuffled; the hosts keep their order.
        Some("random") => {
            config.load_balance_hosts(LoadBalanceHosts::Random);
        }
        Some(_) => return Err(UriError::new("load_balance_hosts must be disable or random")),
    }
    Ok(config)
}
