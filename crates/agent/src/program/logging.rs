//! The log.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// What chooses by module.
const VARIABLE: &str = "SLAMON_AGENT_LOG";

/// Begins to log to standard error: warnings, more with each step of `verbosity`, or what the environment chooses.
pub(super) fn begin(verbosity: u8) -> Result<()> {
    let level = match verbosity {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let chosen = std::env::var(VARIABLE).unwrap_or_default();
    let filter = EnvFilter::builder().with_default_directive(level.into()).parse(&chosen);
    let filter = filter.with_context(|| format!("{VARIABLE}: {chosen:?} chooses nothing to log"))?;
    // Colours are for people: a file or a journal gets none.
    let is_coloured =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_coloured)
        .with_target(false)
        .init();
    // What a panic says may have a secret of a task in it.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "the agent has a fault: a part of it panicked; what it says is left out");
    }));
    Ok(())
}
