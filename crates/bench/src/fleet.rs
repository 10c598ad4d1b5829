//! A large fleet: each agent polls at its interval, whatever became of the polls before.
//!
//! First all agents arrive, as fast as the server takes them: each polls once, in a closed loop. Then their polls are
//! spread evenly over the interval, in an open loop.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::Args;

use crate::drive::{Measured, drive};
use crate::ids::Ids;
use crate::load::Load;
use crate::options::{Defaults, Plan, Shared};
use crate::poll::pollers;
use crate::report::Arrival;
use crate::report::Report;
use crate::stop::Stop;

/// `slamon-bench fleet`.
#[derive(Debug, Clone, Args)]
pub struct Fleet {
    #[command(flatten)]
    options: Shared,
    /// How many agents there are
    #[arg(long, default_value = "1000000", value_parser = clap::value_parser!(u64).range(1..))]
    agents: u64,
    /// Seconds between two polls of an agent; also how long the warm-up, which comes after the arrival, and the measured
    /// part are if nothing is said
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    interval: u64,
}

impl Load for Fleet {
    fn shared(&self) -> &Shared {
        &self.options
    }

    async fn run(&self, stop: &Stop) -> Result<Report> {
        ensure!(self.options.rate.is_none(), "--rate: follows from --agents and --interval");
        let interval = self.interval as f64;
        let plan = self.options.plan(Defaults {
            rate: Some(self.agents as f64 / interval),
            warm_up: interval,
            seconds: interval,
            ..Defaults::default()
        })?;
        self.options.reach().await?;
        let ids = Ids::new();
        let arrival = self.arrive(plan, ids, stop).await?;
        let pollers = pollers(&self.options, plan, ids, self.agents);
        let measured = drive("fleet", &self.options, plan, pollers, stop).await?;
        Ok(Report { arrival: Some(arrival), ..Report::new("fleet", &self.options, self.agents, measured) })
    }
}

impl Fleet {
    /// Has each agent poll for the first time.
    async fn arrive(&self, plan: Plan, ids: Ids, stop: &Stop) -> Result<Arrival> {
        let plan =
            Plan { rate: None, warm_up: Duration::ZERO, measured: None, count: Some(self.agents), ..plan };
        let pollers = pollers(&self.options, plan, ids, self.agents);
        let Measured { tally, seconds, .. } = drive("arrival", &self.options, plan, pollers, stop).await?;
        if let Some((why, times)) = tally.errors.first_key_value() {
            bail!("the fleet did not arrive: {times} × {why}");
        }
        ensure!(tally.refused == 0, "the fleet did not arrive: {} × status 503", tally.refused);
        Ok(Arrival { agents: tally.done, seconds })
    }
}
