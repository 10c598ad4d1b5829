//! Whether other AFMs listen on the database.
//!
//! Sending notifications costs a batch much: commits that notify wait for each other, and each wakes who
//! listens. So an AFM that is alone sends none. Each AFM holds a lock as long as it listens, by which the
//! others see it, and says so when it begins.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::notifications::InstanceId;

/// What the advisory locks of AFMs begin with: the letters "am".
const OURS: u64 = 0x616d;

/// How long an AFM counts as listening after a notification of it has arrived, whatever locks are seen.
const HEARD: Duration = Duration::from_secs(60);

/// The key of the advisory lock that an AFM holds while it listens. It is shared, so nobody waits for it.
pub(super) struct ListeningLock(u64);

impl ListeningLock {
    pub(super) fn of(this: InstanceId) -> Self {
        Self(OURS << 48 | this.low_bits() & 0xffff_ffff_ffff)
    }

    /// The statement that takes the lock until the connection ends.
    pub(super) fn take_statement(&self) -> String {
        format!("select pg_advisory_lock_shared({self})")
    }

    /// An expression that tells whether another AFM holds such a lock in this database.
    pub(super) fn others_expression(&self) -> String {
        format!(
            "exists (
                select from (
                    select classid::bigint << 32 | objid::bigint as key
                    from pg_locks
                    where locktype = 'advisory' and objsubid = 1 and granted
                        and database = (select oid from pg_database where datname = current_database())
                ) as held
                where key >> 48 = {OURS} and key <> {self}
            )"
        )
    }
}

impl fmt::Display for ListeningLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether other AFMs listen, as far as is known.
#[derive(Debug, Default)]
pub(super) struct OtherAfms {
    state: Mutex<State>,
    /// Woken when an AFM has to be told to look for itself.
    unsent: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Whether it was seen that nobody else holds a lock.
    is_alone: bool,
    /// When a notification of another AFM has last arrived.
    heard: Option<Instant>,
    /// Whether others may listen by now who were not told of something.
    has_unsent: bool,
}

impl State {
    fn may_listen(&self) -> bool {
        !self.is_alone || self.heard.is_some_and(|heard| heard.elapsed() < HEARD)
    }
}

impl OtherAfms {
    /// Whether others may listen, so that batches have to notify them.
    pub(super) fn may_listen(&self) -> bool {
        self.state().may_listen()
    }

    /// Notes whether other AFMs hold their locks.
    pub(super) fn saw(&self, others_listen: bool) {
        self.change(|state| state.is_alone = !others_listen);
    }

    /// Notes that nobody has looked for others, or could.
    pub(super) fn lost_sight(&self) {
        self.saw(true);
    }

    /// Notes that a notification of another AFM has arrived.
    pub(super) fn heard(&self) {
        self.change(|state| state.heard = Some(Instant::now()));
    }

    /// Notes that a batch was committed without notifications because nobody seemed to listen.
    pub(super) fn note_unsent(&self) {
        let mut state = self.state();
        // Whoever has begun meanwhile was told to look, but maybe before that commit.
        state.has_unsent |= state.may_listen();
    }

    /// Whether others are now to be told to look for themselves, by a NOTIFY of its own.
    pub(super) fn take_unsent(&self) -> bool {
        std::mem::take(&mut self.state().has_unsent)
    }

    /// Waits until others are to be told.
    pub(super) async fn has_unsent(&self) {
        self.unsent.notified().await;
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        let was_alone = !state.may_listen();
        change(&mut state);
        if was_alone && state.may_listen() {
            // They have missed what was committed since they listen.
            state.has_unsent = true;
            self.unsent.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_may_listen_until_nobody_is_seen_or_heard() {
        let others = OtherAfms::default();
        assert!(others.may_listen());
        others.saw(false);
        assert!(!others.may_listen());
        others.saw(true);
        assert!(others.may_listen());
    }

    #[test]
    fn who_was_heard_counts_for_a_while() {
        let others = OtherAfms::default();
        others.heard();
        others.saw(false);
        assert!(others.may_listen());
        others.state().heard = Instant::now().checked_sub(HEARD);
        assert!(!others.may_listen());
    }

    #[tokio::test]
    async fn who_begins_to_listen_is_told_once() {
        let others = OtherAfms::default();
        others.saw(false);
        others.note_unsent();
        assert!(!others.take_unsent());
        others.heard();
        others.has_unsent().await;
        assert!(others.take_unsent() && !others.take_unsent());
        // This batch may have been committed after they were told.
        others.note_unsent();
        assert!(others.take_unsent());
    }

    #[test]
    fn locks_of_two_afms_differ_and_are_told_from_those_of_other_programs() {
        let [one, two] = [ListeningLock::of(InstanceId::random()), ListeningLock::of(InstanceId::random())];
        assert_ne!(one.0, two.0);
        assert!([one, two].iter().all(|lock| lock.0 >> 48 == OURS && i64::try_from(lock.0).is_ok()));
    }
}
