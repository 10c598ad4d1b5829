//! The smallest agent: it adds numbers. `cargo run -p slamon-agent --example add http://127.0.0.1:8080`

use std::collections::BTreeMap;

use slamon_agent::{Agent, AgentError};

#[tokio::main]
async fn main() -> Result<(), AgentError> {
    Agent::new(std::env::args().nth(1).unwrap_or_default())
        .handler("add", 1, |terms: BTreeMap<String, i64>, _| async move {
            Ok(BTreeMap::from([("sum", terms.values().sum::<i64>())]))
        })
        .run()
        .await
}
