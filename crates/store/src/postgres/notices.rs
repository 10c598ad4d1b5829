//! What AFMs on one database tell each other, with NOTIFY.

use std::collections::HashMap;
use std::fmt;

use futures_util::future::join;
use slamon_protocol::{AgentFilter, Capability};
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::connection::milliseconds;
use super::errors::Problem;
use super::session::Session;
use crate::{Applied, Hint, KindCursor, QueueCursor, WaitingKind};

/// The channel is the database's: AFMs in several schemas of it hear each other, and find nothing. Another is this AFM's
/// alone.
pub(super) fn listen(me: Speaker) -> String {
    format!("listen slamon_afm; listen slamon_afm_{me}")
}

/// What this AFM says to itself, to know that it hears.
pub(super) fn echo(me: Speaker) -> String {
    format!("notify slamon_afm_{me}, '{ECHO}'")
}

/// What it says to others when it has said nothing for a while.
pub(super) fn anything(me: Speaker) -> String {
    format!("notify slamon_afm, '{me} {ANYTHING}'")
}

/// How much of the queue of notifications is in use, from 0 to 1.
pub(super) const QUEUE_USAGE: &str = "select pg_notification_queue_usage()";

/// Said to itself.
pub(super) const ECHO: &str = "echo";

/// Commits that notify wait for each other, as long as any statement may take.
const NOTIFY: &str = "
    select set_config('lock_timeout', $2, true), pg_notify('slamon_afm', payload)
    from unnest($1::text[]) as payload
";

/// PostgreSQL takes less than 8,000 bytes.
const LONGEST: usize = 7_900;

/// How many tasks of a kind are told of one by one; no batch has more.
pub(super) const MOST_HINTS: usize = 1_000;

/// Said instead of what is too long to be said.
const ANYTHING: &str = "anything";

/// Who says something: an AFM, as long as it runs. It need not hear itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Speaker(Uuid);

impl Speaker {
    pub(super) fn new() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for Speaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.simple())
    }
}

/// What is said of a batch with its commit.
pub(super) struct Notices {
    notify: Option<Statement>,
    payloads: Vec<String>,
}

impl Notices {
    /// Of what was applied.
    pub(super) async fn prepare(session: &Session, me: Speaker, applied: &Applied) -> Result<Self, Problem> {
        let payloads = payloads(me, applied);
        Ok(Self { notify: session.prepare_if(!payloads.is_empty(), NOTIFY).await?, payloads })
    }

