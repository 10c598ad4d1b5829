//! `task get` and `task wait`.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::value::RawValue;
use slamon_client::{Client, ClientError};
use uuid::Uuid;

use super::arguments::{id, seconds};
use super::connection::Connection;
use super::failure::{Ending, Failure};
use super::output::{Output, tell};
use super::show_task::{self, Shown, show_task};

/// `task get`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Get {
    /// The ids of the tasks: of one, all is shown, of several a line each
    #[arg(value_name = "ID", value_parser = id, required = true)]
    ids: Vec<Uuid>,
    #[command(flatten)]
    pub(super) connection: Connection,
}

impl Get {
    pub(super) async fn run(&self, out: &mut Output) -> Result<Ending, Failure> {
        let now = async |client: &Client, id| {
            let task = read(client, id).await?;
            let ending = Shown::read(&task)?.ending().unwrap_or(Ending::Done);
            Ok((task, ending))
        };
        show_each(&self.connection, &self.ids, out, now).await
    }
}

/// `task wait`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Wait {
    /// The ids of the tasks: of one, all is shown, of several a line each
    #[arg(value_name = "ID", value_parser = id, required = true)]
    ids: Vec<Uuid>,
    /// Wait so many seconds at most, for all of them; without it, as long as it takes
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    most: Option<Duration>,
    #[command(flatten)]
    pub(super) connection: Connection,
}

impl Wait {
    pub(super) async fn run(&self, out: &mut Output) -> Result<Ending, Failure> {
        let began = Instant::now();
        let ended = async |client: &Client, id| {
            let left = self.most.map(|most| most.saturating_sub(began.elapsed()));
            wait_for(client, id, left).await
        };
        show_each(&self.connection, &self.ids, out, ended).await
    }
}

/// Reads tasks one after the other, and shows them. One that is unknown keeps none from being shown.
async fn show_each(
    connection: &Connection,
    ids: &[Uuid],
    out: &mut Output,
    read: impl AsyncFn(&Client, Uuid) -> Result<(Box<RawValue>, Ending), Failure>,
) -> Result<Ending, Failure> {
    let client = connection.client()?;
    if let [id] = ids {
        let (task, ending) = read(&client, *id).await?;
        show_task(out, &task, connection.json)?;
        return Ok(ending);
    }
    let mut table = show_task::list();
    let (mut worst, mut failure) = (Ending::Done, None);
    for id in ids {
        match read(&client, *id).await {
            Ok((task, ending)) => {
                worst = worst.max(ending);
                if connection.json {
                    out.raw_json(&task)?;
                    out.flush()?;
                } else {
                    table.row(Shown::read(&task)?.row());
                }
            }
            Err(Failure::Afm(problem @ ClientError::NotFound(_))) => {
                tell(&format!("task {id}: {problem}"));
                worst = worst.max(Ending::Refused);
            }
            Err(problem) => {
                failure = Some(problem);
                break;
            }
        }
    }
    if !connection.json {
        out.lines(table.lines(out.room()))?;
    }
    failure.map_or(Ok(worst), Err)
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
        tell(&format!("task {id} has not ended in time; it goes on"));
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
