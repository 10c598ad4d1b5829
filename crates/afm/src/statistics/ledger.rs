//! Adds up what happens to tasks, in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use slamon_domain::{StateName, Transition};
use slamon_protocol::Capability;
use slamon_store::{CountChange, Counter, MinuteStatistics, StatisticsUpdate, TaskCounts, TypeFigures};
use uuid::Uuid;

/// So many types have figures of their own. Clients may make up any number, and memory is bounded: all others
/// share theirs.
pub const TASK_TYPES: usize = 200;

/// A type with a longer name, in bytes, has no figures of its own.
pub(super) const LONGEST_NAME: usize = 200;

/// A type that was idle for so many minutes makes room for another one.
const IDLE_MINUTES: i64 = 60;

/// So many types are remembered from one save to the next, and so many may come between two saves.
const KNOWN_TYPES: usize = 10_000;
const MOST_TYPES: usize = 100_000;

/// So many changes may wait to be saved. Where there are more, they are dropped and tasks are counted instead.
const MOST_CHANGES: usize = 500_000;

/// Of so many changes before it, a change of the same batch and the same type joins one.
const JOINED: usize = 8;

/// So many minutes may wait to be saved.
const MOST_MINUTES: usize = 180;

/// What happened to tasks since the start of this process, and what of it is not saved.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// The place in `known` of each type, by name and version.
    places: HashMap<String, BTreeMap<i64, usize>>,
    known: Vec<KnownType>,
    /// The figures of types, the first of which are those of all others together.
    slots: Vec<Slot>,
    /// The figures of the minutes that are not over or not saved, by their number since 1970.
    minutes: BTreeMap<i64, Minute>,
    /// What is not saved, by places in `known`.
    changes: Vec<CountChange>,
    /// The minute in which idle slots were looked for last, for a type that was known.
    looked_for_idle: i64,
    /// Whether something was not saved that should have been: tasks must be counted.
    pub(super) must_count: bool,
}

/// The slot of the types that have none of their own.
const OTHERS: usize = 0;

#[derive(Debug)]
struct KnownType {
    capability: Arc<Capability>,
    slot: usize,
}

/// The figures of a type since the start of the process.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The type; `None`: all that have no slot of their own.
    pub(crate) capability: Option<Arc<Capability>>,
    pub(crate) figures: TypeFigures,
    /// The last minute in which something happened.
    used: i64,
}

#[derive(Debug, Default)]
struct Minute {
    /// By slot.
    figures: Vec<Option<Box<TypeFigures>>>,
    is_unsaved: bool,
}

impl Default for Ledger {
    fn default() -> Self {
        let others = Slot { capability: None, figures: TypeFigures::default(), used: 0 };
        Self {
            places: HashMap::new(),
            known: Vec::new(),
            slots: vec![others],
            minutes: BTreeMap::new(),
            changes: Vec::new(),
            looked_for_idle: i64::MIN,
            must_count: false,
        }
    }
}

impl Ledger {
    /// Notes what a batch has changed.
    pub(super) fn note(&mut self, transitions: &[Transition], commit: Option<u64>) {
        let batch = self.changes.len();
        for transition in transitions {
            let minute = transition.at.as_second().div_euclid(60);
            let by = counts_by(transition);
            if !self.minutes.contains_key(&minute) {
                self.begin_minute(minute);
            }
            let place = self.place(&transition.task_type, transition.task_version, minute);
            let slot = match place {
                Some(place) => {
                    self.change(batch, place, commit, by);
                    self.slot(place, minute)
                }
                None => {
                    self.must_count = true;
                    OTHERS
                }
            };
            if let Some(found) = self.slots.get_mut(slot) {
                found.used = found.used.max(minute);
                add(&mut found.figures, transition);
            }
            let minute = self.minutes.entry(minute).or_default();
            minute.is_unsaved = true;
            if minute.figures.len() <= slot {
                minute.figures.resize_with(slot + 1, || None);
            }
            if let Some(figures) = minute.figures.get_mut(slot) {
                add(figures.get_or_insert_default(), transition);
            }
        }
    }

