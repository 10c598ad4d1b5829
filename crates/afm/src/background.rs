//! What goes on without a request: sweeps, what is known by heart, hints from other AFMs, and the database's time.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use slamon_store::Store;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::app::App;
use crate::clock::{Clock, DatabaseClock};
use crate::committer::Committer;
use crate::known::Known;
use crate::sweeper::{Sweeper, Watch};

/// How often to ask the database what time it is.
const CLOCK_AGAIN: Duration = Duration::from_secs(60);

/// How long the answer may take to be of use.
const LONGEST_TRIP: SignedDuration = SignedDuration::from_millis(500);

/// How often to ask one that did not answer in time.
const DATABASE_AGAIN: Duration = Duration::from_secs(1);

/// How often what there is for agents is read anew, and when they were seen is saved.
const KNOWN_AGAIN: Duration = Duration::from_secs(1);

/// Saving when agents were seen may take a tenth of the time, no more.
const SHARE_OF_SAVING: u32 = 10;

/// How often silent agents are looked for, to make room.
const ROOM_AGAIN: Duration = Duration::from_secs(600);

/// Agents that are silent for longer need not be known by heart.
const LONG_SILENCE: Duration = Duration::from_secs(3_600);

/// How many hints may wait to be passed on.
const HINTS: usize = 1_024;

/// Tasks that run until this is dropped. They end where they are: what they do is one command at a time, and made
/// up for by the next.
pub(crate) struct Background {
    tasks: JoinSet<()>,
}

impl Background {
    pub(crate) fn start(app: &App, clock: DatabaseClock, watch: Watch) -> Self {
        let mut tasks = JoinSet::new();
        let sweeper = Sweeper::new(watch, app.clock.now());
        tasks.spawn(sweeper.run(app.committer.clone(), app.clock.clone()));
        tasks.spawn(pass_on_hints(app.clone()));
        tasks.spawn(look_around(app.committer.clone()));
        tasks.spawn(save_seen(app.committer.clone()));
        tasks.spawn(make_room(app.known.clone(), app.clock.clone()));
        tasks.spawn(follow_database(Arc::clone(&app.store), clock));
        Self { tasks }
    }

    /// Waits for one of them to die. Some end early, where there is nothing for them to do.
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

async fn pass_on_hints(app: App) {
    let (sender, mut hints) = mpsc::channel(HINTS);
    let pass_on = async {
        while let Some(hint) = hints.recv().await {
            // Who is woken asks what is known.
            app.known.hint(&hint);
            app.wakeups.hint(&hint);
        }
    };
    tokio::join!(app.store.listen(sender), pass_on);
}

/// What other AFMs have done may not have been heard.
async fn look_around(committer: Committer) {
    loop {
        if let Err(error) = committer.look_around().await {
            // Every poll asks the store then, which says so louder.
            tracing::debug!(error = format!("{error:#}"), "what waits is not known");
        }
        tokio::time::sleep(KNOWN_AGAIN).await;
    }
}

async fn save_seen(committer: Committer) {
    loop {
        let began = Instant::now();
        // What fails is logged by the committer, and saved the next time.
        let _ = committer.save_seen().await;
        tokio::time::sleep(KNOWN_AGAIN.max(began.elapsed() * SHARE_OF_SAVING)).await;
    }
}

async fn make_room(known: Known, clock: Clock) {
    loop {
        tokio::time::sleep(ROOM_AGAIN).await;
        known.forget_silent(LONG_SILENCE, clock.now());
    }
}

async fn follow_database(store: Arc<dyn Store>, clock: DatabaseClock) {
    loop {
        match set_clock(&*store, &clock).await {
            Asked::NoClock => return,
            Asked::Set => tokio::time::sleep(CLOCK_AGAIN).await,
            Asked::Away => tokio::time::sleep(DATABASE_AGAIN).await,
        }
    }
}

/// What came of asking the database what time it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The clock is set.
    Set,
    /// The database has no time of its own.
    NoClock,
    /// It did not answer.
    Away,
}

/// Sets the clock to the database's.
pub(crate) async fn set_clock(store: &dyn Store, clock: &DatabaseClock) -> Asked {
    let machine = Clock::system();
    let before = machine.now();
    match store.time().await {
        // Half of a long wait would be a wrong clock for a minute.
        Ok(Some(_)) if machine.now().duration_since(before) > LONGEST_TRIP => Asked::Away,
        Ok(Some(time)) => {
            clock.set(time, before, machine.now());
            Asked::Set
        }
        Ok(None) => Asked::NoClock,
        Err(error) => {
            // Whoever needs it will say so louder.
            tracing::debug!(error = format!("{error:#}"), "the database's time is not known");
            Asked::Away
        }
    }
}
