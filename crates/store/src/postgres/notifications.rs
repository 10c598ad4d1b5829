//! The text of the notifications that AFMs on one database send each other with NOTIFY.

use std::collections::HashMap;
use std::fmt;

use slamon_domain::{Applied, KindCursor, QueueCursor, Transition, WaitingKind};
use slamon_protocol::{AgentFilter, Capability};
use uuid::Uuid;

use super::changes;
use super::other_afms::ListeningLock;
use crate::event::{Published, StoreEvent};

/// The statements that subscribe a connection to two channels, and let others see that it listens. One channel
/// is the database's: AFMs in several schemas of a database get each other's notifications, and find nothing
/// new. The other is this AFM's alone.
pub(super) fn listen_statements(this: InstanceId) -> String {
    let lock = ListeningLock::of(this).take_statement();
    format!("{lock}; listen slamon_afm; listen slamon_afm_{this}")
}

/// The statement that sends an AFM an echo of its own: whether that arrives tells whether notifications do.
pub(super) fn echo_statement(this: InstanceId) -> String {
    format!("notify slamon_afm_{this}, '{ECHO}'")
}

/// The statement that tells other AFMs that this one has begun to listen.
pub(super) fn listening_statement(this: InstanceId) -> String {
    format!("notify slamon_afm, '{this} {LISTENING}'")
}

/// The statement that has other AFMs look for themselves after notifications to them were left out.
pub(super) fn anything_statement(this: InstanceId) -> String {
    format!("notify slamon_afm, '{this} {ANYTHING}'")
}

/// A query for how much of the server's queue of notifications is in use, from 0 to 1, and for whether other
/// AFMs listen.
pub(super) fn surroundings_query(this: InstanceId) -> String {
    format!("select pg_notification_queue_usage(), {}", ListeningLock::of(this).others_expression())
}

/// The payload of the notification that an AFM sends itself.
pub(super) const ECHO: &str = "echo";

/// How long a payload may be, in bytes: PostgreSQL takes less than 8,000.
const MAX_PAYLOAD_BYTES: usize = 7_900;

/// How many waiting tasks of one kind a notification may tell of; no batch has more.
pub(super) const MAX_TASKS_PER_KIND: usize = 1_000;

/// The text that says that pauses have changed.
const PAUSES: &str = "pauses";

/// The text that says that the sender has begun to listen.
const LISTENING: &str = "listening";

/// The payload that stands for what is too long for one.
const ANYTHING: &str = "anything";

/// Names one running AFM in what it sends, so that it can leave out its own notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InstanceId(Uuid);

impl InstanceId {
    /// A new id, which no other AFM has.
    pub(super) fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The half of it that ends in 48 random bits.
    pub(super) fn low_bits(self) -> u64 {
        self.0.as_u64_pair().1
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.simple())
    }
}

/// The payloads that tell others of a batch. Each is the sender's id and then one of:
///
/// - `waiting COUNT RANK SEQ VERSION LENGTH FILTER TYPE`: so many tasks of this kind have come to wait, the
///   first of
///   them in the queue at this rank and seq; the filter is so many bytes long;
/// - `ended ID ID …`: these tasks have ended;
/// - `untold ID ID …`: these agents have cancellations to be told of;
/// - `pauses`: pauses may have changed.
///
/// Beside batches, `listening` says that the sender has begun to listen.
///
/// The count is needed because PostgreSQL delivers equal payloads of one transaction only once.
pub(super) fn payloads(sender: InstanceId, applied: &Applied) -> Vec<String> {
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
            format!("{sender} waiting {count} {rank} {seq} {version} {length} {filter} {task_type}")
        })
        .map(
            |payload| {
                if payload.len() > MAX_PAYLOAD_BYTES { format!("{sender} {ANYTHING}") } else { payload }
            },
        )
        .collect();
    payloads.extend(id_payloads(sender, "ended", &applied.ended));
    payloads.extend(id_payloads(sender, "untold", &applied.pending_cancellations));
    payloads.extend(applied.pauses_changed.then(|| format!("{sender} {PAUSES}")));
    payloads
}

