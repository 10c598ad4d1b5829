//! An agent whose tasks take long: it is told when nobody waits any more, keeps its id and its results over restarts,
//! and says where it is. `cargo run -p slamon-agent --example countdown http://127.0.0.1:8080`

use std::time::Duration;

use serde::{Deserialize, Serialize};
use slamon_agent::{Agent, AgentError, Context, Failure, Location};

#[derive(Deserialize)]
struct From {
    from: u32,
}

#[derive(Serialize)]
struct Reached {
    reached: u32,
}

async fn count(data: From, context: Context) -> Result<Reached, Failure> {
    for left in (0..data.from).rev() {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            // Whatever is returned now is not reported; this is the time to tidy up.
            () = context.cancelled() => return Ok(Reached { reached: left }),
        }
    }
    Ok(Reached { reached: 0 })
}

#[tokio::main]
async fn main() -> Result<(), AgentError> {
    let state = std::env::temp_dir().join("slamon-countdown");
    let location =
        Location { country: "FI".to_owned(), region: "18".to_owned(), latitude: None, longitude: None };
    Agent::new(std::env::args().nth(1).unwrap_or_default())
        .name("countdown")
        .location(location)
        .id_file(state.join("agent-id"))
        .spool(state.join("results"))
        .executors(10)
        .handler("countdown", 1, count)
        .run()
        .await
}
