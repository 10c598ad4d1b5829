//! What agents send.

mod usual;

use std::time::Duration;

use uuid::Uuid;

use crate::fields::Fields;
use crate::{Invalid, JsonText, Limits, ObjectWriter};

/// The one version of the protocol that is served.
pub const PROTOCOL: i64 = 1;

/// The longest that an answer may be asked to wait.
pub const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// How many attempts an agent may say that it is executing.
pub const MOST_RUNNING: usize = 1_000;

/// `POST /tasks`: an agent says who it is and asks for work.
#[derive(Debug, Clone, PartialEq)]
pub struct PollRequest {
    /// Which agent.
    pub agent_id: Uuid,
    /// Its name for people; may be empty.
    pub agent_name: String,
    /// What it can do, one entry a type.
    pub agent_capabilities: Vec<Capability>,
    /// How many tasks it takes now; 0 means "busy, but alive".
    pub max_tasks: u32,
    /// Where it stands, if it says so.
    pub agent_location: Option<Location>,
    /// How long the answer may wait for a task.
    pub max_wait: Duration,
    /// What it is executing, by the ids that it was handed; `None`: it does not say.
    pub agent_running: Option<Vec<Uuid>>,
}

/// A task type that an agent can execute, in one version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability {
    /// The task type.
    pub task_type: String,
    /// The version of the type.
    pub version: i64,
}

/// Where an agent stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Location {
    /// Two characters, such as an ISO 3166-1 code.
    pub country: String,
    /// Two to four characters, such as the second part of an ISO 3166-2 code.
    pub region: String,
    /// Degrees north.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
}

/// `POST /tasks/response`: what came out of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultPost {
    /// Which task, by the id under which it was handed out.
    pub task_id: Uuid,
    /// Who answers, if it says so: then only the agent that holds the attempt may.
    pub agent_id: Option<Uuid>,
    /// What came out.
    pub outcome: TaskOutcome,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskOutcome {
    /// With a result: a JSON object.
    Completed(JsonText),
    /// With an error: a JSON string.
    Failed(JsonText),
}

impl PollRequest {
    /// Reads a request body under the usual limits.
    ///
    /// # Errors
    /// Names the field that breaks a rule of protocol 1.
    pub fn parse(body: &str) -> Result<Self, Invalid> {
        Self::parse_within(body, &Limits::default())
    }

    /// Reads a request body.
    ///
    /// # Errors
    /// Names the field that breaks a rule of protocol 1, or one of the limits.
    pub fn parse_within(body: &str, limits: &Limits) -> Result<Self, Invalid> {
        usual::read(body)
            .filter(|poll| poll.is_within(limits))
            .map_or_else(|| Self::read_fields(body, limits), Ok)
    }

    fn is_within(&self, limits: &Limits) -> bool {
        let offers = &self.agent_capabilities;
        self.agent_name.len() <= limits.name_bytes
            && offers.len() <= limits.capabilities
            && offers.iter().all(|offer| offer.task_type.len() <= limits.name_bytes)
    }

    fn read_fields(body: &str, limits: &Limits) -> Result<Self, Invalid> {
        let mut fields = Fields::of_body(body)?;
        check_protocol(&mut fields)?;
        let agent_id = fields.id("agent_id")?;
        let agent_name = fields.bounded_text("agent_name", limits.name_bytes)?;
        fields.any_string("agent_time")?;
        let capability = |(task_type, mut fields): (String, Fields<'_>)| {
            // Other members are ignored: agents may say more of a capability than we know of.
            fields.integer("version").map(|version| Capability { task_type, version })
        };
        let agent_capabilities = fields
            .object("agent_capabilities")?
            .into_objects(limits)?
            .into_iter()
            .map(capability)
            .collect::<Result<_, _>>()?;
        let max_tasks = fields.count("max_tasks")?;
        let agent_location = fields.optional_object("agent_location")?.map(Location::read).transpose()?;
        let max_wait = fields.optional_seconds("max_wait", Duration::ZERO, LONGEST_WAIT)?;
        let agent_running = fields.optional_ids("agent_running", MOST_RUNNING)?;
        fields.finish(&[
            "protocol",
            "agent_id",
            "agent_name",
            "agent_time",
            "agent_capabilities",
            "max_tasks",
            "agent_location",
            "max_wait",
            "agent_running",
        ])?;
        let max_wait = max_wait.unwrap_or_default();
        Ok(Self {
            agent_id,
            agent_name,
            agent_capabilities,
            max_tasks,
            agent_location,
            max_wait,
            agent_running,
        })
    }
}

