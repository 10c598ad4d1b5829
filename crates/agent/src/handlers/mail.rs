//! `smtp` and `imap`: the greeting of a mail server, what it can do, and its TLS.

mod imap;
mod smtp;
mod talk;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::talk::{Stream, Talk};
use super::{Context, Environment, Failure};
use crate::network::connect::{IpVersion, Target};
use crate::network::limit::{Limit, Timeout, milliseconds};
use crate::network::tls::{Peer, TlsOptions, Verify};

/// Reads the greeting of a mail server, and asks what it can do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    /// The name or the address of the server.
    host: String,
    /// Its port. By default 25 for smtp and 143 for imap, with implicit TLS 465 and 993.
    #[serde(default)]
    port: Option<u16>,
    /// "none"; "starttls": TLS is begun after the greeting, and the server has to offer it; or "implicit": TLS is begun
    /// at once.
    #[serde(default)]
    tls: Tls,
    /// The name that TLS asks for, and that the certificate has to have, if it is not `host`.
    #[serde(default)]
    name: Option<String>,
    /// Whether a certificate that is not valid is an error.
    #[serde(default = "yes")]
    verify: bool,
    /// So many days the certificate has to be valid for.
    #[serde(default)]
    min_days_left: Option<i64>,
    /// A text that has to be in the greeting.
    #[serde(default)]
    expected_greeting: Option<String>,
    /// What the server has to be able to do, such as "AUTH PLAIN" or "IDLE", in the end (after TLS has begun); case does
    /// not count. A capability that has further words fits also without them, or with some of them.
    #[serde(default)]
    expected_capabilities: Vec<String>,
    /// 4 or 6: only IPv4, or only IPv6.
    #[serde(default)]
    ip_version: Option<IpVersion>,
    /// How many seconds it may take in all.
    #[serde(default)]
    timeout: Timeout,
}

/// When TLS is begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Tls {
    #[default]
    None,
    #[serde(rename = "starttls")]
    Upgrade,
    Implicit,
}

/// What a mail server has said.
#[derive(Debug, Serialize)]
pub(super) struct Output {
    /// The text of the greeting.
    greeting: String,
    /// What the server can do, after TLS has begun if it was asked for.
    capabilities: Vec<String>,
    /// The address that was connected to.
    address: String,
    /// How long it took to find the address.
    dns_ms: f64,
    /// How long it took to connect.
    connect_ms: f64,
    /// How long TLS took to begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_ms: Option<f64>,
    /// How long the server took to greet, from the connection, or from TLS if that came before.
    greeting_ms: f64,
    /// How long everything took, but to say goodbye.
    total_ms: f64,
    /// Such as "TLSv1.3".
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<String>,
    /// Until when the certificate is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_not_after: Option<Timestamp>,
    /// For how many days it still is.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_days_left: Option<i64>,
    /// What is wrong with it, where that is no error.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    certificate_problems: Vec<String>,
}

/// What a mail server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Smtp,
    Imap,
}

fn yes() -> bool {
    true
}

pub(super) async fn execute_smtp(
    data: Data,
    context: Context,
    environment: Arc<Environment>,
) -> Result<Output, Failure> {
    execute(Protocol::Smtp, data, &context, &environment).await
}

pub(super) async fn execute_imap(
    data: Data,
    context: Context,
    environment: Arc<Environment>,
) -> Result<Output, Failure> {
    execute(Protocol::Imap, data, &context, &environment).await
}