    /// Begins a minute, and forgets those that are over and saved. The one before may not be over: a batch may have
    /// begun in it.
    fn begin_minute(&mut self, number: i64) {
        self.minutes.insert(number, Minute::default());
        self.minutes.retain(|kept, minute| minute.is_unsaved || *kept >= number - 1);
        while self.minutes.len() > MOST_MINUTES {
            self.minutes.pop_first();
        }
    }

    fn change(&mut self, batch: usize, of_type: usize, commit: Option<u64>, by: TaskCounts) {
        if by.is_zero() {
            return;
        }
        let joined = batch.max(self.changes.len().saturating_sub(JOINED));
        let same = self.changes.iter_mut().skip(joined).find(|change| change.of_type == of_type);
        if let Some(same) = same {
            same.by.add(by);
        } else if self.changes.len() < MOST_CHANGES {
            self.changes.push(CountChange { of_type, commit, by });
        } else {
            self.must_count = true;
        }
    }

    /// The place of a type in `known`; `None` if there are too many.
    fn place(&mut self, task_type: &str, version: i64, minute: i64) -> Option<usize> {
        let known = self.places.get(task_type).and_then(|versions| versions.get(&version));
        if let Some(place) = known {
            return Some(*place);
        }
        if self.known.len() >= MOST_TYPES {
            return None;
        }
        let capability = Arc::new(Capability { task_type: task_type.to_owned(), version });
        let slot = self.slots.iter().position(|slot| slot.capability.as_ref() == Some(&capability));
        let slot = slot.unwrap_or_else(|| self.new_slot(&capability, minute));
        self.known.push(KnownType { capability, slot });
        let place = self.known.len() - 1;
        self.places.entry(task_type.to_owned()).or_default().insert(version, place);
        Some(place)
    }

    /// The slot of a known type. One that had none may get one that has become idle since.
    fn slot(&mut self, place: usize, minute: i64) -> usize {
        let Some(known) = self.known.get(place) else { return OTHERS };
        if known.slot != OTHERS || self.looked_for_idle >= minute {
            return known.slot;
        }
        self.looked_for_idle = minute;
        let capability = Arc::clone(&known.capability);
        let slot = self.new_slot(&capability, minute);
        if let Some(known) = self.known.get_mut(place) {
            known.slot = slot;
        }
        slot
    }

    /// Finds a slot for a type: a new one, or that of a type that was idle for long.
    fn new_slot(&mut self, capability: &Arc<Capability>, minute: i64) -> usize {
        if capability.task_type.len() > LONGEST_NAME {
            return OTHERS;
        }
        let slot =
            Slot { capability: Some(Arc::clone(capability)), figures: TypeFigures::default(), used: minute };
        if self.slots.len() <= TASK_TYPES {
            self.slots.push(slot);
            return self.slots.len() - 1;
        }
        let is_unsaved = |place| {
            let of_slot = |minute: &Minute| minute.figures.get(place).is_some_and(Option::is_some);
            self.minutes.values().any(of_slot)
        };
        let is_idle = |(place, slot): &(usize, &Slot)| {
            *place != OTHERS && slot.used < minute - IDLE_MINUTES && !is_unsaved(*place)
        };
        let Some(place) = self.slots.iter().enumerate().find(is_idle).map(|(place, _)| place) else {
            return OTHERS;
        };
        for known in self.known.iter_mut().filter(|known| known.slot == place) {
            known.slot = OTHERS;
        }
        if let Some(idle) = self.slots.get_mut(place) {
            *idle = slot;
        }
        place
    }

