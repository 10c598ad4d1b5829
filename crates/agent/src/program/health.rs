//! `slamon-agent health`: whether an agent is alive.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::command_line::address;

/// `health`.
#[derive(Debug, Args)]
pub(super) struct Health {
    /// Where the agent answers: what its own --listen says
    #[arg(long, value_name = "ADDRESS", env = "SLAMON_AGENT_LISTEN", value_parser = address)]
    listen: String,
}

impl Health {
    /// Asks, and fails where the agent does not answer that it is alive.
    pub(super) fn ask(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = reqwest::Client::builder()
                .no_proxy()
                // Nothing is encrypted, and the library wants to know how.
                .tls_backend_preconfigured(slamon_client::tls_configuration(None, None)?)
                .timeout(Duration::from_secs(5))
                .build()?;
            let asked = client.get(format!("http://{}/healthz", self.listen)).send().await;
            let answer = asked.with_context(|| format!("no agent answers at {}", self.listen))?;
            ensure!(answer.status().is_success(), "the agent at {} answers {}", self.listen, answer.status());
            Ok(slamon_command_line::print(b"alive\n")?)
        })
    }
}
