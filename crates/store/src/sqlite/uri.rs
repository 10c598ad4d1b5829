//! `sqlite:` URIs as SQLAlchemy writes them.

use std::path::PathBuf;
use std::time::Duration;

/// The longest time to wait for a lock: all commands that write wait with the one that waits for it.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What a `sqlite:` URI asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The file; `None` for a database in memory.
    pub(super) file: Option<PathBuf>,
    /// How long to wait for another process's lock.
    pub(super) busy_timeout: Option<Duration>,
}

/// Reads a URI. `sqlite://` and `sqlite:///:memory:` are in memory, `sqlite:///a.db` is relative to the
/// working directory, `sqlite:////a.db` is absolute. Python's `timeout` parameter (seconds) is honoured.
pub(super) fn parse(uri: &str) -> Result<Place, String> {
    let (scheme, rest) = uri.split_once("://").ok_or("has no `://`")?;
    if scheme != "sqlite" && !scheme.starts_with("sqlite+") {
        return Err(format!("`{scheme}` is not SQLite"));
    }
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let file = match place.strip_prefix('/') {
        _ if place.is_empty() => None,
        Some("" | ":memory:") => None,
        Some(file) => Some(PathBuf::from(file)),
        None => {
            return Err("names a host: write sqlite:///relative.db or sqlite:////absolute.db".to_owned());
        }
    };
    let mut busy_timeout = None;
    for (name, value) in
        query.split('&').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap_or((p, "")))
    {
        match name {
            "timeout" => {
                let seconds = value.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
                let seconds = seconds.ok_or("parameter `timeout` must be a number of seconds")?;
                if seconds > LONGEST_TIMEOUT {
                    return Err("parameter `timeout` may be 60 seconds at most".to_owned());
                }
                busy_timeout = Some(seconds);
            }
            // How Python's driver shares connections and statements has no meaning here.
            "check_same_thread" | "cached_statements" => {}
            other => return Err(format!("parameter `{other}` is not known; `timeout` is")),
        }
    }
    Ok(Place { file, busy_timeout })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (uri, file) in [
            ("sqlite://", None),
            ("sqlite:///", None),
            ("sqlite:///:memory:", None),
            ("sqlite+pysqlite:///:memory:", None),
            ("sqlite:///afm.db", Some("afm.db")),
            ("sqlite:////var/lib/afm.db", Some("/var/lib/afm.db")),
            ("sqlite:///a%20b.db?check_same_thread=False", Some("a%20b.db")),
        ] {
            assert_eq!(parse(uri).unwrap().file, file.map(PathBuf::from), "{uri}");
        }
        let timeout = parse("sqlite:///afm.db?timeout=1.5").unwrap().busy_timeout;
        assert_eq!(timeout, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn refusals() {
        for (uri, error) in [
            ("sqlite:afm.db", "has no `://`"),
            ("sqlite://afm.db", "names a host: write sqlite:///relative.db or sqlite:////absolute.db"),
            ("sqlite:///afm.db?timeout=x", "parameter `timeout` must be a number of seconds"),
            ("sqlite:///afm.db?timeout=60.001", "parameter `timeout` may be 60 seconds at most"),
            ("sqlite:///afm.db?timeout=inf", "parameter `timeout` must be a number of seconds"),
            ("sqlite:///afm.db?mode=ro", "parameter `mode` is not known; `timeout` is"),
        ] {
            assert_eq!(parse(uri).unwrap_err(), error, "{uri}");
        }
    }
}