impl Location {
    fn read(mut fields: Fields<'_>) -> Result<Self, Invalid> {
        let location = Self {
            country: sized_text(&mut fields, "country", 2, 2)?,
            region: sized_text(&mut fields, "region", 2, 4)?,
            latitude: fields.optional_number("latitude")?,
            longitude: fields.optional_number("longitude")?,
        };
        fields.finish(&["country", "region", "latitude", "longitude"])?;
        Ok(location)
    }

    /// The location as JSON, for a store to keep.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut object = ObjectWriter::new();
        object.string("country", &self.country).string("region", &self.region);
        for (name, degrees) in [("latitude", self.latitude), ("longitude", self.longitude)] {
            if let Some(degrees) = degrees {
                object.number(name, degrees);
            }
        }
        object.finish()
    }
}

impl PollRequest {
    /// The capabilities as JSON, type to version, for a store to keep.
    #[must_use]
    pub fn capabilities_to_json(&self) -> String {
        let mut object = ObjectWriter::new();
        for capability in &self.agent_capabilities {
            object.integer(&capability.task_type, capability.version);
        }
        object.finish()
    }
}

impl ResultPost {
    /// Reads a request body.
    ///
    /// # Errors
    /// Names the field that breaks a rule of protocol 1.
    pub fn parse(body: &str) -> Result<Self, Invalid> {
        let mut fields = Fields::of_body(body)?;
        check_protocol(&mut fields)?;
        let task_id = fields.id("task_id")?;
        let data = fields.optional_object_text("task_data")?;
        let error = fields.optional_string_text("task_error")?;
        let agent_id = fields.optional_id("agent_id")?;
        fields.finish(&["protocol", "task_id", "task_data", "task_error", "agent_id"])?;
        let outcome = match (data, error) {
            (Some(data), None) => TaskOutcome::Completed(data),
            (None, Some(error)) => TaskOutcome::Failed(error),
            (Some(_), Some(_)) => {
                return Err(Invalid::field("task_error", "must not be sent together with task_data"));
            }
            (None, None) => {
                return Err(Invalid::field("task_data", "is required, or else task_error"));
            }
        };
        Ok(Self { task_id, agent_id, outcome })
    }
}

impl TaskOutcome {
    /// Whether two outcomes say the same, so that the second is a repeat of the first.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Completed(a), Self::Completed(b)) | (Self::Failed(a), Self::Failed(b)) => a.same_value(b),
            _ => false,
        }
    }
}

fn check_protocol(fields: &mut Fields<'_>) -> Result<(), Invalid> {
    match fields.integer("protocol")? {
        PROTOCOL => Ok(()),
        other => Err(Invalid::field("protocol", format!("{other} is not served, only {PROTOCOL} is"))),
    }
}

