//! What a certificate says, and what is wrong with it.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::connect::Target;
use crate::failure::Failure;

const DAY: i64 = 24 * 60 * 60;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// `CN=example.org`
    pub(crate) subject: String,
    pub(crate) issuer: String,
    /// The names and addresses that it is for.
    pub(crate) names: Vec<String>,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    /// Whole days until it ends; less than 0 once it has.
    pub(crate) days_left: i64,
    /// Whether it names itself as its issuer.
    pub(crate) is_self_issued: bool,
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateProblem {
    #[error("it expired on {} ({} ago)", .0, days(-.1))]
    Expired(Timestamp, i64),
    #[error("it is not valid before {0}")]
    NotYet(Timestamp),
    #[error("it is self-signed: no authority vouches for it")]
    SelfSigned,
    #[error("{}", unknown(issuer, *alone))]
    UnknownAuthority { issuer: String, alone: bool },
    #[error("it is for {}, and not for {asked}", names.join(", "))]
    WrongName { asked: String, names: Vec<String> },
    #[error("it names nobody whom it is for, in particular not {0}")]
    NoName(String),
    #[error("a certificate of an authority between it and one that this agent trusts has expired")]
    ChainExpired,
    #[error("it cannot be read")]
    Unreadable,
    #[error("{0}")]
    Other(String),
}

impl Certificate {
    /// Reads a certificate; `None` if it is none.
    pub(crate) fn parse(der: &CertificateDer<'_>, now: UnixTime) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let names = match parsed.subject_alternative_name() {
            Ok(Some(names)) => names.value.general_names.iter().filter_map(name).collect(),
            _ => Vec::new(),
        };
        let validity = parsed.validity();
        let not_after = validity.not_after.timestamp();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        Some(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            names,
            not_before: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
            // The end of the year 9999 is beyond: it means that there is no end (RFC 5280, 4.1.2.5).
            not_after: Timestamp::from_second(not_after.min(Timestamp::MAX.as_second())).ok()?,
            days_left: (not_after - now).div_euclid(DAY),
            is_self_issued: parsed.subject().as_raw() == parsed.issuer().as_raw(),
        })
    }

    /// Whether the certificate is valid for so many days.
    pub(super) fn expect_days(&self, target: &Target, expected: i64) -> Result<(), Failure> {
        if self.days_left >= expected {
            return Ok(());
        }
        let until = match self.days_left {
            left if left < 0 => format!("ended {} ago", days(-left)),
            left => format!("ends in {}", days(left)),
        };
        Err(Failure::new(format!(
            "the certificate of {target} {until} ({}); expected {} at least",
            self.not_after,
            days(expected)
        )))
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(IpAddr::from([a, b, c, d]).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
        },
        _ => None,
    }
}

/// All that is wrong with the certificates of a server; nothing if they are valid. `is_own`: the operator has named this
/// very certificate as one to trust.
pub(crate) fn problems(
    (end_entity, intermediates): (&CertificateDer<'_>, &[CertificateDer<'_>]),
    certificate: Option<&Certificate>,
    name: &ServerName<'_>,
    roots: &RootCertStore,
    is_own: bool,
    now: UnixTime,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> Vec<CertificateProblem> {
    let (Ok(parsed), Some(certificate)) = (ParsedCertificate::try_from(end_entity), certificate) else {
        return vec![CertificateProblem::Unreadable];
    };
    let mut found = Vec::new();
    let (begin, end) = (seconds(certificate.not_before), seconds(certificate.not_after));
    if now.as_secs() > end {
        found.push(CertificateProblem::Expired(certificate.not_after, certificate.days_left));
    } else if now.as_secs() < begin {
        found.push(CertificateProblem::NotYet(certificate.not_before));
    }
    // Who has signed an expired certificate is found out as of when it was valid.
    let then = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs().clamp(begin.min(end), end)));
    let signed = verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, then, algorithms);
    if let Err(error) = signed
        && !is_own
    {
        found.push(match error {
            rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => CertificateProblem::ChainExpired,
            // One that is made for an authority is refused before its signature is looked at.
            _ if certificate.is_self_issued => CertificateProblem::SelfSigned,
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                let alone = intermediates.is_empty();
                CertificateProblem::UnknownAuthority { issuer: certificate.issuer.clone(), alone }
            }
            rustls::Error::InvalidCertificate(error) => CertificateProblem::Other(error.to_string()),
            error => CertificateProblem::Other(error.to_string()),
        });
    }
    if verify_server_name(&parsed, name).is_err() {
        let asked = name.to_str().into_owned();
        found.push(match certificate.names.is_empty() {
            true => CertificateProblem::NoName(asked),
            false => CertificateProblem::WrongName { asked, names: certificate.names.clone() },
        });
    }
    found
}

fn seconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_second()).unwrap_or(0)
}

/// `1 day`, `30 days`
pub(super) fn days(number: i64) -> String {
    match number {
        1 => "1 day".to_owned(),
        number => format!("{number} days"),
    }
}

fn unknown(issuer: &str, alone: bool) -> String {
    let also = match alone {
        true => ", and the server sends no certificate of an authority in between",
        false => "",
    };
    format!("its issuer ({issuer}) leads to no authority that this agent trusts{also}")
}
