//! Random sequences of batches over few tasks and few agents, so that commands meet.

use std::time::Duration;

use crate::command::{Command, Running, Sweep};
use crate::cursor::{KindCursor, WaitingKind};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use slamon_protocol::{
    AgentFilter, Capability, JsonText, Location, PollRequest, PostTask, ResultPost, TaskOutcome, Terms,
};
use uuid::Uuid;

use super::model::alias;

const TASKS: u128 = 8;
const AGENTS: u128 = 3;
const KINDS: [(&str, i64); 3] = [("wait", 1), ("wait", 2), ("", i64::MIN)];
const FIRST: Timestamp = Timestamp::constant(1_795_375_381, 621_614_000);

/// A batch and when it is applied.
pub type Batch = (Timestamp, Vec<Command>);

/// Up to `batches` batches of up to `commands` commands. Time goes on, stands still, and sometimes steps
/// back.
pub fn sequences(batches: usize, commands: usize) -> impl Strategy<Value = Vec<Batch>> {
    let step = prop_oneof![Just(0), Just(1), Just(1_000_000), Just(10_000_000), Just(60_000_007), Just(-3)];
    let batch = prop_oneof![
        2 => prop::collection::vec(draft(), 1..=commands),
        1 => prop::collection::vec(frequent_draft(), 1..=commands),
    ];
    let batch = (step, batch);
    prop::collection::vec(batch, 1..=batches).prop_map(resolve)
}

/// A command before the times of the batches are known.
#[derive(Debug, Clone)]
enum Draft {
    Ready(Box<Command>),
    /// An agent polls, and names what it executes of what it was given until so many batches ago.
    Running {
        poll: PollRequest,
        batches_ago: usize,
        aliases: Vec<Uuid>,
    },
    /// Releases a claim made so many batches ago.
    Release {
        agent_id: Uuid,
        batches_ago: usize,
        task_ids: Vec<Uuid>,
        cancelled: Vec<Uuid>,
    },
}

fn ready(command: Command) -> Draft {
    Draft::Ready(Box::new(command))
}

fn resolve(drafts: Vec<(i64, Vec<Draft>)>) -> Vec<Batch> {
    let mut now = FIRST;
    let mut times = Vec::new();
    let mut resolved = Vec::new();
    for (step, batch) in drafts {
        now += SignedDuration::from_micros(step);
        times.push(now);
        let ago = |batches_ago| times[times.len().saturating_sub(1 + batches_ago)];
        let command = |draft| match draft {
            Draft::Ready(command) => *command,
            Draft::Running { poll, batches_ago, aliases } => {
                let running = Some(Running { aliases, until: ago(batches_ago) });
                Command::Poll { poll, kinds: None, running }
            }
            Draft::Release { agent_id, batches_ago, task_ids, cancelled } => {
                let claimed_at = ago(batches_ago);
                Command::Release { agent_id, claimed_at, task_ids, cancelled }
            }
        };
        // When in its batch a sweep forgets and deletes, and whether it knows who else was seen in it, is the
        // store's to say: such commands get a batch of their own.
        let tidies = |command: &Command| match command {
            Command::Sweep(sweep) => sweep.forget_after.or(sweep.delete_after).is_some(),
            Command::Seen(_) => true,
            _ => false,
        };
        let (tidying, batch): (Vec<_>, Vec<_>) = batch.into_iter().map(command).partition(tidies);
        resolved.push((now, batch));
        resolved.extend(tidying.into_iter().map(|sweep| (now, vec![sweep])));
    }
    resolved
}

fn draft() -> impl Strategy<Value = Draft> {
    prop_oneof![
        4 => submit().prop_map(|task| ready(Command::Submit(task))),
        4 => poll().prop_map(|poll| ready(poll.into())),
        1 => named().prop_map(|(poll, kinds)| ready(Command::Poll { poll, kinds: Some(kinds), running: None })),
        2 => running(),
        4 => named().prop_map(|(poll, kinds)| ready(Command::Claim { poll, kinds })),
        3 => report().prop_map(|report| ready(Command::Report(report))),
        2 => release(),
        1 => task_id().prop_map(|id| ready(Command::Cancel(id))),
        2 => sweep().prop_map(|sweep| ready(Command::Sweep(sweep))),
        1 => seen().prop_map(|agents| ready(Command::Seen(agents))),
    ]
}

