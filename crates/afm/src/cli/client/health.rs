//! `health`: whether an AFM is ready.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::connection::Connection;
use super::failure::{Ending, Failure};
use super::output::Output;

/// `health`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Health {
    #[command(flatten)]
    connection: Connection,
}

impl Health {
    pub(super) async fn run(&self, out: &mut Output) -> Result<Ending, Failure> {
        // Whoever asks will ask again, and wants to know how it is now.
        self.connection.client()?.retry_for(Duration::ZERO).ready().await?;
        match self.connection.json {
            true => out.json(&json!({ "ready": true }))?,
            false => out.line("ready")?,
        }
        Ok(Ending::Done)
    }
}
