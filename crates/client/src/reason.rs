//! Why there is no answer, in words.

use std::error::Error;
use std::io;

use jiff::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};

const ENDED_IN_HANDSHAKE: &str = "the other side ended the connection instead of speaking TLS";
/// What is left of an alert that comes between the handshake of TLS 1.3 and the request: hyper loses it.
const ENDED_AT_ONCE: &str = "the other side ended the connection at once; if it wants a certificate of the client, that may be \
                             missing or wrong";
/// What a proxy wants that answers 407.
pub const PROXY_WANTS_USER: &str = "the proxy wants a user and a password, or others than these";

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// A sentence without the URL, which may have a password in it.
    pub sentence: String,
    /// What has failed, where that is known.
    pub kind: ReasonKind,
}

/// What has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReasonKind {
    /// One side does not trust the certificate of the other, and will not at the next try.
    Trust,
    /// The proxy does not take who asks.
    ProxyUser,
    /// Anything else: the network, or the other side, which may be well at the next try.
    Passing,
}

/// Says why a request has no answer, or its answer no end.
#[must_use]
pub fn reason(error: reqwest::Error) -> Reason {
    let is_tls = error.url().is_some_and(|url| url.scheme() == "https");
    let error = error.without_url();
    let mut causes = Vec::new();
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if let Some(tls) = tls_error(error) {
            let kind = if is_about_trust(tls) { ReasonKind::Trust } else { ReasonKind::Passing };
            return Reason { sentence: tls_reason(tls), kind };
        }
        match error.to_string().as_str() {
            "tunnel error: proxy authorization required" => {
                return Reason { sentence: PROXY_WANTS_USER.to_owned(), kind: ReasonKind::ProxyUser };
            }
            text if is_tls && text.starts_with("operation was canceled") => {
                return Reason { sentence: ENDED_AT_ONCE.to_owned(), kind: ReasonKind::Passing };
            }
            "tls handshake eof" => causes.push(ENDED_IN_HANDSHAKE.to_owned()),
            "tunnel error: unsuccessful" => causes.push("the proxy makes no connection to it".to_owned()),
            other => causes.push(other.to_owned()),
        }
        cause = error.source();
    }
    // Which layer has failed says nothing beside why.
    let is_layer = |cause: &String| {
        ["error sending request", "tcp connect error", "dns error"].contains(&cause.as_str())
            || cause.starts_with("client error (")
    };
    let first = causes.iter().position(|cause| !is_layer(cause)).unwrap_or(0);
    Reason { sentence: causes[first..].join(": "), kind: ReasonKind::Passing }
}

/// The error of TLS that an error is, or that one of the system is made of.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref() {
        return Some(tls);
    }
    tls_error(error.downcast_ref::<io::Error>()?.get_ref()?)
}

fn is_about_trust(error: &rustls::Error) -> bool {
    match error {
        rustls::Error::InvalidCertificate(_) => true,
        rustls::Error::AlertReceived(alert) => is_about_certificate(*alert),
        _ => false,
    }
}

/// Whether the other side says that it wants a certificate, or another one.
fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}

/// What went wrong with TLS, in words.
#[must_use]
pub fn tls_reason(error: &rustls::Error) -> String {
    let said = match error {
        rustls::Error::InvalidMessage(_) => "the other side does not speak TLS",
        rustls::Error::InvalidCertificate(problem) => return certificate_reason(problem),
        rustls::Error::PeerIncompatible(_) => {
            return format!("the other side speaks no TLS that this program does: {error}");
        }
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::ProtocolVersion => "the other side speaks no TLS from 1.2 on",
            AlertDescription::UnrecognisedName => "the other side does not know the name",
            AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
                "the other side wants a certificate of the client"
            }
            AlertDescription::UnknownCA => {
                "the other side does not know the authority of the client's certificate"
            }
            AlertDescription::CertificateExpired => "the client's certificate has expired",
            AlertDescription::CertificateRevoked => "the client's certificate was revoked",
            alert if is_about_certificate(*alert) => {
                return format!(
                    "the other side wants a certificate of the client, or another one: {alert:?}"
                );
            }
            AlertDescription::NoApplicationProtocol => {
                "the other side does not speak the protocol that it was asked for"
            }
            AlertDescription::HandshakeFailure => {
                "the other side knows no cipher, or no kind of certificate, that this program does"
            }
            alert => return format!("the other side ended it: {alert:?}"),
        },
        _ => return error.to_string(),
    };
    said.to_owned()
}

