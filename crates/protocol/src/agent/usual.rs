//! A poll as fleets send it, read in one pass.
//!
//! A million agents send the same few fields again and again, without escapes. Whatever is not like that, or not right,
//! is left to be read field by field, by what can say what is wrong with it.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use uuid::Uuid;

use super::{Capability, MOST_RUNNING, PROTOCOL, PollRequest};
use crate::parse_id;

/// `None`: to be read field by field.
pub(super) fn read(body: &str) -> Option<PollRequest> {
    // To serde, an array of the values of all fields would do.
    body.trim_ascii_start().starts_with('{').then_some(())?;
    let poll: Poll<'_> = serde_json::from_str(body).ok()?;
    (poll.protocol == PROTOCOL).then_some(())?;
    let _ = poll.agent_time;
    Some(PollRequest {
        agent_id: parse_id(poll.agent_id)?,
        agent_name: poll.agent_name.to_owned(),
        agent_capabilities: poll.agent_capabilities.0,
        max_tasks: poll.max_tasks,
        agent_location: None,
        max_wait: Duration::ZERO,
        agent_running: poll.agent_running,
    })
}

/// A string is borrowed only where it has no escapes; a field that comes twice, or is not known, is an error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Poll<'a> {
    protocol: i64,
    agent_id: &'a str,
    agent_name: &'a str,
    agent_time: &'a str,
    agent_capabilities: Capabilities,
    max_tasks: u32,
    #[serde(default, deserialize_with = "ids")]
    agent_running: Option<Vec<Uuid>>,
}

fn ids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Uuid>>, D::Error> {
    let ids = Vec::<&str>::deserialize(deserializer)?;
    if ids.len() > MOST_RUNNING {
        return Err(D::Error::custom("not the usual"));
    }
    let ids = ids.into_iter().map(parse_id).collect::<Option<_>>();
    ids.map(Some).ok_or_else(|| D::Error::custom("not the usual"))
}

struct Capabilities(Vec<Capability>);

/// The version in what an agent says of a capability; the rest is passed over.
struct Offer(i64);

impl<'de> Deserialize<'de> for Offer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Find;

        impl<'de> Visitor<'de> for Find {
            type Value = i64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<i64, A::Error> {
                let mut version = None;
                while let Some(name) = map.next_key::<&str>()? {
                    if name != "version" {
                        map.next_value::<IgnoredAny>()?;
                    } else if version.replace(map.next_value()?).is_some() {
                        return Err(A::Error::duplicate_field("version"));
                    }
                }
                version.ok_or_else(|| A::Error::missing_field("version"))
            }
        }

        deserializer.deserialize_map(Find).map(Self)
    }
}

/// More than these are not looked through for one that comes twice.
const FEW: usize = 16;

impl<'de> Deserialize<'de> for Capabilities {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<Capability>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Capability>, A::Error> {
                let mut offers: Vec<Capability> = Vec::with_capacity(4);
                while let Some(task_type) = map.next_key::<&str>()? {
                    let Offer(version) = map.next_value()?;
                    if offers.len() == FEW || offers.iter().any(|offer| offer.task_type == task_type) {
                        return Err(A::Error::custom("not the usual"));
                    }
                    offers.push(Capability { task_type: task_type.to_owned(), version });
                }
                Ok(offers)
            }
        }

        deserializer.deserialize_map(Collect).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "DE305d54-75b4-431b-adb2-eb6b9e546013";

    /// Every way that one field can be written, with the others as they usually are.
    fn polls() -> Vec<String> {
        let fields = [
            ("protocol", "1", vec!["1", "2", "1.0", "true", "null", "01", "1e0"]),
            (
                "agent_id",
                &format!("\"{ID}\""),
                vec![r#""""#, "1", r#""\u0064e305d54-75b4-431b-adb2-eb6b9e546013""#],
            ),
            (
                "agent_name",
                r#""é 😀""#,
                vec![r#""""#, r#""a\nb""#, r#""\u0000""#, r#""\ud800""#, "1", "null"],
            ),
            ("agent_time", r#""now""#, vec![r#""""#, r#""\u0000""#, r#""\ud800""#, "1", "{}"]),
            (
                "agent_capabilities",
                r#"{"wait": {"version": 1}, "": {"version": -9223372036854775808, "more": [{"x": {}}]}}"#,
                vec![
                    "{}",
                    "[]",
                    r#"{"a":{"version":1},"b":{"version":2},"a":{"version":3}}"#,
                    r#"{"a":{"version":1,"version":2}}"#,
                    r#"{"a":{"version":1.0}}"#,
                    r#"{"a":{"version":9223372036854775808}}"#,
                    r#"{"a":{}}"#,
                    r#"{"a":[1]}"#,
                    r#"{"a":1}"#,
                    r#"{"\u0061":{"version":1}}"#,
                    r#"{"a\u0000":{"version":1}}"#,
                ],
            ),
            ("max_tasks", "7", vec!["0", "-0", "-1", "1.0", "4294967295", "4294967296", "\"1\""]),
        ];
        let usual: Vec<(&str, &str)> = fields.iter().map(|(name, value, _)| (*name, *value)).collect();
        let write = |members: &[(&str, &str)]| {
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
            format!("{{{}}}", members.join(", "))
        };
        let mut polls = vec![write(&usual), format!(" \n{} ", write(&usual)), format!("{} x", write(&usual))];
        for (n, (name, _, values)) in fields.iter().enumerate() {
            for value in values {
                let mut members = usual.clone();
                members[n].1 = value;
                polls.push(write(&members));
                // Twice: the last one counts.
                let mut members = usual.clone();
                members.push((name, value));
                polls.push(write(&members));
            }
            let mut members = usual.clone();
            members.remove(n);
            polls.push(write(&members));
        }
        for more in [
            ("max_wait", "1"),
            ("agent_location", r#"{"country":"FI","region":"18"}"#),
            ("x", "1"),
            ("agent_running", "[]"),
            (
                "agent_running",
                r#"["de305d54-75b4-431b-adb2-eb6b9e546013","DE305D54-75B4-431B-ADB2-EB6B9E546014"]"#,
            ),
            ("agent_running", r#"["\u0064e305d54-75b4-431b-adb2-eb6b9e546013"]"#),
            ("agent_running", r#"["x"]"#),
            ("agent_running", "null"),
            ("agent_running", "{}"),
            ("agent_running", "[[]]"),
        ] {
            let mut members = usual.clone();
            members.push(more);
            polls.push(write(&members));
        }
        let many: Vec<String> = (0..40).map(|n| format!("\"type {n}\":{{\"version\":{n}}}")).collect();
        let mut members = usual.clone();
        let many = format!("{{{}}}", many.join(","));
        members[4].1 = &many;
        polls.push(write(&members));
        let values: Vec<&str> = usual.iter().map(|(_, value)| *value).collect();
        polls.push(format!("[{}]", values.join(",")));
        polls
    }

    #[test]
    fn what_is_read_in_one_pass_is_what_is_read_field_by_field() {
        let mut usual = 0;
        for body in polls() {
            if let Some(poll) = read(&body) {
                usual += 1;
                assert_eq!(Ok(poll), PollRequest::read_fields(&body, &crate::Limits::default()), "{body}");
            }
        }
        assert!(usual >= 10, "{usual} polls were read in one pass");
        let poll = read(&polls()[0]).unwrap();
        assert_eq!((poll.agent_name.as_str(), poll.max_tasks), ("é 😀", 7));
        assert_eq!(poll.agent_capabilities.len(), 2);
    }
}