    /// Takes what is not saved.
    pub(super) fn take(&mut self, instance: Uuid) -> StatisticsUpdate {
        let mut update = StatisticsUpdate { instance, ..StatisticsUpdate::default() };
        let slots = &self.slots;
        for (minute, of_minute) in self.minutes.iter_mut().filter(|(_, minute)| minute.is_unsaved) {
            of_minute.is_unsaved = false;
            let Ok(minute) = Timestamp::from_second(minute * 60) else { continue };
            let types = of_minute.figures.iter().enumerate().filter_map(|(slot, figures)| {
                let figures = TypeFigures::clone(figures.as_deref()?);
                Some((slots.get(slot)?.capability.clone(), figures))
            });
            update.minutes.push(MinuteStatistics { minute, types: types.collect() });
        }
        let mut places: HashMap<usize, usize> = HashMap::new();
        for change in std::mem::take(&mut self.changes) {
            let Some(known) = self.known.get(change.of_type) else { continue };
            let of_type = *places.entry(change.of_type).or_insert_with(|| {
                update.types.push(Arc::clone(&known.capability));
                update.types.len() - 1
            });
            update.changes.push(CountChange { of_type, ..change });
        }
        if self.known.len() > KNOWN_TYPES {
            self.known.clear();
            self.places.clear();
        }
        update
    }

    /// Takes back what could not be saved.
    pub(super) fn put_back(&mut self, update: &StatisticsUpdate) {
        for MinuteStatistics { minute, types } in &update.minutes {
            let number = minute.as_second().div_euclid(60);
            if let Some(kept) = self.minutes.get_mut(&number) {
                kept.is_unsaved = true;
                continue;
            }
            let mut kept = Minute { figures: Vec::new(), is_unsaved: true };
            for (capability, figures) in types {
                let slot =
                    self.slots.iter().position(|slot| slot.capability == *capability).unwrap_or(OTHERS);
                if kept.figures.len() <= slot {
                    kept.figures.resize_with(slot + 1, || None);
                }
                if let Some(of_slot) = kept.figures.get_mut(slot) {
                    of_slot.get_or_insert_default().merge(figures);
                }
            }
            self.minutes.insert(number, kept);
        }
        for change in &update.changes {
            let Some(capability) = update.types.get(change.of_type) else { continue };
            match self.place(&capability.task_type, capability.version, 0) {
                Some(of_type) if self.changes.len() < MOST_CHANGES => {
                    self.changes.push(CountChange { of_type, ..*change });
                }
                _ => self.must_count = true,
            }
        }
    }

    /// Whether the type of a change, which was noted, has figures of its own.
    pub(super) fn is_named(&self, transition: &Transition) -> bool {
        let versions = self.places.get(&transition.task_type);
        let place = versions.and_then(|versions| versions.get(&transition.task_version));
        place.and_then(|place| self.known.get(*place)).is_some_and(|known| known.slot != OTHERS)
    }

    /// What was counted of each type since the start of this process.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }
}

/// What a change of a state is counted as.
pub(crate) fn counter(transition: &Transition) -> Option<Counter> {
    Some(match (transition.from, transition.to) {
        (None, _) => Counter::Posted,
        (_, StateName::Claimed) => Counter::Claimed,
        (_, StateName::Completed) => Counter::Completed,
        (_, StateName::Failed) => Counter::Failed,
        (_, StateName::Lost) => Counter::Lost,
        (_, StateName::TimedOut) => Counter::TimedOut,
        (_, StateName::Expired) => Counter::Expired,
        (_, StateName::Cancelled) => Counter::Cancelled,
        (Some(StateName::Claimed), StateName::Pending | StateName::Delayed) => {
            if transition.attempt_end.is_some() { Counter::Retried } else { Counter::Released }
        }
        (Some(_), StateName::Pending | StateName::Delayed) => return None,
    })
}

fn add(figures: &mut TypeFigures, transition: &Transition) {
    if let Some(counter) = counter(transition) {
        figures.counters.increment(counter);
    }
    if let Some(queued) = transition.queued_for {
        figures.queue.record(queued);
    }
    if let Some(ran) = transition.ran_for {
        figures.run.record(ran);
    }
    if let Some(lived) = transition.lived_for {
        figures.total.record(lived);
    }
}

/// How many more tasks there are in each state.
fn counts_by(transition: &Transition) -> TaskCounts {
    let mut by = TaskCounts::default();
    for (state, more) in [(transition.from, -1), (Some(transition.to), 1)] {
        match state {
            Some(StateName::Delayed) => by.delayed += more,
            Some(StateName::Pending) => by.pending += more,
            Some(StateName::Claimed) => by.claimed += more,
            _ => {}
        }
    }
    by
}

#[cfg(test)]
mod tests;