fn id_payloads(sender: InstanceId, word: &str, ids: &[Uuid]) -> impl Iterator<Item = String> {
    let start = format!("{sender} {word}");
    let per_payload = (MAX_PAYLOAD_BYTES - start.len()) / " 00000000000000000000000000000000".len();
    ids.chunks(per_payload).map(move |ids| {
        let mut payload = start.clone();
        for id in ids {
            payload.push(' ');
            payload.push_str(id.simple().encode_lower(&mut Uuid::encode_buffer()));
        }
        payload
    })
}

/// The payloads that publish something beside a batch. Each is the sender's id and then one of:
///
/// - `watched`: somebody watches the changes of tasks there;
/// - `changed CHANGES`: these tasks have changed, as [`changes::write`] has it;
/// - `changed-much`: more tasks have changed than can be said.
pub(super) fn published_payloads(sender: InstanceId, published: &Published) -> Vec<String> {
    match published {
        Published::Watched => vec![format!("{sender} watched")],
        Published::ChangesMissed => vec![format!("{sender} changed-much")],
        Published::Changed(transitions) => {
            let start = format!("{sender} changed ");
            let texts = changes::write(transitions, MAX_PAYLOAD_BYTES - start.len());
            texts.into_iter().map(|text| format!("{start}{text}")).collect()
        }
    }
}

/// What a notification of another AFM says.
#[derive(Debug, PartialEq)]
enum Notification {
    /// So many tasks of a kind have come to wait, the first of them at this cursor.
    Waiting(KindCursor, usize),
    /// These tasks have ended.
    Ended(Vec<Uuid>),
    /// These agents have cancellations to be told of.
    PendingCancellations(Vec<Uuid>),
    /// These tasks have changed.
    Changed(Vec<Transition>),
    /// Too many tasks have changed to say which.
    ChangesMissed,
    /// Somebody watches the changes of tasks at that AFM.
    Watched,
    /// Pauses may have changed.
    Pauses,
    /// That AFM has begun to listen.
    Listening,
}

impl Notification {
    /// Reads a payload without its sender; `None` where this version does not know it: something has
    /// happened.
    fn parse(text: &str) -> Option<Self> {
        let ids = |ids: &str| ids.split(' ').map(|id| id.parse().ok()).collect::<Option<_>>();
        match text {
            "watched" => return Some(Self::Watched),
            "changed-much" => return Some(Self::ChangesMissed),
            PAUSES => return Some(Self::Pauses),
            LISTENING => return Some(Self::Listening),
            _ => {}
        }
        match text.split_once(' ')? {
            ("changed", text) => changes::read(text).map(Self::Changed),
            ("waiting", text) => Self::parse_waiting(text),
            ("ended", text) => ids(text).map(Self::Ended),
            ("untold", text) => ids(text).map(Self::PendingCancellations),
            _ => None,
        }
    }

    fn parse_waiting(text: &str) -> Option<Self> {
        let (count, text) = text.split_once(' ')?;
        let (rank, text) = text.split_once(' ')?;
        let (seq, text) = text.split_once(' ')?;
        let (version, text) = text.split_once(' ')?;
        let (length, text) = text.split_once(' ')?;
        let (filter, text) = text.split_at_checked(length.parse().ok()?)?;
        let capability =
            Capability { task_type: text.strip_prefix(' ')?.to_owned(), version: version.parse().ok()? };
        let kind = WaitingKind { capability, agent_filter: AgentFilter::from_key(filter).ok()? };
        // Anybody who may use the database may send this.
        let count = count.parse::<usize>().ok()?.min(MAX_TASKS_PER_KIND);
        let cursor = QueueCursor { rank: rank.parse().ok()?, seq: seq.parse().ok()? };
        Some(Self::Waiting(KindCursor { kind, cursor }, count))
    }
}

/// What another AFM says in a payload; `None` where `this` AFM has sent it itself.
pub(super) fn of_others(payload: &str, this: InstanceId) -> Option<&str> {
    if payload == ECHO {
        return None;
    }
    let sent = payload.split_once(' ').and_then(|(sender, text)| Some((sender.parse().ok()?, text)));
    match sent {
        Some((sender, _)) if InstanceId(sender) == this => None,
        Some((_, text)) => Some(text),
        None => Some(""),
    }
}

