//! One path, asked for over and over: a list, or a page of the dashboard.

use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;

use crate::client::{Client, Request};
use crate::drive::drive;
use crate::load::Load;
use crate::options::{Defaults, Shared};
use crate::report::Report;
use crate::stop::Stop;
use crate::tally::Tally;
use crate::unit::{GaveUp, Took, Worker, ask};

/// `slamon-bench read`.
#[derive(Debug, Clone, Args)]
pub struct Read {
    #[command(flatten)]
    shared: Shared,
    /// What is asked for, with its query
    #[arg(long)]
    path: String,
    /// What every answer must have in it
    #[arg(long, value_name = "TEXT", default_value = "")]
    has: String,
}

impl Load for Read {
    fn shared(&self) -> &Shared {
        &self.shared
    }

    async fn run(&self, stop: &Stop) -> Result<Report> {
        let is_path = self.path.starts_with('/') && self.path.bytes().all(|byte| byte.is_ascii_graphic());
        ensure!(is_path, "--path: must begin with / and be escaped as in a URL");
        let plan = self.shared.plan(Defaults { connections: 1, ..Defaults::default() })?;
        self.shared.reach().await?;
        let readers = (0..plan.connections).map(|_| Reader {
            client: self.shared.client(),
            request: Request::get(self.shared.address, self.shared.close, &self.path),
            has: self.has.clone().into_bytes(),
        });
        let measured = drive("read", &self.shared, plan, readers.collect(), stop).await?;
        Ok(Report::new("read", &self.shared, 0, measured))
    }
}

struct Reader {
    client: Client,
    request: Request,
    has: Vec<u8>,
}

impl Worker for Reader {
    const STEPS: &'static [&'static str] = &["read"];

    async fn unit(&mut self, _n: u64, tally: &mut Tally) -> Result<Took, GaveUp> {
        let began = Instant::now();
        let body = ask(&mut self.client, &self.request, 0, tally).await?;
        let took = began.elapsed();
        let has_it = self.has.is_empty() || body.windows(self.has.len()).any(|part| part == self.has);
        if has_it { Ok(Took::Only(took)) } else { Err(GaveUp::Failed("read: lacks the text".to_owned())) }
    }
}
