//! Both databases, asked the same.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use slamon_domain::{Command, QueueCursor, Replies, Sweep};
use slamon_protocol::{AgentFilter, Capability, Location, PollRequest, ResultPost, Terms};
use slamon_store::{SqliteStore, Store};
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::{at, id, submit_under};

/// Numbers that look random and are the same every time (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn seconds(&mut self, end: u64) -> Duration {
        Duration::from_secs(self.below(end))
    }
}

const TASKS: u64 = 60;
const AGENTS: u64 = 4;

fn terms(numbers: &mut Numbers) -> Terms {
    let some = |numbers: &mut Numbers| {
        Some(numbers.seconds(20) + Duration::from_secs(1)).filter(|t| t.as_secs() < 12)
    };
    Terms {
        ttl: some(numbers),
        timeout: some(numbers),
        max_attempts: 1 + numbers.below(4) as u32,
        retry_errors: numbers.below(2) == 0,
        retry_delay: numbers.seconds(3),
        priority: numbers.below(3) as i32 - 1,
        delay: if numbers.below(3) == 0 { numbers.seconds(5) } else { Duration::ZERO },
        agent_filter: match numbers.below(5) {
            0 => AgentFilter { country: Some("FI".into()), ..AgentFilter::default() },
            1 => AgentFilter { agent_id: Some(id(100)), ..AgentFilter::default() },
            2 => AgentFilter {
                region: Some("18".into()),
                agent_name: Some("even".into()),
                ..AgentFilter::default()
            },
            _ => AgentFilter::default(),
        },
    }
}

fn poll(numbers: &mut Numbers) -> Command {
    let n = numbers.below(AGENTS);
    let offer = |task_type: &str, version| Capability { task_type: task_type.to_owned(), version };
    let location =
        Location { country: "FI".into(), region: "18".into(), latitude: Some(60.5), longitude: None };
    Command::from(PollRequest {
        agent_id: id(100 + u128::from(n)),
        agent_name: ["even", "odd"][n as usize % 2].to_owned(),
        agent_capabilities: match numbers.below(4) {
            0 => vec![offer("a", 1)],
            1 => vec![offer("a", 2), offer("b", 1)],
            _ => vec![offer("a", 1), offer("b", 1)],
        },
        max_tasks: numbers.below(4) as u32,
        agent_location: Some(location).filter(|_| n < 2),
        max_wait: Duration::ZERO,
        agent_running: None,
    })
}

