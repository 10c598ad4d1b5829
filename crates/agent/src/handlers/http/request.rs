//! Sends a request, and follows where it is sent on to.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST,
    HeaderMap, HeaderName, HeaderValue, LOCATION, TRANSFER_ENCODING, USER_AGENT,
};
use hyper::{StatusCode, Version};
use reqwest::Url;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;

use super::content::LARGEST_PARSED;
use super::pattern::largest_body;
use crate::failure::Failure;
use crate::network::connect::Target;
use crate::network::http::{Body, Client, Cookies, Request, Times, basic};
use crate::network::limit::Limit;
use crate::network::tls::Peer;

const MOST_REDIRECTS: u64 = 50;
const LARGEST_BODY: u64 = 64 << 20;

/// The member `method`: letters, by default GET.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::handlers) struct Method(hyper::Method);

/// The member `max_redirects`: by default 10.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u64")]
pub(in crate::handlers) struct MaxRedirects(u64);

/// The member `max_bytes`: by default 1 MiB.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u64")]
pub(in crate::handlers) struct MaxBytes(u64);

/// What to send.
#[derive(Debug, Clone)]
pub(in crate::handlers) struct HttpRequest {
    method: hyper::Method,
    pub(super) url: Url,
    headers: HeaderMap,
    body: Bytes,
}

/// How to send it.
#[derive(Debug, Clone, Copy)]
pub(in crate::handlers) struct RequestOptions {
    pub(in crate::handlers) max_redirects: MaxRedirects,
    pub(in crate::handlers) max_bytes: MaxBytes,
    /// Whether the answer may be compressed.
    pub(in crate::handlers) compressed: bool,
}

/// What came.
#[derive(Debug)]
pub(in crate::handlers) struct Answer {
    pub(in crate::handlers) status: StatusCode,
    pub(in crate::handlers) version: Version,
    pub(in crate::handlers) headers: HeaderMap,
    pub(in crate::handlers) body: Body,
    /// Where from, after all redirects.
    pub(in crate::handlers) url: Url,
    pub(in crate::handlers) target: Target,
    pub(in crate::handlers) redirects: Vec<String>,
    pub(in crate::handlers) address: SocketAddr,
    /// Of the last request.
    pub(in crate::handlers) times: Times,
    /// Of all requests, with the body.
    pub(in crate::handlers) total: Duration,
    pub(in crate::handlers) peer: Option<Peer>,
}

impl HttpRequest {
    /// Puts a request together.
    pub(in crate::handlers) fn new(
        method: Method,
        url: Url,
        mut headers: HeaderMap,
        body: Option<&Value>,
    ) -> Self {
        let body = match body {
            None => Bytes::new(),
            Some(Value::String(text)) => Bytes::from(text.clone()),
            Some(value) => {
                headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
                Bytes::from(value.to_string())
            }
        };
        let user_agent = HeaderValue::from_static(concat!("slamon-agent/", env!("CARGO_PKG_VERSION")));
        headers.entry(USER_AGENT).or_insert(user_agent);
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        if let Some(authorization) =
            user_of(&url).and_then(|(user, password)| basic(user.as_bytes(), password.as_bytes()))
        {
            headers.entry(AUTHORIZATION).or_insert(authorization);
        }
        Self { method: method.0, url, headers, body }
    }
}

/// Reads a URL; the problem begins with the name of the member.
pub(in crate::handlers) fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("url: is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("url: must begin with http:// or https://".to_owned());
    }
    Ok(url)
}

/// Reads headers; the problem begins with the name of the member.
pub(in crate::handlers) fn headers(given: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let parsed =
            HeaderName::try_from(name).map_err(|_| format!("headers: {name:?} is no name of a header"))?;
        if matches!(parsed, CONTENT_LENGTH | TRANSFER_ENCODING) {
            return Err(format!("headers.{name}: follows from the body, and cannot be given"));
        }
        let value = HeaderValue::try_from(value)
            .map_err(|_| format!("headers.{name}: has characters that a header cannot have"))?;
        if headers.insert(parsed, value).is_some() {
            return Err(format!("headers.{name}: is given twice"));
        }
    }
    Ok(headers)
}

/// User and password of a URL.
fn user_of(url: &Url) -> Option<(String, String)> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    Some((decoded(url.username()), decoded(url.password().unwrap_or_default())))
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A URL without user, password and fragment.
fn shown(url: &Url) -> String {
    // What follows the scheme may be anything, such as another URL.
    if url.cannot_be_a_base() {
        return format!("{}:…", url.scheme());
    }
    let mut shown = url.clone();
    // A URL with a host can have both.
    let _ = (shown.set_username(""), shown.set_password(None));
    shown.set_fragment(None);
    shown.into()
}

