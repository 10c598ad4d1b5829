//! An idle fleet: agents that poll and find nothing.

use anyhow::Result;
use clap::Args;
use uuid::fmt::Hyphenated;

use crate::client::{Blank, Client, Request};
use crate::drive::drive;
use crate::ids::{Ids, MARKER};
use crate::load::Load;
use crate::options::{Defaults, Plan, Shared};
use crate::report::Report;
use crate::stop::Stop;
use crate::tally::Tally;
use crate::tasks::{Polled, poll_body};
use crate::unit::{GaveUp, Took, Worker, ask};

/// `slamon-bench poll`.
#[derive(Debug, Clone, Args)]
pub struct Poll {
    #[command(flatten)]
    shared: Shared,
    /// How many agents there are, which poll in turn; as many as connections if nothing is said
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    agents: Option<u64>,
}

impl Load for Poll {
    fn shared(&self) -> &Shared {
        &self.shared
    }

    async fn run(&self, stop: &Stop) -> Result<Report> {
        let plan = self.shared.plan(Defaults::default())?;
        let agents = self.agents.unwrap_or(plan.connections as u64);
        self.shared.reach().await?;
        let pollers = pollers(&self.shared, plan, Ids::new(), agents);
        let measured = drive("poll", &self.shared, plan, pollers, stop).await?;
        Ok(Report::new("poll", &self.shared, agents, measured))
    }
}

/// One for each connection; together they poll for `agents` agents in turn.
pub(crate) fn pollers(shared: &Shared, plan: Plan, ids: Ids, agents: u64) -> Vec<Poller> {
    (0..plan.connections).map(|_| Poller::new(shared, ids, agents)).collect()
}

/// What stands for an agent's name and for its type, before they are filled in.
const NAME: &str = "agent-$$$$$$$$$$";
const TYPE: &str = "idle-%%";

/// How many types of tasks the agents of a fleet know, one each.
const TYPES: u64 = 16;

/// Polls for all agents, each in its turn.
pub(crate) struct Poller {
    client: Client,
    ids: Ids,
    agents: u64,
    request: Request,
    id: Blank,
    name: Blank,
    task_type: Blank,
}

impl Poller {
    fn new(shared: &Shared, ids: Ids, agents: u64) -> Self {
        let body = poll_body(MARKER, NAME, TYPE, 2);
        let request = Request::post(shared.address, shared.close, "/tasks", &body.to_string());
        Self {
            client: shared.client(),
            ids,
            agents,
            id: request.blank(MARKER),
            name: request.blank(NAME),
            task_type: request.blank(TYPE),
            request,
        }
    }

    fn fill_in(&mut self, agent: u64) {
        let id = self.ids.nth(agent);
        self.request.fill(&self.id, id.hyphenated().encode_lower(&mut [0; Hyphenated::LENGTH]));
        self.request.fill(&self.name, digits(NAME, agent, &mut [0; NAME.len()]));
        self.request.fill(&self.task_type, digits(TYPE, agent % TYPES, &mut [0; TYPE.len()]));
    }
}

impl Worker for Poller {
    const STEPS: &'static [&'static str] = &["poll"];

    async fn unit(&mut self, n: u64, tally: &mut Tally) -> Result<Took, GaveUp> {
        self.fill_in(n % self.agents);
        let body = ask(&mut self.client, &self.request, 0, tally).await?;
        if Polled::parse(body)?.tasks.is_empty() {
            Ok(Took::AllOfIt)
        } else {
            Err(GaveUp::Failed("poll: was handed a task that nobody has posted".to_owned()))
        }
    }
}

/// `pattern` with `number` in the place of its last signs that are no letters, without allocating for it.
fn digits<'a>(pattern: &str, mut number: u64, buffer: &'a mut [u8]) -> &'a str {
    buffer.copy_from_slice(pattern.as_bytes());
    for byte in buffer.iter_mut().rev().take_while(|byte| **byte != b'-') {
        *byte = b'0' + (number % 10) as u8;
        number /= 10;
    }
    std::str::from_utf8(buffer).expect("digits in ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_have_names_of_their_own() {
        assert_eq!(digits(NAME, 1_234_567, &mut [0; NAME.len()]), "agent-0001234567");
        assert_eq!(digits(TYPE, 7, &mut [0; TYPE.len()]), "idle-07");
    }
}
