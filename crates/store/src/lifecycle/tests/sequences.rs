//! Random sequences of batches over few tasks and few agents, so that commands meet.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use slamon_protocol::{Capability, JsonText, PollRequest, PostTask, ResultPost, TaskOutcome};
use slamon_store::Command;
use uuid::Uuid;

const TASKS: u128 = 8;
const AGENTS: u128 = 3;
const KINDS: [(&str, i64); 3] = [("wait", 1), ("wait", 2), ("", i64::MIN)];
const FIRST: Timestamp = Timestamp::constant(1_795_375_381, 621_614_000);

/// A batch and when it is applied.
pub(crate) type Batch = (Timestamp, Vec<Command>);

/// Up to `batches` batches of up to `commands` commands. Time goes on, stands still, and sometimes steps back.
pub(crate) fn sequences(batches: usize, commands: usize) -> impl Strategy<Value = Vec<Batch>> {
    let step = prop_oneof![Just(0), Just(1), Just(1_000_000), Just(60_000_007), Just(-3)];
    let batch = (step, prop::collection::vec(draft(), 1..=commands));
    prop::collection::vec(batch, 1..=batches).prop_map(resolve)
}

/// A command before the times of the batches are known.
#[derive(Debug, Clone)]
enum Draft {
    Ready(Command),
    /// Releases a claim made so many batches ago.
    Release {
        agent_id: Uuid,
        batches_ago: usize,
        task_ids: Vec<Uuid>,
    },
}

fn resolve(drafts: Vec<(i64, Vec<Draft>)>) -> Vec<Batch> {
    let mut now = FIRST;
    let mut times = Vec::new();
    let mut resolved = Vec::new();
    for (step, batch) in drafts {
        now += SignedDuration::from_micros(step);
        times.push(now);
        let command = |draft| match draft {
            Draft::Ready(command) => command,
            Draft::Release { agent_id, batches_ago, task_ids } => {
                let claimed_at = times[times.len().saturating_sub(1 + batches_ago)];
                Command::Release { agent_id, claimed_at, task_ids }
            }
        };
        resolved.push((now, batch.into_iter().map(command).collect()));
    }
    resolved
}

fn draft() -> impl Strategy<Value = Draft> {
    prop_oneof![
        4 => submit().prop_map(|task| Draft::Ready(Command::Submit(task))),
        4 => poll().prop_map(|poll| Draft::Ready(Command::Poll(poll))),
        3 => report().prop_map(|report| Draft::Ready(Command::Report(report))),
        2 => release(),
    ]
}

fn task_id() -> impl Strategy<Value = Uuid> {
    (0..TASKS).prop_map(|n| Uuid::from_u128(0x7a5c << 112 | n))
}

fn agent_id() -> impl Strategy<Value = Uuid> {
    (0..AGENTS).prop_map(|n| Uuid::from_u128(0xa9e7 << 112 | n))
}

fn json(text: &str) -> JsonText {
    JsonText::from_stored(text.to_owned())
}

/// Mostly the one task that goes with an id, else one that differs in a field, or only in the way it is written.
fn submit() -> impl Strategy<Value = PostTask> {
    let change = prop_oneof![6 => Just(0), 4 => 1..=6];
    (task_id(), change).prop_map(|(task_id, change)| {
        let (task_type, task_version) = KINDS[(task_id.as_u128() % KINDS.len() as u128) as usize];
        let mut task = PostTask {
            task_id,
            test_id: Uuid::from_u128(0x7e57),
            task_type: task_type.to_owned(),
            task_version,
            task_data: Some(json(r#"{"a":[1,"é"]}"#)),
        };
        match change {
            1 => task.test_id = Uuid::from_u128(0x7e58),
            2 => task.task_type.push('é'),
            3 => task.task_version = 7,
            4 => task.task_data = None,
            5 => task.task_data = Some(json(r#"{"a":[1.0,"é"]}"#)),
            6 => task.task_data = Some(json(r#"{ "a": [1, "\u00e9"] }"#)),
            _ => {}
        }
        task
    })
}

fn poll() -> impl Strategy<Value = PollRequest> {
    let kinds = prop::sample::subsequence(&KINDS, 0..=KINDS.len());
    let most = prop_oneof![4 => 0..4_u32, 1 => Just(u32::MAX)];
    (agent_id(), 0..3, kinds, most).prop_map(|(agent_id, name, kinds, max_tasks)| {
        let mut agent_capabilities: Vec<Capability> = Vec::new();
        for (task_type, version) in kinds {
            // The wire knows one version a type: the last.
            agent_capabilities.retain(|capability| capability.task_type != task_type);
            agent_capabilities.push(Capability { task_type: task_type.to_owned(), version });
        }
        let agent_name = format!("agent {name}");
        PollRequest { agent_id, agent_name, agent_capabilities, max_tasks, agent_location: None }
    })
}

fn report() -> impl Strategy<Value = ResultPost> {
    let outcome = prop::sample::select(vec![
        TaskOutcome::Completed(json(r#"{"status":200}"#)),
        TaskOutcome::Completed(json(r#"{ "status" : 200 }"#)),
        TaskOutcome::Completed(json(r#"{"status":200.0}"#)),
        TaskOutcome::Failed(json(r#""é\u0000""#)),
        TaskOutcome::Failed(json(r#""\u00e9\u0000""#)),
    ]);
    (task_id(), outcome).prop_map(|(task_id, outcome)| ResultPost { task_id, outcome })
}

fn release() -> impl Strategy<Value = Draft> {
    let task_ids = prop::collection::vec(task_id(), 1..=TASKS as usize);
    (agent_id(), 0..4_usize, task_ids).prop_map(|(agent_id, batches_ago, task_ids)| Draft::Release {
        agent_id,
        batches_ago,
        task_ids,
    })
}
