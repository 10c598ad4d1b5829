//! A database URI that does not show its password.

use std::convert::Infallible;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// This text stands for what is hidden.
const HIDDEN: &str = "***";

/// Query parameters whose values are safe to show; any other may be a credential.
const SHOWN_PARAMETERS: [&str; 9] = [
    "application_name",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "mode",
    "port",
    "sslmode",
    "target_session_attrs",
];

/// The URI of a database. `Debug` and `Display` never show its password nor what may be a credential in its
/// query parameters, and hide rather too much of what they do not understand.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUri(String);

impl DatabaseUri {
    /// Wraps a URI as the user wrote it. It is checked when the store is opened.
    pub fn new(uri: impl Into<String>) -> Self {
        Self(uri.into())
    }

    /// Returns the whole URI with its password, for the store and never for a log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Parsing never fails; it lets the command line use this type.
impl FromStr for DatabaseUri {
    type Err = Infallible;

    fn from_str(uri: &str) -> Result<Self, Infallible> {
        Ok(Self::new(uri))
    }
}

impl fmt::Display for DatabaseUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else { return f.write_str(HIDDEN) };
        if !scheme.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.')) {
            return f.write_str(HIDDEN);
        }
        write!(f, "{scheme}://")?;
        // The path of a SQLite file may contain an @. In other URIs the last @ ends the credentials, since
        // passwords with an unescaped /, ? or @ are common.
        let is_path = scheme.starts_with("sqlite") && rest.starts_with('/');
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) if !is_path => (Some(credentials), place),
            _ => (None, rest),
        };
        if let Some(credentials) = credentials {
            // Either the password contains a ?, or the @ is in a query parameter. What follows may be secret,
            // too.
            if credentials.contains('?') {
                return f.write_str(HIDDEN);
            }
            let (user, password) = credentials
                .split_once(':')
                .map_or((credentials, None), |(user, password)| (user, Some(password)));
            f.write_str(if user.contains(['/', '@']) { HIDDEN } else { user })?;
            f.write_str(if password.is_some() { ":***@" } else { "@" })?;
        }
        let (place, query) =
            place.split_once('?').map_or((place, None), |(place, query)| (place, Some(query)));
        f.write_str(if is_path || has_plain_ports(place) { place } else { HIDDEN })?;
        let mut follows_password = false;
        for (nth, parameter) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
            f.write_str(if nth == 0 { "?" } else { "&" })?;
            match parameter.split_once('=') {
                Some((name, _)) if SHOWN_PARAMETERS.contains(&name) => f.write_str(parameter)?,
                // After a password that contains an &, this may be the rest of it.
                Some((name, _)) if !follows_password && is_name(name) => write!(f, "{name}={HIDDEN}")?,
                _ => f.write_str(HIDDEN)?,
            }
            follows_password |= parameter.starts_with("password=");
        }
        Ok(())
    }
}

impl fmt::Debug for DatabaseUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUri({self})")
    }
}

/// Says whether only ports follow the hosts: `user:password` without an `@` looks like host and port, too.
fn has_plain_ports(place: &str) -> bool {
    let hosts = place.split('/').next().unwrap_or_default();
    hosts.split(',').all(|host| {
        // An address in brackets contains `:`.
        let (is_host, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, after)) => (is_address(address), after.strip_prefix(':').unwrap_or(after)),
            None => (true, host.split_once(':').map_or("", |(_, port)| port)),
        };
        is_host && port.bytes().all(|c| c.is_ascii_digit())
    })
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

fn is_address(text: &str) -> bool {
    text.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::DatabaseUri;

    #[test]
    fn what_is_shown_holds_no_credentials() {
        for (uri, shown) in [
            ("sqlite://", "sqlite://"),
            ("sqlite:///afm.db", "sqlite:///afm.db"),
            ("sqlite:////var/lib/a@b:c.db", "sqlite:////var/lib/a@b:c.db"),
            ("sqlite:///afm.db?mode=ro&key=secret", "sqlite:///afm.db?mode=ro&key=***"),
            ("postgresql://afm@db/afm", "postgresql://afm@db/afm"),
            ("postgresql+psycopg2://afm:secret@db:5432/afm", "postgresql+psycopg2://afm:***@db:5432/afm"),
            (
                "postgresql://afm:secret@a:1,b:2/afm?target_session_attrs=read-write",
                "postgresql://afm:***@a:1,b:2/afm?target_session_attrs=read-write",
            ),
            ("postgresql://afm:secret@[::1]:5432/afm", "postgresql://afm:***@[::1]:5432/afm"),
            ("postgresql://afm:secret@[::1]/afm", "postgresql://afm:***@[::1]/afm"),
            ("postgresql://:secret@db/afm", "postgresql://:***@db/afm"),
            // Passwords that should have been escaped.
            ("postgresql://afm:secret@secret@db/afm", "postgresql://afm:***@db/afm"),
            ("postgresql://afm:secret/secret@db/afm", "postgresql://afm:***@db/afm"),
            ("postgresql://afm:secret?secret@db/afm", "postgresql://***"),
            ("postgresql:///afm:secret@db/afm", "postgresql://***:***@db/afm"),
            // Credentials in the query.
            ("postgresql://db/afm?user=afm&password=secret", "postgresql://db/afm?user=***&password=***"),
            ("postgresql://db/afm?password=secret@secret&host=h", "postgresql://***"),
            ("postgresql://afm:secret@db:1/afm?password=secret@secret", "postgresql://***"),
            (
                "postgresql:///afm?sslmode=require&passfile=secret",
                "postgresql:///afm?sslmode=require&passfile=***",
            ),
            ("postgresql://db/afm?password=secret&secret", "postgresql://db/afm?password=***&***"),
            ("postgresql://db/afm?password=1&secret=2&host=h", "postgresql://db/afm?password=***&***&host=h"),
            ("postgresql://db/afm?my%20secret=2", "postgresql://db/afm?***"),
            // Not quite URIs.
            ("postgresql://afm:secret", "postgresql://***"),
            ("postgresql://afm:secret:5432/afm", "postgresql://***"),
            ("postgresql://afm:secret:/afm", "postgresql://***"),
            ("postgresql://db:1,afm:secret:5432/afm", "postgresql://***"),
            ("postgresql://[afm:secret]/afm", "postgresql://***"),
            ("postgresql://[::1]ésecret/afm", "postgresql://***"),
            ("postgresql://[::1]:5432,[fe80::a]/afm", "postgresql://[::1]:5432,[fe80::a]/afm"),
            ("postgresql://afm:secret@secret:secret", "postgresql://afm:***@***"),
            ("host=db password=secret", "***"),
            ("afm:secret@db://", "***"),
            ("", "***"),
        ] {
            let uri = DatabaseUri::new(uri);
            let is = uri.to_string();
            assert!(!is.contains("secret"), "{is}");
            assert_eq!(is, shown);
            assert_eq!(format!("{uri:?}"), format!("DatabaseUri({shown})"));
        }
    }

    #[test]
    fn the_store_gets_all_of_it() {
        assert_eq!(DatabaseUri::new("postgresql://afm:secret@db").expose(), "postgresql://afm:secret@db");
    }
}
