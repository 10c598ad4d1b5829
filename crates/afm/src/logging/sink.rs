//! The sink gathers log lines and writes them to standard error or LOG_FILE, on the writer's thread.
//!
//! A line that comes alone is written at once. If lines come fast, those of [`GATHERED`] are written
//! together: a write and a wake-up of the thread for each line would take a third of the time of everything
//! else in a request.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::mem;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::queue_state::{LINE_OVERHEAD, QueueState};

/// After a write, lines are gathered for this long.
const GATHERED: Duration = Duration::from_millis(10);

/// At most about this many bytes are written at once.
const MAX_WRITE: usize = 64 * 1_024;

/// An output that takes nothing now, because somebody made it non-blocking, is tried again after this long.
const WRITE_AGAIN: Duration = Duration::from_millis(10);

/// Losses are reported once in this long while the queue does not get empty.
const REPORT_AGAIN: Duration = Duration::from_secs(1);

thread_local! {
    /// The lines that the writer's thread itself logs; `None` on other threads, and while it logs nothing.
    static OWN: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Opens the file to append to it, or standard error.
pub(super) fn open(path: Option<&Path>) -> io::Result<File> {
    let Some(path) = path else {
        // This avoids the lock of `io::stderr`: a write that never ends must not hold up anybody else.
        return Ok(File::from(io::stderr().as_fd().try_clone_to_owned()?));
    };
    let mut options = OpenOptions::new();
    // Opening a named pipe only for writing would wait for a reader.
    if path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo()) {
        options.read(true).write(true);
    } else {
        options.create(true).append(true);
    }
    options.open(path)
}

/// Takes a line that the writer's thread logs, which does not go through the queue. Returns `false` on any
/// other thread.
pub(super) fn take_own(line: &[u8]) -> bool {
    OWN.with_borrow_mut(|own| own.as_mut().map(|own| own.extend_from_slice(line)).is_some())
}

/// Gathers lines and writes them.
#[derive(Debug)]
pub(super) struct Sink {
    output: File,
    path: Option<PathBuf>,
    shared: Arc<QueueState>,
    gathered: Vec<u8>,
    /// The size of what is gathered, as the queue has counted it.
    gathered_size: usize,
    /// The number of lines that could not be written and have not been reported.
    failed: u64,
    reported_at: Option<Instant>,
    /// Whether the last write ended within a line.
    is_torn: bool,
}

impl Sink {
    pub(super) fn new(output: File, path: Option<PathBuf>, shared: Arc<QueueState>) -> Self {
        Self {
            output,
            path,
            shared,
            gathered: Vec::new(),
            gathered_size: 0,
            failed: 0,
            reported_at: None,
            is_torn: false,
        }
    }

    /// Writes what is gathered; returns whether all of it was written.
    fn write_gathered(&mut self) -> bool {
        let lines = mem::take(&mut self.gathered);
        let is_written = lines.is_empty() || self.write_lines(&lines);
        // The buffer is used again.
        self.gathered = lines;
        self.gathered.clear();
        self.shared.done(mem::take(&mut self.gathered_size));
        is_written
    }

    /// Writes lines; returns whether all were written, and counts those that were not.
    fn write_lines(&mut self, lines: &[u8]) -> bool {
        // A torn line is ended, so that the next one begins on a line of its own.
        if self.is_torn && write(&mut self.output, b"\n") == 1 {
            self.is_torn = false;
        }
        let written = if self.is_torn { 0 } else { write(&mut self.output, lines) };
        if let Some(last) = lines[..written].last() {
            self.is_torn = *last != b'\n';
        }
        self.failed += lines[written..].iter().filter(|byte| **byte == b'\n').count() as u64;
        written == lines.len()
    }

    fn report_losses(&mut self) {
        let lost = mem::take(&mut self.failed) + self.shared.dropped.swap(0, Ordering::Relaxed);
        if lost == 0 {
            return;
        }
        self.reported_at = Some(Instant::now());
        // The report is an error, so that it is logged at every LOG_LEVEL.
        let report = own_lines(|| {
            tracing::error!(
                lines = lost,
                "log lines were lost: they could not be written, or not fast enough"
            );
        });
        if !self.write_lines(&report) {
            // The report itself was counted as lost; it is made again instead.
            self.failed = lost;
        }
    }

    fn reopen(&mut self) {
        if !self.shared.reopen.swap(false, Ordering::AcqRel) {
            return;
        }
        self.write_gathered();
        let opened = open(self.path.as_deref());
        let said = own_lines(|| match &opened {
            Ok(_) => tracing::info!("LOG_FILE was opened again"),
            Err(error) => tracing::error!(%error, "could not open LOG_FILE again"),
        });
        if let Ok(file) = opened {
            self.output = file;
            self.is_torn = false;
        }
        self.write_lines(&said);
    }
}

/// Returns the lines that `log` logs on this thread.
fn own_lines(log: impl FnOnce()) -> Vec<u8> {
    OWN.set(Some(Vec::new()));
    log();
    OWN.take().unwrap_or_default()
}

/// Writes bytes; returns how many were written before an error.
fn write(output: &mut impl Write, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match output.write(&bytes[written..]) {
            Ok(0) => break,
            Ok(length) => written += length,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(WRITE_AGAIN),
            Err(_) => break,
        }
    }
    written
}

/// Writing to the sink never fails, since nobody could be told.
impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.gathered_size += line.len() + LINE_OVERHEAD;
        if line.is_empty() {
            self.reopen();
            return Ok(0);
        }
        self.gathered.extend_from_slice(line);
        if self.gathered.len() >= MAX_WRITE {
            let is_due = self.reported_at.is_none_or(|at| at.elapsed() >= REPORT_AGAIN);
            if self.write_gathered() && is_due {
                self.report_losses();
            }
        }
        Ok(line.len())
    }

    /// Takes one whole line; an empty one asks for the file to be opened again.
    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        self.write(line).map(drop)
    }

    /// Called when the queue is empty.
    fn flush(&mut self) -> io::Result<()> {
        self.reopen();
        if self.write_gathered() {
            self.report_losses();
        }
        self.shared.gather(GATHERED);
        Ok(())
    }
}
