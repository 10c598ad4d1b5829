//! A client of SLAMon's Agent Fleet Manager (AFM): posts tasks, awaits their results, and manages a fleet.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use slamon_client::{Client, ClientError, NewTask, Outcome};
//!
//! # async fn example() -> Result<(), ClientError> {
//! let client = Client::new("http://127.0.0.1:8080")?;
//! let task = NewTask::new("wait", 1).data(&serde_json::json!({"time": 1}))?;
//! match client.run(&task, Duration::from_secs(60)).await? {
//!     Outcome::Completed(result) => println!("{result}"),
//!     Outcome::Failed(error) => println!("it failed: {error}"),
//! }
//! # Ok(())
//! # }
//! ```

mod agents;
mod backoff;
mod client;
pub mod connection;
mod error;
mod events;
mod health;
mod one_test;
mod overview;
pub mod reason;
mod tasks;
mod tls;
mod types;

pub use agents::{
    Agent, AgentListFilter, AgentLocation, AgentPage, AgentPause, AgentWithTasks, OfferedVersion, RunningTask,
};
pub use backoff::Backoff;
pub use client::Client;
pub use connection::{ConnectError, ConnectOptions};
pub use error::ClientError;
pub use events::{Event, EventFilter, Events, TaskChanged};
pub use one_test::Test;
pub use overview::{
    AgentCounts, AgentsByState, Happened, LastHour, Location, Locations, Minute, OpenTasks, Overview,
    Percentiles, StatusCounts, TypeOverview,
};
pub use tasks::{
    AgentFilter, Change, ChangeAnswer, Changed, Counted, EndedAttempt, ListedTask, NewTask, Order, Outcome,
    Task, TaskAnswer, TaskAttempt, TaskFilter, TaskPage, Waiting, WholeTask,
};
pub use tls::tls_configuration;
pub use types::{OfferingAgents, TaskType, TypePage, TypePause};
