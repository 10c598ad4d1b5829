//! Every order of events in a small fleet, against the lifecycle rules.
//!
//! Two agents share a task; the network may lose, delay and repeat what they send. Random sequences
//! (`lifecycle::tests::properties`) go further; here nothing is left out.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};

use crate::command::{Command, Reported, Sweep};
use crate::lifecycle::{self, Report};
use crate::task::{AttemptEnd, End, State, Task};
use jiff::Timestamp;
use slamon_protocol::{ResultPost, Terms};
use stateright::{Checker, Model as _, Property};
use uuid::Uuid;

use crate::testing::commands::{
    agent_id, at, completed_as, failed_as, poll, release, seconds, task_id, task_under,
};
use crate::testing::model::Model;
use crate::testing::outcome::Outcome;

/// Agents that poll; their silence is long enough to lose them after one tick.
const AGENTS: [u128; 2] = [1, 2];

/// What may happen next.
#[derive(Debug, Clone, PartialEq)]
enum Event {
    /// An agent asks for work. The answer may never arrive: then no result for it is delivered.
    Poll(u128),
    /// A result arrives: at once, late, or again.
    Deliver(Uuid),
    /// The answer to an agent's poll at this tick could not be sent.
    Release(u128, u8),
    Cancel,
    /// Time is let do what it has made due.
    Settle,
    /// And silent agents are lost.
    Lose,
    Tick,
}

/// A fleet at a moment.
#[derive(Debug, Clone, PartialEq)]
struct Fleet {
    tick: u8,
    model: Model,
    /// Every attempt that was handed out, and to whom: what a result may come for at any time.
    handed_out: BTreeSet<(Uuid, u128)>,
    /// The rule that the last event broke.
    broken: Option<&'static str>,
}

impl Hash for Fleet {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        format!("{self:?}").hash(hasher);
    }
}

impl Fleet {
    fn now(&self) -> Timestamp {
        at(i64::from(self.tick))
    }

    fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.model.tasks.values()
    }

    /// The attempts of a task whose results would be taken now, if nothing were settled before.
    fn live(&self, task: &Task) -> usize {
        let takes = |(alias, agent): &&(Uuid, u128)| {
            let past = self.model.past.get(&task.posted.task_id).into_iter().flatten();
            let past = past.map(|(ended, _)| ended).find(|ended| ended.attempt.alias == *alias);
            let is_its = self.model.handed_out_as(*alias) == Some(task.posted.task_id);
            let report = lifecycle::report(task, past, &result(*alias, *agent), self.now());
            is_its && matches!(report, Ok(Report::Ends(_)))
        };
        self.handed_out.iter().filter(takes).count()
    }

    fn after(&self, command: &Command) -> (Self, Outcome) {
        let mut next = self.clone();
        let outcome = next.model.apply_one(command, self.now());
        (next, outcome)
    }
}

