//! `agents`.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use slamon_client::{Client, Paused};
use uuid::Uuid;

use super::connection::Connection;
use super::failure::{Ending, Failure};
use super::output::Output;
use super::pages::{Listing, PageOptions, read};
use super::table::Table;
use super::terminal_text::{json, name, shown};
use super::types::LastHour;
use super::words::moment;

/// `agents`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Agents {
    /// One agent, with what it executes
    #[arg(value_name = "ID")]
    id: Option<Uuid>,
    /// What becomes of that agent: paused, it is handed nothing; resumed, it is again; forgotten, it is a new one when it
    /// polls again
    #[arg(value_name = "ACTION", value_enum, requires = "id")]
    action: Option<Action>,
    #[command(flatten)]
    filter: AgentFilter,
    #[command(flatten)]
    pages: PageOptions,
    #[command(flatten)]
    pub(super) connection: Connection,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Action {
    Pause,
    Resume,
    Forget,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Which agents")]
#[group(id = "which-agents", multiple = true, conflicts_with = "id")]
struct AgentFilter {
    /// In this state: active, lost or paused
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    state: Option<String>,
    /// That offer this type
    #[arg(long = "type", alias = "task-type", value_name = "TYPE")]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    task_type: Option<String>,
    /// … in this version
    #[arg(
        long = "type-version",
        alias = "task-version",
        value_name = "VERSION",
        allow_negative_numbers = true
    )]
    task_version: Option<i64>,
    /// In this country
    #[arg(long, value_name = "CC", value_parser = NonEmptyStringValueParser::new())]
    country: Option<String>,
    /// In this region
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    region: Option<String>,
    /// With this in their name, in any letter case
    #[arg(long = "name", alias = "q", value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    text: Option<String>,
}

/// An agent, as far as it is shown.
#[derive(Deserialize)]
struct Agent {
    agent_id: String,
    agent_name: String,
    state: String,
    last_seen: Option<String>,
    tasks_running: u64,
    max_tasks: u64,
    agent_capabilities: Option<Value>,
    agent_capabilities_bytes: Option<u64>,
    agent_location: Option<Value>,
    last_hour: Option<LastHour>,
    next_poll_due: Option<String>,
    #[serde(default)]
    poll_held: bool,
    paused_since: Option<String>,
    #[serde(default)]
    tasks: Vec<Running>,
}

#[derive(Deserialize)]
struct Running {
    task_id: String,
    task_type: String,
    task_version: i64,
    task_claimed: String,
    task_attempt: u32,
    task_deadline: Option<String>,
}

impl Agents {
    pub(super) async fn run(&self, out: &mut Output) -> Result<Ending, Failure> {
        let client = self.connection.client()?;
        match (self.id, self.action) {
            (None, _) => self.list(&client, out).await?,
            (Some(id), None) => {
                let agent: Box<RawValue> = client.get(&["api", "v1", "agents", &id.to_string()], &[]).await?;
                if self.connection.json {
                    out.raw_json(&agent)?;
                } else {
                    show(&read(&agent)?, out)?;
                }
            }
            (Some(id), Some(action)) => {
                let (answer, did) = match action {
                    Action::Pause => (client.pause(Paused::Agent(id)).await?, "is paused"),
                    Action::Resume => (client.resume(Paused::Agent(id)).await?, "is not paused"),
                    Action::Forget => (client.forget_agent(id).await?, "is forgotten"),
                };
                if self.connection.json {
                    out.json(&answer)?;
                } else {
                    out.line(&format!("agent {id} {did}"))?;
                }
            }
        }
        Ok(Ending::Done)
    }

    async fn list(&self, client: &Client, out: &mut Output) -> Result<(), Failure> {
        #[derive(Deserialize)]
        struct Page {
            agents: Vec<Agent>,
        }
        let AgentFilter { state, task_type, task_version, country, region, text } = &self.filter;
        let query: Vec<(&'static str, String)> = [
            ("state", state.clone()),
            ("task_type", task_type.clone()),
            ("task_version", task_version.map(|version| version.to_string())),
            ("country", country.clone()),
            ("region", region.clone()),
            ("q", text.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
        let listing = Listing {
            client,
            path: &["api", "v1", "agents"],
            query: &query,
            pages: &self.pages,
            as_json: self.connection.json,
        };
        let header = ["LAST SEEN (UTC)", "AGENT", "NAME", "STATE", "PLACE", "RUNS", "OFFERS"];
        let add = |page: &RawValue, table: &mut Table| {
            let page: Page = read(page)?;
            for agent in &page.agents {
                table.row(vec![
                    moment(agent.last_seen.as_deref()),
                    shown(&agent.agent_id),
                    name(&agent.agent_name),
                    shown(&agent.state),
                    agent.place(),
                    format!("{}/{}", agent.tasks_running, agent.max_tasks),
                    agent.offers(),
                ]);
            }
            Ok(page.agents.len())
        };
        listing.show(out, Table::new(&header), add).await
    }
}

impl Agent {
    fn place(&self) -> String {
        let part = |name| self.agent_location.as_ref()?.get(name)?.as_str();
        match [part("country"), part("region")].into_iter().flatten().map(shown).collect::<Vec<_>>() {
            parts if parts.is_empty() => "-".to_owned(),
            parts => parts.join("-"),
        }
    }

    /// What it offers: each type with its version.
    fn offers(&self) -> String {
        let Some(offered) = self.agent_capabilities.as_ref().and_then(Value::as_object) else {
            let bytes = self.agent_capabilities_bytes;
            return bytes.map_or_else(|| "-".to_owned(), |bytes| format!("({bytes} bytes)"));
        };
        let offered = offered.iter().map(|(task_type, offer)| {
            let version = offer.get("version").unwrap_or(&Value::Null);
            format!("{} {}", name(task_type), json(&version.to_string()))
        });
        offered.collect::<Vec<_>>().join(", ")
    }
}

fn show(agent: &Agent, out: &mut Output) -> Result<(), Failure> {
    let next_poll = match agent.poll_held {
        true => "held open now".to_owned(),
        false => moment(agent.next_poll_due.as_deref()),
    };
    for (what, value) in [
        ("Agent", Some(shown(&agent.agent_id))),
        ("Name", Some(name(&agent.agent_name))),
        ("State", Some(shown(&agent.state))),
        ("Paused", agent.paused_since.as_deref().map(|since| format!("since {}", moment(Some(since))))),
        ("Place", Some(agent.place())),
        ("Seen", Some(moment(agent.last_seen.as_deref()))),
        ("Next poll", Some(next_poll)),
        ("Runs", Some(format!("{} of {}", agent.tasks_running, agent.max_tasks))),
        ("Last hour", agent.last_hour.as_ref().map(LastHour::sentence)),
        ("Offers", Some(agent.offers())),
    ] {
        if let Some(value) = value {
            out.line(&format!("{what:<10} {value}"))?;
        }
    }
    if !agent.tasks.is_empty() {
        let mut table = Table::new(&["TASK", "CLAIMED (UTC)", "DEADLINE (UTC)", "ATTEMPT", "TYPE"]);
        for task in &agent.tasks {
            table.row(vec![
                shown(&task.task_id),
                moment(Some(&task.task_claimed)),
                moment(task.task_deadline.as_deref()),
                task.task_attempt.to_string(),
                format!("{} {}", name(&task.task_type), task.task_version),
            ]);
        }
        out.line("")?;
        out.lines(table.lines(out.room()))?;
    }
    Ok(())
}
