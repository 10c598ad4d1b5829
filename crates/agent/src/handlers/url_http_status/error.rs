//! Errors in the words of `requests` and `urllib3`.

use std::io;

use hyper::HeaderMap;
use hyper::header::CONTENT_LENGTH;

use super::url::Prepared;
use crate::handlers::python::{os_error, repr};
use crate::network::certificate::CertificateProblem;
use crate::network::connect::{ConnectError, Try};
use crate::network::http::{BodyError, HttpError, Proxy, io_error};
use crate::network::tls::TlsError;

/// Where a request was sent.
pub(super) struct Place<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) proxy: Option<&'a Proxy>,
}

impl Place<'_> {
    /// Why there is no answer.
    pub(super) fn of(&self, error: &HttpError) -> String {
        let connection = self.connection();
        let cause = match error {
            HttpError::Connect(ConnectError::Connect { tries, .. }) => {
                let reason = tries.last().map_or_else(String::new, reason);
                self.by_proxy(format!(
                    "NewConnectionError('{connection}: Failed to establish a new connection: {reason}')"
                ))
            }
            HttpError::Connect(ConnectError::Resolve { host, problem }) => {
                let (host, reason) = (repr(host), lookup(problem));
                self.by_proxy(format!(
                    "NameResolutionError(\"{connection}: Failed to resolve {host} ({reason})\")"
                ))
            }
            HttpError::Tls(TlsError::Untrusted { problems, .. }) => {
                let problem = problems.first().map_or_else(String::new, |problem| self.verification(problem));
                let said = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed";
                let text = repr(&format!("{said}: {problem} (_ssl.c:992)"));
                format!("SSLError(SSLCertVerificationError(1, {text}))")
            }
            HttpError::Tls(TlsError::Handshake { problem, .. }) => format!("SSLError({})", repr(problem)),
            HttpError::Tunnel { answer, .. } => format!(
                "ProxyError('Unable to connect to proxy', OSError('Tunnel connection failed: {answer}'))"
            ),
            HttpError::Exchange { cause, .. } => return exchange(cause),
            other => return other.to_string(),
        };
        let pool = self.class("HTTPConnectionPool", "HTTPSConnectionPool");
        let (host, port) = match self.proxy.filter(|_| !self.prepared.is_secure) {
            Some(proxy) => (&proxy.target.host, proxy.target.port),
            None => (&self.prepared.host, self.prepared.port),
        };
        format!(
            "{pool}(host='{host}', port={port}): Max retries exceeded with url: {} (Caused by {cause})",
            self.asked_for()
        )
    }

    /// Why a body could not be read.
    pub(super) fn of_body(&self, error: &BodyError, headers: &HeaderMap) -> String {
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        match (error, length) {
            (BodyError::Broken { cause, received, .. }, length) => {
                if let Some(error) =
                    io_error(cause).filter(|io| io.raw_os_error().is_some()).map(os_error_repr)
                {
                    return format!("(\"Connection broken: {error}\", {error})");
                }
                let Some(length) = length else { return "Response ended prematurely".to_owned() };
                let rest = length.saturating_sub(*received);
                let what = format!("IncompleteRead({received} bytes read, {rest} more expected)");
                format!("('Connection broken: {what}', {what})")
            }
            (BodyError::Encoding { encoding, .. }, _) => format!(
                "('Received response with content-encoding: {encoding}, but failed to decode it.', error('Error -3 \
                 while decompressing data: incorrect header check'))"
            ),
            (other, _) => other.to_string(),
        }
    }

    fn connection(&self) -> String {
        // Where the object is in memory says nothing.
        format!("<urllib3.connection.{} object at 0x0>", self.class("HTTPConnection", "HTTPSConnection"))
    }

    fn class(&self, plain: &'static str, secure: &'static str) -> &'static str {
        if self.prepared.is_secure { secure } else { plain }
    }

    fn by_proxy(&self, cause: String) -> String {
        match self.proxy.is_some() {
            true => format!("ProxyError('Unable to connect to proxy', {cause})"),
            false => cause,
        }
    }

    /// What the request line has: a proxy is asked for the whole URL.
    fn asked_for(&self) -> String {
        let Prepared { path, is_secure, .. } = self.prepared;
        match self.proxy.is_some() && !is_secure {
            true => format!("http://{}{path}", self.prepared.place()),
            false => path.clone(),
        }
    }

    fn verification(&self, problem: &CertificateProblem) -> String {
        let host = &self.prepared.host;
        let text = match problem {
            CertificateProblem::Expired(..) | CertificateProblem::ChainExpired => "certificate has expired",
            CertificateProblem::NotYet(_) => "certificate is not yet valid",
            CertificateProblem::SelfSigned => "self-signed certificate",
            CertificateProblem::UnknownAuthority { .. } => "unable to get local issuer certificate",
            CertificateProblem::WrongName { .. } | CertificateProblem::NoName(_) => {
                let is_address = host.parse::<std::net::IpAddr>().is_ok();
                let what = if is_address { "IP address" } else { "Hostname" };
                return format!("{what} mismatch, certificate is not valid for '{host}'.");
            }
            other => return other.to_string(),
        };
        text.to_owned()
    }
}

fn reason(tried: &Try) -> String {
    tried.cause.as_ref().map_or_else(|| "[Errno 110] Connection timed out".to_owned(), os_error)
}

/// What `getaddrinfo` says, with its number.
fn lookup(problem: &str) -> &'static str {
    match problem {
        "temporary failure in name resolution" => "[Errno -3] Temporary failure in name resolution",
        "no address associated with hostname" => "[Errno -5] No address associated with hostname",
        _ => "[Errno -2] Name or service not known",
    }
}

fn os_error_repr(error: &io::Error) -> String {
    let class = match error.kind() {
        io::ErrorKind::ConnectionReset => "ConnectionResetError",
        io::ErrorKind::BrokenPipe => "BrokenPipeError",
        _ => "OSError",
    };
    let text = os_error(error);
    let text = text.split_once("] ").map_or(text.as_str(), |(_, text)| text);
    format!("{class}({}, '{text}')", error.raw_os_error().unwrap_or_default())
}

fn exchange(error: &hyper::Error) -> String {
    let what = match io_error(error) {
        Some(io) if io.raw_os_error().is_some() => os_error_repr(io),
        _ if error.is_incomplete_message() => {
            "RemoteDisconnected('Remote end closed connection without response')".to_owned()
        }
        _ if error.is_parse() => "BadStatusLine('')".to_owned(),
        _ => format!("OSError({})", repr(&error.to_string())),
    };
    format!("('Connection aborted.', {what})")
}
