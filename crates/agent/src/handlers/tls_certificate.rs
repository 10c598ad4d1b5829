//! `tls_certificate`: whose certificate a server shows, until when it is valid, and whether it is.

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

use super::Environment;
use crate::context::Context;
use crate::failure::Failure;
use crate::network::connect::{IpVersion, Target};
use crate::network::limit::{Timeout, milliseconds};
use crate::network::tls::{TlsOptions, Verify};

/// Looks at the certificate that a server shows, and whether it is valid.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    /// The name or the address of the server.
    host: String,
    /// Its port.
    #[serde(default = "https")]
    port: u16,
    /// The name that the server is asked for, and that the certificate has to have, if it is not `host`.
    name: Option<String>,
    /// So many days the certificate has to be valid for.
    min_days_left: Option<i64>,
    /// Whether a certificate that is not valid is an error. If not, the result says in `problems` what is wrong.
    #[serde(default = "yes")]
    verify: bool,
    /// 4 or 6: only IPv4, or only IPv6.
    ip_version: Option<IpVersion>,
    /// How many seconds it may take.
    #[serde(default)]
    timeout: Timeout,
}

/// The result of a task.
#[derive(Debug, Serialize)]
pub(super) struct Output {
    subject: String,
    /// The names and addresses that the certificate is for.
    names: Vec<String>,
    issuer: String,
    not_before: Timestamp,
    not_after: Timestamp,
    days_left: i64,
    /// What is wrong with it, in sentences; nothing if it is valid.
    problems: Vec<String>,
    /// How many certificates the server has sent.
    chain: usize,
    protocol: String,
    cipher: String,
    address: String,
    dns_ms: f64,
    connect_ms: f64,
    tls_ms: f64,
    total_ms: f64,
}

fn https() -> u16 {
    443
}

fn yes() -> bool {
    true
}

pub(super) async fn execute(
    data: Data,
    context: Context,
    environment: Arc<Environment>,
) -> Result<Output, Failure> {
    let limit = data.timeout.limit(&context);
    let target = Target::new(&data.host, data.port);
    let connection = target.connect(&environment.network, data.ip_version, &limit).await?;
    let verify = if data.verify { Verify::Required } else { Verify::Reported };
    let options = TlsOptions { name: data.name.as_deref(), verify, alpn: &[] };
    let mut secured = environment.tls.secure(connection.stream, &target, options, &limit).await?;
    let total = limit.elapsed();
    // A server that is left without a word may log it.
    let _ = limit.hold(secured.stream.shutdown()).await;
    let peer = secured.peer;
    let certificate = peer
        .certificate
        .ok_or_else(|| Failure::new(format!("the certificate of {target} cannot be read")))?;
    if let Some(expected) = data.min_days_left {
        certificate.expect_days(&target, expected)?;
    }
    Ok(Output {
        subject: certificate.subject,
        names: certificate.names,
        issuer: certificate.issuer,
        not_before: certificate.not_before,
        not_after: certificate.not_after,
        days_left: certificate.days_left,
        problems: peer.problems.iter().map(ToString::to_string).collect(),
        chain: peer.chain,
        protocol: peer.protocol,
        cipher: peer.cipher,
        address: connection.address.ip().to_string(),
        dns_ms: milliseconds(connection.resolve),
        connect_ms: milliseconds(connection.connect),
        tls_ms: milliseconds(secured.took),
        total_ms: milliseconds(total),
    })
}
