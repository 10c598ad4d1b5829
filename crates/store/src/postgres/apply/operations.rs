//! Applies what operators do: pauses, and forgetting an agent. It is rare, and comes last in its batch: all
//! others that wait for the table of pauses have locked all else that they need.

use jiff::Timestamp;
use slamon_domain::{Command, Locked, MAX_PAUSES, Operated, Operation, PauseTarget, Refusal, Reply};
use slamon_protocol::Capability;
use uuid::Uuid;

use super::sweeps::FORGET;
use crate::postgres::errors::PgError;
use crate::postgres::session::Session;

/// Lets one transaction at a time change pauses; they can be read meanwhile.
const LOCK: &str = "lock table pause in share row exclusive mode";

const PAUSED_AGENT: &str = "select paused_at from pause where agent_id = $1";

const PAUSED_TYPE: &str = "
    select paused_at from pause
    where left(type, 100) = left($1, 100) and type = $1 and version is not distinct from $2
";

const PAUSE: &str = "insert into pause (agent_id, type, version, paused_at) values ($1, $2, $3, $4)";

const COUNT: &str = "select count(*) as total from pause";

const RESUME_AGENT: &str = "delete from pause where agent_id = $1 returning true";

/// Ends the pause of a version, or all pauses of the type.
const RESUME_TYPE: &str = "
    delete from pause
    where left(type, 100) = left($1, 100) and type = $1 and coalesce(version = $2, $2 is null)
";

const IS_KNOWN: &str = "select true from agent where id = $1";

const EXECUTES: &str = "select true from task where state = 'claimed' and agent_id = $1 order by seq limit 1";

const LOCK_AGENT: &str = "select true from agent where id = $1 for update skip locked";

/// Applies the operations of a batch, in their order; returns the replies, and whether pauses may have changed.
pub(super) async fn apply(
    session: &Session,
    batch: &[Command],
    now: Timestamp,
) -> Result<(Vec<Reply<Operated>>, bool), PgError> {
    let (mut replies, mut has_changed) = (Vec::new(), false);
    for command in batch {
        let Command::Operate(operation) = command else { continue };
        if replies.is_empty() {
            session.script(LOCK).await?;
        }
        let reply = match operation {
            Operation::Pause(target) => Ok(pause(session, target, now).await?),
            Operation::Resume(target) => Ok(resume(session, target).await?),
            Operation::Forget(agent_id) => forget(session, *agent_id).await?,
        };
        has_changed |= matches!(reply, Ok(Ok(_)));
        replies.push(reply);
    }
    Ok((replies, has_changed))
}

async fn pause(session: &Session, target: &PauseTarget, now: Timestamp) -> Result<Operated, PgError> {
    if let Some(since) = paused_since(session, target).await? {
        return Ok(Ok(Some(since)));
    }
    if let PauseTarget::Agent(id) = target
        && !finds(session, IS_KNOWN, *id).await?
    {
        return Ok(Err(Refusal::UnknownAgent));
    }
    let count = session.query(COUNT, &[]).await?;
    let count: i64 = count.first().map(|row| row.try_get("total")).transpose()?.unwrap_or_default();
    if count >= i64::from(MAX_PAUSES) {
        return Ok(Err(Refusal::TooManyPauses));
    }
    let (agent, task_type, version) = match target {
        PauseTarget::Agent(id) => (Some(id), None, None),
        PauseTarget::Type(task_type) => (None, Some(task_type), None),
        PauseTarget::Version(of) => (None, Some(&of.task_type), Some(of.version)),
    };
    session.query(PAUSE, &[&agent, &task_type, &version, &now]).await?;
    Ok(Ok(Some(now)))
}

async fn paused_since(session: &Session, target: &PauseTarget) -> Result<Option<Timestamp>, PgError> {
    let rows = match target {
        PauseTarget::Agent(id) => session.query(PAUSED_AGENT, &[id]).await?,
        PauseTarget::Type(task_type) => session.query(PAUSED_TYPE, &[task_type, &None::<i64>]).await?,
        PauseTarget::Version(Capability { task_type, version }) => {
            session.query(PAUSED_TYPE, &[task_type, &Some(version)]).await?
        }
    };
    rows.first().map(|row| Ok(row.try_get("paused_at")?)).transpose()
}

async fn resume(session: &Session, target: &PauseTarget) -> Result<Operated, PgError> {
    match target {
        PauseTarget::Agent(id) => {
            if !finds(session, RESUME_AGENT, *id).await? && !finds(session, IS_KNOWN, *id).await? {
                return Ok(Err(Refusal::UnknownAgent));
            }
        }
        PauseTarget::Type(task_type) => {
            session.query(RESUME_TYPE, &[task_type, &None::<i64>]).await?;
        }
        PauseTarget::Version(Capability { task_type, version }) => {
            if paused_since(session, &PauseTarget::Type(task_type.clone())).await?.is_some() {
                return Ok(Err(Refusal::AllVersionsPaused));
            }
            session.query(RESUME_TYPE, &[task_type, &Some(version)]).await?;
        }
    }
    Ok(Ok(None))
}

/// Forgets an agent and its pause, unless it executes tasks.
async fn forget(session: &Session, agent_id: Uuid) -> Result<Reply<Operated>, PgError> {
    let is_known = finds(session, IS_KNOWN, agent_id).await?;
    if is_known {
        if finds(session, EXECUTES, agent_id).await? {
            return Ok(Ok(Err(Refusal::AgentExecutes)));
        }
        if !finds(session, LOCK_AGENT, agent_id).await?
            || session.query(FORGET, &[&vec![agent_id]]).await?.is_empty()
        {
            return Ok(Err(Locked));
        }
    }
    let was_paused = finds(session, RESUME_AGENT, agent_id).await?;
    Ok(Ok(if is_known || was_paused { Ok(None) } else { Err(Refusal::UnknownAgent) }))
}

/// Whether a statement about an agent returns a row.
async fn finds(session: &Session, sql: &str, agent_id: Uuid) -> Result<bool, PgError> {
    Ok(!session.query(sql, &[&agent_id]).await?.is_empty())
}
