//! The body of `POST /tasks`, with which an agent asks for work.

use std::time::Duration;

use uuid::Uuid;

use super::capabilities::Offers;
use super::{Capability, Location, check_protocol};
use crate::fields::Fields;
use crate::invalid::Invalid;
use crate::limits::Limits;
use crate::value::Value;
use crate::write::ObjectWriter;

/// The longest time that an agent may ask its answer to wait.
pub const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// How many attempts an agent may say that it is executing.
pub const MOST_RUNNING: usize = 1_000;

/// The body of `POST /tasks`: an agent says who it is and asks for work.
#[derive(Debug, Clone, PartialEq)]
pub struct PollRequest {
    /// The id of the agent.
    pub agent_id: Uuid,
    /// The name of the agent for people, which may be empty.
    pub agent_name: String,
    /// What the agent can execute, with one entry a type.
    pub agent_capabilities: Vec<Capability>,
    /// How many tasks the agent takes now; 0 means "busy, but alive".
    pub max_tasks: u32,
    /// Where the agent stands, if it says so.
    pub agent_location: Option<Location>,
    /// How long the answer may wait for a task.
    pub max_wait: Duration,
    /// What the agent executes, by the ids that it was handed; `None` means that it does not say.
    pub agent_running: Option<Vec<Uuid>>,
}

impl PollRequest {
    const FIELDS: [&str; 9] = [
        "protocol",
        "agent_id",
        "agent_name",
        "agent_time",
        "agent_capabilities",
        "max_tasks",
        "agent_location",
        "max_wait",
        "agent_running",
    ];

    /// Reads a request body under the usual limits.
    ///
    /// # Errors
    /// The error names the field that breaks a rule of protocol 1.
    pub fn parse(body: &str) -> Result<Self, Invalid> {
        Self::parse_within(body, &Limits::default())
    }

    /// Reads a request body.
    ///
    /// # Errors
    /// The error names the field that breaks a rule of protocol 1, or one of the limits.
    pub fn parse_within(body: &str, limits: &Limits) -> Result<Self, Invalid> {
        let (mut offers, mut running) = (Offers::default(), Vec::new());
        let fields = Fields::of_body_with(body, &Self::FIELDS, |name, scanner| match name {
            "agent_capabilities" => offers.pass_over(scanner),
            "agent_running" => {
                // The field may be repeated.
                running.clear();
                scanner.elements(|scanner| {
                    running.push(scanner.value()?);
                    Ok(())
                })
            }
            _ => scanner.value(),
        })?;
        let [
            protocol,
            agent_id,
            agent_name,
            agent_time,
            agent_capabilities,
            max_tasks,
            agent_location,
            max_wait,
            agent_running,
        ] = fields.known;
        check_protocol(protocol)?;
        let agent_id = agent_id.id()?;
        let agent_name = agent_name.bounded_text(limits.name_bytes)?;
        agent_time.require(Value::any_string)?;
        let poll = Self {
            agent_id,
            agent_name,
            agent_capabilities: offers.read(agent_capabilities, limits)?,
            max_tasks: max_tasks.require(Value::count)?,
            agent_location: agent_location
                .optional_object(&Location::FIELDS)?
                .map(Location::read)
                .transpose()?,
            max_wait: max_wait.optional_seconds(Duration::ZERO, LONGEST_WAIT)?.unwrap_or_default(),
            agent_running: agent_running.optional_ids(&running, MOST_RUNNING)?,
        };
        fields.rest.refuse()?;
        Ok(poll)
    }

    /// Writes the capabilities as JSON, from type to version, for a store to keep.
    #[must_use]
    pub fn capabilities_to_json(&self) -> String {
        let mut object = ObjectWriter::new();
        for capability in &self.agent_capabilities {
            object.integer_of(&capability.task_type, capability.version);
        }
        object.finish()
    }
}

#[cfg(test)]
mod tests;
