//! URLs as `requests` and `urllib3` read them.

use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::host::label;
use crate::handlers::python::{is_space, latin_1, repr};

const UNRESERVED: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-~";
const USER_INFO: &[u8] = b"!$&'()*+,;=:";
const PATH: &[u8] = b"!$&'()*+,;=:@/";
const QUERY: &[u8] = b"!$&'()*+,;=:@/?";
/// What `requests` leaves as it is in a URL that is put together.
const WHOLE: &[u8] = b"!#$%&'()*+,/:;=?@[]~";

/// A URL that can be asked for.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) is_secure: bool,
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Whether the URL names the port.
    has_port: bool,
    /// Path and query.
    pub(super) path: String,
    /// User and password.
    pub(super) user: Option<(String, String)>,
    /// The same, to find out what it leads to; `None` where it is none by the rules of browsers.
    pub(super) url: Option<Url>,
}

/// The parts of a URL.
struct Parts<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

/// Makes a URL ready, or tells in the words of `requests` why not.
pub(super) fn prepare(given: &str) -> Result<Prepared, String> {
    let text = given.trim_start_matches(is_space);
    if text.contains(':') && !text.to_lowercase().starts_with("http") {
        let is_wrong = has_wrong_brackets(text);
        return Err(if is_wrong { "Invalid IPv6 URL".to_owned() } else { no_adapter(text) });
    }
    let failed = || format!("Failed to parse: {text}");
    let prefixed = if has_scheme(text) || text.is_empty() { text.to_owned() } else { format!("//{text}") };
    let parts = split(&prefixed);
    let (user, host, port) = match parts.authority {
        Some(authority) => {
            let (user, place) = authority.rsplit_once('@').unwrap_or(("", authority));
            let (host, port) = host_and_port(place).ok_or_else(failed)?;
            (user, normalized(host).ok_or_else(failed)?, port.filter(|port| *port != 0))
        }
        None => ("", String::new(), None),
    };
    let Some(scheme) = parts.scheme.map(str::to_ascii_lowercase) else {
        let written = repr(text);
        return Err(format!("Invalid URL {written}: No scheme supplied. Perhaps you meant https://{text}?"));
    };
    if host.is_empty() {
        return Err(format!("Invalid URL {}: No host supplied", repr(text)));
    }
    if host.starts_with(['*', '.']) {
        return Err("URL has an invalid label.".to_owned());
    }
    let is_http = matches!(scheme.as_str(), "http" | "https");
    let encoded = |part: &str, allowed| if is_http { encode(part, allowed) } else { part.to_owned() };
    let path = if is_http { encode(&without_dots(parts.path), PATH) } else { parts.path.to_owned() };
    let mut whole = format!("{scheme}://");
    if !user.is_empty() {
        whole.push_str(&format!("{}@", encoded(user, USER_INFO)));
    }
    whole.push_str(&host);
    if let Some(port) = port {
        whole.push_str(&format!(":{port}"));
    }
    whole.push_str(&slashed(&path));
    for (mark, part) in [('?', parts.query), ('#', parts.fragment)] {
        if let Some(part) = part.filter(|part| !part.is_empty()) {
            whole.push(mark);
            whole.push_str(&encoded(part, QUERY));
        }
    }
    let whole = requote(&whole);
    if is_http { Prepared::of(&whole) } else { Err(no_adapter(&whole)) }
}

