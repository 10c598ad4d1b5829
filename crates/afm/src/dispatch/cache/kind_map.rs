//! A map from kinds to cursors.

use std::collections::BTreeMap;
use std::ops::Bound;

use slamon_domain::{KindCursor, QueueCursor, WaitingKind};
use slamon_protocol::{AgentFilter, Capability, PollRequest};

use super::left_out::LeftOut;

/// A kind takes about this many bytes beside its text, without a filter and with one.
const PLAIN_KIND: usize = 160;
const FILTERED_KIND: usize = 240;

/// If a capability has up to this many filters, all are compared with an agent. If it has more, the filters
/// that the agent could match are looked up.
const FEW_FILTERS: usize = 16;

/// The cursor of each kind, and how much memory they take.
#[derive(Debug, Default)]
pub(super) struct KindMap {
    /// The map is ordered, so that it can be read in parts and never has to grow all at once.
    capabilities: BTreeMap<Capability, Filters>,
    bytes: usize,
    text_bytes: usize,
}

/// The cursors of the kinds that have a capability. Most tasks have no filter.
#[derive(Debug, Default)]
struct Filters {
    any: Option<QueueCursor>,
    #[expect(clippy::box_collection, reason = "it makes a million kinds without filters smaller")]
    named: Option<Box<BTreeMap<AgentFilter, QueueCursor>>>,
}

impl KindMap {
    pub(super) fn is_empty(&self) -> bool {
        self.capabilities.is_empty()
    }

    /// Returns about how many bytes the map takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns how many of these bytes are texts.
    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    pub(super) fn get(&self, kind: &WaitingKind) -> Option<QueueCursor> {
        self.capabilities.get(&kind.capability)?.get(&kind.agent_filter)
    }

    pub(super) fn set(&mut self, kind: &WaitingKind, cursor: QueueCursor) {
        let filters = match self.capabilities.get_mut(&kind.capability) {
            Some(filters) => filters,
            None => self.capabilities.entry(kind.capability.clone()).or_default(),
        };
        if filters.set(&kind.agent_filter, cursor) {
            self.bytes += bytes(kind);
            self.text_bytes += kind.text_bytes();
        }
    }

    /// Lowers the cursor of a kind, unless it is lower already.
    pub(super) fn lower(&mut self, kind: &WaitingKind, cursor: QueueCursor) {
        let known = self.get(kind);
        if known.is_none_or(|known| cursor < known) {
            self.set(kind, cursor);
        }
    }

    pub(super) fn remove(&mut self, kind: &WaitingKind) {
        let Some(filters) = self.capabilities.get_mut(&kind.capability) else { return };
        if filters.remove(&kind.agent_filter) {
            self.bytes -= bytes(kind);
            self.text_bytes -= kind.text_bytes();
        }
        if filters.is_empty() {
            self.capabilities.remove(&kind.capability);
        }
    }