/// Why the certificate of a server is not taken.
fn certificate_reason(problem: &CertificateError) -> String {
    match problem {
        CertificateError::UnknownIssuer => {
            "its certificate is of an authority that is not trusted here".to_owned()
        }
        CertificateError::Expired => "its certificate has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("its certificate, or that of its authority, expired on {}", time(*not_after))
        }
        CertificateError::NotValidYet => "its certificate is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            let begin = time(*not_before);
            format!("its certificate, or that of its authority, is not valid before {begin}")
        }
        CertificateError::NotValidForName => "its certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let asked = expected.to_str();
            match presented.is_empty() {
                true => format!("its certificate names nobody whom it is for, in particular not {asked}"),
                false => {
                    let names: Vec<&str> = presented.iter().map(|name| plain(name)).collect();
                    format!("its certificate is for {}, and not for {asked}", names.join(", "))
                }
            }
        }
        CertificateError::Revoked => "its certificate was revoked".to_owned(),
        CertificateError::BadEncoding => "its certificate cannot be read".to_owned(),
        CertificateError::BadSignature => {
            "its certificate is not signed by the authority of that name that is trusted here".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not one for a server".to_owned()
        }
        // What rustls has no word for, of webpki.
        CertificateError::Other(other) => match other.to_string().as_str() {
            "CaUsedAsEndEntity" => "its certificate is made for an authority (as openssl makes self-signed \
                                    ones), and is not itself one that is trusted here"
                .to_owned(),
            other => format!("its certificate is not valid: {other}"),
        },
        other => format!("its certificate is not valid: {other}"),
    }
}

/// `DnsName("afm.example")` is `afm.example`.
fn plain(name: &str) -> &str {
    let Some((_, inner)) = name.trim_end_matches(')').split_once('(') else { return name };
    inner.trim_matches('"')
}

fn time(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_or_else(|_| format!("second {seconds}"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;

    use super::*;

    #[test]
    fn what_is_wrong_with_certificates_is_told_as_people_read_it() {
        let expected = || ServerName::try_from("afm.example").unwrap();
        let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        for (problem, told) in [
            (CertificateError::UnknownIssuer, "its certificate is of an authority that is not trusted here"),
            (
                CertificateError::ExpiredContext { time: at(1_000_000_000), not_after: at(900_000_000) },
                "its certificate, or that of its authority, expired on 1998-07-09T16:00:00Z",
            ),
            (
                CertificateError::NotValidYetContext { time: at(1), not_before: at(u64::MAX) },
                "its certificate, or that of its authority, is not valid before second 9223372036854775807",
            ),
            (
                CertificateError::NotValidForNameContext {
                    expected: expected(),
                    presented: names(&["DnsName(\"a.example\")", "IpAddress(10.0.0.1)"]),
                },
                "its certificate is for a.example, 10.0.0.1, and not for afm.example",
            ),
            (
                CertificateError::NotValidForNameContext { expected: expected(), presented: Vec::new() },
                "its certificate names nobody whom it is for, in particular not afm.example",
            ),
            (CertificateError::Revoked, "its certificate was revoked"),
        ] {
            assert_eq!(tls_reason(&rustls::Error::InvalidCertificate(problem)), told);
        }
    }

    #[test]
    fn what_the_other_side_says_is_told_as_people_read_it() {
        for (alert, told) in [
            (AlertDescription::CertificateRequired, "the other side wants a certificate of the client"),
            (
                AlertDescription::UnknownCA,
                "the other side does not know the authority of the client's certificate",
            ),
            (AlertDescription::CertificateExpired, "the client's certificate has expired"),
            (
                AlertDescription::BadCertificate,
                "the other side wants a certificate of the client, or another one: BadCertificate",
            ),
            (
                AlertDescription::HandshakeFailure,
                "the other side knows no cipher, or no kind of certificate, that this program does",
            ),
            (
                AlertDescription::NoApplicationProtocol,
                "the other side does not speak the protocol that it was asked for",
            ),
            (AlertDescription::InternalError, "the other side ended it: InternalError"),
        ] {
            assert_eq!(tls_reason(&rustls::Error::AlertReceived(alert)), told);
        }
    }
}
