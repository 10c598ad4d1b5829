//! `wait`: does nothing for some time, as the Python agent does.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Environment;
use crate::context::Context;
use crate::failure::Failure;

/// Waits for some time.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Data {
    /// How many seconds to wait, give or take half a second.
    time: f64,
}

/// The result of a task.
#[derive(Debug, Serialize)]
pub(super) struct Output {
    /// How many seconds it was.
    time: f64,
}

pub(super) async fn execute(data: Data, _: Context, _: Arc<Environment>) -> Result<Output, Failure> {
    let (_, random) = Uuid::new_v4().as_u64_pair();
    let time = data.time - 0.5 + f64::from((random & 0xffff_ffff) as u32) / f64::from(u32::MAX);
    let wait =
        Duration::try_from_secs_f64(time).map_err(|_| Failure::new("sleep length must be non-negative"))?;
    tokio::time::sleep(wait).await;
    Ok(Output { time })
}