/// Agent 1 does what it is asked to, and does not say who it is; agent 2 can't, and does.
fn result(alias: Uuid, agent: u128) -> ResultPost {
    match agent {
        1 => completed_as(alias, "{}"),
        _ => ResultPost { agent_id: Some(agent_id(agent)), ..failed_as(alias, r#""no""#) },
    }
}

struct Rules {
    terms: Terms,
    /// Of the task, in ticks of a second; the clock stops when it has run out.
    ttl: u8,
}

impl Rules {
    fn broken(before: &Fleet, event: &Event, outcome: &Outcome, after: &Fleet) -> Option<&'static str> {
        for (id, task) in &before.model.tasks {
            let is_ended = matches!(task.state, State::Ended { .. });
            if is_ended && after.model.tasks.get(id) != Some(task) {
                return Some("a finished task changed");
            }
        }
        if after.tasks().any(|task| task.attempts > task.posted.terms.max_attempts) {
            return Some("an attempt too many");
        }
        if let (Event::Deliver(alias), Outcome::Report(Ok(Reported::Stored))) = (event, outcome) {
            let ended =
                |model: &Model| model.past.values().flatten().any(|(ended, _)| ended.attempt.alias == *alias);
            let alive = before.tasks().any(|task| {
                let until = [task.expires(), task.last_attempt().and_then(|attempt| attempt.deadline)];
                let in_time = until.into_iter().flatten().all(|until| before.now() < until);
                matches!(&task.state, State::Claimed(attempt) if attempt.alias == *alias && in_time)
            });
            if ended(&before.model) || !alive {
                return Some("a result of an ended attempt was accepted");
            }
        }
        None
    }
}

impl stateright::Model for Rules {
    type State = Fleet;
    type Action = Event;

    fn init_states(&self) -> Vec<Fleet> {
        let mut model = Model::default();
        let terms = Terms { ttl: Some(seconds(self.ttl.into())), ..self.terms.clone() };
        model.apply_one(&Command::Submit(task_under(terms, 1)), at(0));
        vec![Fleet { tick: 0, model, handed_out: BTreeSet::new(), broken: None }]
    }

    fn actions(&self, fleet: &Fleet, events: &mut Vec<Event>) {
        events.extend(AGENTS.map(Event::Poll));
        let aliases: BTreeSet<_> = fleet.handed_out.iter().map(|(alias, _)| *alias).collect();
        events.extend(aliases.into_iter().map(Event::Deliver));
        for task in fleet.tasks() {
            // Handing out and giving up could go on for ever.
            let may_give_up = fleet.model.aliases < 2;
            if let (State::Claimed(attempt), true) = (&task.state, may_give_up) {
                let tick = (0..=fleet.tick).find(|tick| at(i64::from(*tick)) == attempt.at);
                let agent = AGENTS.into_iter().find(|n| agent_id(*n) == attempt.agent_id);
                events.extend(agent.zip(tick).map(|(agent, tick)| Event::Release(agent, tick)));
            }
        }
        events.extend([Event::Cancel, Event::Settle, Event::Lose]);
        if fleet.tick < self.ttl {
            events.push(Event::Tick);
        }
    }

    fn next_state(&self, fleet: &Fleet, event: Event) -> Option<Fleet> {
        let sweep = Sweep {
            limit: 9,
            lost_after: None,
            forget_after: None,
            delete_after: None,
            heartbeats: Vec::new(),
        };
        let (mut next, outcome) = match &event {
            Event::Poll(agent) => {
                let (mut next, outcome) = fleet.after(&Command::from(poll(*agent, 1)));
                let Outcome::Poll(polled) = &outcome else { return None };
                next.handed_out.extend(polled.tasks.iter().map(|delivery| (delivery.alias, *agent)));
                (next, outcome)
            }
            Event::Deliver(alias) => {
                let (_, agent) = fleet.handed_out.iter().find(|(handed_out, _)| handed_out == alias)?;
                fleet.after(&Command::Report(result(*alias, *agent)))
            }
            Event::Release(agent, tick) => {
                let claimed_at = at(i64::from(*tick));
                let (mut next, outcome) = fleet.after(&release(*agent, claimed_at, &[1]));
                // Nobody has got it, so nobody will send a result.
                for attempt in fleet.tasks().filter_map(Task::last_attempt) {
                    next.handed_out.remove(&(attempt.alias, *agent));
                }
                (next, outcome)
            }
            Event::Cancel => fleet.after(&Command::Cancel(task_id(1))),
            Event::Settle => fleet.after(&Command::Sweep(sweep)),
            Event::Lose => fleet.after(&Command::Sweep(Sweep { lost_after: Some(seconds(0)), ..sweep })),
            Event::Tick => {
                let tick = fleet.tick + 1;
                return Some(Fleet { tick, ..fleet.clone() });
            }
        };
        next.broken = Self::broken(fleet, &event, &outcome, &next);
        (next != *fleet).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn ended(fleet: &Fleet, is: impl Fn(&End, u32) -> bool) -> bool {
            fleet.tasks().any(|t| matches!(&t.state, State::Ended { end, .. } if is(end, t.attempts)))
        }
        vec![
            Property::always("no step breaks a rule", |_, fleet: &Fleet| fleet.broken.is_none()),
            Property::always("never two live attempts", |_, fleet: &Fleet| {
                fleet.tasks().all(|task| fleet.live(task) <= 1)
            }),
            Property::always("past its TTL, a task has ended once settled", |_, fleet: &Fleet| {
                fleet.tasks().all(|task| {
                    let expired = task.expires().is_some_and(|at| at <= fleet.now());
                    let settled = lifecycle::advance(task, fleet.now(), String::new);
                    let state = settled.map_or_else(|| task.state.clone(), |change| change.state);
                    !expired || matches!(state, State::Ended { .. })
                })
            }),
            // What makes sure that the fleet gets to see the rest.
            Property::sometimes("a second attempt completes", |_, fleet| {
                ended(fleet, |end, attempts| matches!(end, End::Completed(_)) && attempts == 2)
            }),
            Property::sometimes("a second attempt is lost", |_, fleet| {
                ended(fleet, |end, attempts| matches!(end, End::Lost(_)) && attempts == 2)
            }),
            Property::sometimes("an attempt times out", |_, fleet: &Fleet| {
                fleet.model.past.values().flatten().any(|(past, _)| past.end == AttemptEnd::TimedOut)
            }),
            Property::sometimes("a task expires", |_, fleet| {
                ended(fleet, |end, _| matches!(end, End::Expired(_)))
            }),
            Property::sometimes("a result comes late", |_, fleet: &Fleet| {
                fleet.model.past.values().flatten().any(|(_, late)| late.is_some())
            }),
        ]
    }
}

#[test]
fn no_order_of_events_breaks_a_rule() {
    let twice = Terms { max_attempts: 2, timeout: Some(seconds(2)), ..Terms::default() };
    let hasty = Terms { retry_errors: true, ..twice.clone() };
    let patient = Terms { retry_delay: seconds(1), ..twice };
    for (terms, ttl) in [(hasty, 3), (patient, 4)] {
        Rules { terms, ttl }.checker().threads(2).spawn_bfs().join().assert_properties();
    }
}
