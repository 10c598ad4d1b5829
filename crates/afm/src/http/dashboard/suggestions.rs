//! What fields offer while somebody writes into them: types, agents and places that are known.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use slamon_protocol::JsonText;
use slamon_store::StoreError;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::agents::{all, capabilities};
use crate::http::app::App;

/// So many agents are looked at, those seen last.
const AGENTS: u32 = 100;

/// At most so many of a kind are offered.
const MOST: usize = 200;

/// A name that is longer is not offered: fields show one line.
const LONGEST: usize = 200;

/// Fields are of use without them, too, so that nobody waits for longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// They are offered for so long to all who ask.
const FRESH: Duration = Duration::from_secs(10);

/// What is offered, as the lists that fields name.
#[derive(Debug, Default, Template)]
#[template(path = "dashboard/suggestions.html")]
pub(super) struct Suggestions {
    types: BTreeSet<String>,
    /// Ids with names.
    agents: Vec<(String, String)>,
    names: BTreeSet<String>,
    countries: BTreeSet<String>,
    regions: BTreeSet<String>,
}

/// What was read last, and when. Whoever reads holds the lock.
#[derive(Default)]
pub(super) struct Known(Mutex<Option<(Instant, Arc<Suggestions>)>>);

impl Known {
    /// Returns what is known, or nothing where the store does not tell in time.
    pub(super) async fn get(&self, app: &App) -> Arc<Suggestions> {
        let known = tokio::time::timeout(PATIENCE, self.read(app)).await;
        known.ok().and_then(Result::ok).unwrap_or_default()
    }

    async fn read(&self, app: &App) -> Result<Arc<Suggestions>, StoreError> {
        let mut known = self.0.lock().await;
        if let Some((at, known)) = &*known
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(known));
        }
        let fresh = Arc::new(Suggestions::read(app).await?);
        *known = Some((Instant::now(), Arc::clone(&fresh)));
        Ok(fresh)
    }
}

impl Suggestions {
    async fn read(app: &App) -> Result<Self, StoreError> {
        let mut known = Self::default();
        let figures = app.overview_figures().await?;
        for capability in figures.types.iter().filter_map(|of_type| of_type.capability.as_ref()) {
            add(&mut known.types, &capability.task_type);
        }
        let agents = app.store.list_agents(all(app.active_since().await, AGENTS)).await?;
        for agent in agents.items {
            for (task_type, _) in capabilities(&agent).unwrap_or_default() {
                add(&mut known.types, &task_type);
            }
            let (country, region) = place(agent.location.as_ref());
            add(&mut known.countries, &country);
            add(&mut known.regions, &region);
            add(&mut known.names, &agent.name);
            known.agents.push((agent.id.to_string(), agent.name));
        }
        Ok(known)
    }
}

fn add(known: &mut BTreeSet<String>, text: &str) {
    if !text.is_empty() && text.len() <= LONGEST && known.len() < MOST && !known.contains(text) {
        known.insert(text.to_owned());
    }
}

fn place(location: Option<&JsonText>) -> (String, String) {
    let location = location.and_then(|text| serde_json::from_str::<serde_json::Value>(text.as_str()).ok());
    let get = |name| location.as_ref().and_then(|at| Some(at.get(name)?.as_str()?.to_owned()));
    (get("country").unwrap_or_default(), get("region").unwrap_or_default())
}
