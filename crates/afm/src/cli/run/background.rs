//! The tasks that run in the background, for as long as the server runs.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::clock::SteadyClock;
use crate::dispatch::notifications;
use crate::http::app::App;
use crate::maintenance::clock_sync::follow_time;
use crate::maintenance::sweeper::{SweepPolicy, Sweeper};

/// The background tasks, which run until this is dropped. They may be stopped anywhere: whatever one command
/// leaves undone, the next one does.
pub(crate) struct Background {
    tasks: JoinSet<()>,
}

impl Background {
    pub(crate) fn start(app: &App, clock: SteadyClock, watch: SweepPolicy) -> Self {
        let mut tasks = JoinSet::new();
        let (committer, heartbeats) = (app.committer.clone(), app.heartbeats.clone());
        tasks.spawn(Sweeper::new(watch, committer, heartbeats.clone(), app.clock.clone()).run());
        let pauses = app.committer.pauses();
        tasks.spawn(notifications::pass_on(
            Arc::clone(&app.store),
            app.cache.clone(),
            app.waiters.clone(),
            app.event_log.clone(),
            pauses.clone(),
            Arc::clone(&app.process_counts),
        ));
        tasks.spawn(app.event_log.clone().keep_published(Arc::clone(&app.store)));
        tasks.spawn(pauses.clone().keep_read());
        tasks.spawn(app.tokens.clone().keep_read());
        tasks.spawn(app.tokens.clone().keep_uses_saved());
        tasks.spawn(app.cache.clone().keep_refreshed(Arc::clone(&app.store)));
        tasks.spawn(heartbeats.clone().keep_small(app.clock.clone()));
        let of_agents = app.clone();
        let active_since = move || {
            let app = of_agents.clone();
            async move { app.active_since().await }
        };
        tasks.spawn(app.statistics.clone().keep_sent(active_since.clone()));
        tasks.spawn(app.statistics.clone().keep_census(app.clock.clone(), active_since));
        tasks.spawn(heartbeats.keep_flushed());
        tasks.spawn(app.statistics.clone().keep_saved());
        tasks.spawn(app.statistics.clone().keep_counted());
        tasks.spawn(app.statistics.clone().keep_purged(app.clock.clone()));
        tasks.spawn(app.statistics.clone().keep_outcomes_saved());
        tasks.spawn(app.statistics.clone().keep_outcomes_purged(app.clock.clone()));
        tasks.spawn(app.tracer.clone().keep_purged(Arc::clone(&app.store), app.clock.clone()));
        tasks.spawn(follow_time(Arc::clone(&app.store), clock));
        Self { tasks }
    }

    /// Waits until a task dies. A task that ends because it has nothing to do does not count.
    pub(crate) async fn death(&mut self) -> anyhow::Error {
        loop {
            match self.tasks.join_next().await {
                Some(Err(error)) => return anyhow::Error::from(error).context("a background task died"),
                Some(Ok(())) => {}
                None => std::future::pending().await,
            }
        }
    }
}
