//! The agents of the demo.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join3;
use slamon_agent::handlers::Environment;
use slamon_agent::{Agent, AgentError, Location};

/// Runs agents at three places.
pub(super) async fn run(url: &str) -> anyhow::Result<()> {
    let environment = Arc::new(Environment::default());
    let agent = |name: &str, country: &str, region: &str, latitude, longitude| -> Result<Agent, AgentError> {
        let location = Location {
            country: country.to_owned(),
            region: region.to_owned(),
            latitude: Some(latitude),
            longitude: Some(longitude),
        };
        let agent = Agent::new(url).name(name).location(location).executors(4);
        agent.default_wait(Duration::from_secs(5)).shutdown_limit(Duration::ZERO).built_in(None, &environment)
    };
    let helsinki = agent("Helsinki", "FI", "18", 60.17, 24.94)?;
    let oulu = agent("Oulu", "FI", "14", 65.01, 25.47)?;
    let frankfurt = agent("Frankfurt", "DE", "HE", 50.11, 8.68)?;
    try_join3(helsinki.run(), oulu.run(), frankfurt.run()).await?;
    Ok(())
}
