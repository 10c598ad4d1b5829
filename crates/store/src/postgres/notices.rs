//! What AFMs on one database tell each other, with NOTIFY.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use slamon_protocol::Capability;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::connection::{Connector, Listener};
use super::errors::Problem;
use crate::Hint;

/// The channel is the database's: AFMs in several schemas of it hear each other, and find nothing.
pub(super) const LISTEN: &str = "listen slamon_afm";

pub(super) const NOTIFY: &str = "select pg_notify('slamon_afm', payload) from unnest($1::text[]) as payload";

/// PostgreSQL takes less than 8,000 bytes.
const LONGEST: usize = 7_900;

/// Said instead of what is too long to be said.
const ANYTHING: &str = "anything";

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What to say of a batch: `waiting VERSION TYPE`, or `ended ID ID …`.
pub(super) fn payloads(waiting: &[Capability], ended: &[Uuid]) -> Vec<String> {
    let mut payloads: Vec<String> = waiting
        .iter()
        .map(|kind| format!("waiting {} {}", kind.version, kind.task_type))
        .map(|payload| if payload.len() > LONGEST { ANYTHING.to_owned() } else { payload })
        .collect();
    for ids in ended.chunks((LONGEST - "ended".len()) / " 00000000000000000000000000000000".len()) {
        let mut payload = "ended".to_owned();
        for id in ids {
            payload.push(' ');
            payload.push_str(id.simple().encode_lower(&mut Uuid::encode_buffer()));
        }
        payloads.push(payload);
    }
    payloads
}

/// What a payload says; of what is not understood, that something has happened.
fn hints(payload: &str) -> Vec<Hint> {
    let understood = match payload.split_once(' ') {
        Some(("waiting", kind)) => kind.split_once(' ').and_then(|(version, task_type)| {
            let version = version.parse().ok()?;
            Some(vec![Hint::Waiting(Capability { task_type: task_type.to_owned(), version })])
        }),
        Some(("ended", ids)) => ids.split(' ').map(|id| id.parse().ok().map(Hint::Ended)).collect(),
        _ => None,
    };
    understood.unwrap_or_else(|| vec![Hint::Anything])
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
        let kind = |task_type: &str| Capability { task_type: task_type.to_owned(), version: -7 };
        let kinds = [kind(""), kind(" a  b\n"), kind(&"ä".repeat(3_900)), kind(&"x".repeat(8_000))];
        let ended: Vec<Uuid> = (0..1_000).map(Uuid::from_u128).collect();
        let payloads = payloads(&kinds, &ended);
        assert!(payloads.iter().all(|payload| payload.len() <= LONGEST));
        assert_eq!(payloads.len(), 4 + 5);
        let heard: Vec<Hint> = payloads.iter().flat_map(|payload| hints(payload)).collect();
        let mut said: Vec<Hint> = kinds[..3].iter().cloned().map(Hint::Waiting).collect();
        said.push(Hint::Anything);
        said.extend(ended.into_iter().map(Hint::Ended));
        assert_eq!(heard, said);
    }

    #[test]
    fn what_is_not_understood_may_be_anything() {
        for payload in ["", "anything", "waiting", "waiting x y", "waiting 1", "ended x", "else 1"] {
            assert_eq!(hints(payload), [Hint::Anything], "{payload:?}");
        }
    }
}
