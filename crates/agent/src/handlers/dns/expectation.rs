//! What was found in an answer, and whether it was expected.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};

use super::{Code, Data, Kind};
use crate::failure::Failure;

/// So many aliases are followed.
const MOST_ALIASES: usize = 16;
/// So many values are read: a message is short, but names in it are compressed, and results are not.
const MOST_VALUES: usize = 256;
/// Errors repeat so many characters of values.
const QUOTED: usize = 500;

/// What the records of an answer say.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) values: Vec<String>,
    pub(super) ttl: Option<u32>,
    pub(super) aliases: Vec<String>,
}

impl Found {
    /// What an answer says of a name, and of the names that it is an alias of.
    pub(super) fn new(message: &Message, name: &Name, kind: RecordType) -> Result<Self, Failure> {
        let mut found = Self::default();
        let mut name = name.clone();
        for _ in 0..MOST_ALIASES {
            let of_name = || {
                let is_its = |owner: &Name, class| *owner == name && class == DNSClass::IN;
                message.answers.iter().filter(move |record| is_its(&record.name, record.dns_class))
            };
            for record in of_name().filter(|record| record.record_type() == kind) {
                if found.values.len() == MOST_VALUES {
                    return Err(Failure::new(format!("{name} has more than {MOST_VALUES} records {kind}")));
                }
                found.values.push(value(&record.data));
                found.ttl = Some(found.ttl.unwrap_or(u32::MAX).min(record.ttl));
            }
            let alias = of_name().find_map(|record| match &record.data {
                RData::CNAME(alias) if kind != RecordType::CNAME => Some(alias.0.clone()),
                _ => None,
            });
            let Some(alias) = alias.filter(|_| found.values.is_empty()) else { break };
            found.aliases.push(alias.to_ascii());
            name = alias;
        }
        Ok(found)
    }
}

/// A value as in a zone file, but texts without quotes.
fn value(data: &RData) -> String {
    let mut text = String::new();
    // It fails for what is no value of a record, and was not asked for.
    let _ = write!(text, "{data}");
    match data {
        // A comma is written after each parameter, too.
        RData::HTTPS(_) | RData::SVCB(_) => {
            let words: Vec<&str> = text.split(' ').map(|word| word.trim_end_matches(',')).collect();
            words.join(" ")
        }
        _ => text,
    }
}

/// The name of a code.
pub(super) fn code(code: ResponseCode) -> String {
    let name = match u16::from(code) {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        other => return format!("CODE{other}"),
    };
    name.to_owned()
}

/// What a task expects of an answer.
#[derive(Debug)]
pub(super) struct Expectation<'a> {
    data: &'a Data,
    /// The expected values, as they are compared.
    values: Vec<String>,
}

impl<'a> Expectation<'a> {
    pub(super) fn new(data: &'a Data) -> Result<Self, Failure> {
        if !data.expected.is_empty() && data.expected_code != Code::NoError {
            let code = data.expected_code.name();
            return Err(Failure::new(format!(
                "task_data.expected: values are compared with the code NOERROR alone, and {code} is expected"
            )));
        }
        let mut values = Vec::with_capacity(data.expected.len());
        for (index, text) in data.expected.iter().enumerate() {
            let compared = compared(data.kind, text).ok_or_else(|| {
                let kind = data.kind.record_type();
                Failure::new(format!("task_data.expected[{index}]: {text:?} is no value of a record {kind}"))
            })?;
            values.push(compared);
        }
        Ok(Self { data, values })
    }

    /// Whether an answer is as expected; an error says what was expected, and what was there.
    pub(super) fn check(
        &self,
        found: &Found,
        message: &Message,
        server: &str,
        name: &str,
    ) -> Result<(), Failure> {
        let kind = self.data.kind.record_type();
        let was = message.metadata.response_code;
        let expected = self.data.expected_code;
        if u16::from(was) != expected.number() {
            let meaning = match was {
                ResponseCode::NXDomain => ": there is no such name",
                ResponseCode::ServFail => ": it could not find out",
                ResponseCode::Refused => ": it does not want to tell",
                _ => "",
            };
            let expected = match expected {
                Code::NoError => String::new(),
                _ => format!(", where {} was expected", expected.name()),
            };
            let was = code(was);
            return Err(Failure::new(format!(
                "{server} answers {was} to the question for {name} {kind}{meaning}{expected}"
            )));
        }
        if self.data.dnssec && !message.metadata.authentic_data {
            return Err(Failure::new(format!(
                "{server} does not say that it has validated its answer for {name} {kind} by DNSSEC (flag AD)"
            )));
        }
        let counts = expected == Code::NoError || self.data.only_expected;
        if counts { self.check_values(found, server, name) } else { Ok(()) }
    }

    fn check_values(&self, found: &Found, server: &str, name: &str) -> Result<(), Failure> {
        let kind = self.data.kind;
        let (expected, only) = (&self.values, self.data.only_expected);
        let of_type = kind.record_type();
        if found.values.is_empty() && !(only && expected.is_empty()) {
            let was_expected = match self.data.expected.as_slice() {
                [] => String::new(),
                expected => format!(", where {} was expected", joined(expected)),
            };
            return Err(Failure::new(format!("{name} has no record {of_type}, says {server}{was_expected}")));
        }
        let there: Vec<String> =
            found.values.iter().map(|value| compared(kind, value).unwrap_or_default()).collect();
        let texts = self.data.expected.iter().zip(expected);
        let missing: Vec<&str> =
            texts.filter(|(_, value)| !there.contains(value)).map(|(text, _)| text.as_str()).collect();
        let texts = found.values.iter().zip(&there);
        let unexpected: Vec<&str> = texts
            .filter(|(_, value)| only && !expected.contains(value))
            .map(|(text, _)| text.as_str())
            .collect();
        let mut faults = Vec::new();
        if !missing.is_empty() {
            faults.push(format!("{} was expected and is not there", joined(&missing)));
        }
        if !unexpected.is_empty() {
            faults.push(format!("{} was not expected", joined(&unexpected)));
        }
        if faults.is_empty() {
            return Ok(());
        }
        Err(Failure::new(format!(
            "{name} has other records {of_type} than expected: {}; {server} answers {}",
            faults.join(", "),
            joined(&found.values)
        )))
    }
}

impl Code {
    fn name(self) -> String {
        code(ResponseCode::from(0, u8::try_from(self.number()).unwrap_or_default()))
    }
}

/// Values as an error repeats them.
fn joined(values: &[impl AsRef<str>]) -> String {
    let text = values.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A value in the form in which values are compared; `None` where no record of that type has it.
fn compared(kind: Kind, text: &str) -> Option<String> {
    match kind {
        Kind::A => Some(text.trim().parse::<Ipv4Addr>().ok()?.to_string()),
        Kind::Aaaa => Some(text.trim().parse::<Ipv6Addr>().ok()?.to_string()),
        Kind::Txt => Some(text.to_owned()),
        // Parameters may be written with quotes or without.
        Kind::Https | Kind::Svcb => Some(words(&text.replace('"', ""))),
        _ => Some(words(text)),
    }
}

/// A text as it is compared where neither case nor a last dot counts.
fn words(text: &str) -> String {
    let words = text.split_whitespace();
    let words = words.map(|word| word.strip_suffix('.').unwrap_or(word).to_ascii_lowercase());
    words.collect::<Vec<_>>().join(" ")
}
