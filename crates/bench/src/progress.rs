//! Shows on a terminal how far a run is.

use std::fmt::Write;
use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::options::Plan;

/// How often it is drawn.
const DRAW: Duration = Duration::from_millis(200);

/// Counts of all units so far, also of those in the warm-up.
#[derive(Debug, Default)]
pub(crate) struct Live {
    done: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl Live {
    pub(crate) fn done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// A progress bar on standard error, gone when this is dropped; nothing where that is no terminal.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    /// What the bar runs over: units if they are counted, else milliseconds.
    counted: bool,
}

impl Progress {
    pub(crate) fn new(what: &str, plan: Plan, quiet: bool) -> Self {
        let bar = (!quiet && stderr().is_terminal()).then(|| {
            let time = plan.warm_up + plan.measured.unwrap_or_default();
            let bar = ProgressBar::new(plan.count.unwrap_or(time.as_millis() as u64));
            let style = ProgressStyle::with_template("{prefix} [{bar:40}] {msg}").expect("it is well-formed");
            bar.with_style(style.progress_chars("=> ")).with_prefix(what.to_owned())
        });
        Self { bar, started: Instant::now(), counted: plan.count.is_some() }
    }

    /// Shows what has been done until `work` has ended.
    pub(crate) async fn show_until<T>(&self, live: &Live, work: impl Future<Output = T>) -> T {
        let Some(bar) = &self.bar else { return work.await };
        let drawing = async {
            let mut before = live.done.load(Ordering::Relaxed);
            let mut every = tokio::time::interval(DRAW);
            every.tick().await;
            loop {
                every.tick().await;
                let done = live.done.load(Ordering::Relaxed);
                self.draw(bar, live, done, (done - before) as f64 / DRAW.as_secs_f64());
                before = done;
            }
        };
        tokio::select! {
            done = work => done,
            () = drawing => unreachable!("it draws for ever"),
        }
    }

    fn draw(&self, bar: &ProgressBar, live: &Live, done: u64, rate: f64) {
        bar.set_position(if self.counted { done } else { self.started.elapsed().as_millis() as u64 });
        let mut message = format!("{rate:.0}/s");
        for (what, count) in [("refused", &live.refused), ("errors", &live.failed)] {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                let _ = write!(message, ", {count} {what}");
            }
        }
        bar.set_message(message);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
