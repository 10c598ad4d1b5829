//! Applies commands.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use slamon_protocol::{JsonText, ObjectWriter, PollRequest, PostTask, ResultPost};
use uuid::Uuid;

use super::rows;
use crate::lifecycle::{self, MAX_TASKS_PER_POLL};
use crate::{Command, Delivery, Outcome, Refusal, Reported, State, StoreError, Submitted};

pub(super) fn apply(
    connection: &mut Connection,
    batch: &[Command],
    now: Timestamp,
) -> Result<Vec<Outcome>, StoreError> {
    // Immediate: two processes on one file must not both read before either writes.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let is_poll = |command: &Command| matches!(command, Command::Poll(_));
    let mut outcomes = vec![None; batch.len()];
    // Polls come last, so that they see what came in together with them.
    let (polls, others): (Vec<_>, Vec<_>) =
        batch.iter().zip(&mut outcomes).partition(|(command, _)| is_poll(command));
    for (command, outcome) in others.into_iter().chain(polls) {
        *outcome = Some(match command {
            Command::Submit(task) => Outcome::Submit(submit(&transaction, task, now)?),
            Command::Report(result) => Outcome::Report(report(&transaction, result, now)?),
            Command::Release { agent_id, claimed_at, task_ids } => {
                Outcome::Release(release(&transaction, *agent_id, *claimed_at, task_ids)?)
            }
            Command::Poll(poll) => Outcome::Poll(take_poll(&transaction, poll, now)?),
        });
    }
    transaction.commit()?;
    Ok(outcomes.into_iter().flatten().collect())
}

fn submit(
    transaction: &Transaction<'_>,
    task: &PostTask,
    now: Timestamp,
) -> Result<Result<Submitted, Refusal>, StoreError> {
    let inserted = transaction
        .prepare_cached(
            "insert into task (id, test_id, type, version, data, created_at) values (?1, ?2, ?3, ?4, ?5, ?6)
             on conflict (id) do nothing",
        )?
        .execute(params![
            task.task_id.as_bytes(),
            task.test_id.as_bytes(),
            task.task_type,
            task.task_version,
            task.task_data.as_ref().map(JsonText::as_str),
            now.as_microsecond(),
        ])?;
    let stored = if inserted == 1 { None } else { rows::task(transaction, task.task_id)? };
    Ok(lifecycle::submit(stored.as_ref().map(|stored| &stored.posted), task))
}

fn report(
    transaction: &Transaction<'_>,
    result: &ResultPost,
    now: Timestamp,
) -> Result<Result<Reported, Refusal>, StoreError> {
    let state = rows::state(transaction, result.task_id)?;
    let (reported, state) = match lifecycle::report(state.as_ref(), &result.outcome, now) {
        Ok(reported) => reported,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Some(state) = state {
        save_state(transaction, result.task_id, &state)?;
    }
    Ok(Ok(reported))
}

fn release(
    transaction: &Transaction<'_>,
    agent_id: Uuid,
    claimed_at: Timestamp,
    task_ids: &[Uuid],
) -> Result<usize, StoreError> {
    let mut released = 0;
    for &id in task_ids {
        let state = rows::state(transaction, id)?;
        if let Some(state) = state.and_then(|state| lifecycle::release(&state, agent_id, claimed_at)) {
            save_state(transaction, id, &state)?;
            released += 1;
        }
    }
    Ok(released)
}

fn take_poll(
    transaction: &Transaction<'_>,
    poll: &PollRequest,
    now: Timestamp,
) -> Result<Vec<Delivery>, StoreError> {
    register(transaction, poll, now)?;
    let most = poll.max_tasks.min(MAX_TASKS_PER_POLL);
    let mut oldest = Vec::new();
    if most > 0 {
        let mut select = transaction.prepare_cached(
            "select seq from task where state = 'pending' and type = ?1 and version = ?2 order by seq limit ?3",
        )?;
        for capability in &poll.agent_capabilities {
            let found = select.query_map(params![capability.task_type, capability.version, most], |row| {
                row.get::<_, i64>(0)
            })?;
            for seq in found {
                oldest.push(seq?);
            }
        }
    }
    oldest.sort_unstable();
    oldest.truncate(most as usize);
    oldest.into_iter().filter_map(|seq| claim(transaction, seq, poll.agent_id, now).transpose()).collect()
}

fn register(transaction: &Transaction<'_>, poll: &PollRequest, now: Timestamp) -> rusqlite::Result<()> {
    let mut capabilities = ObjectWriter::new();
    for capability in &poll.agent_capabilities {
        capabilities.integer(&capability.task_type, capability.version);
    }
    transaction
        .prepare_cached(
            "insert into agent (id, name, capabilities, location, last_seen) values (?1, ?2, ?3, ?4, ?5)
             on conflict (id) do update set
                 name = excluded.name, capabilities = excluded.capabilities, location = excluded.location,
                 last_seen = max(last_seen, excluded.last_seen)",
        )?
        .execute(params![
            poll.agent_id.as_bytes(),
            poll.agent_name,
            capabilities.finish(),
            poll.agent_location.as_ref().map(slamon_protocol::Location::to_json),
            now.as_microsecond(),
        ])?;
    Ok(())
}

fn claim(
    transaction: &Transaction<'_>,
    seq: i64,
    agent_id: Uuid,
    now: Timestamp,
) -> Result<Option<Delivery>, StoreError> {
    let task = transaction
        .prepare_cached(&format!("select {} from task where seq = ?1", rows::TASK))?
        .query_row([seq], rows::read_task)
        .optional()?;
    let Some((task, state)) =
        task.and_then(|task| lifecycle::claim(&task.state, agent_id, now).map(|state| (task.posted, state)))
    else {
        return Ok(None);
    };
    save_state(transaction, task.task_id, &state)?;
    Ok(Some(Delivery {
        task_id: task.task_id,
        task_type: task.task_type,
        task_version: task.task_version,
        task_data: task.task_data,
    }))
}

/// Saves where a task is in its life; it must be there.
fn save_state(transaction: &Transaction<'_>, id: Uuid, state: &State) -> Result<(), StoreError> {
    let columns = rows::StateColumns::of(state);
    let changed = transaction
        .prepare_cached(
            "update task set state = ?2, agent_id = ?3, claimed_at = ?4, finished_at = ?5, result = ?6, error = ?7
             where id = ?1",
        )?
        .execute(params![
            id.as_bytes(),
            columns.state,
            columns.agent_id.map(Uuid::into_bytes),
            columns.claimed_at,
            columns.finished_at,
            columns.result,
            columns.error,
        ])?;
    if changed != 1 {
        return Err(StoreError::Failed(anyhow::anyhow!("task {id} vanished while it was locked")));
    }
    Ok(())
}
