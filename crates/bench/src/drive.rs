//! Runs workers, one a connection, in a closed or an open loop.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use crate::options::{Plan, Shared};
use crate::processes::{ServerUsage, Usage};
use crate::progress::{Live, Progress};
use crate::schedule::{Due, Schedule};
use crate::stop::Stop;
use crate::tally::{Shards, Tally, Times};
use crate::unit::{GaveUp, Took, Worker};

/// How long after the end of an open loop units that were due before it may still start.
const LATE: Duration = Duration::from_secs(1);

/// What was measured.
pub(crate) struct Measured {
    pub(crate) plan: Plan,
    pub(crate) tally: Tally,
    pub(crate) times: Times,
    /// How long the measured part was.
    pub(crate) seconds: f64,
    /// Units of an open loop that were due, and for which no connection was free until the end.
    pub(crate) unsent: u64,
    pub(crate) server: Option<ServerUsage>,
    /// Processor time of this process in the measured part, in seconds.
    pub(crate) client_cpu_seconds: f64,
}

/// Has each of `workers` do units until the end of the plan, or until `stop`.
pub(crate) async fn drive<W: Worker>(
    what: &str,
    shared: &Shared,
    plan: Plan,
    workers: Vec<W>,
    stop: &Stop,
) -> Result<Measured> {
    let run = Arc::new(Run::new(plan, stop));
    let pacer = run.pace();
    let mut before = Usage::of(shared.pid)?;
    let shards = Shards::new(W::STEPS.len());
    let mut running = JoinSet::new();
    for (place, worker) in workers.into_iter().enumerate() {
        running.spawn(Arc::clone(&run).work(worker, shards.tally(place, W::STEPS)));
    }
    let progress = Progress::new(what, plan, shared.quiet);
    if !plan.warm_up.is_zero() {
        let warm = tokio::time::Instant::from_std(run.measured_from);
        progress
            .show_until(&run.live, async {
                tokio::select! {
                    () = tokio::time::sleep_until(warm) => {}
                    () = stop.asked() => {}
                }
            })
            .await;
        before = Usage::of(shared.pid)?;
    }
    let mut ended = Vec::new();
    let all = async {
        while let Some(worker) = running.join_next().await {
            ended.push(worker.context("a worker died")?);
        }
        anyhow::Ok(())
    };
    progress.show_until(&run.live, run.until_ended(all)).await?;
    let after = Usage::of(shared.pid)?;
    let elapsed = run.measured_from.elapsed();
    drop(progress);
    if let Some(pacer) = pacer {
        pacer.join().map_err(|_| anyhow::anyhow!("the pacer died"))?;
    }

    let mut finishing = JoinSet::new();
    for (mut worker, mut tally) in ended {
        finishing.spawn(async move {
            tally.measuring = false;
            worker.finish(&mut tally).await;
            tally
        });
    }
    let mut tally = shards.tally(0, W::STEPS);
    while let Some(finished) = finishing.join_next().await {
        tally.add(finished.context("a worker died")?);
    }
    Ok(Measured {
        plan,
        seconds: run.measured(&tally, elapsed).as_secs_f64(),
        unsent: run.unsent(),
        server: after.server.zip(before.server).map(|(after, before)| ServerUsage::between(before, after)),
        client_cpu_seconds: after.own_cpu_seconds - before.own_cpu_seconds,
        tally,
        times: shards.sum(W::STEPS.len()),
    })
}

/// What the workers of a run share.
struct Run {
    measured_from: Instant,
    /// When the last unit starts, at the latest.
    end: Option<Instant>,
    plan: Plan,
    pace: Pace,
    live: Live,
    stop: Stop,
}

enum Pace {
    Closed { started: AtomicU64, measured: AtomicU64 },
    Open(Arc<Schedule>),
}

impl Run {
    fn new(plan: Plan, stop: &Stop) -> Self {
        let start = Instant::now();
        let measured_from = start + plan.warm_up;
        let pace = match plan.rate {
            Some(rate) => Pace::Open(Arc::new(Schedule::new(start, rate, plan.units(rate)))),
            None => Pace::Closed { started: AtomicU64::new(0), measured: AtomicU64::new(0) },
        };
        let end = plan.measured.map(|time| measured_from + time);
        Self { measured_from, end, plan, pace, live: Live::default(), stop: stop.clone() }
    }

    /// Starts the thread that lets units go when they are due.
    fn pace(&self) -> Option<thread::JoinHandle<()>> {
        let Pace::Open(schedule) = &self.pace else { return None };
        let (schedule, stop) = (Arc::clone(schedule), self.stop.clone());
        Some(thread::spawn(move || schedule.run(&stop)))
    }

    async fn work<W: Worker>(self: Arc<Self>, mut worker: W, mut tally: Tally) -> (W, Tally) {
        while let Some(due) = self.next().await {
            tally.measuring = due.at >= self.measured_from;
            let began = Instant::now();
            match worker.unit(due.n, &mut tally).await {
                Ok(took) => {
                    let now = Instant::now();
                    let took = match took {
                        Took::AllOfIt => now - due.at,
                        Took::Only(part) => (began - due.at) + part,
                    };
                    tally.done(took, now);
                    self.live.done();
                }
                Err(GaveUp::Refused) => {
                    tally.refused();
                    self.live.refused();
                }
                Err(GaveUp::Failed(why)) => {
                    tally.failed(why);
                    self.live.failed();
                }
            }
        }
        (worker, tally)
    }

    /// The next unit; `None`: there is none.
    async fn next(&self) -> Option<Due> {
        if self.stop.is_asked() {
            return None;
        }
        let (started, measured) = match &self.pace {
            Pace::Open(schedule) => return schedule.next().await,
            Pace::Closed { started, measured } => (started, measured),
        };
        let now = Instant::now();
        if self.end.is_some_and(|end| now >= end) {
            return None;
        }
        if let Some(count) = self.plan.count
            && now >= self.measured_from
            && measured.fetch_add(1, Ordering::Relaxed) >= count
        {
            return None;
        }
        Some(Due { n: started.fetch_add(1, Ordering::Relaxed), at: now })
    }

    /// Waits until all workers have ended; tells those that wait for a unit when there will be none.
    async fn until_ended(&self, all: impl Future<Output = Result<()>>) -> Result<()> {
        let Pace::Open(schedule) = &self.pace else { return all.await };
        let late = async {
            match self.end {
                Some(end) => tokio::time::sleep_until((end + LATE).into()).await,
                None => std::future::pending().await,
            }
        };
        let mut all = pin!(all);
        tokio::select! {
            ended = &mut all => return ended,
            () = late => {}
            () = self.stop.asked() => {}
        }
        schedule.close();
        all.await
    }

    /// How long the measured part was, seen `elapsed` after its start.
    fn measured(&self, tally: &Tally, elapsed: Duration) -> Duration {
        let last = tally.last_done.map_or(elapsed, |last| last - self.measured_from);
        match self.plan.measured {
            // A server that dies early has done little in all of the time, not much in some of it.
            Some(planned) if self.plan.count.is_none() && !self.stop.is_asked() => last.max(planned),
            _ => last,
        }
    }

    fn unsent(&self) -> u64 {
        match &self.pace {
            Pace::Open(schedule) if !self.stop.is_asked() => schedule.left(),
            _ => 0,
        }
    }
}