    /// Says nothing.
    pub(super) fn none() -> Self {
        Self { notify: None, payloads: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.payloads.is_empty()
    }

    /// Says it and commits.
    pub(super) async fn commit(&self, session: &Session) -> Result<(), Problem> {
        let lock_wait = milliseconds(session.statement_timeout()).to_string();
        let parameters: [&(dyn ToSql + Sync); 2] = [&self.payloads, &lock_wait];
        let (notified, committed) =
            join(session.run_if(self.notify.as_ref(), &parameters), session.script("commit")).await;
        // A COMMIT after a statement that failed rolls back, and is no error.
        notified?;
        committed
    }
}

/// What to say of a batch: the speaker and then `waiting COUNT RANK SEQ VERSION LENGTH FILTER TYPE`, where rank and
/// seq are the first place that one of them has in line, and the filter is that many bytes long; or `ended ID ID …`,
/// `untold ID ID …`.
///
/// With a count, because what is said twice in one transaction is heard once.
pub(super) fn payloads(speaker: Speaker, applied: &Applied) -> Vec<String> {
    let mut kinds: Vec<(&WaitingKind, usize, QueueCursor)> = Vec::new();
    let mut known: HashMap<&WaitingKind, usize> = HashMap::new();
    for KindCursor { kind, cursor } in &applied.waiting {
        let at = *known.entry(kind).or_insert(kinds.len());
        match kinds.get_mut(at) {
            Some((_, count, first)) => {
                *count += 1;
                *first = (*cursor).min(*first);
            }
            None => kinds.push((kind, 1, *cursor)),
        }
    }
    let mut payloads: Vec<String> = kinds
        .into_iter()
        .map(|(kind, count, QueueCursor { rank, seq })| {
            let (filter, capability) = (kind.agent_filter.key(), &kind.capability);
            let (version, length, task_type) = (capability.version, filter.len(), &capability.task_type);
            format!("{speaker} waiting {count} {rank} {seq} {version} {length} {filter} {task_type}")
        })
        .map(|payload| if payload.len() > LONGEST { format!("{speaker} {ANYTHING}") } else { payload })
        .collect();
    payloads.extend(ids(speaker, "ended", &applied.ended));
    payloads.extend(ids(speaker, "untold", &applied.untold));
    payloads
}

fn ids(speaker: Speaker, word: &str, ids: &[Uuid]) -> impl Iterator<Item = String> {
    let start = format!("{speaker} {word}");
    ids.chunks((LONGEST - start.len()) / " 00000000000000000000000000000000".len()).map(move |ids| {
        let mut payload = start.clone();
        for id in ids {
            payload.push(' ');
            payload.push_str(id.simple().encode_lower(&mut Uuid::encode_buffer()));
        }
        payload
    })
}

/// What another AFM says.
#[derive(Debug, PartialEq)]
enum Word {
    /// So many tasks of a kind wait; the first of them in this place.
    Waiting(KindCursor, usize),
    Ended(Vec<Uuid>),
    Untold(Vec<Uuid>),
}

/// Reads what was said; `None`: it is not understood, so that something has happened.
fn word(text: &str) -> Option<Word> {
    let ids = |ids: &str| ids.split(' ').map(|id| id.parse().ok()).collect::<Option<_>>();
    match text.split_once(' ')? {
        ("waiting", kind) => waiting(kind),
        ("ended", text) => ids(text).map(Word::Ended),
        ("untold", text) => ids(text).map(Word::Untold),
        _ => None,
    }
}

fn waiting(text: &str) -> Option<Word> {
    let (count, text) = text.split_once(' ')?;
    let (rank, text) = text.split_once(' ')?;
    let (seq, text) = text.split_once(' ')?;
    let (version, text) = text.split_once(' ')?;
    let (length, text) = text.split_once(' ')?;
    let (filter, text) = text.split_at_checked(length.parse().ok()?)?;
    let capability =
        Capability { task_type: text.strip_prefix(' ')?.to_owned(), version: version.parse().ok()? };
    let kind = WaitingKind { capability, agent_filter: AgentFilter::from_key(filter).ok()? };
    // Anybody who may use the database may say this.
    let count = count.parse::<usize>().ok()?.min(MOST_HINTS);
    let cursor = QueueCursor { rank: rank.parse().ok()?, seq: seq.parse().ok()? };
    Some(Word::Waiting(KindCursor { kind, cursor }, count))
}

/// The hints that are in what was said; none where this AFM has said it itself.
pub(super) fn hear(payload: &str, me: Speaker) -> Vec<Hint> {
    if payload == ECHO {
        return Vec::new();
    }
    let said = payload.split_once(' ').and_then(|(speaker, text)| Some((speaker.parse().ok()?, text)));
    let text = match said {
        Some((speaker, _)) if Speaker(speaker) == me => return Vec::new(),
        Some((_, text)) => text,
        None => "",
    };
    match word(text) {
        Some(Word::Waiting(kind, count)) => vec![Hint::Waiting(kind); count],
        Some(Word::Ended(ids)) => ids.into_iter().map(Hint::Ended).collect(),
        Some(Word::Untold(ids)) => ids.into_iter().map(Hint::Untold).collect(),
        None => vec![Hint::Anything],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Speaker = Speaker(Uuid::nil());

    fn heard_by(speaker: u128, payload: &str) -> Vec<Hint> {
        hear(payload, Speaker(Uuid::from_u128(speaker)))
    }

    #[test]
    fn what_is_said_is_understood_by_others() {
        let kind = |task_type: &str, country: Option<&str>| {
            let capability = Capability { task_type: task_type.to_owned(), version: -7 };
            let country = country.map(str::to_owned);
            let kind =
                WaitingKind { capability, agent_filter: AgentFilter { country, ..AgentFilter::default() } };
            KindCursor { kind, cursor: QueueCursor { rank: -3, seq: 7 } }
        };
        let kinds = [
            kind("", None),
            kind(" a  b\n", Some("Å ")),
            kind(&"ä".repeat(3_850), None),
            kind(&"x".repeat(8_000), None),
            kind("", None),
        ];
        let ended: Vec<Uuid> = (0..1_000).map(Uuid::from_u128).collect();
        let untold = ended[..1].to_vec();
        let applied = Applied { waiting: kinds.to_vec(), ended: ended.clone(), untold, ..Applied::default() };
        let payloads = payloads(ME, &applied);
        assert!(payloads.iter().all(|payload| payload.len() <= LONGEST));
        assert_eq!(payloads.len(), 4 + 5 + 1);
        let heard: Vec<Hint> = payloads.iter().flat_map(|payload| heard_by(1, payload)).collect();
        let in_groups = [&kinds[0], &kinds[4], &kinds[1], &kinds[2]];
        let mut said: Vec<Hint> = in_groups.into_iter().cloned().map(Hint::Waiting).collect();
        said.push(Hint::Anything);
        said.extend(ended.iter().copied().map(Hint::Ended));
        said.push(Hint::Untold(ended[0]));
        assert_eq!(heard, said);
        // Who says it knows it already.
        assert_eq!(payloads.iter().flat_map(|payload| heard_by(0, payload)).count(), 0);
    }

    #[test]
    fn the_first_place_is_said() {
        let kind = WaitingKind {
            capability: Capability { task_type: "t".to_owned(), version: 1 },
            agent_filter: AgentFilter::default(),
        };
        let at = |rank, seq| KindCursor { kind: kind.clone(), cursor: QueueCursor { rank, seq } };
        let waiting = vec![at(0, 5), at(-100, 9), at(-100, 8), at(100, 1)];
        let payloads = payloads(ME, &Applied { waiting, ..Applied::default() });
        let [payload] = payloads.as_slice() else { panic!("{payloads:?}") };
        let text = payload.split_once(' ').map(|(_, text)| text);
        assert_eq!(text.and_then(word), Some(Word::Waiting(at(-100, 8), 4)));
    }

    #[test]
    fn what_is_not_understood_may_be_anything() {
        let speaker = Speaker(Uuid::max());
        for payload in [
            "",
            "anything",
            "waiting",
            "waiting 1 0 1 1 0  t",
            &format!("{speaker}"),
            &format!("{speaker} anything"),
            &format!("{speaker} waiting x 0 1 1 0  t"),
            &format!("{speaker} waiting 1 0 1 1 9 t"),
            &format!("{speaker} waiting 1 1 0  t"),
            &format!("{speaker} ended x"),
            &format!("{speaker} untold x"),
            &format!("{speaker} else 1"),
        ] {
            assert_eq!(heard_by(0, payload), [Hint::Anything], "{payload:?}");
        }
    }
}
