//! `dns`: asks a DNS server a question, and compares its answer with what was expected.

mod exchange;
mod expectation;
mod servers;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::rr::{Name, RecordType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::exchange::Answer;
use self::expectation::{Found, code};
use super::{Context, Environment, Failure};
use crate::network::limit::{Timeout, milliseconds};

/// So long an answer may be over UDP: what passes through all networks in one piece.
const UDP_SIZE: u16 = 1232;

/// Asks a DNS server a question, and compares its answer with what was expected.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    /// The name to ask for, from the root; with the type PTR it may be an address.
    name: String,
    /// The type of the records to ask for.
    #[serde(default, rename = "type")]
    kind: Kind,
    /// The server to ask: its name or address. By default those that the agent's system uses, one after the other until
    /// one answers.
    #[serde(default)]
    server: Option<String>,
    /// The port of the server.
    #[serde(default = "dns_port")]
    port: u16,
    /// How to ask: over "udp", and again over TCP if the answer does not fit; or over "tcp".
    #[serde(default)]
    transport: Transport,
    /// Values that records have to have, each of them, written as in a zone file; case, and a dot at the end of a name,
    /// do not count.
    #[serde(default)]
    expected: Vec<String>,
    /// Whether there may be no other values than those expected. With none expected, there must be no such record.
    #[serde(default)]
    only_expected: bool,
    /// The code that the server has to answer with.
    #[serde(default)]
    expected_code: Code,
    /// Whether the server has to say that it has validated the answer by DNSSEC (flag AD).
    #[serde(default)]
    dnssec: bool,
    /// How many seconds it may take in all.
    #[serde(default)]
    timeout: Timeout,
}

/// What a server has answered.
#[derive(Debug, Serialize)]
pub(super) struct Output {
    /// The values of the records, as in a zone file; texts as they are.
    answers: Vec<String>,
    /// For how many seconds they may be kept, the shortest of them; not where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u32>,
    /// The names that the name is an alias of (CNAME), one after the other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
    /// The code of the answer, such as "NOERROR".
    code: String,
    /// Whether the server says that it has validated the answer by DNSSEC.
    authenticated: bool,
    /// Whether the server answers for the zone itself.
    authoritative: bool,
    /// The server that has answered.
    server: String,
    /// How it has: "udp" or "tcp".
    transport: Transport,
    /// How long it took to answer, from when it was asked first.
    query_ms: f64,
    /// How long everything took.
    total_ms: f64,
}

/// The types of records that can be asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
enum Kind {
    #[default]
    A,
    Aaaa,
    Caa,
    Cname,
    Https,
    Mx,
    Naptr,
    Ns,
    Ptr,
    Soa,
    Srv,
    Sshfp,
    Svcb,
    Tlsa,
    Txt,
}

/// What carries questions and answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Transport {
    #[default]
    Udp,
    Tcp,
}

/// The codes that an answer can be expected to have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
enum Code {
    #[default]
    NoError,
    FormErr,
    ServFail,
    NxDomain,
    NotImp,
    Refused,
}

fn dns_port() -> u16 {
    53
}

pub(super) async fn execute(
    data: Data,
    context: Context,
    environment: Arc<Environment>,
) -> Result<Output, Failure> {
    let limit = data.timeout.limit(&context);
    let expectation = expectation::Expectation::new(&data)?;
    let name = name(&data)?;
    let servers = servers::find(&data, &environment, &limit).await?;
    let query = query(&name, &data);
    let Answer { message, server, transport, took } =
        exchange::ask_in_turn(&query, &servers, data.transport, &limit).await?;
    let found = Found::new(&message, &name, data.kind.record_type())?;
    let code = code(message.metadata.response_code);
    expectation.check(&found, &message, &format!("{server}"), &name.to_ascii())?;
    Ok(Output {
        answers: found.values,
        ttl: found.ttl,
        aliases: found.aliases,
        code,
        authenticated: message.metadata.authentic_data,
        authoritative: message.metadata.authoritative,
        server: server.to_string(),
        transport,
        query_ms: milliseconds(took),
        total_ms: milliseconds(limit.elapsed()),
    })
}

/// The name that is asked for, from the root.
fn name(data: &Data) -> Result<Name, Failure> {
    if data.kind == Kind::Ptr
        && let Ok(address) = data.name.parse::<IpAddr>()
    {
        return Ok(Name::from(address));
    }
    let name = if data.name.is_ascii() { Name::from_ascii(&data.name) } else { Name::from_utf8(&data.name) };
    let mut name = name
        .ok()
        .filter(|_| !data.name.is_empty())
        .ok_or_else(|| Failure::new(format!("task_data.name: {:?} is no name of a domain", data.name)))?;
    name.set_fqdn(true);
    Ok(name)
}

fn query(name: &Name, data: &Data) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    // In a query this flag asks for the same flag in the answer (RFC 6840, 5.7).
    message.metadata.authentic_data = true;
    message.add_query(Query::query(name.clone(), data.kind.record_type()));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_SIZE);
    edns.set_dnssec_ok(data.dnssec);
    message.set_edns(edns);
    message
}

impl Kind {
    fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Caa => RecordType::CAA,
            Self::Cname => RecordType::CNAME,
            Self::Https => RecordType::HTTPS,
            Self::Mx => RecordType::MX,
            Self::Naptr => RecordType::NAPTR,
            Self::Ns => RecordType::NS,
            Self::Ptr => RecordType::PTR,
            Self::Soa => RecordType::SOA,
            Self::Srv => RecordType::SRV,
            Self::Sshfp => RecordType::SSHFP,
            Self::Svcb => RecordType::SVCB,
            Self::Tlsa => RecordType::TLSA,
            Self::Txt => RecordType::TXT,
        }
    }
}

impl Code {
    fn number(self) -> u16 {
        match self {
            Self::NoError => 0,
            Self::FormErr => 1,
            Self::ServFail => 2,
            Self::NxDomain => 3,
            Self::NotImp => 4,
            Self::Refused => 5,
        }
    }
}
