//! Which tasks are meant.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use slamon_client::TaskFilter;
use slamon_command_line::integer;
use uuid::Uuid;

use super::arguments::{agent_id, id};

/// Which tasks: those for which all of it holds. An empty text is refused, since the AFM takes it for no filter, and a
/// variable that a script has not set must not mean all tasks.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which tasks")]
pub(super) struct Filter {
    /// In this state: delayed, pending, claimed, completed, failed, lost, timed_out, expired or cancelled
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    state: Option<String>,
    #[command(flatten)]
    task_type: OfType,
    /// Of this test
    #[arg(long = "test", alias = "test-id", value_name = "ID", value_parser = id)]
    test_id: Option<Uuid>,
    /// With this id
    #[arg(long = "id", alias = "task-id", value_name = "ID", value_parser = id)]
    task_id: Option<Uuid>,
    /// That this agent executes, or executed last
    #[arg(long = "agent", alias = "agent-id", value_name = "ID", value_parser = agent_id)]
    agent_id: Option<Uuid>,
    /// Posted for agents in this country
    #[arg(long, value_name = "CC", value_parser = NonEmptyStringValueParser::new())]
    country: Option<String>,
    /// Posted at this time or later: as 2026-11-22T19:23:00Z
    #[arg(long, value_name = "TIME", value_parser = NonEmptyStringValueParser::new())]
    from: Option<String>,
    /// Posted before this time
    #[arg(long, value_name = "TIME", value_parser = NonEmptyStringValueParser::new())]
    to: Option<String>,
    /// Whose error has this text in it, whatever the case of the letters
    #[arg(long = "error", alias = "q", value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    error: Option<String>,
}

/// A type, and a version of it.
#[derive(Debug, Args)]
pub(super) struct OfType {
    /// Of this type, to the letter; of agents, those that offer it
    #[arg(long = "type", alias = "task-type", value_name = "TYPE")]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(super) task_type: Option<String>,
    /// In this version
    #[arg(
        long = "type-version",
        alias = "task-version",
        value_name = "VERSION",
        value_parser = integer,
        allow_negative_numbers = true
    )]
    pub(super) task_version: Option<i64>,
}

impl Filter {
    /// Whether it names anything.
    pub(super) fn is_empty(&self) -> bool {
        self.to_client().query().is_empty()
    }

    /// The filter in the words of the client.
    pub(super) fn to_client(&self) -> TaskFilter {
        TaskFilter {
            state: self.state.clone(),
            task_type: self.task_type.task_type.clone(),
            task_version: self.task_type.task_version,
            test_id: self.test_id,
            task_id: self.task_id,
            agent_id: self.agent_id,
            country: self.country.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            q: self.error.clone(),
        }
    }
}
