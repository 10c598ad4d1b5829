//! The terms of a task: how long it may take, how often it may be tried, and who may have it.
//!
//! All terms are optional. Without them a task behaves as it did under slamon-afm 1.1.0.

use std::time::Duration;

use uuid::Uuid;

use crate::agent::Location;
use crate::fields::{Field, Fields};
use crate::invalid::Invalid;
use crate::json::JsonText;
use crate::limits::Limits;
use crate::value::{Problem, Value};
use crate::write::ObjectWriter;

/// The longest time that a term can name: 365 days.
pub const LONGEST: Duration = Duration::from_secs(31_536_000);

/// How often a task may be handed out at most.
pub const MOST_ATTEMPTS: u32 = 20;

/// The optional fields of `POST /task`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// `task_ttl`: how long after it was posted the task must be finished.
    pub ttl: Option<Duration>,
    /// `task_timeout`: how long one attempt may take, from claim to result.
    pub timeout: Option<Duration>,
    /// `task_max_attempts`: how often the task may be handed out in all.
    pub max_attempts: u32,
    /// `task_retry_errors`: whether an error that an agent reports may be followed by another attempt.
    pub retry_errors: bool,
    /// `task_retry_delay`: how long to wait before the second attempt. The time doubles with each further
    /// one.
    pub retry_delay: Duration,
    /// `task_priority`: tasks with a higher one are handed out first.
    pub priority: i32,
    /// `task_delay`: how long after it was posted the task may be handed out.
    pub delay: Duration,
    /// `agent_filter`: which agents may have the task.
    pub agent_filter: AgentFilter,
}

/// Says which agents may have a task: those that match everything that is named.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentFilter {
    /// The agent's `agent_location.country`.
    pub country: Option<String>,
    /// The agent's `agent_location.region`.
    pub region: Option<String>,
    /// The agent's `agent_id`.
    pub agent_id: Option<Uuid>,
    /// The agent's `agent_name`.
    pub agent_name: Option<String>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            ttl: None,
            timeout: None,
            max_attempts: 1,
            retry_errors: false,
            retry_delay: Duration::ZERO,
            priority: 0,
            delay: Duration::ZERO,
            agent_filter: AgentFilter::default(),
        }
    }
}

impl Terms {
    /// Reads the fields of [`PostTask`](crate::PostTask) that are terms, in their order there.
    pub(crate) fn read(fields: [Field<'_>; 8], limits: &Limits) -> Result<Self, Invalid> {
        let above_zero = Duration::from_micros(1);
        let none = Self::default();
        let [ttl, timeout, max_attempts, retry_errors, retry_delay, priority, delay, agent_filter] = fields;
        let filter = agent_filter.optional_object(&AgentFilter::FIELDS)?;
        let filter = filter.map(|filter| AgentFilter::read(filter, Some(limits))).transpose()?;
        Ok(Self {
            ttl: ttl.optional_seconds(above_zero, LONGEST)?,
            timeout: timeout.optional_seconds(above_zero, LONGEST)?,
            max_attempts: max_attempts.optional_integer(1, MOST_ATTEMPTS)?.unwrap_or(none.max_attempts),
            retry_errors: retry_errors.optional(Value::boolean)?.unwrap_or(none.retry_errors),
            retry_delay: retry_delay.optional_seconds(Duration::ZERO, LONGEST)?.unwrap_or(none.retry_delay),
            priority: priority.optional_integer(-100, 100)?.unwrap_or(none.priority),
            delay: delay.optional_seconds(Duration::ZERO, LONGEST)?.unwrap_or(none.delay),
            agent_filter: filter.unwrap_or_default(),
        })
    }
}

impl AgentFilter {
    const FIELDS: [&str; 4] = ["country", "region", "agent_id", "agent_name"];

    /// Reads the fields of a filter. One that is stored already has no limits: it was taken under those that there were
    /// then.
    fn read(fields: Fields<'_, 4>, limits: Option<&Limits>) -> Result<Self, Invalid> {
        let [country, region, agent_id, agent_name] = fields.known;
        // No agent can be in a place of another length: the task would wait for ever.
        let place = |field: Field<'_>, read: fn(Value<'_>) -> Result<String, Problem>| {
            field.optional(|value| if limits.is_some() { read(value) } else { value.string() })
        };
        let filter = Self {
            country: place(country, Location::read_country)?,
            region: place(region, Location::read_region)?,
            agent_id: agent_id.optional(Value::id)?,
            agent_name: agent_name
                .optional_bounded_text(limits.map_or(usize::MAX, |limits| limits.name_bytes))?,
        };
        fields.rest.refuse()?;
        Ok(filter)
    }

