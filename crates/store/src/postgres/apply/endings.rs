//! Claims that end: by a report, or because they are released.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use slamon_protocol::JsonText;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::Outcomes;
use super::submits::Submits;
use crate::postgres::connection::Session;
use crate::postgres::errors::Problem;
use crate::postgres::rows;
use crate::{Command, Outcome, Reported, State, lifecycle};

const LOCK: &str = "
    select id, state, agent_id, claimed_at, finished_at, result, error
    from task
    where id = any($1::uuid[])
    -- In one order in all batches, so that none waits for one that waits for it.
    order by id
    for update
";

const SAVE: &str = "
    update task
    set state = changed.state,
        agent_id = changed.agent_id,
        claimed_at = changed.claimed_at,
        finished_at = changed.finished_at,
        result = changed.result,
        error = changed.error
    from unnest($1::uuid[], $2::text[], $3::uuid[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::text[])
        as changed (id, state, agent_id, claimed_at, finished_at, result, error)
    where task.id = changed.id
    returning task.id
";

/// The reports and releases of a batch.
pub(super) struct Endings<'a> {
    commands: Vec<(usize, &'a Command)>,
    /// The tasks they name.
    ids: Vec<Uuid>,
    /// The tasks that change, as they will be.
    changed: HashMap<Uuid, State>,
}

impl<'a> Endings<'a> {
    pub(super) fn of(batch: &'a [Command]) -> Self {
        let mut ids = BTreeSet::new();
        let mut commands = Vec::new();
        for (place, command) in batch.iter().enumerate() {
            match command {
                Command::Report(report) => {
                    ids.insert(report.task_id);
                }
                Command::Release { task_ids, .. } => ids.extend(task_ids),
                Command::Submit(_) | Command::Poll(_) => continue,
            }
            commands.push((place, command));
        }
        Self { commands, ids: ids.into_iter().collect(), changed: HashMap::new() }
    }

    pub(super) async fn prepare_lock(&self, session: &Session) -> Result<Option<Statement>, Problem> {
        if self.ids.is_empty() { Ok(None) } else { session.prepare(LOCK).await.map(Some) }
    }

    pub(super) async fn prepare_save(&self, session: &Session) -> Result<Option<Statement>, Problem> {
        if self.ids.is_empty() { Ok(None) } else { session.prepare(SAVE).await.map(Some) }
    }

    pub(super) async fn lock(
        &self,
        session: &Session,
        statement: Option<&Statement>,
    ) -> Result<Vec<Row>, Problem> {
        let Some(statement) = statement else { return Ok(Vec::new()) };
        session.run(statement, &[&self.ids]).await
    }

    /// Decides each command in its turn, by the tasks as they were locked and as the commands before left them.
    pub(super) fn decide(
        &mut self,
        locked: &[Row],
        submits: &Submits<'_>,
        now: Timestamp,
        outcomes: &mut Outcomes,
    ) -> Result<(), Problem> {
        let mut states = HashMap::with_capacity(locked.len());
        for row in locked {
            states.insert(row.try_get::<_, Uuid>("id")?, rows::state(row)?);
        }
        for &(place, command) in &self.commands {
            match command {
                Command::Report(report) => {
                    let id = report.task_id;
                    let state = states.get(&id).filter(|_| !submits.is_unborn(id, place));
                    let decision = lifecycle::report(state, &report.outcome, now);
                    if let Ok((_, Some(state))) = &decision {
                        states.insert(id, state.clone());
                        self.changed.insert(id, state.clone());
                    }
                    outcomes
                        .set(place, Outcome::Report(decision.map(|(reported, _): (Reported, _)| reported)));
                }
                Command::Release { agent_id, claimed_at, task_ids } => {
                    let claimed_at = rows::as_stored(*claimed_at);
                    let mut released = 0;
                    for id in task_ids {
                        let state = states.get(id).and_then(|s| lifecycle::release(s, *agent_id, claimed_at));
                        if let Some(state) = state {
                            states.insert(*id, state.clone());
                            self.changed.insert(*id, state);
                            released += 1;
                        }
                    }
                    outcomes.set(place, Outcome::Release(released));
                }
                Command::Submit(_) | Command::Poll(_) => {}
            }
        }
        Ok(())
    }

    pub(super) async fn save(
        &self,
        session: &Session,
        statement: Option<&Statement>,
    ) -> Result<Vec<Row>, Problem> {
        let Some(statement) = statement.filter(|_| !self.changed.is_empty()) else { return Ok(Vec::new()) };
        let changed: Vec<(Uuid, Columns<'_>)> =
            self.changed.iter().map(|(id, state)| (*id, Columns::of(state))).collect();
        let ids: Vec<Uuid> = changed.iter().map(|(id, _)| *id).collect();
        let states: Vec<&str> = changed.iter().map(|(_, columns)| columns.state).collect();
        let agents: Vec<Option<Uuid>> = changed.iter().map(|(_, columns)| columns.agent_id).collect();
        let claimed: Vec<Option<Timestamp>> = changed.iter().map(|(_, columns)| columns.claimed_at).collect();
        let finished: Vec<Option<Timestamp>> =
            changed.iter().map(|(_, columns)| columns.finished_at).collect();
        let results: Vec<Option<&str>> = changed.iter().map(|(_, columns)| columns.result).collect();
        let errors: Vec<Option<&str>> = changed.iter().map(|(_, columns)| columns.error).collect();
        session.run(statement, &[&ids, &states, &agents, &claimed, &finished, &results, &errors]).await
    }

    /// Checks that what was to be saved is what was saved.
    pub(super) fn check(&self, saved: Vec<Row>) -> Result<(), Problem> {
        let saved = saved.into_iter().map(|row| row.try_get(0)).collect::<Result<HashSet<Uuid>, _>>()?;
        if saved.len() == self.changed.len() {
            Ok(())
        } else {
            let (saved, changed) = (saved.len(), self.changed.len());
            Err(Problem::Wrong(format!("{changed} locked tasks were to change, {saved} did")))
        }
    }
}

/// A state, spread over columns.
struct Columns<'a> {
    state: &'static str,
    agent_id: Option<Uuid>,
    claimed_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    result: Option<&'a str>,
    error: Option<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(state: &'a State) -> Self {
        let (name, claim, finished_at, result, error) = match state {
            State::Pending => ("pending", None, None, None, None),
            State::Claimed(claim) => ("claimed", Some(claim), None, None, None),
            State::Completed { claim, at, result } => {
                ("completed", Some(claim), Some(*at), Some(result), None)
            }
            State::Failed { claim, at, error } => ("failed", Some(claim), Some(*at), None, Some(error)),
        };
        Self {
            state: name,
            agent_id: claim.map(|claim| claim.agent_id),
            claimed_at: claim.map(|claim| claim.at),
            finished_at,
            result: result.map(JsonText::as_str),
            error: error.map(JsonText::as_str),
        }
    }
}
