//! The program `slamon-agent`, with real AFMs.

mod arguments;
mod clock;
mod commands;
mod connection;
mod fake;
mod fleet;
mod generated;
mod identity;
mod life;
mod monitoring;
mod network;
mod original;
mod outage;
mod postgres;
mod stop;
mod strange;
mod targets;
mod thousand;
