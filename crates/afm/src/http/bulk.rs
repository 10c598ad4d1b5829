//! What requests about many tasks share: a bound of the commands that they queue together, and the tokens by which a
//! change that was counted is done.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use slamon_store::{TaskFilter, TaskPlace};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

/// At most this many commands of such requests are queued: a quarter of the queue, so that single requests find
/// room in it.
const QUEUED: usize = 1_024;

/// A token is good for this long.
const TOKEN_LIFE: Duration = Duration::from_secs(600);

/// There are at most this many tokens. The one that was given first is forgotten for another.
const TOKENS: usize = 1_000;

/// What requests about many tasks share.
pub(crate) struct Bulk {
    places: Arc<Semaphore>,
    tokens: Mutex<HashMap<Uuid, Plan>>,
}

/// What a token stands for.
#[derive(Clone)]
pub(crate) struct Plan {
    /// What is done to the tasks.
    pub(crate) action: &'static str,
    /// To which tasks.
    pub(crate) filter: TaskFilter,
    /// Tasks that arrived behind this place are not touched.
    pub(crate) up_to: TaskPlace,
    /// Tasks up to this place have been done.
    pub(crate) after: Option<TaskPlace>,
    /// Makes the ids of new tasks, the same ones if a step is repeated.
    new_ids: RandomState,
    given: Timestamp,
}

impl Plan {
    pub(crate) fn new(action: &'static str, filter: TaskFilter, up_to: TaskPlace) -> Self {
        Self { action, filter, up_to, after: None, new_ids: RandomState::new(), given: Timestamp::MIN }
    }

    /// Makes the id under which a task is posted again.
    pub(crate) fn new_id(&self, id: Uuid) -> Uuid {
        let half = |n: u8| self.new_ids.hash_one((id.as_u128(), n));
        let bits = u128::from(half(0)) << 64 | u128::from(half(1));
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }
}

impl Default for Bulk {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(QUEUED)), tokens: Mutex::default() }
    }
}

impl Bulk {
    /// Waits for a place among the commands that are queued, and takes it.
    pub(crate) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Gives a token for a plan.
    pub(crate) fn give(&self, plan: Plan, now: Timestamp) -> Uuid {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, plan| plan.is_good(now));
        if tokens.len() >= TOKENS {
            let first = tokens.iter().min_by_key(|(_, plan)| plan.given).map(|(token, _)| *token);
            first.and_then(|first| tokens.remove(&first));
        }
        let token = Uuid::new_v4();
        tokens.insert(token, Plan { given: now, ..plan });
        token
    }

    /// Returns the plan of a token that is good. It stays good, so that a step whose answer was lost can be
    /// repeated.
    pub(crate) fn plan(&self, token: Uuid, now: Timestamp) -> Option<Plan> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(&token).filter(|plan| plan.is_good(now)).cloned()
    }
}

impl Plan {
    fn is_good(&self, now: Timestamp) -> bool {
        Duration::try_from(now.duration_since(self.given)).is_ok_and(|age| age < TOKEN_LIFE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan::new("cancel", TaskFilter::default(), 7)
    }

    #[test]
    fn a_token_is_good_for_ten_minutes() {
        let (bulk, now) = (Bulk::default(), Timestamp::UNIX_EPOCH);
        let token = bulk.give(plan(), now);
        assert_eq!(bulk.plan(token, now).map(|plan| plan.up_to), Some(7));
        assert!(bulk.plan(Uuid::nil(), now).is_none());
        assert!(bulk.plan(token, now + Duration::from_millis(599_999)).is_some());
        assert!(bulk.plan(token, now + TOKEN_LIFE).is_none());
    }

    #[test]
    fn tokens_are_bounded() {
        let (bulk, now) = (Bulk::default(), Timestamp::UNIX_EPOCH);
        let tokens: Vec<Uuid> =
            (0..TOKENS as u64 + 1).map(|n| bulk.give(plan(), now + Duration::from_micros(n))).collect();
        let later = now + Duration::from_secs(1);
        assert!(bulk.plan(tokens[0], later).is_none());
        assert!(tokens[1..].iter().all(|token| bulk.plan(*token, later).is_some()));
    }

    #[test]
    fn new_ids_are_repeated_within_a_plan_only() {
        let (plan, other) = (plan(), plan());
        let ids: std::collections::HashSet<Uuid> =
            (0..1_000).map(|n| plan.new_id(Uuid::from_u128(n))).collect();
        assert_eq!(ids.len(), 1_000);
        assert_eq!(plan.new_id(Uuid::nil()), plan.clone().new_id(Uuid::nil()));
        assert_ne!(plan.new_id(Uuid::nil()), other.new_id(Uuid::nil()));
        assert!(ids.iter().all(|id| id.get_version_num() == 4));
    }
}