impl Prepared {
    /// Reads a URL that was put together.
    fn of(whole: &str) -> Result<Self, String> {
        let parts = split(whole);
        let is_secure = parts.scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        let authority = parts.authority.unwrap_or_default();
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let (host, port) = host_and_port(place).ok_or_else(|| wrong_place(place, whole))?;
        if host.is_empty() {
            return Err("No host specified.".to_owned());
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let mut labels = bare.strip_suffix('.').unwrap_or(&bare).split('.');
        if !host.starts_with('[') && labels.any(|label| label.is_empty() || label.len() > 63) {
            return Err(format!("Failed to parse: {}, label empty or too long", repr(&bare)));
        }
        let path = match parts.query.filter(|query| !query.is_empty()) {
            Some(query) => format!("{}?{query}", slashed(parts.path)),
            None => slashed(parts.path),
        };
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        // Without a password there is no user, either.
        let user = user.and_then(|user| user.split_once(':'));
        let user = user.map(|(name, password)| (decoded(name), decoded(password)));
        for text in user.iter().flat_map(|(name, password)| [name, password]) {
            latin_1(text)?;
        }
        Ok(Self {
            is_secure,
            host: bare,
            port: port.unwrap_or(if is_secure { 443 } else { 80 }),
            has_port: port.is_some(),
            path,
            user: user.filter(|(name, password)| !name.is_empty() || !password.is_empty()),
            url: Url::parse(whole).ok(),
        })
    }

    /// Where a redirect leads to.
    pub(super) fn join(&self, location: &str) -> Result<Self, String> {
        let scheme = if self.is_secure { "https:" } else { "http:" };
        let prefix = if location.starts_with("//") { scheme } else { "" };
        let mut location = format!("{prefix}{location}");
        if has_wrong_brackets(&location) {
            return Err("Invalid IPv6 URL".to_owned());
        }
        // Where the host is lacking, it is the same one.
        if location.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
            && let Some(path) =
                location[scheme.len()..].strip_prefix("//").filter(|path| path.starts_with('/'))
        {
            location = path.to_owned();
        }
        let location = location.as_str();
        let whole = if split(location).authority.is_some() {
            requote(location)
        } else {
            let joined = self.url.as_ref().and_then(|url| url.join(&requote(location)).ok());
            joined.ok_or_else(|| format!("Failed to parse: {location}"))?.into()
        };
        let lower = whole.to_ascii_lowercase();
        if !lower.starts_with("http://") && !lower.starts_with("https://") {
            return Err(no_adapter(&whole));
        }
        Self::of(&whole)
    }

    /// Whether what was meant for this place may be sent to another one.
    pub(super) fn shares_authorization(&self, next: &Self) -> bool {
        let is_upgrade = !self.is_secure && next.is_secure && self.port == 80 && next.port == 443;
        let is_same = self.is_secure == next.is_secure && self.port == next.port;
        self.host == next.host && (is_upgrade || is_same)
    }

    /// `127.0.0.1:8080`, or without the port where the URL names none.
    pub(super) fn place(&self) -> String {
        if self.has_port { format!("{}:{}", self.host, self.port) } else { self.host.clone() }
    }
}

/// Whether Python's own parser refuses a URL for its brackets.
fn has_wrong_brackets(url: &str) -> bool {
    let Parts { scheme, .. } = split(url);
    let rest = scheme.map_or(url, |scheme| &url[scheme.len() + 1..]);
    let Some(rest) = rest.strip_prefix("//") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if !authority.contains(['[', ']']) {
        return false;
    }
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    authority.contains('[') != authority.contains(']') || host_and_port(place).is_none()
}

/// What is wrong with a host and port that are not both.
fn wrong_place(place: &str, whole: &str) -> String {
    match place.rsplit_once(':').map(|(_, port)| port) {
        Some(port) if place.ends_with(']') || port.is_empty() => format!("Failed to parse: {whole}"),
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            "Port out of range 0-65535".to_owned()
        }
        Some(port) => format!("Port could not be cast to integer value as {}", repr(port)),
        None => format!("Failed to parse: {whole}"),
    }
}

fn no_adapter(url: &str) -> String {
    format!("No connection adapters were found for {}", repr(url))
}

fn slashed(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// Whether a text begins with a scheme or a slash.
fn has_scheme(text: &str) -> bool {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    text.starts_with('/') || scheme.is_some_and(|scheme| is_scheme(scheme, b"+-"))
}

fn is_scheme(text: &str, also: &[u8]) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte))
}

