//! `agents`.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use serde_json::value::RawValue;
use slamon_client::{Agent, AgentListFilter, AgentPage, AgentWithTasks, Client};
use uuid::Uuid;

use super::arguments::agent_id;
use super::connection::Connection;
use super::failure::{Ending, Failure};
use super::filter::OfType;
use super::output::Output;
use super::pages::{Listing, PageOptions, read};
use super::table::Table;
use super::terminal_text::{name, shown};
use super::words::{ended, moment};

/// `agents`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Agents {
    /// One agent, with what it executes
    #[arg(value_name = "ID", value_parser = agent_id)]
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
struct AgentFilter {
    /// In this state: active, lost or paused
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    state: Option<String>,
    #[command(flatten)]
    task_type: OfType,
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

impl Agents {
    pub(super) async fn run(&self, out: &mut Output) -> Result<Ending, Failure> {
        if self.id.is_some() && !self.filter.to_client().query().is_empty() {
            return Err(Failure::Arguments(
                "filters choose among all agents, and an id was given".to_owned(),
            ));
        }
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
                    Action::Pause => (client.pause_agent(id).await?, "is paused"),
                    Action::Resume => (client.resume_agent(id).await?, "is not paused"),
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
        let query = self.filter.to_client().query();
        let listing = Listing {
            client,
            path: &["api", "v1", "agents"],
            query: &query,
            pages: &self.pages,
            as_json: self.connection.json,
        };
        let header = ["LAST SEEN (UTC)", "AGENT", "NAME", "STATE", "PLACE", "RUNS", "OFFERS"];
        let add = |page: &RawValue, table: &mut Table| {
            let page: AgentPage = read(page)?;
            for agent in &page.agents {
                table.row(vec![
                    moment(Some(&agent.last_seen)),
                    agent.agent_id.to_string(),
                    name(&agent.agent_name),
                    shown(&agent.state),
                    place(agent),
                    format!("{}/{}", agent.tasks_running, agent.max_tasks),
                    offers(agent),
                ]);
            }
            Ok(page.agents.len())
        };
        listing.show(out, Table::new(&header), add).await
    }
}

impl AgentFilter {
    /// The filter in the words of the client.
    fn to_client(&self) -> AgentListFilter {
        AgentListFilter {
            state: self.state.clone(),
            task_type: self.task_type.task_type.clone(),
            task_version: self.task_type.task_version,
            country: self.country.clone(),
            region: self.region.clone(),
            q: self.text.clone(),
        }
    }
}

fn place(agent: &Agent) -> String {
    let Some(location) = &agent.agent_location else { return "-".to_owned() };
    format!("{}-{}", shown(&location.country), shown(&location.region))
}

/// What an agent offers: each type with its version.
fn offers(agent: &Agent) -> String {
    let Some(offered) = &agent.agent_capabilities else {
        let bytes = agent.agent_capabilities_bytes;
        return bytes.map_or_else(|| "-".to_owned(), |bytes| format!("({bytes} bytes)"));
    };
    let offered = offered.iter().map(|(task_type, offer)| format!("{} {}", name(task_type), offer.version));
    offered.collect::<Vec<_>>().join(", ")
}

fn show(
    AgentWithTasks { agent, tasks, more_tasks }: &AgentWithTasks,
    out: &mut Output,
) -> Result<(), Failure> {
    let next_poll = match agent.poll_held {
        true => "held open now".to_owned(),
        false => moment(agent.next_poll_due.as_deref()),
    };
    for (what, value) in [
        ("Agent", Some(agent.agent_id.to_string())),
        ("Name", Some(name(&agent.agent_name))),
        ("State", Some(shown(&agent.state))),
        ("Paused", agent.paused_since.as_deref().map(|since| format!("since {}", moment(Some(since))))),
        ("Place", Some(place(agent))),
        ("Seen", Some(moment(Some(&agent.last_seen)))),
        ("Next poll", Some(next_poll)),
        ("Runs", Some(format!("{} of {}", agent.tasks_running, agent.max_tasks))),
        ("Last hour", Some(ended(&agent.last_hour))),
        ("Offers", Some(offers(agent))),
    ] {
        if let Some(value) = value {
            out.line(&format!("{what:<10} {value}"))?;
        }
    }
    if !tasks.is_empty() {
        let mut table = Table::new(&["TASK", "CLAIMED (UTC)", "DEADLINE (UTC)", "ATTEMPT", "TYPE"]);
        for task in tasks {
            table.row(vec![
                task.task_id.to_string(),
                moment(Some(&task.task_claimed)),
                moment(task.task_deadline.as_deref()),
                task.task_attempt.to_string(),
                format!("{} {}", name(&task.task_type), task.task_version),
            ]);
        }
        out.line("")?;
        out.lines(table.lines(out.room()))?;
        if *more_tasks {
            out.line("and more")?;
        }
    }
    Ok(())
}
