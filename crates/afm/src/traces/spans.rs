//! Makes spans of changes.
//!
//! A span is made when it ends, of what the change says. So whichever AFM makes that change sends it, also after a
//! restart; ids are derived from the task, so that all AFMs find the same ones.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use slamon_domain::{AttemptEndName, StateName, Transition};
use uuid::Uuid;

use super::poster::PosterSpan;
use super::sampler::Sampler;

/// What is known of a task that has not ended.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Life {
    /// The span in which it was posted.
    pub(super) poster: Option<PosterSpan>,
    /// Since when it waits, if this AFM has seen that; it stays until it waits again, since a task that is released
    /// waits as if it had not been claimed.
    waiting_since: Option<Timestamp>,
}

impl Life {
    /// The life of a task that was posted in this span.
    pub(super) fn of(poster: Option<PosterSpan>) -> Self {
        Self { poster, waiting_since: None }
    }
}

/// The kinds of spans, as numbers that ids are derived from.
const TASK: u64 = 0;
const WAIT: u64 = 1;
const ATTEMPT: u64 = 2;

/// Makes the spans that have ended with a change.
pub(super) fn ended(change: &Transition, life: &mut Life, sampler: Sampler) -> Vec<SpanData> {
    if !sampler.samples(change.task_id, life.poster) {
        return Vec::new();
    }
    let trace = Trace::of(change, life.poster);
    let mut spans = Vec::new();
    if change.from == Some(StateName::Pending) {
        let began = change.queued_for.map_or(life.waiting_since, |queued| before(change.at, queued));
        if let Some(began) = began {
            spans.push(trace.child("wait", (WAIT, change.at), began, Status::Unset, Vec::new()));
        }
        life.waiting_since = began;
    }
    if let Some(began) = change.ran_for.and_then(|ran| before(change.at, ran)) {
        let outcome = change.attempt_end.map_or(change.to.as_str(), AttemptEndName::as_str);
        let status = match (change.attempt_end, change.to) {
            (Some(AttemptEndName::Cancelled), _) | (None, StateName::Cancelled) => Status::Unset,
            (None, StateName::Completed) => Status::Ok,
            _ => Status::error(outcome),
        };
        let mut attributes = vec![KeyValue::new("slamon.attempt.outcome", outcome)];
        attributes.extend(change.agent_id.map(|id| KeyValue::new("slamon.agent.id", id.to_string())));
        spans.push(trace.child("attempt", (ATTEMPT, began), began, status, attributes));
    }
    let is_released = change.from == Some(StateName::Claimed) && change.attempt_end.is_none();
    if change.to == StateName::Pending && !is_released {
        life.waiting_since = Some(change.at);
    }
    if let Some(began) = change.lived_for.and_then(|lived| before(change.at, lived)) {
        spans.push(trace.root(began));
    }
    spans
}

fn before(at: Timestamp, by: Duration) -> Option<Timestamp> {
    at.checked_sub(by).ok()
}

/// The trace of a task.
struct Trace<'t> {
    change: &'t Transition,
    poster: Option<PosterSpan>,
    trace_id: TraceId,
    root_id: SpanId,
}

impl<'t> Trace<'t> {
    fn of(change: &'t Transition, poster: Option<PosterSpan>) -> Self {
        // A trace id is not zero.
        let own = if change.task_id.is_nil() { Uuid::max() } else { change.task_id };
        let trace_id = poster.map_or(*own.as_bytes(), PosterSpan::trace_id);
        let root_id = span_id(change.task_id, TASK, Timestamp::UNIX_EPOCH);
        Self { change, poster, trace_id: TraceId::from_bytes(trace_id), root_id }
    }

    /// The span of the whole life of the task.
    fn root(&self, began: Timestamp) -> SpanData {
        let change = self.change;
        let status = match change.to {
            StateName::Completed => Status::Ok,
            StateName::Cancelled => Status::Unset,
            end => Status::error(end.as_str()),
        };
        let attributes = vec![
            KeyValue::new("slamon.task.end", change.to.as_str()),
            KeyValue::new("slamon.task.type", change.task_type.clone()),
            KeyValue::new("slamon.task.version", change.task_version),
            KeyValue::new("slamon.test.id", change.test_id.to_string()),
        ];
        let parent = self.poster.map_or(SpanId::INVALID, |poster| SpanId::from_bytes(poster.span_id()));
        let span = self.span("task", self.root_id, parent, began, status, attributes);
        SpanData { parent_span_is_remote: self.poster.is_some(), span_kind: SpanKind::Consumer, ..span }
    }

    /// The span of a part of that life, with the kind and the time that its id is derived from.
    fn child(
        &self,
        name: &'static str,
        (kind, time): (u64, Timestamp),
        began: Timestamp,
        status: Status,
        attributes: Vec<KeyValue>,
    ) -> SpanData {
        let id = span_id(self.change.task_id, kind, time);
        self.span(name, id, self.root_id, began, status, attributes)
    }

    fn span(
        &self,
        name: &'static str,
        id: SpanId,
        parent: SpanId,
        began: Timestamp,
        status: Status,
        mut attributes: Vec<KeyValue>,
    ) -> SpanData {
        attributes.push(KeyValue::new("slamon.task.id", self.change.task_id.to_string()));
        SpanData {
            span_context: SpanContext::new(self.trace_id, id, TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: SystemTime::from(began),
            end_time: SystemTime::from(self.change.at),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: InstrumentationScope::builder("slamon-afm")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        }
    }
}

/// Derives the id of a span from its task, its kind and a time at which no other one of that kind begins or ends.
fn span_id(task: Uuid, kind: u64, time: Timestamp) -> SpanId {
    let (high, low) = task.as_u64_pair();
    let time = time.as_microsecond().cast_unsigned();
    let id = [high, low, kind, time].into_iter().fold(0, |hash, part| mixed(hash ^ part));
    // A span id is not zero.
    SpanId::from_bytes(id.max(1).to_be_bytes())
}

/// The mixing function of SplitMix64, with what it adds before.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests;
