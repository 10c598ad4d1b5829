//! The agent cache knows what each agent said last, and buffers when it was seen.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::time::Duration;

use jiff::Timestamp;
use slamon_protocol::PollRequest;
use uuid::Uuid;

use super::gathered::Gathered;

/// For this long, at least and at most, the store is trusted to hold what an agent said; another AFM may have
/// written something else meanwhile. The time is random, so that a fleet that arrived together does not come
/// back together.
const TRUST_MICROS: [i64; 2] = [5 * 60 * 1_000_000, 15 * 60 * 1_000_000];

/// For this long the store is trusted to hold no attempt of an agent but those that the agent says it
/// executes; another AFM may have given it more.
const ACCOUNT_MICROS: u64 = 60 * 1_000_000;

/// The agents that this AFM has registered with the store, and those that it has seen otherwise.
#[derive(Debug, Default)]
pub(super) struct AgentCache {
    /// The hasher has random keys, so that no agent can make up a text that looks like what it said before.
    hasher: RandomState,
    agents: HashMap<Uuid, CachedAgent>,
    /// The agents with a buffered heartbeat, the oldest first. The store keeps agents in the order of their
    /// arrival, in which they also poll, more or less: neighbours here are neighbours there.
    unsaved: VecDeque<Uuid>,
}

/// An agent, small because there may be millions: what it said is kept as a hash, and times in microseconds.
#[derive(Debug)]
struct CachedAgent {
    profile: u64,
    /// When the store has to be told again.
    trusted_until: i64,
    seen_at: i64,
    /// When it polled here last, or when a poll that was held open was answered; `i64::MIN` if it has not.
    polled_at: i64,
    /// The hash of the attempts that the agent said it executes, if it had no others ([`account`]); 0 if that
    /// is unknown.
    accounted: u64,
    is_saved: bool,
}

impl AgentCache {
    /// Buffers a heartbeat and returns `true` if the poll says what the store knows, also of the attempts
    /// that the agent executes.
    pub(super) fn buffer_heartbeat(
        &mut self,
        poll: &PollRequest,
        running: Option<&[Uuid]>,
        now: Timestamp,
    ) -> bool {
        let Some(agent) = self.agents.get_mut(&poll.agent_id) else { return false };
        let now = now.as_microsecond();
        if let Some(running) = running
            && agent.accounted != account(&self.hasher, poll.agent_id, running, now)
        {
            // If this poll does not reach the store, the next one must ask it.
            agent.accounted = 0;
            return false;
        }
        if now >= agent.trusted_until || agent.profile != profile_hash(&self.hasher, poll) {
            return false;
        }
        agent.seen_at = agent.seen_at.max(now);
        agent.polled_at = agent.polled_at.max(now);
        if std::mem::replace(&mut agent.is_saved, false) {
            self.unsaved.push_back(poll.agent_id);
        }
        true
    }

    /// Notes that the store has saved what an agent said.
    pub(super) fn saved(&mut self, poll: &PollRequest, now: Timestamp) {
        let (profile, now) = (profile_hash(&self.hasher, poll), now.as_microsecond());
        let trusted_until = now.saturating_add(self.trust(poll.agent_id, now));
        self.agents
            .entry(poll.agent_id)
            .and_modify(|agent| {
                agent.profile = profile;
                agent.trusted_until = trusted_until;
                agent.seen_at = agent.seen_at.max(now);
                agent.polled_at = agent.polled_at.max(now);
            })
            .or_insert(CachedAgent {
                profile,
                trusted_until,
                seen_at: now,
                polled_at: now,
                accounted: 0,
                is_saved: true,
            });
    }

    /// Buffers a heartbeat that the store has given back. Nothing else is known of an agent that has not polled here.
    pub(super) fn add_heartbeat(&mut self, agent_id: Uuid, at: Timestamp) {
        let at = at.as_microsecond();
        let agent = self.agents.entry(agent_id).or_insert(CachedAgent {
            profile: 0,
            trusted_until: i64::MIN,
            seen_at: at,
            polled_at: i64::MIN,
            accounted: 0,
            is_saved: true,
        });
        agent.seen_at = agent.seen_at.max(at);
        if std::mem::replace(&mut agent.is_saved, false) {
            self.unsaved.push_back(agent_id);
        }
    }

