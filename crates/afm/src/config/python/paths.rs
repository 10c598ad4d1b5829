//! The functions of `os.path`, as on Linux.

use super::fault::{Exception, Fault};
use super::value::{Outcome, Value};

pub(super) fn join(parts: &[Value]) -> Result<String, Fault> {
    let mut path = String::new();
    for (n, part) in parts.iter().enumerate() {
        let part = text(part)?;
        if n == 0 || part.starts_with('/') {
            path.clear();
        } else if !path.is_empty() && !path.ends_with('/') {
            path.push('/');
        }
        path.push_str(part);
    }
    Ok(path)
}

pub(super) fn dirname(path: &str) -> &str {
    let head = &path[..path.rfind('/').map_or(0, |slash| slash + 1)];
    let trimmed = head.trim_end_matches('/');
    if trimmed.is_empty() { head } else { trimmed }
}

pub(super) fn basename(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

pub(super) fn normpath(path: &str) -> String {
    if path.is_empty() {
        return ".".to_owned();
    }
    // Two slashes at the beginning are kept, since POSIX lets a system give them a meaning.
    let root = match path.len() - path.trim_start_matches('/').len() {
        0 => "",
        2 => "//",
        _ => "/",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part != ".." || (root.is_empty() && parts.last().is_none_or(|last| *last == "..")) {
            parts.push(part);
        } else {
            parts.pop();
        }
    }
    let path = format!("{root}{}", parts.join("/"));
    if path.is_empty() { ".".to_owned() } else { path }
}

/// Returns the absolute path, without `.` and `..`.
pub(super) fn abspath(path: &str) -> Result<String, Fault> {
    if path.starts_with('/') {
        return Ok(normpath(path));
    }
    Ok(normpath(&format!("{}/{path}", getcwd()?)))
}

/// Returns the path without symbolic links, as far as it exists.
pub(super) fn realpath(path: &str) -> Result<String, Fault> {
    let missing = || Fault::unreadable("the real path of what is not there is asked for here");
    let real = std::fs::canonicalize(path).map_err(|_| missing())?;
    real.into_os_string().into_string().map_err(|_| missing())
}

pub(super) fn getcwd() -> Result<String, Fault> {
    let folder = std::env::current_dir().ok().and_then(|folder| folder.into_os_string().into_string().ok());
    folder.ok_or_else(|| Fault::raises(Exception::Other, "the working directory cannot be found out"))
}

/// Replaces `~` by the home folder. Those of other users are not on the list.
pub(super) fn expanduser(path: &str, home: Option<String>) -> Result<String, Fault> {
    let Some(rest) = path.strip_prefix('~') else { return Ok(path.to_owned()) };
    match home {
        Some(home) if rest.is_empty() || rest.starts_with('/') => {
            let whole = format!("{}{rest}", home.trim_end_matches('/'));
            Ok(if whole.is_empty() { "/".to_owned() } else { whole })
        }
        _ => Err(Fault::unreadable("a home folder that HOME does not name is asked for here")),
    }
}

fn text(value: &Value) -> Result<&str, Fault> {
    match value {
        Value::Str(text) => Ok(text),
        _ => Err(Fault::of_type("a path is a string")),
    }
}

/// Evaluates `urllib.parse.quote` and `quote_plus`.
pub(super) fn quote(value: &Value, safe: &str, plus: bool) -> Outcome {
    let bytes = match value {
        Value::Str(text) => text.as_bytes(),
        Value::Bytes(bytes) => bytes,
        _ => return Err(Fault::of_type("only strings are quoted")),
    };
    let mut quoted = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => {
                quoted.push(char::from(*byte));
            }
            b' ' if plus => quoted.push('+'),
            byte if byte.is_ascii() && safe.as_bytes().contains(byte) => quoted.push(char::from(*byte)),
            byte => quoted.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(Value::Str(quoted.into()))
}