/// The events that a text of another AFM tells of.
pub(super) fn events(text: &str) -> Vec<StoreEvent> {
    match Notification::parse(text) {
        Some(Notification::Waiting(kind, count)) => vec![StoreEvent::TaskWaiting(kind); count],
        Some(Notification::Ended(ids)) => ids.into_iter().map(StoreEvent::TaskEnded).collect(),
        Some(Notification::PendingCancellations(ids)) => {
            ids.into_iter().map(StoreEvent::CancellationPending).collect()
        }
        Some(Notification::Changed(changes)) => vec![StoreEvent::Changed(changes)],
        Some(Notification::ChangesMissed) => vec![StoreEvent::ChangesMissed],
        Some(Notification::Watched) => vec![StoreEvent::Watched],
        Some(Notification::Pauses) => vec![StoreEvent::PausesChanged],
        Some(Notification::Listening) => Vec::new(),
        None => vec![StoreEvent::EventsMissed],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: InstanceId = InstanceId(Uuid::nil());

    fn events_at(instance: u128, payload: &str) -> Vec<StoreEvent> {
        of_others(payload, InstanceId(Uuid::from_u128(instance))).map(events).unwrap_or_default()
    }

    #[test]
    fn what_is_sent_is_read_by_others() {
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
        let pending_cancellations = ended[..1].to_vec();
        let applied = Applied {
            waiting: kinds.to_vec(),
            ended: ended.clone(),
            pending_cancellations,
            pauses_changed: true,
            ..Applied::default()
        };
        let payloads = payloads(SENDER, &applied);
        assert!(payloads.iter().all(|payload| payload.len() <= MAX_PAYLOAD_BYTES));
        assert_eq!(payloads.len(), 4 + 5 + 1 + 1);
        let read: Vec<StoreEvent> = payloads.iter().flat_map(|payload| events_at(1, payload)).collect();
        let in_groups = [&kinds[0], &kinds[4], &kinds[1], &kinds[2]];
        let mut sent: Vec<StoreEvent> = in_groups.into_iter().cloned().map(StoreEvent::TaskWaiting).collect();
        sent.push(StoreEvent::EventsMissed);
        sent.extend(ended.iter().copied().map(StoreEvent::TaskEnded));
        sent.push(StoreEvent::CancellationPending(ended[0]));
        sent.push(StoreEvent::PausesChanged);
        assert_eq!(read, sent);
        // The sender knows it already.
        assert_eq!(payloads.iter().flat_map(|payload| events_at(0, payload)).count(), 0);
    }

    #[test]
    fn the_first_cursor_of_a_kind_is_sent() {
        let kind = WaitingKind {
            capability: Capability { task_type: "t".to_owned(), version: 1 },
            agent_filter: AgentFilter::default(),
        };
        let at = |rank, seq| KindCursor { kind: kind.clone(), cursor: QueueCursor { rank, seq } };
        let waiting = vec![at(0, 5), at(-100, 9), at(-100, 8), at(100, 1)];
        let payloads = payloads(SENDER, &Applied { waiting, ..Applied::default() });
        let [payload] = payloads.as_slice() else { panic!("{payloads:?}") };
        let text = payload.split_once(' ').map(|(_, text)| text);
        assert_eq!(text.and_then(Notification::parse), Some(Notification::Waiting(at(-100, 8), 4)));
    }

    #[test]
    fn a_payload_that_cannot_be_read_may_mean_anything() {
        let sender = InstanceId(Uuid::max());
        for payload in [
            "",
            "anything",
            "waiting",
            "waiting 1 0 1 1 0  t",
            &format!("{sender}"),
            &format!("{sender} anything"),
            &format!("{sender} waiting x 0 1 1 0  t"),
            &format!("{sender} waiting 1 0 1 1 9 t"),
            &format!("{sender} waiting 1 1 0  t"),
            &format!("{sender} ended x"),
            &format!("{sender} untold x"),
            &format!("{sender} else 1"),
        ] {
            assert_eq!(events_at(0, payload), [StoreEvent::EventsMissed], "{payload:?}");
        }
    }
}