    /// Notes when a poll of an agent that was held open is answered.
    pub(super) fn answered(&mut self, agent_id: Uuid, at: Timestamp) {
        if let Some(agent) = self.agents.get_mut(&agent_id) {
            agent.polled_at = agent.polled_at.max(at.as_microsecond());
        }
    }

    /// Returns when an agent polled here last, if no other AFM can have told it since when to poll: the store has it
    /// as seen at `last_seen`.
    pub(super) fn polled_at(&self, agent_id: Uuid, last_seen: Timestamp) -> Option<Timestamp> {
        let agent = self.agents.get(&agent_id)?;
        let is_latest = last_seen.as_microsecond() <= agent.seen_at.max(agent.polled_at);
        let polled_at = Some(agent.polled_at).filter(|at| is_latest && *at > i64::MIN);
        polled_at.and_then(|at| Timestamp::from_microsecond(at).ok())
    }

    /// Notes that an agent has no attempts but those that it says it executes.
    pub(super) fn accounted(&mut self, agent_id: Uuid, running: &[Uuid], now: Timestamp) {
        let account = account(&self.hasher, agent_id, running, now.as_microsecond());
        if let Some(agent) = self.agents.get_mut(&agent_id) {
            agent.accounted = account;
        }
    }

    /// Notes that an agent was given tasks.
    pub(super) fn given(&mut self, agent_id: Uuid) {
        if let Some(agent) = self.agents.get_mut(&agent_id) {
            agent.accounted = 0;
        }
    }

    /// Returns for how many microseconds from `now` on the store is trusted to hold what an agent has said.
    fn trust(&self, agent_id: Uuid, now: i64) -> i64 {
        let [least, most] = TRUST_MICROS;
        least + (self.hasher.hash_one((agent_id, now)) % (most - least).unsigned_abs()).cast_signed()
    }

    /// Returns how many heartbeats are buffered, including those of agents that were forgotten meanwhile.
    pub(super) fn unsaved(&self) -> usize {
        self.unsaved.len()
    }

    /// The buffered heartbeats.
    pub(super) fn unsaved_heartbeats(&self) -> Vec<(Uuid, Timestamp)> {
        let unsaved = self.unsaved.iter().filter_map(|id| Some((*id, self.agents.get(id)?)));
        let unsaved = unsaved.filter(|(_, agent)| !agent.is_saved);
        unsaved
            .filter_map(|(id, agent)| Some((id, Timestamp::from_microsecond(agent.seen_at).ok()?)))
            .collect()
    }

    /// Takes at most `most` heartbeats, in the order of agent ids, in which everybody locks several agents.
    pub(super) fn take_unsaved(&mut self, most: usize) -> Vec<(Uuid, Timestamp)> {
        let most = most.min(self.unsaved.len());
        let mut taken = Vec::with_capacity(most);
        for id in self.unsaved.drain(..most) {
            // An agent that was forgotten meanwhile has nothing to be saved.
            let Some(agent) = self.agents.get_mut(&id) else { continue };
            if !std::mem::replace(&mut agent.is_saved, true) {
                taken.extend(Timestamp::from_microsecond(agent.seen_at).map(|seen_at| (id, seen_at)));
            }
        }
        taken.sort_unstable();
        taken
    }

    pub(super) fn put_back(&mut self, unsaved: &[(Uuid, Timestamp)]) {
        for (id, _) in unsaved {
            if let Some(agent) = self.agents.get_mut(id)
                && std::mem::replace(&mut agent.is_saved, false)
            {
                self.unsaved.push_back(*id);
            }
        }
    }

    pub(super) fn forget(&mut self, agents: &[Uuid]) {
        for id in agents {
            self.agents.remove(id);
        }
    }

    pub(super) fn forget_silent(&mut self, silence: Duration, now: Timestamp) {
        let Ok(before) = now.checked_sub(silence) else { return };
        let before = before.as_microsecond();
        self.agents.retain(|_, agent| agent.seen_at >= before);
    }
}

/// Hashes the attempts that an agent says it executes, together with the current period of
/// [`ACCOUNT_MICROS`]; never 0. The periods of different agents begin at different times, so that not all ask
/// the store at once.
fn account(hasher: &RandomState, agent_id: Uuid, running: &[Uuid], now: i64) -> u64 {
    let (_, spread) = agent_id.as_u64_pair();
    let stretch = now.cast_unsigned().wrapping_add(spread % ACCOUNT_MICROS) / ACCOUNT_MICROS;
    hasher.hash_one((running, stretch)) | 1
}

