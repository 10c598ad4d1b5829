//! Takes a URI apart into libpq's keywords.

use std::collections::HashMap;

use super::error::UriError;

/// The names of libpq's parameters, each with the environment variable that stands in for it.
const KNOWN: &[(&str, Option<&str>)] = &[
    ("host", Some("PGHOST")),
    ("port", Some("PGPORT")),
    ("user", Some("PGUSER")),
    ("password", Some("PGPASSWORD")),
    ("dbname", Some("PGDATABASE")),
    ("passfile", Some("PGPASSFILE")),
    ("sslmode", Some("PGSSLMODE")),
    ("sslrootcert", Some("PGSSLROOTCERT")),
    ("sslcert", Some("PGSSLCERT")),
    ("sslkey", Some("PGSSLKEY")),
    ("application_name", Some("PGAPPNAME")),
    ("connect_timeout", Some("PGCONNECT_TIMEOUT")),
    ("options", Some("PGOPTIONS")),
    ("target_session_attrs", Some("PGTARGETSESSIONATTRS")),
    ("channel_binding", Some("PGCHANNELBINDING")),
    ("load_balance_hosts", Some("PGLOADBALANCEHOSTS")),
    ("keepalives", None),
    ("keepalives_idle", None),
    ("keepalives_interval", None),
    ("keepalives_count", None),
    ("tcp_user_timeout", None),
    // These are read and ignored: the encoding is always UTF-8, and GSSAPI is never used.
    ("client_encoding", None),
    ("gssencmode", None),
];

/// Parameters by name. There is no `Debug`, since one of them is the password.
pub(super) struct Keywords(HashMap<&'static str, String>);

impl Keywords {
    /// Reads the parameters of a URI. Those of its query count over the parts before it, and these over the
    /// environment.
    pub(super) fn read(uri: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, UriError> {
        let set = |(name, variable): &(&'static str, Option<&str>)| {
            let value = variable.and_then(environment).filter(|value| !value.is_empty())?;
            Some((*name, value))
        };
        let mut keywords = Self(KNOWN.iter().filter_map(set).collect());
        let (scheme, rest) =
            uri.split_once("://").ok_or_else(|| UriError::new("must begin with postgresql://"))?;
        // postgresql+psycopg2:// names a Python driver, which says nothing here.
        if !matches!(scheme.split('+').next(), Some("postgresql" | "postgres")) {
            return Err(UriError::new("must begin with postgresql:// or postgres://"));
        }
        let parts = UriParts::of(rest);
        if let Some(user) = parts.user {
            keywords.put("user", decoded("user", user)?);
        }
        if let Some(password) = parts.password {
            keywords.put("password", decoded("password", password)?);
        }
        keywords.put_hosts(parts.hosts)?;
        keywords.put("dbname", decoded("database", parts.database)?);
        let mut follows_password = false;
        for parameter in parts.query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let Some((name, _)) = KNOWN.iter().find(|(known, _)| *known == name) else {
                // Where an @ is out of place, and after a password that may hold an &, this may be the rest
                // of it.
                let is_name = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                let may_be_secret = parts.query.contains('@') || follows_password || !is_name;
                let name = if may_be_secret { "a parameter" } else { name };
                return Err(UriError::new(format!("{name} is not a known parameter")));
            };
            follows_password |= *name == "password";
            keywords.put(name, decoded(name, &value.replace('+', " "))?);
        }
        Ok(keywords)
    }

    fn put(&mut self, name: &'static str, value: String) {
        if !value.is_empty() {
            self.0.insert(name, value);
        }
    }

    /// Reads hosts and ports out of `host1:5432,[::1],host3`.
    fn put_hosts(&mut self, hosts: &str) -> Result<(), UriError> {
        let (mut names, mut ports) = (Vec::new(), Vec::new());
        for host in hosts.split(',') {
            let (name, port) = match host.strip_prefix('[') {
                Some(rest) => {
                    let (name, rest) =
                        rest.split_once(']').ok_or_else(|| UriError::new("[ without ] in the host"))?;
                    (name, rest.strip_prefix(':').unwrap_or(rest))
                }
                None => host.split_once(':').unwrap_or((host, "")),
            };
            names.push(decoded("host", name)?);
            ports.push(port);
        }
        if names.iter().any(|name| !name.is_empty()) {
            self.put("host", names.join(","));
        }
        if ports.iter().any(|port| !port.is_empty()) {
            self.put("port", ports.join(","));
        }
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        debug_assert!(KNOWN.iter().any(|(known, _)| *known == name), "{name}");
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, UriError> {
        let number =
            |text: &str| text.trim().parse().map_err(|_| UriError::new(format!("{name} must be an integer")));
        self.get(name).map(number).transpose()
    }
}

/// The parts of `user:password@hosts/database?query`.
struct UriParts<'a> {
    user: Option<&'a str>,
    password: Option<&'a str>,
    hosts: &'a str,
    database: &'a str,
    query: &'a str,
}

impl<'a> UriParts<'a> {
    /// Splits a URI as SQLAlchemy does: a password may hold `@`, `/` and `?` as they are, and ends at the
    /// last `@`.
    fn of(text: &'a str) -> Self {
        let at = text[..text.find('?').unwrap_or(text.len())].rfind('@').or_else(|| {
            // An @ after a ? belongs to a parameter, unless what is before can't be hosts.
            let hosts = text.split(['/', '?']).next().unwrap_or_default();
            let are_hosts = hosts.split(',').all(|host| {
                let port = host.rsplit_once(']').map_or(host, |(_, port)| port).split_once(':');
                port.is_none_or(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
            });
            if are_hosts { None } else { text.rfind('@') }
        });
        let login = at.map(|at| &text[..at]).map(|login| match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        });
        let (login, rest) = match (login, at) {
            (Some((user, password)), Some(at)) if !user.contains('/') => {
                ((Some(user), password), &text[at + 1..])
            }
            _ => ((None, None), text),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
        Self { user: login.0, password: login.1, hosts, database, query }
    }
}

/// Undoes percent-encoding; a `%` that begins none stands for itself, as in Python.
fn decoded(part: &str, text: &str) -> Result<String, UriError> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.extend(u8::try_from(high * 16 + low));
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    match String::from_utf8(out) {
        Ok(text) if text.contains('\0') => Err(UriError::new(format!("the {part} must not contain U+0000"))),
        Ok(text) => Ok(text),
        Err(_) => Err(UriError::new(format!("the {part} is not valid UTF-8"))),
    }
}
