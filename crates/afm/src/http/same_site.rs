//! Refuses requests that change something and that a page of another site has sent.
//!
//! A browser says where such a request comes from, in `Sec-Fetch-Site` or else in `Origin`. Programs say
//! neither, and pass.

use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::http::error::ApiError;

/// The middleware around handlers that change something when they are told so by POST or DELETE.
pub(super) async fn check(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads && is_foreign(request.headers()) {
        return ApiError::Foreign.into_response();
    }
    next.run(request).await
}

/// Says whether a request was sent by a page of another site.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let origin = origins.next();
    if origins.next().is_some() {
        return true;
    }
    // Browsers send it over HTTPS and to this machine, and nobody can make them say anything else.
    if let Some(site) = headers.get("sec-fetch-site") {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = origin else { return false };
    let Some((_, authority)) = origin.to_str().ok().and_then(|origin| origin.split_once("://")) else {
        return true;
    };
    // A proxy may have put its own name for the server into Host, and that of the browser beside it. No page
    // of another site can set either.
    let hosts = [headers.get(HOST), headers.get("x-forwarded-host")];
    let hosts = hosts.into_iter().flatten().filter_map(|host| host.to_str().ok());
    // Where there are several proxies, each adds what it has found.
    let mut hosts = hosts.flat_map(|hosts| hosts.split(','));
    !hosts.any(|host| without_port(host).eq_ignore_ascii_case(without_port(authority)))
}

/// Drops the port that goes without saying, which a proxy may add or leave out.
fn without_port(authority: &str) -> &str {
    let authority = authority.trim();
    authority.strip_suffix(":80").or_else(|| authority.strip_suffix(":443")).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn pages_of_other_sites_are_foreign() {
        for (given, foreign) in [
            (&[][..], false),
            (&[("host", "afm")], false),
            (&[("origin", "http://afm:8080"), ("host", "afm:8080")], false),
            (&[("origin", "http://AFM"), ("host", "afm:80")], false),
            (&[("origin", "https://afm"), ("host", "127.0.0.1"), ("x-forwarded-host", "afm")], false),
            (&[("origin", "http://afm"), ("host", "10.0.0.1"), ("x-forwarded-host", "afm, inner")], false),
            (&[("origin", "http://evil"), ("host", "10.0.0.1"), ("x-forwarded-host", "afm, inner")], true),
            (&[("origin", "http://afm:8081"), ("host", "afm:8080")], true),
            (&[("origin", "http://evil"), ("host", "afm")], true),
            (&[("origin", "null"), ("host", "afm")], true),
            (&[("origin", ""), ("host", "afm")], true),
            (&[("origin", "http://afm")], true),
            (&[("origin", "http://evil"), ("origin", "http://afm"), ("host", "afm")], true),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "cross-site"), ("origin", "http://afm"), ("host", "afm")], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "null"), ("host", "afm")], false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.append(*name, HeaderValue::from_static(value));
            }
            assert_eq!(is_foreign(&headers), foreign, "{given:?}");
        }
    }
}
