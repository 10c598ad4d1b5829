//! The SLAMon Agent Fleet Manager: takes tasks over HTTP, hands each to one agent that is capable of it, takes
//! the result and gives it back.
//!
//! A request becomes one [`Command`](slamon_store::Command); the [`committer`] has the store apply those that
//! wait together, in one transaction, and answers each after the commit. Reads go straight to the store.

#![cfg_attr(
    not(test),
    warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)
)]

pub mod app;
mod background;
mod body;
pub mod cli;
pub mod clock;
pub mod committer;
pub mod config;
mod connections;
mod database;
mod delayed_answers;
mod error;
mod files;
mod health;
pub mod heartbeats;
pub mod known;
mod logging;
mod measures;
mod memory;
mod peer;
mod request_deadline;
mod request_log;
mod retry_after;
pub mod routes;
pub mod server;
mod shutdown;
pub mod sweeper;
pub mod waiters;