fn report(numbers: &mut Numbers, aliases: &[(Uuid, Uuid)], of_sqlite: bool) -> Command {
    let known = numbers.below(TASKS + aliases.len() as u64) as usize;
    let alias = match known.checked_sub(TASKS as usize) {
        Some(n) if of_sqlite => aliases[n].0,
        Some(n) => aliases[n].1,
        None => id(known as u128),
    };
    let agent = match numbers.below(4) {
        0 => format!(r#", "agent_id": "{}""#, id(100 + u128::from(numbers.below(AGENTS)))),
        _ => String::new(),
    };
    let outcome = [r#""task_data": {"n": 1}"#, r#""task_data": {"n": 2}"#, r#""task_error": "no""#]
        [numbers.below(3) as usize];
    Command::Report(
        ResultPost::parse(&format!(r#"{{"protocol": 1, "task_id": "{alias}", {outcome}{agent}}}"#)).unwrap(),
    )
}

/// A batch, for SQLite and for PostgreSQL: only the ids that they gave out differ.
fn batch(numbers: &mut Numbers, aliases: &[(Uuid, Uuid)], second: i64) -> (Vec<Command>, Vec<Command>) {
    let mut both = (Vec::new(), Vec::new());
    for _ in 0..1 + numbers.below(5) {
        let command = match numbers.below(10) {
            0..3 => {
                let task_type = ["a", "b"][numbers.below(2) as usize];
                submit_under(u128::from(numbers.below(TASKS)), task_type, terms(numbers))
            }
            3..6 => poll(numbers),
            6 => Command::Cancel(id(u128::from(numbers.below(TASKS)))),
            7 => Command::Release {
                agent_id: id(100 + u128::from(numbers.below(AGENTS))),
                claimed_at: at(second - numbers.below(2) as i64),
                task_ids: (0..TASKS as u128).map(id).collect(),
                cancelled: Vec::new(),
            },
            8 => Command::Sweep(Sweep {
                limit: 1_000,
                lost_after: Some(Duration::from_secs(4)),
                forget_after: Some(Duration::from_secs(20)),
                delete_after: None,
                heartbeats: Vec::new(),
            }),
            _ => {
                let mut same = Numbers(numbers.0);
                both.0.push(report(numbers, aliases, true));
                both.1.push(report(&mut same, aliases, false));
                continue;
            }
        };
        both.0.push(command.clone());
        both.1.push(command);
    }
    both
}

/// Replies without what each store makes up; the ids that they gave out are put side by side.
fn alike(sqlite: &mut Replies, postgres: &mut Replies, aliases: &mut Vec<(Uuid, Uuid)>) {
    let polls = sqlite.polls.iter_mut().flatten().zip(postgres.polls.iter_mut().flatten());
    for (one, other) in polls {
        for (one, other) in one.tasks.iter_mut().zip(&mut other.tasks) {
            if one.alias != one.task_id {
                aliases.push((one.alias, other.alias));
                (one.alias, other.alias) = (Uuid::nil(), Uuid::nil());
            }
        }
        let postgres_of = |alias: &Uuid| aliases.iter().find(|(a, _)| a == alias).map_or(*alias, |(_, b)| *b);
        one.cancelled = one.cancelled.iter().map(postgres_of).collect();
        one.cancelled.sort_unstable();
        other.cancelled.sort_unstable();
    }
    // Of which task time changes first, when it is after all commands and not halfway.
    for swept in sqlite.sweeps.iter_mut().chain(&mut postgres.sweeps).flatten() {
        swept.next_due = None;
    }
}

/// A debug text in which the ids that SQLite gave out are those of PostgreSQL.
///
/// Of tasks that expire together, SQLite finds those that come later behind fewer tasks: what a task waited
/// for is left out.
fn shown(text: &impl std::fmt::Debug, aliases: &[(Uuid, Uuid)]) -> String {
    let text = format!("{text:#?}");
    let lines = text.lines().map(|line| line.split("expired: ").next().unwrap_or(line));
    let text = lines.collect::<Vec<_>>().join("\n");
    aliases.iter().fold(text, |text, (one, other)| text.replace(&one.to_string(), &other.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_commands_come_to_the_same() {
    let cluster = Cluster::start();
    for seed in 1..=4 {
        let sqlite = SqliteStore::new("sqlite://", false).unwrap();
        let postgres = cluster.store();
        postgres.drop_tables().await.unwrap();
        postgres.create_tables().await.unwrap();
        sqlite.create_tables().await.unwrap();
        let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let mut aliases = Vec::new();
        for step in 0..150 {
            let second = step / 2;
            let (for_sqlite, for_postgres) = batch(&mut numbers, &aliases, second);
            let mut one = sqlite.apply(Arc::from(for_sqlite.clone()), at(second)).await.unwrap();
            let mut other = postgres.apply(Arc::from(for_postgres), at(second)).await.unwrap();
            // How soon they save when an agent was seen is their own.
            for (store, applied) in [(&sqlite as &dyn Store, &mut one), (&postgres, &mut other)] {
                let seen = Command::Seen(mem::take(&mut applied.heartbeats));
                store.apply(Arc::new([seen]), at(second)).await.unwrap();
            }
            // What is due at the same time has no order.
            for applied in [&mut one, &mut other] {
                applied.ended.sort_unstable();
                applied.transitions.sort_by_key(|change| change.task_id);
                applied.pending_cancellations.sort_unstable();
                // How commits are numbered is each store's own.
                applied.commit = None;
                // What a cursor is, and how much is said of what was found, is each store's own.
                for waiting in &mut applied.waiting {
                    waiting.cursor = QueueCursor::START;
                }
                applied.waiting.sort_unstable_by_key(|kind| format!("{kind:?}"));
                applied.searched.clear();
            }
            alike(&mut one.replies, &mut other.replies, &mut aliases);
            let (one, other) = (shown(&one, &aliases), shown(&other, &aliases));
            assert_eq!(one, other, "seed {seed}, step {step}: {for_sqlite:#?}");
            for n in 0..TASKS {
                let id = id(u128::from(n));
                let (one, other) = (sqlite.task(id).await.unwrap(), postgres.task(id).await.unwrap());
                assert_eq!(
                    shown(&one, &aliases),
                    shown(&other, &aliases),
                    "seed {seed}, step {step}: {for_sqlite:#?}"
                );
                let Some(task) = one else { continue };
                if step % 10 == 0 {
                    let diagnostics = sqlite.queue_diagnostics(&task, at(second - 4)).await.unwrap();
                    assert_eq!(diagnostics, postgres.queue_diagnostics(&task, at(second - 4)).await.unwrap());
                    let (one, other) =
                        (sqlite.attempts(id).await.unwrap(), postgres.attempts(id).await.unwrap());
                    assert_eq!(shown(&one, &aliases), shown(&other, &aliases));
                }
            }
        }
        let seen = at(70);
        assert_eq!(sqlite.counts(seen).await.unwrap(), postgres.counts(seen).await.unwrap());
        assert_eq!(sqlite.overview(20, 100).await.unwrap(), postgres.overview(20, 100).await.unwrap());
    }
}
