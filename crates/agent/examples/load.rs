//! An agent that tells how busy its machine is: typed input with a default, typed output, errors by `?`.
//! `cargo run -p slamon-agent --example load http://127.0.0.1:8080`

use serde::{Deserialize, Serialize};
use slamon_agent::{Agent, AgentError, Context, Failure};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// With more than this the task fails.
    #[serde(default = "any")]
    most: f64,
}

#[derive(Serialize)]
struct Load {
    one_minute: f64,
}

fn any() -> f64 {
    f64::INFINITY
}

async fn load(wanted: Wanted, _: Context) -> Result<Load, Failure> {
    let text = tokio::fs::read_to_string("/proc/loadavg").await?;
    let one_minute: f64 = text.split(' ').next().unwrap_or_default().parse()?;
    if one_minute > wanted.most {
        return Err(Failure::new(format!("the load is {one_minute}, expected at most {}", wanted.most)));
    }
    Ok(Load { one_minute })
}

#[tokio::main]
async fn main() -> Result<(), AgentError> {
    let url = std::env::args().nth(1).unwrap_or_default();
    Agent::new(url).name("load").handler("load", 1, load).run().await
}
