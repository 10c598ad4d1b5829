//! Protocol 1 of SLAMon: what BPMS clients, agents and the Agent Fleet Manager say to each other.
//!
//! Wire types and their checks, and nothing else: no I/O, no HTTP, no SQL. A server turns a request body
//! into one of [`PostTask`], [`PollRequest`] or [`ResultPost`]; whatever is wrong with the body comes back
//! as an [`Invalid`] that names the field.
//!
//! ```
//! use slamon_protocol::PostTask;
//!
//! let error = PostTask::parse(r#"{"task_id": "de305d54-75b4-431b-adb2-eb6b9e546013"}"#).unwrap_err();
//! assert_eq!(error.to_string(), "test_id: is required");
//! ```

#![cfg_attr(
    not(test),
    warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)
)]

mod agent;
mod bpms;
mod fields;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod id;
mod invalid;
mod json;
mod limits;
mod scanner;
mod terms;
mod time;
mod value;
mod write;

pub use agent::{
    Capability, LONGEST_WAIT, Location, MOST_RUNNING, PROTOCOL, PollRequest, ResultPost, TaskOutcome,
};
pub use bpms::PostTask;
pub use id::parse_id;
pub use invalid::Invalid;
pub use json::JsonText;
pub use limits::{EXCERPT, Limits, excerpt};
pub use terms::{AgentFilter, LONGEST, MOST_ATTEMPTS, Terms};
pub use time::{iso_time, sql_time};
pub use write::{ArrayWriter, ObjectWriter};
