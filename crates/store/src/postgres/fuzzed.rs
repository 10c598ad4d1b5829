//! What must hold of any database URI and any notification at all. Fuzz targets call these, and tests, with
//! what fuzzing has found.

use std::sync::Arc;
use std::time::Duration;

use slamon_domain::{Applied, KindCursor};
use slamon_protocol::AgentFilter;

use super::notifications::{self, InstanceId, MAX_TASKS_PER_KIND};
use super::uri::{ConnectionTarget, options};
use crate::event::{Published, StoreEvent};

/// What no message shows, wherever it stands in a URI.
const SECRET: &str = "s3cret";

/// Reads a database URI. Password files that it names are not read: they may be without end.
pub fn database_uri(uri: &[u8]) {
    let Ok(uri) = str::from_utf8(uri) else { return };
    if uri.contains("passfile") {
        return;
    }
    match ConnectionTarget::parse(uri, &|_| None, Duration::from_secs(10)) {
        Ok(target) => {
            assert!(!target.hosts.is_empty());
            assert!(target.hosts.iter().all(|host| !target.configs(host).is_empty()));
            let settings = target.options.as_deref().and_then(options::settings).unwrap_or_default();
            assert!(settings.iter().all(|(name, _)| !name.contains('-')));
        }
        Err(error) => {
            let message = format!("{error} {error:?}");
            assert!(!message.contains(SECRET), "{message}");
        }
    }
}

/// Reads a notification, sends what it says again, and reads that.
pub fn notification(payload: &[u8]) {
    let Ok(payload) = str::from_utf8(payload) else { return };
    let read = |payload: &str| {
        let text = notifications::of_others(payload, InstanceId::random());
        text.map(notifications::events).unwrap_or_default()
    };
    let events = read(payload);
    assert!(events.len() <= MAX_TASKS_PER_KIND.max(payload.len() / 32));
    let mut applied = Applied::default();
    let mut changed = Vec::new();
    for event in &events {
        match event {
            StoreEvent::TaskWaiting(waiting) => applied.waiting.push(waiting.clone()),
            StoreEvent::TaskEnded(id) => applied.ended.push(*id),
            StoreEvent::CancellationPending(id) => applied.pending_cancellations.push(*id),
            StoreEvent::PausesChanged => applied.pauses_changed = true,
            StoreEvent::Changed(changes) => changed.extend(changes.iter().cloned().map(Arc::new)),
            StoreEvent::EventsMissed
            | StoreEvent::ListeningStopped
            | StoreEvent::NotListening
            | StoreEvent::ChangesMissed
            | StoreEvent::Watched => return,
        }
    }
    assert!(applied.waiting.iter().all(|KindCursor { kind, .. }| {
        AgentFilter::from_key(&kind.agent_filter.key()).is_ok_and(|filter| filter == kind.agent_filter)
    }));
    let mut payloads = notifications::payloads(InstanceId::random(), &applied);
    if !changed.is_empty() {
        let changed = Published::Changed(changed);
        payloads.extend(notifications::published_payloads(InstanceId::random(), &changed));
    }
    let again: Vec<StoreEvent> = payloads.iter().flat_map(|payload| read(payload)).collect();
    assert!(again == events || again == [StoreEvent::EventsMissed], "{again:?}");
}

#[cfg(test)]
mod tests {
    use slamon_testbed::replay_corpus;

    #[test]
    fn database_uris_of_the_corpus() {
        replay_corpus("database_uri", super::database_uri);
    }

    #[test]
    fn notifications_of_the_corpus() {
        replay_corpus("notification", super::notification);
    }
}