fn sized_text(fields: &mut Fields<'_>, name: &str, least: usize, most: usize) -> Result<String, Invalid> {
    let text = fields.text(name)?;
    let length = text.chars().count();
    if (least..=most).contains(&length) {
        return Ok(text);
    }
    let expected = if least == most { most.to_string() } else { format!("{least} to {most}") };
    Err(Invalid::field(
        format!("agent_location.{name}"),
        format!("must be {expected} characters long, has {length}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "de305d54-75b4-431b-adb2-eb6b9e546013";

    fn poll(rest: &str) -> Result<PollRequest, Invalid> {
        PollRequest::parse(&format!(
            r#"{{"protocol":1,"agent_id":"{ID}","agent_name":"","agent_time":"whenever",{rest}}}"#
        ))
    }

    fn result(rest: &str) -> Result<ResultPost, Invalid> {
        ResultPost::parse(&format!(r#"{{"protocol":1,"task_id":"{ID}"{rest}}}"#))
    }

    #[test]
    fn a_whole_poll() {
        let poll = poll(
            r#""agent_capabilities":{"a":{"version":1,"more":[]},"":{"version":-2},"a":{"version":3}},
               "max_tasks":5,"agent_location":{"country":"FI","region":"18","latitude":60,"longitude":24.9}"#,
        )
        .unwrap();
        let capability = |task_type: &str, version| Capability { task_type: task_type.into(), version };
        assert_eq!(poll.agent_capabilities, [capability("a", 3), capability("", -2)]);
        assert_eq!(poll.capabilities_to_json(), r#"{"a":3,"":-2}"#);
        assert_eq!(poll.max_tasks, 5);
        let location = poll.agent_location.unwrap();
        assert_eq!(location.to_json(), r#"{"country":"FI","region":"18","latitude":60.0,"longitude":24.9}"#);
    }

    #[test]
    fn the_time_of_an_agent_is_any_string() {
        for time in [r#""""#, r#""\u0000""#, r#""\ud800""#] {
            let body = format!(
                r#"{{"protocol":1,"agent_id":"{ID}","agent_name":"","agent_time":{time},"agent_capabilities":{{}},"max_tasks":1}}"#
            );
            assert!(PollRequest::parse(&body).is_ok(), "{time}");
        }
    }

    #[test]
    fn max_tasks_has_no_upper_end() {
        for (given, read) in [("0", 0), ("-0", 0), ("7", 7), ("123456789012345678901234567890", u32::MAX)] {
            let poll = poll(&format!(r#""agent_capabilities":{{}},"max_tasks":{given}"#)).unwrap();
            assert_eq!(poll.max_tasks, read);
        }
    }

    #[test]
    fn what_an_agent_executes_is_a_list_of_ids_which_may_be_empty_or_absent() {
        let running = |ids: &str| poll(&format!(r#""agent_capabilities":{{}},"max_tasks":1{ids}"#));
        assert_eq!(running("").unwrap().agent_running, None);
        assert_eq!(running(r#","agent_running":[]"#).unwrap().agent_running, Some(vec![]));
        let ids = format!(r#","agent_running":["{ID}", "{}"]"#, ID.to_uppercase());
        assert_eq!(running(&ids).unwrap().agent_running, Some(vec![ID.parse().unwrap(); 2]));
        let many = |n| format!(r#","agent_running":[{}]"#, vec![format!("\"{ID}\""); n].join(","));
        assert_eq!(running(&many(MOST_RUNNING)).unwrap().agent_running.unwrap().len(), MOST_RUNNING);
        for (ids, error) in [
            (many(MOST_RUNNING + 1), "agent_running: must hold at most 1000 UUIDs, holds 1001"),
            (r#","agent_running":null"#.into(), "agent_running: must be an array of UUIDs, is null"),
            (r#","agent_running":{}"#.into(), "agent_running: must be an array of UUIDs, is an object"),
            (
                format!(r#","agent_running":["{ID}",1]"#),
                "agent_running.1: must be a UUID of 8-4-4-4-12 hexadecimal digits, is 1",
            ),
        ] {
            assert_eq!(running(&ids).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn what_is_wrong_with_a_poll_is_named() {
        let caps = r#""agent_capabilities":{}"#;
        let at = |location: &str| format!(r#"{caps},"max_tasks":1,"agent_location":{location}"#);
        for (rest, error) in [
            (r#""max_tasks":1"#.into(), "agent_capabilities: is required"),
            (caps.into(), "max_tasks: is required"),
            (format!(r#"{caps},"max_tasks":-1"#), "max_tasks: must be an integer of 0 or more, is -1"),
            (format!(r#"{caps},"max_tasks":1.0"#), "max_tasks: must be an integer of 0 or more, is 1.0"),
            (
                r#""agent_capabilities":{"a":{}},"max_tasks":1"#.into(),
                "agent_capabilities.a.version: is required",
            ),
            (
                r#""agent_capabilities":{"a":{"version":"1"}},"max_tasks":1"#.into(),
                "agent_capabilities.a.version: must be an integer, is \"1\"",
            ),
            (
                r#""agent_capabilities":{"a":1},"max_tasks":1"#.into(),
                "agent_capabilities.a: must be an object, is 1",
            ),
            (
                r#""agent_capabilities":[],"max_tasks":1"#.into(),
                "agent_capabilities: must be an object, is an array",
            ),
            (
                format!(r#"{caps},"max_tasks":1,"max_wait":18446744073769.55"#),
                "max_wait: must be a number of seconds from 0 and at most 300, is 18446744073769.55",
            ),
            (at("null"), "agent_location: must be an object, is null"),
            (at(r#"{"region":"18"}"#), "agent_location.country: is required"),
            (at(r#"{"country":"FI"}"#), "agent_location.region: is required"),
            (
                at(r#"{"country":"FIN","region":"18"}"#),
                "agent_location.country: must be 2 characters long, has 3",
            ),
            (
                at(r#"{"country":"ÅÄ","region":"Ö"}"#),
                "agent_location.region: must be 2 to 4 characters long, has 1",
            ),
            (
                at(r#"{"country":"FI","region":"18","latitude":"60"}"#),
                "agent_location.latitude: must be a number, is \"60\"",
            ),
            (
                at(r#"{"country":"FI","region":"18","city":"Espoo"}"#),
                "agent_location.city: is not a known field; known are country, region, latitude, longitude",
            ),
        ] {
            assert_eq!(poll(&rest).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn names_and_the_number_of_capabilities_are_bounded() {
        let poll = |name: usize, types: usize, of: usize| {
            let offers: Vec<String> = (0..types).map(|n| format!(r#""{n:0of$}":{{"version":1}}"#)).collect();
            PollRequest::parse(&format!(
                r#"{{"protocol":1,"agent_id":"{ID}","agent_name":"{}","agent_time":"","max_tasks":1,
                    "agent_capabilities":{{{}}}}}"#,
                "x".repeat(name),
                offers.join(",")
            ))
        };
        for (name, types, of) in [(1_024, 1, 1_024), (0, 1_000, 10), (0, 1_000, 1_024)] {
            assert_eq!(poll(name, types, of).unwrap().agent_capabilities.len(), types);
        }
        for (name, types, of, error) in [
            (1_025, 1, 1, "agent_name: must be at most 1024 bytes long, has 1025"),
            (1, 1, 1_025, "agent_capabilities: a name must be at most 1024 bytes long, has 1025"),
            (1, 20, 1_025, "agent_capabilities: a name must be at most 1024 bytes long, has 1025"),
            (1, 1_001, 5, "agent_capabilities: must have at most 1000 members, has 1001"),
            (1, 38_000, 5, "agent_capabilities: must have at most 1000 members, has 38000"),
        ] {
            assert_eq!(poll(name, types, of).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn the_limits_are_those_of_the_server() {
        let body = format!(
            r#"{{"protocol":1,"agent_id":"{ID}","agent_name":"abc","agent_time":"","max_tasks":1,
                "agent_capabilities":{{"abc":{{"version":1}},"d":{{"version":1}}}}}}"#
        );
        let parse = |name_bytes, capabilities| {
            let limits = Limits { name_bytes, capabilities };
            PollRequest::parse_within(&body, &limits).map_err(|e| e.to_string())
        };
        parse(3, 2).unwrap();
        assert_eq!(parse(2, 2).unwrap_err(), "agent_name: must be at most 2 bytes long, has 3");
        assert_eq!(parse(3, 1).unwrap_err(), "agent_capabilities: must have at most 1 members, has 2");
    }

    #[test]
    fn only_protocol_1() {
        for (protocol, error) in [
            ("2", "protocol: 2 is not served, only 1 is"),
            ("0", "protocol: 0 is not served, only 1 is"),
            ("1.0", "protocol: must be an integer, is 1.0"),
            ("true", "protocol: must be an integer, is true"),
        ] {
            let body = format!(r#"{{"protocol":{protocol},"task_id":"{ID}","task_data":{{}}}}"#);
            assert_eq!(ResultPost::parse(&body).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn a_result_is_data_or_an_error() {
        let text = |json: &str| JsonText::from_stored(json.into());
        let completed = result(r#","task_data":{"status": 200}"#).unwrap().outcome;
        assert_eq!(completed, TaskOutcome::Completed(text(r#"{"status": 200}"#)));
        let failed = result(r#","task_error":"no\u0000 \ud800""#).unwrap().outcome;
        assert_eq!(failed, TaskOutcome::Failed(text(r#""no\u0000 \ud800""#)));

        for (rest, error) in [
            ("", "task_data: is required, or else task_error"),
            (r#","task_data":{},"task_error":"""#, "task_error: must not be sent together with task_data"),
            (r#","task_data":"x""#, "task_data: must be an object, is \"x\""),
            (r#","task_error":{}"#, "task_error: must be a string, is an object"),
            (r#","task_error":null"#, "task_error: must be a string, is null"),
            (
                r#","task_data":{},"agent":1"#,
                "agent: is not a known field; known are protocol, task_id, task_data, task_error, agent_id",
            ),
        ] {
            assert_eq!(result(rest).unwrap_err().to_string(), error);
        }
    }
}
