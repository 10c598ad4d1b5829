//! The agents of the demo.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join3;
use slamon_agent::handlers::{Command, Environment};
use slamon_agent::{Agent, AgentError, Location};

/// The command that agents execute for tasks of the kind `process`.
pub(super) const COMMAND: &str = "version";

/// Runs agents at three places.
pub(super) async fn run(url: &str, environment: &Arc<Environment>) -> anyhow::Result<()> {
    let agent = |name: &str, country: &str, region: &str, latitude, longitude| -> Result<Agent, AgentError> {
        let location = Location {
            country: country.to_owned(),
            region: region.to_owned(),
            latitude: Some(latitude),
            longitude: Some(longitude),
        };
        let agent = Agent::new(url).name(name).location(location).executors(4);
        agent.default_wait(Duration::from_secs(5)).shutdown_limit(Duration::ZERO).built_in(None, environment)
    };
    let helsinki = agent("Helsinki", "FI", "18", 60.17, 24.94)?;
    let oulu = agent("Oulu", "FI", "14", 65.01, 25.47)?;
    let frankfurt = agent("Frankfurt", "DE", "HE", 50.11, 8.68)?;
    try_join3(helsinki.run(), oulu.run(), frankfurt.run()).await?;
    Ok(())
}

/// What the agents may do: also to execute this program, which says its version.
pub(super) fn environment() -> anyhow::Result<Environment> {
    let version = Command {
        program: std::env::current_exe()?,
        arguments: vec!["--version".to_owned()],
        ..Command::default()
    };
    Ok(Environment { commands: BTreeMap::from([(COMMAND.to_owned(), version)]), ..Environment::default() })
}