/// Takes a URL apart as RFC 3986 does; any text has parts.
fn split(text: &str) -> Parts<'_> {
    let (scheme, rest) = match text.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme, b"+.-") => (Some(scheme), rest),
        _ => (None, text),
    };
    let (rest, fragment) = rest.split_once('#').map_or((rest, None), |(rest, part)| (rest, Some(part)));
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, part)| (rest, Some(part)));
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find(['/', '\\']).unwrap_or(rest.len()));
            (Some(authority), path)
        }
        None => (None, rest),
    };
    Parts { scheme, authority, path, query, fragment }
}

/// Takes a host and a port apart; `None` if it cannot be both.
fn host_and_port(place: &str) -> Option<(&str, Option<u16>)> {
    let end = match place.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => place.find(':').unwrap_or(place.len()),
    };
    let (host, port) = place.split_at(end);
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => {
            let address = address.split('%').next().unwrap_or_default();
            address.parse::<std::net::Ipv6Addr>().ok()?;
        }
        None if host.contains(['[', ']']) || !are_escapes(host) => return None,
        None => {}
    }
    if port.is_empty() {
        return Some((host, None));
    }
    let digits = port.strip_prefix(':')?;
    if digits.is_empty() {
        return Some((host, None));
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    let port = if significant.is_empty() { 0 } else { significant.parse().ok()? };
    Some((host, Some(port)))
}

/// Whether each `%` begins an escape.
fn are_escapes(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().all(|(index, byte)| *byte != b'%' || is_escape(bytes, index))
}

fn is_escape(bytes: &[u8], index: usize) -> bool {
    bytes.get(index + 1..index + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// A host in lower case, and in ASCII; `None` if it has a letter that it cannot have.
fn normalized(host: &str) -> Option<String> {
    host.split('.').map(label).collect::<Option<Vec<_>>>().map(|labels| labels.join("."))
}

/// Escapes what a part of a URL cannot have. Escapes are left as they are if there is no other `%`.
fn encode(part: &str, allowed: &[u8]) -> String {
    let mut bytes = part.as_bytes().to_vec();
    for index in 0..bytes.len() {
        if bytes[index] == b'%' && is_escape(&bytes, index) {
            bytes[index + 1..index + 3].make_ascii_uppercase();
        }
    }
    let is_escaped = are_escapes(part);
    let is_left =
        |byte| UNRESERVED.contains(&byte) || allowed.contains(&byte) || (is_escaped && byte == b'%');
    quote(&bytes, is_left)
}

fn quote(bytes: &[u8], is_left: impl Fn(u8) -> bool) -> String {
    let mut quoted = String::with_capacity(bytes.len());
    for byte in bytes {
        if is_left(*byte) {
            quoted.push(char::from(*byte));
        } else {
            quoted.push_str(&format!("%{byte:02X}"));
        }
    }
    quoted
}

/// Takes escapes of unreserved characters back, and escapes what no URL can have.
fn requote(url: &str) -> String {
    let is_left = |byte: u8| UNRESERVED.contains(&byte) || WHOLE.contains(&byte);
    if !are_escapes(url) {
        return quote(url.as_bytes(), |byte| is_left(byte) && byte != b'%');
    }
    let mut parts = url.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        match u8::from_str_radix(digits, 16) {
            Ok(byte) if UNRESERVED.contains(&byte) => plain.push(char::from(byte)),
            _ => plain.push_str(&format!("%{digits}")),
        }
        plain.push_str(rest);
    }
    quote(plain.as_bytes(), is_left)
}

/// Takes `.` and `..` out of a path.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    if path.starts_with('/') && kept.first().is_none_or(|first| !first.is_empty()) {
        kept.insert(0, "");
    }
    if path.ends_with("/.") || path.ends_with("/..") {
        kept.push("");
    }
    kept.join("/")
}
