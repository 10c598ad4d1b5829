//! `task get` and `task wait`.

use std::time::Duration;

use clap::Args;
use serde_json::value::RawValue;
use slamon_client::{Client, ClientError};
use uuid::Uuid;

use super::connection::{Connection, seconds};
use super::failure::{Ending, Failure};
use super::output::{Output, tell};
use super::show_task::{Shown, show_task};

/// `task get`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Get {
    /// The id of the task
    #[arg(value_name = "ID")]
    id: Uuid,
    #[command(flatten)]
    pub(super) connection: Connection,
}

impl Get {
    pub(super) async fn run(&self, out: &mut Output) -> Result<Ending, Failure> {
        let task = read(&self.connection.client()?, self.id).await?;
        show_task(out, &task, self.connection.json)?;
        Ok(Shown::read(&task)?.ending().unwrap_or(Ending::Done))
    }
}

/// `task wait`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Wait {
    /// The id of the task
    #[arg(value_name = "ID")]
    id: Uuid,
    /// Wait so many seconds at most; without it, as long as it takes
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    most: Option<Duration>,
    #[command(flatten)]
    pub(super) connection: Connection,
}

impl Wait {
    pub(super) async fn run(&self, out: &mut Output) -> Result<Ending, Failure> {
        let (task, ending) = wait_for(&self.connection.client()?, self.id, self.most).await?;
        show_task(out, &task, self.connection.json)?;
        Ok(ending)
    }
}

/// Waits until a task has ended, and gives it as it is then, or once the time is over.
pub(super) async fn wait_for(
    client: &Client,
    id: Uuid,
    most: Option<Duration>,
) -> Result<(Box<RawValue>, Ending), Failure> {
    let waited = client.wait_for(id, most.unwrap_or(Duration::MAX)).await;
    match waited {
        Ok(_) | Err(ClientError::NotEnded(_)) => {}
        Err(problem) => return Err(problem.into()),
    }
    let task = read(client, id).await?;
    // It may have ended while it was read.
    let ending = Shown::read(&task)?.ending().unwrap_or(Ending::NotEnded);
    if ending == Ending::NotEnded {
        let time = most.unwrap_or_default().as_secs_f64();
        tell(&format!("task {id} has not ended within {time} s; it goes on"));
    }
    Ok((task, ending))
}

/// Reads a task with all that is known of it.
async fn read(client: &Client, id: Uuid) -> Result<Box<RawValue>, Failure> {
    let id = id.to_string();
    match client.get(&["api", "v1", "tasks", &id], &[]).await {
        // The original AFM has no management API.
        Err(ClientError::NotFound(_)) => Ok(client.get(&["task", &id], &[]).await?),
        answer => Ok(answer?),
    }
}