    /// Whether the filter names nothing, so that every agent matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an agent may have the task.
    #[must_use]
    pub fn matches(&self, agent_id: Uuid, agent_name: &str, location: Option<&Location>) -> bool {
        let named = |wanted: &Option<String>, has: Option<&str>| match wanted {
            Some(wanted) => has == Some(wanted.as_str()),
            None => true,
        };
        named(&self.country, location.map(|at| at.country.as_str()))
            && named(&self.region, location.map(|at| at.region.as_str()))
            && named(&self.agent_name, Some(agent_name))
            && self.agent_id.is_none_or(|wanted| wanted == agent_id)
    }

    /// Gives the text by which tasks are found. Equal filters have the same; that of the empty one is empty.
    #[must_use]
    pub fn key(&self) -> String {
        if self.is_empty() { String::new() } else { self.to_json().as_str().to_owned() }
    }

    /// Counts the text that the filter holds, in bytes.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        [&self.country, &self.region, &self.agent_name].into_iter().flatten().map(String::len).sum()
    }

    /// Lists all filters that an agent matches, the empty one first. There are 16 at most.
    ///
    /// A task for this agent has one of them, so a claim never reads tasks that are not.
    #[must_use]
    pub fn matching(agent_id: Uuid, agent_name: &str, location: Option<&Location>) -> Vec<Self> {
        let mut filters = vec![Self::default()];
        let mut also = |with: &dyn Fn(&mut Self)| {
            for n in 0..filters.len() {
                let mut filter = filters[n].clone();
                with(&mut filter);
                filters.push(filter);
            }
        };
        also(&|filter| filter.agent_id = Some(agent_id));
        also(&|filter| filter.agent_name = Some(agent_name.to_owned()));
        if let Some(location) = location {
            also(&|filter| filter.country = Some(location.country.clone()));
            also(&|filter| filter.region = Some(location.region.clone()));
        }
        filters
    }

    /// Writes the filter as the JSON object that it came as, with its members in a fixed order.
    #[must_use]
    pub fn to_json(&self) -> JsonText {
        let mut object = ObjectWriter::new();
        for (name, text) in
            [("country", &self.country), ("region", &self.region), ("agent_name", &self.agent_name)]
        {
            if let Some(text) = text {
                object.string(name, text);
            }
        }
        if let Some(id) = self.agent_id {
            object.id("agent_id", id);
        }
        JsonText::from_stored(object.finish())
    }

    /// Reads what [`AgentFilter::key`] wrote.
    ///
    /// # Errors
    /// The text was not written by it.
    pub fn from_key(key: &str) -> Result<Self, Invalid> {
        if key.is_empty() {
            return Ok(Self::default());
        }
        Self::read(Fields::of_body(key, &Self::FIELDS)?, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PostTask;

    const ID: &str = "de305d54-75b4-431b-adb2-eb6b9e546013";

    fn terms(rest: &str) -> Result<Terms, Invalid> {
        let body = format!(r#"{{"task_id":"{ID}","test_id":"{ID}","task_type":"t","task_version":1{rest}}}"#);
        PostTask::parse(&body).map(|task| task.terms)
    }

    #[test]
    fn none_is_the_default() {
        assert_eq!(terms("").unwrap(), Terms::default());
        assert_eq!(terms(r#","agent_filter":{}"#).unwrap(), Terms::default());
    }

    #[test]
    fn all_of_them() {
        let terms = terms(&format!(
            r#","task_ttl":30,"task_timeout":0.5,"task_max_attempts":20,"task_retry_errors":true,
               "task_retry_delay":1e1,"task_priority":-100,"task_delay":31536000,
               "agent_filter":{{"country":"FI","region":"18","agent_id":"{ID}","agent_name":""}}"#
        ));
        assert_eq!(
            terms.unwrap(),
            Terms {
                ttl: Some(Duration::from_secs(30)),
                timeout: Some(Duration::from_millis(500)),
                max_attempts: 20,
                retry_errors: true,
                retry_delay: Duration::from_secs(10),
                priority: -100,
                delay: LONGEST,
                agent_filter: AgentFilter {
                    country: Some("FI".into()),
                    region: Some("18".into()),
                    agent_id: crate::parse_id(ID),
                    agent_name: Some(String::new()),
                },
            }
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let seconds = |name: &str, least: &str, is: &str| {
            format!("{name}: must be a number of seconds {least} and at most 31536000, is {is}")
        };
        let attempts = "task_max_attempts: must be an integer from 1 to 20, is";
        let priority = "task_priority: must be an integer from -100 to 100, is";
        for (rest, error) in [
            (r#""task_ttl":0"#, seconds("task_ttl", "above 0", "0")),
            (r#""task_ttl":-1"#, seconds("task_ttl", "above 0", "-1")),
            (r#""task_ttl":31536000.1"#, seconds("task_ttl", "above 0", "31536000.1")),
            (r#""task_ttl":"30""#, seconds("task_ttl", "above 0", "\"30\"")),
            (r#""task_ttl":null"#, seconds("task_ttl", "above 0", "null")),
            (r#""task_ttl":1e999"#, seconds("task_ttl", "above 0", "1e999")),
            // What would be within the range if only 64 bits of it were looked at.
            (r#""task_ttl":18446744073769.55"#, seconds("task_ttl", "above 0", "18446744073769.55")),
            (r#""task_timeout":18446744073769.55"#, seconds("task_timeout", "above 0", "18446744073769.55")),
            (
                r#""task_retry_delay":18446744073769.55"#,
                seconds("task_retry_delay", "from 0", "18446744073769.55"),
            ),
            (r#""task_delay":18446744073709.55"#, seconds("task_delay", "from 0", "18446744073709.55")),
            (r#""task_max_attempts":4294967297"#, format!("{attempts} 4294967297")),
            (r#""task_priority":4294967296"#, format!("{priority} 4294967296")),
            (r#""task_timeout":0.0000001"#, seconds("task_timeout", "above 0", "0.0000001")),
            (r#""task_retry_delay":-0.1"#, seconds("task_retry_delay", "from 0", "-0.1")),
            (r#""task_delay":true"#, seconds("task_delay", "from 0", "true")),
            (r#""task_max_attempts":0"#, format!("{attempts} 0")),
            (r#""task_max_attempts":21"#, format!("{attempts} 21")),
            (r#""task_max_attempts":1.0"#, format!("{attempts} 1.0")),
            (r#""task_priority":101"#, format!("{priority} 101")),
            (r#""task_priority":"0""#, format!("{priority} \"0\"")),
            (r#""task_retry_errors":1"#, "task_retry_errors: must be true or false, is 1".into()),
            (r#""agent_filter":[]"#, "agent_filter: must be an object, is an array".into()),
            (r#""agent_filter":{"country":1}"#, "agent_filter.country: must be a string, is 1".into()),
            (
                r#""agent_filter":{"country":"Finland"}"#,
                "agent_filter.country: must be 2 characters long, has 7".into(),
            ),
            (
                r#""agent_filter":{"country":""}"#,
                "agent_filter.country: must be 2 characters long, has 0".into(),
            ),
            (
                r#""agent_filter":{"country":"FI","region":"Ö"}"#,
                "agent_filter.region: must be 2 to 4 characters long, has 1".into(),
            ),
            (
                r#""agent_filter":{"region":"12345"}"#,
                "agent_filter.region: must be 2 to 4 characters long, has 5".into(),
            ),
            (
                r#""agent_filter":{"agent_id":"x"}"#,
                "agent_filter.agent_id: must be a UUID of 8-4-4-4-12 hexadecimal digits, is \"x\"".into(),
            ),
            (
                r#""agent_filter":{"city":"Espoo"}"#,
                "agent_filter.city: is not a known field; known are country, region, agent_id, agent_name"
                    .into(),
            ),
        ] {
            assert_eq!(terms(&format!(",{rest}")).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn names_are_bounded_and_those_that_are_stored_can_be_read() {
        let filter = |length: usize| {
            terms(&format!(r#","agent_filter":{{"agent_name":"{}"}}"#, "ä".repeat(length / 2)))
                .map(|terms| terms.agent_filter)
        };
        filter(1_024).unwrap();
        assert_eq!(
            filter(1_026).unwrap_err().to_string(),
            "agent_filter.agent_name: must be at most 1024 bytes long, has 1026"
        );
        let longer = AgentFilter {
            country: Some("Finland".into()),
            region: Some(String::new()),
            agent_name: Some("x".repeat(100_000)),
            agent_id: None,
        };
        assert_eq!(AgentFilter::from_key(&longer.key()).unwrap(), longer);
    }

    #[test]
    fn an_agent_finds_every_filter_it_matches_and_no_other() {
        let id = crate::parse_id(ID).unwrap();
        let here = Location { country: "FI".into(), region: "18".into(), latitude: None, longitude: None };
        let options = [None, Some("FI"), Some("SE"), Some("18"), Some("Agent")];
        for location in [None, Some(&here)] {
            let filters = AgentFilter::matching(id, "Agent", location);
            for country in options {
                for region in options {
                    for name in options {
                        for agent_id in [None, Some(id), Some(Uuid::nil())] {
                            let filter = AgentFilter {
                                country: country.map(Into::into),
                                region: region.map(Into::into),
                                agent_id,
                                agent_name: name.map(Into::into),
                            };
                            let found = filters.contains(&filter);
                            assert_eq!(found, filter.matches(id, "Agent", location), "{filter:?}");
                            assert_eq!(AgentFilter::from_key(&filter.key()).unwrap(), filter);
                        }
                    }
                }
            }
        }
    }
}