/// Sends a request, follows redirects, and reads the answer. Cookies are kept, and sent, if there is a place for them.
pub(in crate::handlers) async fn exchange(
    client: &Client<'_>,
    request: HttpRequest,
    options: RequestOptions,
    mut cookies: Option<&mut Cookies>,
    limit: &Limit,
) -> Result<Answer, Failure> {
    let HttpRequest { mut method, mut url, mut headers, mut body } = request;
    if options.compressed {
        headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("gzip, br"));
    }
    let mut own_cookies = headers.remove(COOKIE);
    let began = Instant::now();
    let mut redirects = Vec::new();
    loop {
        set_cookies(&mut headers, own_cookies.as_ref(), cookies.as_deref(), &url);
        let led = |problem: String| match redirects.last() {
            Some(last) => Failure::new(format!("{problem} (after a redirect to {last})")),
            None => Failure::new(problem),
        };
        let request = Request::to(method.clone(), &url, headers.clone(), body.clone())
            .ok_or_else(|| led(format!("{} is not http:// or https://", shown(&url))))?;
        let target = request.target.clone();
        let sent = client.send(request, limit).await;
        let mut response = sent.map_err(|error| led(error.to_string()))?;
        if let Some(cookies) = &mut cookies {
            cookies.keep(&response.headers, &url);
        }
        let next = match options.max_redirects.0 {
            0 => None,
            _ => location(response.status, &response.headers).map(str::to_owned),
        };
        let Some(next) = next else {
            let read = response.read(options.max_bytes.0 as usize, options.compressed, limit).await;
            let body = read.map_err(|error| led(error.to_string()))?;
            let total = began.elapsed();
            let (status, version) = (response.status, response.version);
            let (address, times) = (response.address, response.times);
            let (headers, peer) = (response.headers, response.peer);
            return Ok(Answer {
                status,
                version,
                headers,
                body,
                url,
                target,
                redirects,
                address,
                times,
                total,
                peer,
            });
        };
        if redirects.len() as u64 >= options.max_redirects.0 {
            let most = options.max_redirects.0;
            return Err(led(format!("{target} redirects more than {most} times")));
        }
        let mut to = url.join(&next).map_err(|error| {
            // Before an `@` there may be a user and a password.
            let shown = next.rsplit_once('@').map_or(next.as_str(), |(_, host)| host);
            led(format!("{target} redirects to {shown:?}, which is no URL: {error}"))
        })?;
        if !matches!(to.scheme(), "http" | "https") {
            return Err(led(format!(
                "{target} redirects to {}, which is not http:// or https://",
                shown(&to)
            )));
        }
        if to.fragment().is_none() {
            to.set_fragment(url.fragment());
        }
        let is_elsewhere = to.origin() != url.origin();
        if is_elsewhere {
            // They are meant for the one who was asked.
            own_cookies = None;
            for name in [AUTHORIZATION, HOST] {
                headers.remove(name);
            }
        }
        if turns_into_get(response.status, &method) {
            method = hyper::Method::GET;
            body = Bytes::new();
            for name in [CONTENT_TYPE, CONTENT_ENCODING] {
                headers.remove(name);
            }
        }
        redirects.push(shown(&to));
        url = to;
    }
}

/// Where an answer redirects to.
fn location(status: StatusCode, headers: &HeaderMap) -> Option<&str> {
    let redirects = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    headers
        .get(LOCATION)
        .filter(|_| redirects)
        .and_then(|location| std::str::from_utf8(location.as_bytes()).ok())
}

/// As browsers do it.
fn turns_into_get(status: StatusCode, method: &hyper::Method) -> bool {
    match status.as_u16() {
        303 => method != hyper::Method::HEAD,
        301 | 302 => method == hyper::Method::POST,
        _ => false,
    }
}

/// Sets the cookies of a request to a URL, whatever those of the request before were: its own, and those that are kept.
fn set_cookies(headers: &mut HeaderMap, own: Option<&HeaderValue>, kept: Option<&Cookies>, url: &Url) {
    headers.remove(COOKIE);
    let kept = kept.map(|kept| kept.header(url)).unwrap_or_default();
    let all = [own.map_or(&[][..], HeaderValue::as_bytes), kept.as_bytes()];
    let all: Vec<&[u8]> = all.into_iter().filter(|cookies| !cookies.is_empty()).collect();
    if let Ok(value) = HeaderValue::from_bytes(&all.join(&b"; "[..]))
        && !all.is_empty()
    {
        headers.insert(COOKIE, value);
    }
}

impl Answer {
    /// The first header of a name.
    pub(in crate::handlers) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    /// The URL without user, password and fragment.
    pub(in crate::handlers) fn shown_url(&self) -> String {
        shown(&self.url)
    }
}

impl MaxBytes {
    /// Whether what is read can be parsed, and compared with these regular expressions; the problem begins with the name
    /// of the member.
    pub(in crate::handlers) fn for_parsing<'a>(
        self,
        regexes: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), String> {
        let bytes = self.0;
        if bytes > LARGEST_PARSED {
            return Err(format!(
                "max_bytes: must be at most {LARGEST_PARSED} where the body is compared with `json` or `regex`, and is {bytes}"
            ));
        }
        match largest_body(regexes) {
            most if bytes > most => Err(format!(
                "max_bytes: must be at most {most} for a `regex` of this length, or a shorter one be given, and is {bytes}"
            )),
            _ => Ok(()),
        }
    }
}

impl Default for Method {
    fn default() -> Self {
        Self(hyper::Method::GET)
    }
}

impl TryFrom<String> for Method {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match hyper::Method::try_from(name.as_str()) {
            Ok(hyper::Method::CONNECT) | Err(_) => Err(format!("{name:?} is no method that can be sent")),
            Ok(method) => Ok(Self(method)),
        }
    }
}

impl JsonSchema for Method {
    fn schema_name() -> Cow<'static, str> {
        "Method".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "default": "GET" })
    }
}

/// Reads a number up to a bound, and describes it.
macro_rules! bounded {
    ($name:ident, $default:expr, $most:expr) => {
        impl Default for $name {
            fn default() -> Self {
                Self($default)
            }
        }

        impl TryFrom<u64> for $name {
            type Error = String;

            fn try_from(number: u64) -> Result<Self, String> {
                if number <= $most {
                    return Ok(Self(number));
                }
                Err(format!("must be at most {}, and is {number}", $most))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "integer", "minimum": 0, "maximum": $most, "default": $default })
            }
        }
    };
}

bounded!(MaxRedirects, 10, MOST_REDIRECTS);
bounded!(MaxBytes, 1 << 20, LARGEST_BODY);
