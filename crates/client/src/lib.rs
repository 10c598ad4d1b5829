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

mod backoff;
mod client;
pub mod connection;
mod error;
mod events;
mod fleet;
mod task;
mod tasks;
mod tls;

pub use backoff::Backoff;
pub use client::Client;
pub use connection::{ConnectError, ConnectOptions};
pub use error::ClientError;
pub use events::{Event, Events};
pub use fleet::{Agent, AgentPage, Paused, TaskType, Test, TypePage, Unfinished};
pub use task::{AgentFilter, NewTask, Outcome, Task, TaskAnswer, Waiting};
pub use tasks::{Change, ChangeAnswer, Changed, Counted, ListedTask, TaskFilter, TaskPage};
pub use tls::tls_configuration;
