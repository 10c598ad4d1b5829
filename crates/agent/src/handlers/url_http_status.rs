//! `url_http_status`: the status of a page, as the Python agent gets it with `requests.get`, and its errors in its words.

mod error;
mod host;
mod proxies;
mod url;

use std::sync::Arc;

use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT,
};
use hyper::{Method, StatusCode};
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Environment, python};
use crate::context::Context;
use crate::failure::Failure;
use crate::network::TlsRoots;
use crate::network::connect::Target;
use crate::network::http::{Client, Cookies, Request, basic};
use crate::network::limit::{Limit, Timeout};
use crate::network::tls::Verify;
use error::Place;
use proxies::Proxies;

/// `requests` follows so many.
const MOST_REDIRECTS: usize = 30;
/// The Python agent waits for ever; so does no handler here.
const LONGEST: f64 = 600.0;

/// Gets a page, and returns its status.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Data {
    /// Where the page is: `http://…` or `https://…`.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "String", required)]
    url: Option<Value>,
}

/// The result of a task.
#[derive(Debug, Serialize)]
pub(super) struct Output {
    status: u16,
}

/// Reads a value that is there, `null` included.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

pub(super) async fn execute(
    data: Data,
    context: Context,
    environment: Arc<Environment>,
) -> Result<Output, Failure> {
    let variable = |name: &str| std::env::var(name).ok();
    let limit = Timeout::try_from(LONGEST).unwrap_or_default().limit(&context);
    let status = status(data.url.as_ref(), &environment, &variable, &limit).await;
    status.map(|status| Output { status: status.as_u16() }).map_err(Failure::new)
}

/// What `requests.get` makes of a URL, with these variables of the environment.
async fn status(
    given: Option<&Value>,
    environment: &Environment,
    variable: &(dyn Fn(&str) -> Option<String> + Sync),
    limit: &Limit,
) -> Result<StatusCode, String> {
    let mut prepared = url::prepare(&python::str_of(given.ok_or("'url'")?))?;
    let proxies = Proxies::new(variable);
    let bundle = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"].iter().find_map(|name| variable(name));
    let tls = bundle.filter(|path| !path.is_empty()).map(|path| roots(&path));
    let mut cookies = Cookies::default();
    let mut authorization = prepared.authorization();
    let mut redirects = 0;
    loop {
        let proxy = proxies.of(&prepared)?;
        let roots = match &tls {
            Some(roots) if prepared.is_secure => roots.as_ref().map_err(Clone::clone)?,
            _ => &environment.tls,
        };
        let client = Client {
            policy: &environment.network,
            tls: roots,
            verify: Verify::Required,
            ip_version: None,
            proxy: proxy.as_ref(),
        };
        let request = Request {
            method: Method::GET,
            is_secure: prepared.is_secure,
            target: Target::new(&prepared.host, prepared.port),
            path: prepared.path.clone(),
            headers: headers(authorization.as_ref(), &cookies, prepared.url.as_ref()),
            body: bytes::Bytes::new(),
        };
        let place = Place { prepared: &prepared, proxy: proxy.as_ref() };
        let mut response = client.send(request, limit).await.map_err(|error| place.of(&error))?;
        let (status, headers) = (response.status, response.headers.clone());
        if let Some(url) = &prepared.url {
            cookies.keep(&headers, url);
        }
        let read = response.discard(limit).await;
        let Some(location) = location(status, &headers)? else {
            read.map_err(|error| place.of_body(&error, &headers))?;
            return Ok(status);
        };
        if redirects >= MOST_REDIRECTS {
            return Err(format!("Exceeded {MOST_REDIRECTS} redirects."));
        }
        redirects += 1;
        let next = prepared.join(&location)?;
        if !prepared.shares_authorization(&next) {
            authorization = None;
        }
        prepared = next;
    }
}

fn roots(path: &str) -> Result<TlsRoots, String> {
    TlsRoots::none()
        .and_file(std::path::Path::new(path))
        .map_err(|_| format!("Could not find a suitable TLS CA certificate bundle, invalid path: {path}"))
}

fn headers(authorization: Option<&HeaderValue>, cookies: &Cookies, url: Option<&Url>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let plain: [(HeaderName, &'static str); 4] = [
        (USER_AGENT, concat!("slamon-agent/", env!("CARGO_PKG_VERSION"))),
        (ACCEPT_ENCODING, "gzip, deflate"),
        (ACCEPT, "*/*"),
        (hyper::header::CONNECTION, "keep-alive"),
    ];
    for (name, value) in plain {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let cookies = url.map(|url| cookies.header(url)).unwrap_or_default();
    if !cookies.is_empty()
        && let Ok(cookies) = HeaderValue::try_from(cookies)
    {
        headers.insert(COOKIE, cookies);
    }
    if let Some(authorization) = authorization {
        headers.insert(AUTHORIZATION, authorization.clone());
    }
    headers
}

/// Where an answer leads to; several headers are one with commas.
fn location(status: StatusCode, headers: &HeaderMap) -> Result<Option<String>, String> {
    let redirects = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let locations: Vec<&[u8]> = headers.get_all(LOCATION).iter().map(HeaderValue::as_bytes).collect();
    let location = python::utf_8(&locations.join(&b", "[..]));
    if redirects { location.map(|location| (!location.is_empty()).then_some(location)) } else { Ok(None) }
}

impl url::Prepared {
    fn authorization(&self) -> Option<HeaderValue> {
        let (user, password) = self.user.as_ref()?;
        basic(&python::latin_1(user).ok()?, &python::latin_1(password).ok()?)
    }
}

#[cfg(test)]
mod tests;
