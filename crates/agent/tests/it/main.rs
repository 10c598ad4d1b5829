//! The program `slamon-agent`, with real AFMs.

mod clock;
mod commands;
mod fake;
mod fleet;
mod generated;
mod identity;
mod life;
mod monitoring;
mod network;
mod original;
mod outage;
mod strange;
mod targets;
mod thousand;