    /// Iterates over all kinds with their cursors, or over those after `last`.
    pub(super) fn after(&self, last: Option<&WaitingKind>) -> impl Iterator<Item = KindCursor> {
        let last_capability = last.map(|last| &last.capability);
        let others = (last_capability.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let rest = last.into_iter().flat_map(|last| {
            let (capability, filters) = self.capabilities.get_key_value(&last.capability)?;
            Some(filters.after(&last.agent_filter).map(move |(filter, cursor)| (capability, filter, cursor)))
        });
        let others = self.capabilities.range::<Capability, _>(others).flat_map(|(capability, filters)| {
            filters.iter().map(move |(filter, cursor)| (capability, filter, cursor))
        });
        rest.flatten().chain(others).map(|(capability, filter, cursor)| {
            let agent_filter = filter.cloned().unwrap_or_default();
            KindCursor { kind: WaitingKind { capability: capability.clone(), agent_filter }, cursor }
        })
    }

    /// Sets the cursor of every kind.
    pub(super) fn set_all(&mut self, cursor: QueueCursor) {
        for filters in self.capabilities.values_mut() {
            let named = filters.named.iter_mut().flat_map(|named| named.values_mut());
            for known in filters.any.iter_mut().chain(named) {
                *known = cursor;
            }
        }
    }

    /// Returns the kinds of which a poll could take tasks, each from the start. Of a capability that is left
    /// out, these are all that the agent could match. `None` means that their texts are larger than `most`.
    pub(super) fn matching(
        &self,
        poll: &PollRequest,
        left_out: &LeftOut,
        most: usize,
    ) -> Option<Vec<KindCursor>> {
        let mut kinds = Kinds { list: Vec::new(), left: most };
        // The filters that an agent can match are the same for all its capabilities.
        let mut could_match: Option<Vec<AgentFilter>> = None;
        let location = poll.agent_location.as_ref();
        let matching = || AgentFilter::matching(poll.agent_id, &poll.agent_name, location);
        for offer in &poll.agent_capabilities {
            if left_out.contains(offer) {
                for filter in could_match.get_or_insert_with(matching) {
                    kinds.add(offer, filter)?;
                }
                continue;
            }
            let Some(Filters { any, named }) = self.capabilities.get(offer) else { continue };
            if any.is_some() {
                kinds.add(offer, &AgentFilter::default())?;
            }
            let Some(named) = named else { continue };
            if named.len() <= FEW_FILTERS {
                for filter in named.keys() {
                    if filter.matches(poll.agent_id, &poll.agent_name, location) {
                        kinds.add(offer, filter)?;
                    }
                }
                continue;
            }
            let filters = could_match.get_or_insert_with(matching);
            for filter in filters.iter().filter(|filter| named.contains_key(*filter)) {
                kinds.add(offer, filter)?;
            }
        }
        Some(kinds.list)
    }
}

/// A list of kinds, and how much larger their texts may become.
struct Kinds {
    list: Vec<KindCursor>,
    left: usize,
}

impl Kinds {
    fn add(&mut self, offer: &Capability, filter: &AgentFilter) -> Option<()> {
        self.left = self.left.checked_sub(offer.task_type.len() + filter.text_bytes())?;
        let kind = WaitingKind { capability: offer.clone(), agent_filter: filter.clone() };
        self.list.push(kind.into());
        Some(())
    }
}

impl Filters {
    fn is_empty(&self) -> bool {
        self.any.is_none() && self.named.is_none()
    }

    fn get(&self, filter: &AgentFilter) -> Option<QueueCursor> {
        if filter.is_empty() { self.any } else { self.named.as_ref()?.get(filter).copied() }
    }

    /// Sets a cursor; returns whether the filter is new.
    fn set(&mut self, filter: &AgentFilter, cursor: QueueCursor) -> bool {
        if filter.is_empty() {
            return self.any.replace(cursor).is_none();
        }
        let named = self.named.get_or_insert_default();
        if let Some(known) = named.get_mut(filter) {
            *known = cursor;
            return false;
        }
        named.insert(filter.clone(), cursor).is_none()
    }

    /// Removes a filter; returns whether it was there.
    fn remove(&mut self, filter: &AgentFilter) -> bool {
        if filter.is_empty() {
            return self.any.take().is_some();
        }
        let Some(named) = &mut self.named else { return false };
        let was_there = named.remove(filter).is_some();
        if named.is_empty() {
            self.named = None;
        }
        was_there
    }

    /// Iterates over all filters. `None` stands for the filter that every agent matches.
    fn iter(&self) -> impl Iterator<Item = (Option<&AgentFilter>, QueueCursor)> {
        let named = self.named.iter().flat_map(|named| named.iter());
        let named = named.map(|(filter, cursor)| (Some(filter), *cursor));
        self.any.map(|cursor| (None, cursor)).into_iter().chain(named)
    }

    /// Iterates over the filters after `last`.
    fn after(&self, last: &AgentFilter) -> impl Iterator<Item = (Option<&AgentFilter>, QueueCursor)> {
        let start = if last.is_empty() { Bound::Unbounded } else { Bound::Excluded(last) };
        let named = self.named.iter().flat_map(move |named| named.range((start, Bound::Unbounded)));
        named.map(|(filter, cursor)| (Some(filter), *cursor))
    }
}

fn bytes(kind: &WaitingKind) -> usize {
    let beside = if kind.agent_filter.is_empty() { PLAIN_KIND } else { FILTERED_KIND };
    beside + kind.text_bytes()
}
