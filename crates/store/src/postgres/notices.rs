//! What AFMs on one database tell each other, with NOTIFY.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use slamon_protocol::{AgentFilter, Capability};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::connection::{Connector, Listener};
use super::errors::Problem;
use crate::{Hint, WaitingKind};

/// The channel is the database's: AFMs in several schemas of it hear each other, and find nothing.
pub(super) const LISTEN: &str = "listen slamon_afm";

pub(super) const NOTIFY: &str = "select pg_notify('slamon_afm', payload) from unnest($1::text[]) as payload";

/// PostgreSQL takes less than 8,000 bytes.
const LONGEST: usize = 7_900;

/// How many tasks of a kind are told of one by one; no batch has more.
const MOST_HINTS: usize = 1_000;

/// Said instead of what is too long to be said.
const ANYTHING: &str = "anything";

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What to say of a batch: `waiting COUNT VERSION LENGTH FILTER TYPE`, where the filter is that many bytes long, or
/// `ended ID ID …`, `untold ID ID …`.
///
/// With a count, because what is said twice in one transaction is heard once.
pub(super) fn payloads(waiting: &[WaitingKind], ended: &[Uuid], untold: &[Uuid]) -> Vec<String> {
    let mut counts: Vec<(&WaitingKind, usize)> = Vec::new();
    let mut places: HashMap<&WaitingKind, usize> = HashMap::new();
    for kind in waiting {
        let place = *places.entry(kind).or_insert(counts.len());
        match counts.get_mut(place) {
            Some((_, count)) => *count += 1,
            None => counts.push((kind, 1)),
        }
    }
    let mut payloads: Vec<String> = counts
        .into_iter()
        .map(|(kind, count)| {
            let (filter, capability) = (kind.agent_filter.key(), &kind.capability);
            let (version, length) = (capability.version, filter.len());
            format!("waiting {count} {version} {length} {filter} {}", capability.task_type)
        })
        .map(|payload| if payload.len() > LONGEST { ANYTHING.to_owned() } else { payload })
        .collect();
    payloads.extend(ids("ended", ended));
    payloads.extend(ids("untold", untold));
    payloads
}

fn ids(word: &str, ids: &[Uuid]) -> impl Iterator<Item = String> {
    ids.chunks((LONGEST - word.len()) / " 00000000000000000000000000000000".len()).map(move |ids| {
        let mut payload = word.to_owned();
        for id in ids {
            payload.push(' ');
            payload.push_str(id.simple().encode_lower(&mut Uuid::encode_buffer()));
        }
        payload
    })
}

/// What a payload says; of what is not understood, that something has happened.
fn hints(payload: &str) -> Vec<Hint> {
    let understood = match payload.split_once(' ') {
        Some(("waiting", kind)) => waiting_hints(kind),
        Some(("ended", ids)) => ids.split(' ').map(|id| id.parse().ok().map(Hint::Ended)).collect(),
        Some(("untold", ids)) => ids.split(' ').map(|id| id.parse().ok().map(Hint::Untold)).collect(),
        _ => None,
    };
    understood.unwrap_or_else(|| vec![Hint::Anything])
}

fn waiting_hints(text: &str) -> Option<Vec<Hint>> {
    let (count, text) = text.split_once(' ')?;
    let (version, text) = text.split_once(' ')?;
    let (length, text) = text.split_once(' ')?;
    let (filter, text) = text.split_at_checked(length.parse().ok()?)?;
    let capability =
        Capability { task_type: text.strip_prefix(' ')?.to_owned(), version: version.parse().ok()? };
    let kind = WaitingKind { capability, agent_filter: AgentFilter::from_key(filter).ok()? };
    let count: usize = count.parse().ok()?;
    // Anybody who may use the database may say this.
    Some(vec![Hint::Waiting(kind); count.min(MOST_HINTS)])
}

/// Passes on what is said, over a connection of its own, until `sender` is closed.
pub(super) async fn listen(connector: &Connector, sender: &mpsc::Sender<Hint>) {
    let mut pause = FIRST_PAUSE;
    let closed = async || sender.closed().await;
    loop {
        let round = async {
            let problem = match connector.listen().await {
                Ok(listener) => {
                    pause = FIRST_PAUSE;
                    pass_on(listener, sender).await
                }
                Err(problem) => problem,
            };
            tracing::debug!(error = problem.describe(), "not listening to other AFMs, trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        if let Either::Left(_) = select(pin!(closed()), pin!(round)).await {
            return;
        }
    }
}

/// Returns when the connection ends, or nobody listens any more.
async fn pass_on(mut listener: Listener, sender: &mpsc::Sender<Hint>) -> Problem {
    // What was said before has been missed.
    if sender.send(Hint::Anything).await.is_err() {
        return Problem::Wrong("nobody listens".to_owned());
    }
    loop {
        match listener.next().await {
            Ok(payload) => {
                for hint in hints(&payload) {
                    if sender.send(hint).await.is_err() {
                        return Problem::Wrong("nobody listens".to_owned());
                    }
                }
            }
            Err(problem) => return problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let kind = |task_type: &str, country: Option<&str>| WaitingKind {
            capability: Capability { task_type: task_type.to_owned(), version: -7 },
            agent_filter: AgentFilter { country: country.map(str::to_owned), ..AgentFilter::default() },
        };
        let kinds = [
            kind("", None),
            kind(" a  b\n", Some("Å ")),
            kind(&"ä".repeat(3_900), None),
            kind(&"x".repeat(8_000), None),
            kind("", None),
        ];
        let ended: Vec<Uuid> = (0..1_000).map(Uuid::from_u128).collect();
        let payloads = payloads(&kinds, &ended, &ended[..1]);
        assert!(payloads.iter().all(|payload| payload.len() <= LONGEST));
        assert_eq!(payloads.len(), 4 + 5 + 1);
        let heard: Vec<Hint> = payloads.iter().flat_map(|payload| hints(payload)).collect();
        let in_groups = [&kinds[0], &kinds[4], &kinds[1], &kinds[2]];
        let mut said: Vec<Hint> = in_groups.into_iter().cloned().map(Hint::Waiting).collect();
        said.push(Hint::Anything);
        said.extend(ended.iter().copied().map(Hint::Ended));
        said.push(Hint::Untold(ended[0]));
        assert_eq!(heard, said);
    }

    #[test]
    fn what_is_not_understood_may_be_anything() {
        for payload in [
            "",
            "anything",
            "waiting",
            "waiting x 1 0  t",
            "waiting 1 1 9 t",
            "ended x",
            "untold x",
            "else 1",
        ] {
            assert_eq!(hints(payload), [Hint::Anything], "{payload:?}");
        }
    }
}
