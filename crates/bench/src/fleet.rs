//! A large fleet: each agent polls at its interval, whatever became of the polls before.
//!
//! The agents' polls are spread evenly over the interval. In the first one, which is the warm-up, they register.

use anyhow::{Result, ensure};
use clap::Args;

use crate::options::{Defaults, Shared};
use crate::poll::poll;
use crate::{Load, Report, Stop};

/// `slamon-bench fleet`.
#[derive(Debug, Clone, Args)]
pub struct Fleet {
    #[command(flatten)]
    options: Shared,
    /// How many agents there are
    #[arg(long, default_value = "1000000", value_parser = clap::value_parser!(u64).range(1..))]
    agents: u64,
    /// Seconds between two polls of an agent; also how long the warm-up and the measured part are if nothing is said
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
        poll("fleet", &self.options, plan, self.agents, stop).await
    }
}
