//! Puts an AFM under load over HTTP and says what it did.
//!
//! It speaks protocol 1 only, so that it measures slamon-afm 1.1.0 just as well, and knows nothing of how a server works.
//! Each load is a subcommand of `slamon-bench`, and a [`Load`] that other programs and tests can run:
//!
//! ```no_run
//! use slamon_bench::{Load, Stop};
//!
//! # async fn example() -> anyhow::Result<()> {
//! let life = slamon_bench::parse::<slamon_bench::life::Life>(&["127.0.0.1:8080", "--count", "1000"])?;
//! let report = life.run(&Stop::default()).await?;
//! assert!(report.checks.passed());
//! println!("{report}");
//! # Ok(())
//! # }
//! ```
//!
//! A **unit** is what a load does over and over: a poll, or the whole life of a task. In a closed loop each connection
//! starts its next unit when its last one has ended. In an open loop (`--rate`) units are due at fixed times, whatever
//! became of those before, and how long one took is counted from when it was due: a server that stalls cannot hide the
//! units that it kept from being sent.

pub mod attack;
pub mod backlog;
pub mod bare;
pub mod batches;
mod checks;
pub mod cli;
mod client;
pub mod compare;
pub mod dispatch;
mod drive;
pub mod fleet;
mod ids;
pub mod instructions;
mod latencies;
mod ledger;
pub mod life;
mod load;
mod mix;
mod options;
mod pair;
pub mod poll;
mod processes;
mod progress;
pub mod read;
mod report;
mod schedule;
mod stop;
mod tally;
mod tasks;
mod unit;

pub use checks::Checks;
pub use latencies::Summary;
pub use load::Load;
pub use options::{Shared, parse};
pub use processes::ServerUsage;
pub use report::{Arrival, Report};
pub use stop::Stop;
