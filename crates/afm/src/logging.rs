//! Logging: decides which lines are written, what they look like, and where they go.

pub(crate) mod failure_log;
mod queue_state;
pub(crate) mod repeats;
mod sink;
mod writer;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Debug;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use anyhow::Context;
use slamon_protocol::iso_time;
use tracing::Level;
use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::clock::Clock;
use crate::config::{Config, LogFormat};

pub(crate) use writer::LogWriter;

/// Starts logging: lines of this program from LOG_LEVEL on, and of libraries from warnings on, go to LOG_FILE
/// or to standard error. Returns the writer, which opens the file again when it has been moved away.
pub(crate) fn start(config: &Config) -> anyhow::Result<LogWriter> {
    let path = config.log_file.as_deref();
    let log = LogWriter::open(path);
    let log = log.with_context(|| match path {
        Some(path) => format!("could not open LOG_FILE {}", path.display()),
        None => "could not open standard error for log lines".to_owned(),
    })?;
    let colours = path.is_none() && std::io::stderr().is_terminal();
    let libraries = config.log_level.min(Level::WARN);
    let targets = Targets::new()
        .with_default(libraries)
        .with_target("slamon_afm", config.log_level)
        .with_target("slamon_store", config.log_level);
    let lines = fmt::layer()
        .with_writer(log.clone())
        .with_ansi(colours)
        .with_target(false)
        .with_timer(UtcTime(Clock::system()));
    let lines = match config.log_format {
        // Names and values have no styles, which would take longer than the rest of the line.
        LogFormat::Text => lines.fmt_fields(debug_fn(write_field).delimited(" ")).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(targets)).try_init()?;
    // The default hook writes to standard error on the thread that panics, which would stall if nobody reads
    // that.
    std::panic::set_hook(Box::new(log_panic));
    Ok(log)
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let backtrace =
        (backtrace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(&backtrace));
    let thread = std::thread::current();
    tracing::error!(thread = thread.name(), backtrace, "{panic}");
}

fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    match field.name() {
        "message" => write!(writer, "{value:?}"),
        name => {
            writer.write_str(name)?;
            write!(writer, "={value:?}")
        }
    }
}

/// Formats times such as `2026-11-22T19:23:01.621614Z`.
struct UtcTime(Clock);

impl FormatTime for UtcTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        let time = iso_time(self.0.now());
        writer.write_str(time.trim_end_matches("+00:00"))?;
        writer.write_char('Z')
    }
}