/// Hashes all that a poll says of its agent.
fn profile_hash(hasher: &RandomState, poll: &PollRequest) -> u64 {
    let mut hasher = Gathered::new(hasher.build_hasher());
    poll.agent_name.hash(&mut hasher);
    poll.agent_capabilities.hash(&mut hasher);
    poll.max_tasks.hash(&mut hasher);
    if let Some(location) = &poll.agent_location {
        (&location.country, &location.region).hash(&mut hasher);
        [location.latitude, location.longitude].map(|degrees| degrees.map(f64::to_bits)).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use slamon_protocol::{Capability, Location};

    use jiff::SignedDuration;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn id(agent: u128) -> Uuid {
        Uuid::from_u128(agent)
    }

    fn poll(agent: u128) -> PollRequest {
        PollRequest {
            agent_id: id(agent),
            agent_name: "one".to_owned(),
            agent_capabilities: vec![Capability { task_type: "wait".to_owned(), version: 1 }],
            max_tasks: 2,
            agent_location: None,
            max_wait: Duration::ZERO,
            agent_running: None,
        }
    }

    #[test]
    fn only_what_was_said_before_is_known() {
        let mut agents = AgentCache::default();
        assert!(!agents.buffer_heartbeat(&poll(1), None, at(0)), "it never polled before");
        agents.saved(&poll(1), at(0));
        assert!(agents.buffer_heartbeat(&poll(1), None, at(1)));
        assert!(agents.buffer_heartbeat(
            &PollRequest { max_wait: Duration::from_secs(9), ..poll(1) },
            None,
            at(1)
        ));
        let location = |latitude| {
            Some(Location { country: "FI".to_owned(), region: "18".to_owned(), latitude, longitude: None })
        };
        let capability = |task_type: &str, version| Capability { task_type: task_type.to_owned(), version };
        for other in [
            PollRequest { agent_name: "two".to_owned(), ..poll(1) },
            PollRequest { agent_capabilities: vec![capability("wait", 2)], ..poll(1) },
            PollRequest { agent_capabilities: vec![capability("wait", 1), capability("w", 1)], ..poll(1) },
            PollRequest { max_tasks: 0, ..poll(1) },
            PollRequest { agent_location: location(None), ..poll(1) },
            PollRequest { agent_location: location(Some(60.0)), ..poll(1) },
        ] {
            assert!(!agents.buffer_heartbeat(&other, None, at(2)), "{other:?}");
            agents.saved(&other, at(2));
            assert!(agents.buffer_heartbeat(&other, None, at(2)), "{other:?}");
        }
    }

    #[test]
    fn what_an_agent_executes_is_known_until_it_says_something_else_or_is_given_more() {
        let mut agents = AgentCache::default();
        agents.saved(&poll(1), at(0));
        assert!(!agents.buffer_heartbeat(&poll(1), Some(&[]), at(1)), "nobody has looked");
        assert!(agents.buffer_heartbeat(&poll(1), None, at(1)));
        agents.accounted(id(1), &[], at(1));
        assert!(agents.buffer_heartbeat(&poll(1), Some(&[]), at(2)));
        assert!(!agents.buffer_heartbeat(&poll(1), Some(&[id(7)]), at(2)));
        // The store was not told so: what was said before that is not all it may have been given.
        assert!(!agents.buffer_heartbeat(&poll(1), Some(&[]), at(2)));
        agents.accounted(id(1), &[], at(2));
        agents.given(id(1));
        assert!(
            !agents.buffer_heartbeat(&poll(1), Some(&[]), at(3))
                && agents.buffer_heartbeat(&poll(1), None, at(3))
        );
        agents.accounted(id(1), &[id(7)], at(3));
        assert!(agents.buffer_heartbeat(&poll(1), Some(&[id(7)]), at(4)));
        // What the agent says of itself does not change this.
        agents.saved(&poll(1), at(5));
        assert!(agents.buffer_heartbeat(&poll(1), Some(&[id(7)]), at(6)));
        assert!(!agents.buffer_heartbeat(&poll(1), Some(&[]), at(6)));
    }

    #[test]
    fn what_an_agent_executes_is_asked_for_again_once_a_minute() {
        let mut agents = AgentCache::default();
        let mut asked = [0; 60];
        for agent in 1..=60_u128 {
            // The last digits of an id decide when its period begins.
            let poll = PollRequest { agent_id: Uuid::from_u128(agent * 1_000_000), ..poll(1) };
            agents.saved(&poll, at(0));
            agents.accounted(poll.agent_id, &[], at(0));
            let mut asked_at = Vec::new();
            for second in 0..180 {
                if !agents.buffer_heartbeat(&poll, Some(&[]), at(second)) {
                    agents.accounted(poll.agent_id, &[], at(second));
                    asked_at.push(second);
                }
                assert!(agents.buffer_heartbeat(&poll, None, at(second)));
            }
            assert!(asked_at[0] <= 60 && asked_at.len() <= 3, "{asked_at:?}");
            assert!(asked_at.windows(2).all(|two| two[1] - two[0] == 60), "{asked_at:?}");
            asked[usize::try_from(asked_at[0] % 60).unwrap()] += 1;
        }
        assert_eq!(asked, [1; 60], "not all at once");
    }

    #[test]
    fn the_store_is_trusted_for_a_while_which_differs() {
        let mut agents = AgentCache::default();
        for agent in 1..=200 {
            agents.saved(&poll(agent), at(0));
        }
        let mut trusted = |seconds| {
            (1..=200).filter(|agent| agents.buffer_heartbeat(&poll(*agent), None, at(seconds))).count()
        };
        assert_eq!((trusted(299), trusted(900)), (200, 0));
        assert!((1..200).contains(&trusted(600)));
        agents.saved(&poll(1), at(900));
        assert!(
            agents.buffer_heartbeat(&poll(1), None, at(1_199))
                && !agents.buffer_heartbeat(&poll(1), None, at(1_800))
        );
    }

    #[test]
    fn what_was_seen_is_saved_once_the_first_one_first() {
        let mut agents = AgentCache::default();
        for agent in [3, 1, 2] {
            agents.saved(&poll(agent), at(0));
        }
        assert_eq!(agents.take_unsaved(9), []);
        for (agent, seconds) in [(3, 1), (2, 2), (1, 3), (3, 4), (3, 2)] {
            assert!(agents.buffer_heartbeat(&poll(agent), None, at(seconds)));
        }
        assert_eq!(agents.take_unsaved(2), [(id(2), at(2)), (id(3), at(4))]);
        assert_eq!(agents.take_unsaved(2), [(id(1), at(3))]);
        assert_eq!(agents.take_unsaved(2), []);
        agents.put_back(&[(id(2), at(2)), (id(9), at(9))]);
        assert_eq!(agents.take_unsaved(9), [(id(2), at(2))]);
    }

    #[test]
    fn what_the_store_gives_back_is_saved_also_of_one_that_has_not_polled_here() {
        let mut agents = AgentCache::default();
        agents.saved(&poll(1), at(0));
        for (agent, seconds) in [(2, 5), (1, 3), (2, 4)] {
            agents.add_heartbeat(id(agent), at(seconds));
        }
        assert_eq!(agents.unsaved_heartbeats(), [(id(2), at(5)), (id(1), at(3))]);
        assert_eq!(agents.take_unsaved(9), [(id(1), at(3)), (id(2), at(5))]);
        assert_eq!((agents.unsaved(), agents.unsaved_heartbeats()), (0, vec![]));
        assert!(agents.buffer_heartbeat(&poll(1), None, at(6)));
        assert!(!agents.buffer_heartbeat(&poll(2), None, at(6)), "the store has not been told what it says");
    }

    #[test]
    fn who_is_forgotten_is_new() {
        let mut agents = AgentCache::default();
        for agent in 1..=3 {
            agents.saved(&poll(agent), at(0));
            assert!(agents.buffer_heartbeat(&poll(agent), None, at(agent as i64)));
        }
        agents.forget(&[id(1)]);
        agents.forget_silent(Duration::from_secs(60), at(63));
        assert!(
            !agents.buffer_heartbeat(&poll(1), None, at(63))
                && !agents.buffer_heartbeat(&poll(2), None, at(63))
                && agents.buffer_heartbeat(&poll(3), None, at(63))
        );
        assert_eq!(agents.take_unsaved(9), [(id(3), at(63))]);
    }
}
