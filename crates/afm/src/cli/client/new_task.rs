//! What a task is posted with.

use std::collections::BTreeMap;
use std::io::Read;

use clap::Args;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use slamon_client::AgentFilter;
use uuid::Uuid;

use super::arguments::{agent_id, id};
use super::failure::Failure;

/// A task as it is sent: its fields, each as the JSON text that it was given as, so that the AFM is the judge of it.
pub(super) type Fields = BTreeMap<String, Box<RawValue>>;

/// The terms of protocol 1. Each option goes by the name of its field, too.
#[derive(Debug, Args)]
#[command(next_help_heading = "Terms (with --file: of tasks that do not say it themselves)")]
pub(super) struct Terms {
    /// The test that the task belongs to; a new one if nothing is said
    #[arg(long = "test", alias = "test-id", value_name = "ID", value_parser = id)]
    test_id: Option<Uuid>,
    /// Seconds from posting until the task must be finished
    #[arg(long, alias = "task-ttl", value_name = "SECONDS", value_parser = number, allow_negative_numbers = true)]
    ttl: Option<Box<RawValue>>,
    /// Seconds that an attempt may take (--timeout is about the AFM's answer)
    #[arg(long, value_name = "SECONDS", value_parser = number, allow_negative_numbers = true)]
    task_timeout: Option<Box<RawValue>>,
    /// Seconds before the task may be handed out
    #[arg(long, alias = "task-delay", value_name = "SECONDS", value_parser = number, allow_negative_numbers = true)]
    delay: Option<Box<RawValue>>,
    /// How often the task may be handed out in all
    #[arg(long, alias = "task-max-attempts", value_name = "N", value_parser = number, allow_negative_numbers = true)]
    max_attempts: Option<Box<RawValue>>,
    /// Try again also after an error that an agent reports
    #[arg(long, alias = "task-retry-errors")]
    retry_errors: bool,
    /// Seconds before the second attempt; doubles with each further one
    #[arg(long, alias = "task-retry-delay", value_name = "SECONDS", value_parser = number)]
    #[arg(allow_negative_numbers = true)]
    retry_delay: Option<Box<RawValue>>,
    /// From -100 to 100: higher first
    #[arg(long, alias = "task-priority", value_name = "N", value_parser = number, allow_negative_numbers = true)]
    priority: Option<Box<RawValue>>,
    /// Only agents in this country: 2 characters, as agents say it
    #[arg(long, value_name = "CC")]
    country: Option<String>,
    /// Only agents in this region: 2 to 4 characters
    #[arg(long)]
    region: Option<String>,
    /// Only agents of this name
    #[arg(long, value_name = "NAME")]
    agent_name: Option<String>,
    /// Only this agent
    #[arg(long = "agent", alias = "agent-id", value_name = "ID", value_parser = agent_id)]
    agent_id: Option<Uuid>,
}

impl Terms {
    /// The fields that were given, and a test.
    pub(super) fn fields(&self) -> Result<Fields, Failure> {
        let mut fields = Fields::new();
        set(&mut fields, "test_id", &self.test_id.unwrap_or_else(Uuid::new_v4))?;
        for (name, value) in [
            ("task_ttl", &self.ttl),
            ("task_timeout", &self.task_timeout),
            ("task_delay", &self.delay),
            ("task_max_attempts", &self.max_attempts),
            ("task_retry_delay", &self.retry_delay),
            ("task_priority", &self.priority),
        ] {
            if let Some(value) = value {
                fields.insert(name.to_owned(), value.clone());
            }
        }
        if self.retry_errors {
            set(&mut fields, "task_retry_errors", &true)?;
        }
        let filter = AgentFilter {
            agent_id: self.agent_id,
            agent_name: self.agent_name.clone(),
            country: self.country.clone(),
            region: self.region.clone(),
        };
        if filter != AgentFilter::default() {
            set(&mut fields, "agent_filter", &filter)?;
        }
        Ok(fields)
    }
}

/// Sets a field.
pub(super) fn set(fields: &mut Fields, name: &str, value: &impl Serialize) -> Result<(), Failure> {
    let value = to_raw_value(value).map_err(|error| Failure::Afm(error.into()))?;
    fields.insert(name.to_owned(), value);
    Ok(())
}

/// Reads the data of a task: JSON, or where it stands: `@FILE`, or `-` for standard input.
pub(super) fn data(given: &str) -> Result<Box<RawValue>, Failure> {
    let problem = |what: String| Failure::Arguments(format!("data: {what}"));
    let text = match given.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| problem(format!("could not read {file}: {error}")))?,
        None if given == "-" => {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|error| problem(format!("could not read standard input: {error}")))?;
            text
        }
        None => given.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| problem(format!("is not JSON: {error}")))
}

/// Reads a number as JSON writes it.
fn number(text: &str) -> Result<Box<RawValue>, String> {
    let problem = "must be a number";
    serde_json::from_str::<f64>(text).map_err(|_| problem)?;
    Ok(serde_json::from_str(text).map_err(|_| problem)?)
}
