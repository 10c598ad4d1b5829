//! The SLAMon Agent Fleet Manager.

pub mod config;