/// What most batches are made of.
fn frequent_draft() -> impl Strategy<Value = Draft> {
    prop_oneof![
        submit().prop_map(|task| ready(Command::Submit(task))),
        named().prop_map(|(poll, kinds)| ready(Command::Claim { poll, kinds })),
        report().prop_map(|report| ready(Command::Report(report))),
    ]
}

fn running() -> impl Strategy<Value = Draft> {
    let attempt = prop_oneof![task_id(), (0..4_u128).prop_map(alias)];
    (poll(), 0..4_usize, prop::collection::vec(attempt, 0..4))
        .prop_map(|(poll, batches_ago, aliases)| Draft::Running { poll, batches_ago, aliases })
}

/// Agents, some of which may never have polled, or may have been seen later since.
fn seen() -> impl Strategy<Value = Vec<(Uuid, Timestamp)>> {
    let at = (0..100_i64).prop_map(|seconds| FIRST + SignedDuration::from_secs(seconds));
    prop::collection::vec((agent_id(), at), 0..4)
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

/// Mostly the one task that goes with an id, else one that differs in a field, or only in the way it is
/// written.
fn submit() -> impl Strategy<Value = PostTask> {
    let change = prop_oneof![7 => Just(0), 4 => 1..=8];
    (task_id(), change).prop_map(|(task_id, change)| {
        let n = task_id.as_u128() % TASKS;
        let (task_type, task_version) = KINDS[(n % KINDS.len() as u128) as usize];
        let mut task = PostTask {
            task_id,
            test_id: Uuid::from_u128(0x7e57),
            task_type: task_type.to_owned(),
            task_version,
            task_data: Some(json(r#"{"a":[1,"é"]}"#)),
            terms: terms(n),
            posted_by: (n % 3 == 1).then(|| "é".to_owned()),
        };
        match change {
            1 => task.test_id = Uuid::from_u128(0x7e58),
            2 => task.task_type.push('é'),
            3 => task.task_version = 7,
            4 => task.task_data = None,
            5 => task.task_data = Some(json(r#"{"a":[1.0,"é"]}"#)),
            6 => task.task_data = Some(json(r#"{ "a": [1, "\u00e9"] }"#)),
            7 => task.terms.priority += 1,
            8 => task.posted_by = Some("other".to_owned()),
            _ => {}
        }
        task
    })
}

/// Each task has its own: none, single ones, and all at once.
fn terms(n: u128) -> Terms {
    let none = Terms::default();
    let seconds = Duration::from_secs;
    match n {
        0 => none,
        1 => Terms { ttl: Some(seconds(30)), ..none },
        2 => Terms { timeout: Some(seconds(10)), max_attempts: 2, ..none },
        3 => Terms { max_attempts: 3, retry_errors: true, retry_delay: seconds(1), ..none },
        4 => Terms { priority: 5, delay: Duration::from_micros(1), ttl: Some(seconds(1)), ..none },
        5 => Terms { delay: seconds(10), max_attempts: 2, priority: -5, ..none },
        6 => {
            let agent_filter = AgentFilter { country: Some("FI".to_owned()), ..AgentFilter::default() };
            Terms { agent_filter, timeout: Some(Duration::from_micros(1)), max_attempts: 20, ..none }
        }
        _ => Terms {
            ttl: Some(seconds(90)),
            timeout: Some(seconds(10)),
            max_attempts: 3,
            retry_errors: true,
            retry_delay: seconds(5),
            priority: 1,
            delay: seconds(1),
            agent_filter: AgentFilter { agent_name: Some("agent 0".to_owned()), ..AgentFilter::default() },
        },
    }
}

fn poll() -> impl Strategy<Value = PollRequest> {
    let kinds = prop::sample::subsequence(&KINDS, 0..=KINDS.len());
    let most = prop_oneof![4 => 0..4_u32, 1 => Just(u32::MAX)];
    (agent_id(), 0..3, kinds, most, 0..3_usize).prop_map(|(agent_id, name, kinds, max_tasks, place)| {
        let mut agent_capabilities: Vec<Capability> = Vec::new();
        for (task_type, version) in kinds {
            // The wire knows one version a type: the last.
            agent_capabilities.retain(|capability| capability.task_type != task_type);
            agent_capabilities.push(Capability { task_type: task_type.to_owned(), version });
        }
        let agent_location = ["FI", "SE"].get(place).map(|country| Location {
            country: (*country).to_owned(),
            region: "18".to_owned(),
            latitude: None,
            longitude: None,
        });
        PollRequest {
            agent_id,
            agent_name: format!("agent {name}"),
            agent_capabilities,
            max_tasks,
            agent_location,
            max_wait: Duration::ZERO,
            agent_running: None,
        }
    })
}

/// Of the kinds that the agent may have tasks of, it names some.
fn named() -> impl Strategy<Value = (PollRequest, Vec<KindCursor>)> {
    (poll(), prop::sample::subsequence((0..TASKS).collect::<Vec<_>>(), 0..=TASKS as usize)).prop_map(
        |(poll, tasks)| {
            let location = poll.agent_location.as_ref();
            let is_for = |kind: &WaitingKind| {
                poll.agent_capabilities.contains(&kind.capability)
                    && kind.agent_filter.matches(poll.agent_id, &poll.agent_name, location)
            };
            let mut kinds: Vec<WaitingKind> = Vec::new();
            for kind in tasks.into_iter().map(kind).filter(is_for) {
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
            (poll, kinds.into_iter().map(KindCursor::from).collect())
        },
    )
}

/// Of task `n`, when it is posted as it mostly is.
fn kind(n: u128) -> WaitingKind {
    let (task_type, version) = KINDS[(n % KINDS.len() as u128) as usize];
    WaitingKind {
        capability: Capability { task_type: task_type.to_owned(), version },
        agent_filter: terms(n).agent_filter,
    }
}

/// Under the task's own id, or an alias that may have been handed out.
fn report() -> impl Strategy<Value = ResultPost> {
    let outcome = prop::sample::select(vec![
        TaskOutcome::Completed(json(r#"{"status":200}"#)),
        TaskOutcome::Completed(json(r#"{ "status" : 200 }"#)),
        TaskOutcome::Completed(json(r#"{"status":200.0}"#)),
        TaskOutcome::Failed(json(r#""é\u0000""#)),
        TaskOutcome::Failed(json(r#""\u00e9\u0000""#)),
    ]);
    let task_id = prop_oneof![3 => task_id(), 1 => (0..4_u128).prop_map(alias)];
    let agent_id = prop::option::weighted(0.3, agent_id());
    (task_id, agent_id, outcome).prop_map(|(task_id, agent_id, outcome)| ResultPost {
        task_id,
        agent_id,
        outcome,
    })
}

/// Never limited: which of many are done first is not the rules' to say.
fn sweep() -> impl Strategy<Value = Sweep> {
    let after = |share, seconds: &'static [u64]| {
        prop::option::weighted(share, prop::sample::select(seconds).prop_map(Duration::from_secs))
    };
    (after(0.5, &[0, 1, 60]), after(0.3, &[60, 120]), after(0.2, &[0, 60]), seen()).prop_map(
        |(lost_after, forget_after, delete_after, heartbeats)| Sweep {
            limit: 1_000,
            lost_after,
            forget_after,
            delete_after,
            heartbeats,
        },
    )
}

fn release() -> impl Strategy<Value = Draft> {
    let task_ids = prop::collection::vec(task_id(), 1..=TASKS as usize);
    let cancelled = prop::collection::vec(prop_oneof![task_id(), (0..4_u128).prop_map(alias)], 0..3);
    (agent_id(), 0..4_usize, task_ids, cancelled).prop_map(|(agent_id, batches_ago, task_ids, cancelled)| {
        Draft::Release { agent_id, batches_ago, task_ids, cancelled }
    })
}
