//! The SLAMon Agent Fleet Manager takes tasks over HTTP, hands each to one agent that is capable of it, takes
//! the result and gives it back.
//!
//! A request that changes something becomes one [`Command`](slamon_domain::Command). The
//! [`committer`](dispatch::committer) has the store apply all commands that wait in one transaction, and
//! answers each after the commit. Reads go straight to the store.

#![cfg_attr(
    not(test),
    warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)
)]

pub mod access;
pub mod cli;
pub mod clock;
pub mod config;
mod database;
pub mod dispatch;
pub mod http;
mod logging;
pub mod maintenance;
mod metrics;
pub mod statistics;
mod traces;

// How a static program looks up names.
use slamon_static_nss as _;
