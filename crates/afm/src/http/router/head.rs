//! Checks the head of every request before anything else is read.

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::header::{HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderValue, Method, Version};

use crate::http::error::ApiError;
use crate::http::peer;

/// Checks that a proxy in front of this server must have understood the head as the server does (RFC 9112,
/// 3.2 and 6.1), and that there is room for the request.
pub(super) fn check(request: &Request) -> Result<(), ApiError> {
    let headers = request.headers();
    host(headers, request.version())?;
    // Only a chunked body has no known length.
    if request.body().size_hint().exact().is_none() {
        transfer_encoding(headers)?;
    }
    let only_reads = *request.method() == Method::GET || *request.method() == Method::HEAD;
    if !only_reads && peer::current(|peer| peer.is_extra) == Some(true) {
        return Err(ApiError::Crowded);
    }
    Ok(())
}

fn host(headers: &HeaderMap, version: Version) -> Result<(), ApiError> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host) => Ok(()),
        (Some(_), None) => Err(ApiError::Head("Host must be a name or an address, and may have a port")),
        (Some(_), Some(_)) => Err(ApiError::Head("must have one Host, has more")),
        (None, _) if version == Version::HTTP_11 => Err(ApiError::Head("must have one Host, has none")),
        (None, _) => Ok(()),
    }
}

/// The bytes that may be in a Host, as a table, since every request has a Host.
const IN_HOST: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        allowed[byte as usize] = !matches!(
            byte,
            b'/' | b'\\' | b'@' | b',' | b'?' | b'#' | b'<' | b'>' | b'"' | b'{' | b'}' | b'|' | b'^' | b'`'
        );
        byte += 1;
    }
    allowed
};

/// Says whether this may be a Host. It may be empty, if the client has no name for the server.
fn is_host(host: &HeaderValue) -> bool {
    host.as_bytes().iter().all(|byte| IN_HOST[usize::from(*byte)])
}

fn transfer_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (Some(coding), None) if coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(ApiError::Head("Transfer-Encoding may only be chunked")),
    }
}
