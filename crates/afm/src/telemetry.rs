//! Where log lines go.

use std::io::IsTerminal;

use anyhow::Context;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::{Config, LogFormat};
use crate::log_file::LogFile;

/// Sends log lines of this program at LOG_LEVEL and up to LOG_FILE or standard error; those of the libraries
/// below it only from warnings up. Gives the file, to be opened again when it has been moved away.
pub(crate) fn start(config: &Config) -> anyhow::Result<Option<LogFile>> {
    let log_file = match &config.log_file {
        None => None,
        Some(path) => {
            let file = LogFile::open(path);
            Some(file.with_context(|| format!("LOG_FILE {} cannot be written", path.display()))?)
        }
    };
    let (writer, colours) = match &log_file {
        None => (BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal()),
        Some(file) => (BoxMakeWriter::new(file.clone()), false),
    };
    let libraries = config.log_level.min(Level::WARN);
    let targets = Targets::new()
        .with_default(libraries)
        .with_target("slamon_afm", config.log_level)
        .with_target("slamon_store", config.log_level);
    let lines = fmt::layer().with_writer(writer).with_ansi(colours).with_target(false);
    let lines = match config.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(targets)).try_init()?;
    Ok(log_file)
}