async fn execute(
    protocol: Protocol,
    data: Data,
    context: &Context,
    environment: &Environment,
) -> Result<Output, Failure> {
    data.check().map_err(|problem| Failure::new(format!("task_data.{problem}")))?;
    let limit = data.timeout.limit(context);
    let target = Target::new(&data.host, data.port.unwrap_or_else(|| protocol.port(data.tls)));
    let connection = target.connect(&environment.network, data.ip_version, &limit).await?;
    let own_address = connection.stream.local_addr()?.ip();
    let mut stream: Box<dyn Stream> = Box::new(connection.stream);
    let mut secured = None;
    if data.tls == Tls::Implicit {
        let (with_tls, tls) = secure(stream, &target, &data, environment, &limit).await?;
        (stream, secured) = (with_tls, Some(tls));
    }
    let began = Instant::now();
    let mut talk = Talk::new(stream, &target, &limit);
    let greeting = match protocol {
        Protocol::Smtp => smtp::greeting(&mut talk).await?,
        Protocol::Imap => imap::greeting(&mut talk).await?,
    };
    let greeted = began.elapsed();
    let capabilities = async |talk: &mut Talk<'_>| match protocol {
        Protocol::Smtp => smtp::capabilities(talk, own_address).await,
        Protocol::Imap => imap::capabilities(talk).await,
    };
    let mut can = capabilities(&mut talk).await?;
    if data.tls == Tls::Upgrade {
        if !has(&can, "STARTTLS") {
            let can = can.join(", ");
            return Err(Failure::new(format!("{target} does not offer STARTTLS; it offers {can}")));
        }
        match protocol {
            Protocol::Smtp => smtp::start_tls(&mut talk).await?,
            Protocol::Imap => imap::start_tls(&mut talk).await?,
        }
        let (stream, tls) = secure(talk.into_stream()?, &target, &data, environment, &limit).await?;
        secured = Some(tls);
        talk = Talk::new(stream, &target, &limit);
        // What it has offered before may have come from somebody in between.
        can = capabilities(&mut talk).await?;
    }
    let total = limit.elapsed();
    talk.goodbye(match protocol {
        Protocol::Smtp => "QUIT",
        Protocol::Imap => "z LOGOUT",
    })
    .await;
    check(&data, &target, &greeting, &can)?;
    if let (Some(expected), Some(secured)) = (data.min_days_left, &secured) {
        secured.peer.expect_days(&target, expected)?;
    }
    let certificate = secured.as_ref().and_then(|secured| secured.peer.certificate.as_ref());
    Ok(Output {
        greeting,
        capabilities: can,
        address: connection.address.ip().to_string(),
        dns_ms: milliseconds(connection.resolve),
        connect_ms: milliseconds(connection.connect),
        tls_ms: secured.as_ref().map(|secured| milliseconds(secured.took)),
        greeting_ms: milliseconds(greeted),
        total_ms: milliseconds(total),
        protocol: secured.as_ref().map(|secured| secured.peer.protocol.clone()),
        certificate_not_after: certificate.map(|certificate| certificate.not_after),
        certificate_days_left: certificate.map(|certificate| certificate.days_left),
        certificate_problems: secured
            .as_ref()
            .map_or_else(Vec::new, |secured| secured.peer.problems.iter().map(ToString::to_string).collect()),
    })
}

impl Data {
    /// What could not be checked; the problem begins with the name of the member.
    fn check(&self) -> Result<(), String> {
        let of_tls = [("min_days_left", self.min_days_left.is_some()), ("name", self.name.is_some())];
        if let Some((member, _)) = of_tls.iter().find(|(_, is_given)| *is_given && self.tls == Tls::None) {
            return Err(format!("{member}: without TLS there is no certificate"));
        }
        if self.expected_greeting.as_deref() == Some("") {
            return Err("expected_greeting: must not be empty; leave it out to expect nothing".to_owned());
        }
        Ok(())
    }
}

/// TLS that has begun.
struct Secured {
    peer: Peer,
    took: std::time::Duration,
}

async fn secure(
    stream: Box<dyn Stream>,
    target: &Target,
    data: &Data,
    environment: &Environment,
    limit: &Limit,
) -> Result<(Box<dyn Stream>, Secured), Failure> {
    let verify = if data.verify { Verify::Required } else { Verify::Reported };
    let options = TlsOptions { name: data.name.as_deref(), verify, alpn: &[] };
    let secured = environment.tls.secure(stream, target, options, limit).await?;
    Ok((Box::new(secured.stream), Secured { peer: secured.peer, took: secured.took }))
}

fn check(data: &Data, target: &Target, greeting: &str, can: &[String]) -> Result<(), Failure> {
    if let Some(expected) = data.expected_greeting.as_ref().filter(|expected| !greeting.contains(*expected)) {
        return Err(Failure::new(format!(
            "{target} greets with {greeting:?}, where {expected:?} was expected"
        )));
    }
    let missing: Vec<&str> = data
        .expected_capabilities
        .iter()
        .map(String::as_str)
        .filter(|expected| !has(can, expected))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (missing, can) = (missing.join(", "), can.join(", "));
    Err(Failure::new(format!("{target} does not offer {missing}, which was expected; it offers {can}")))
}

/// Whether a server can do something: a capability begins with the first word, and has the others.
fn has(capabilities: &[String], expected: &str) -> bool {
    let mut expected = expected.split_whitespace();
    let first = expected.next().unwrap_or_default();
    let rest: Vec<&str> = expected.collect();
    capabilities.iter().any(|capability| {
        let mut words = capability.split_whitespace();
        words.next().is_some_and(|word| word.eq_ignore_ascii_case(first))
            && rest.iter().all(|word| words.clone().any(|other| other.eq_ignore_ascii_case(word)))
    })
}

impl Protocol {
    fn port(self, tls: Tls) -> u16 {
        match (self, tls) {
            (Self::Smtp, Tls::None | Tls::Upgrade) => 25,
            (Self::Smtp, Tls::Implicit) => 465,
            (Self::Imap, Tls::None | Tls::Upgrade) => 143,
            (Self::Imap, Tls::Implicit) => 993,
        }
    }
}
