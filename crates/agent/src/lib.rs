//! An agent of SLAMon: it polls an Agent Fleet Manager (AFM) for tasks, executes them with its handlers, and reports
//! what came out.
//!
//! A handler is an async function from typed input to typed output, under the name and version of the tasks that it
//! executes. This is a whole agent:
//!
//! ```no_run
//! use std::collections::BTreeMap;
//!
//! use slamon_agent::{Agent, AgentError};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), AgentError> {
//!     Agent::new("http://127.0.0.1:8080")
//!         .handler("add", 1, |terms: BTreeMap<String, i64>, _| async move {
//!             Ok(BTreeMap::from([("sum", terms.values().sum::<i64>())]))
//!         })
//!         .run()
//!         .await
//! }
//! ```
//!
//! Errors become the error of the task: a handler returns `Err(Failure::new("…"))`, or uses `?`. [`Context`] tells it
//! until when its result counts, and when nobody waits for it any more.

mod afm;
mod agent;
mod context;
mod delivery;
mod executor;
mod failure;
mod handler;
pub mod handlers;
mod identity;
mod location;
mod metrics;
mod monitoring;
pub mod network;
mod pace;
mod run;
mod spool;

pub use agent::{Agent, AgentError};
pub use context::Context;
pub use failure::Failure;
pub use identity::IdentityError;
pub use location::Location;
pub use slamon_client::{ConnectError, ConnectOptions};
// How a static program looks up names.
use slamon_static_nss as _;
