//! The log writer, which all threads share, queues a line or drops it, and never waits.
//!
//! Only the thread of `tracing-appender` takes lines from the queue and waits for whoever reads them. While
//! it waits, the queue fills, and lines that find no room are dropped and counted.

use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;

use super::queue_state::{LINE_OVERHEAD, QueueState};
use super::sink::{self, Sink};

/// This many bytes may be queued, which is some 20,000 lines.
const MAX_QUEUED: usize = 8 * 1_024 * 1_024;

/// At the end of the program, a writer that gets nothing written is waited for this long.
const FLUSH_STALLED: Duration = Duration::from_millis(500);

/// At the end of the program, a writer that is slow is waited for this long.
const FLUSH_SLOW: Duration = Duration::from_secs(5);

/// Queues log lines. All clones share one queue.
#[derive(Debug, Clone)]
pub(crate) struct LogWriter(Arc<SharedLog>);

#[derive(Debug)]
struct SharedLog {
    path: Option<PathBuf>,
    lines: LineQueue,
    /// This is never dropped: its `drop` may wait for a second, and prints to standard output.
    _thread: ManuallyDrop<WorkerGuard>,
}

impl LogWriter {
    /// Opens a writer to the file, which is created if needed, or to standard error.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let shared = Arc::new(QueueState::default());
        let output = sink::open(path)?;
        let sink = Sink::new(output, path.map(Path::to_owned), Arc::clone(&shared));
        let (queue, thread) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(MAX_QUEUED / LINE_OVERHEAD)
            .thread_name("log")
            .finish(sink);
        let lines = LineQueue { queue, shared };
        Ok(Self(Arc::new(SharedLog {
            path: path.map(Path::to_owned),
            lines,
            _thread: ManuallyDrop::new(thread),
        })))
    }

    /// Asks the writer's thread to open the file again under its name, once all lines so far are written.
    /// Returns `false` if there is no file.
    pub(crate) fn reopen(&self) -> bool {
        if self.0.path.is_none() {
            return false;
        }
        let mut lines = self.0.lines.clone();
        lines.shared.reopen.store(true, Ordering::Release);
        // An empty line stands for the request. If it finds no room, the writer sees the flag once the queue
        // is empty.
        lines.push(&[]);
        true
    }

    /// Waits a short time until everything that was logged so far is written.
    pub(crate) fn flush(&self) {
        let shared = &self.0.lines.shared;
        let give_up = Instant::now() + FLUSH_SLOW;
        let mut ending = shared.ending.lock().unwrap_or_else(PoisonError::into_inner);
        *ending = true;
        shared.changed.notify_all();
        while shared.queued.load(Ordering::Acquire) > 0 && Instant::now() < give_up {
            let waited = shared.changed.wait_timeout(ending, FLUSH_STALLED);
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            ending = guard;
            // Nobody reads the lines, which must not keep the program from ending.
            if timeout.timed_out() {
                return;
            }
        }
    }

    /// Returns a guard that calls [`LogWriter::flush`] when it is dropped.
    pub(crate) fn flush_at_end(&self) -> FlushAtEnd {
        FlushAtEnd(self.clone())
    }
}

/// Flushes the log when `main` ends, also by a panic.
#[derive(Debug)]
pub(crate) struct FlushAtEnd(LogWriter);

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// Takes whole lines, as many as there is room for.
#[derive(Debug, Clone)]
pub(crate) struct LineQueue {
    queue: NonBlocking,
    shared: Arc<QueueState>,
}

impl LineQueue {
    /// Queues a line, or counts it as dropped. The channel itself never overflows, since this count is full
    /// earlier.
    fn push(&mut self, line: &[u8]) {
        let size = line.len() + LINE_OVERHEAD;
        if self.shared.queued.fetch_add(size, Ordering::AcqRel) + size > MAX_QUEUED {
            self.shared.queued.fetch_sub(size, Ordering::AcqRel);
            self.shared.dropped.fetch_add(u64::from(!line.is_empty()), Ordering::Relaxed);
        } else {
            // This cannot fail.
            let _ = self.queue.write_all(line);
        }
    }
}

impl Write for LineQueue {
    /// Takes one whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !sink::take_own(line) {
            self.push(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = LineQueue;

    fn make_writer(&'a self) -> LineQueue {
        self.0.lines.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    fn eventually(path: &Path, expected: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while read(path) != expected {
            assert!(Instant::now() < deadline, "{expected:?} was not written: {:?}", read(path));
            std::thread::yield_now();
        }
    }

    fn log(writer: &LogWriter, line: &str) {
        writer.make_writer().write_all(line.as_bytes()).unwrap();
    }

    #[test]
    fn lines_are_written_without_being_asked_for_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let writer = LogWriter::open(Some(&path)).unwrap();
        log(&writer, "0\n");
        eventually(&path, "0\n");
        let mut expected = "0\n".to_owned();
        for n in 1..20_000 {
            let line = format!("{n}\n");
            log(&writer, &line);
            expected.push_str(&line);
        }
        eventually(&path, &expected);
    }

    #[test]
    fn a_flush_waits_for_all_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let writer = LogWriter::open(Some(&path)).unwrap();
        let expected: String = (0..20_000).map(|n| format!("{n}\n")).collect();
        expected.split_inclusive('\n').for_each(|line| log(&writer, line));
        drop(writer.flush_at_end());
        assert_eq!(read(&path), expected);
    }

    #[test]
    fn lines_logged_before_a_file_was_opened_again_are_in_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
        let writer = LogWriter::open(Some(&path)).unwrap();
        log(&writer, "a\n");
        log(&writer, "b\n");
        std::fs::rename(&path, &moved).unwrap();
        assert!(writer.reopen());
        log(&writer, "c\n");
        writer.flush();
        assert_eq!((read(&moved).as_str(), read(&path).as_str()), ("a\nb\n", "c\n"));
    }

    #[test]
    fn whoever_logs_never_waits_and_what_finds_no_room_is_counted() {
        let full = std::io::pipe().unwrap();
        let shared = Arc::new(QueueState::default());
        let sink = Sink::new(std::os::fd::OwnedFd::from(full.1).into(), None, Arc::clone(&shared));
        let (queue, _thread) = NonBlockingBuilder::default().lossy(true).finish(sink);
        let mut lines = LineQueue { queue, shared: Arc::clone(&shared) };
        let line = [&[b'x'; 1_000][..], b"\n"].concat();
        let logged = 2 * MAX_QUEUED / (line.len() + LINE_OVERHEAD);
        (0..logged).for_each(|_| lines.write_all(&line).unwrap());
        let dropped = shared.dropped.load(Ordering::Relaxed);
        let queued = shared.queued.load(Ordering::Relaxed);
        assert!(queued <= MAX_QUEUED && queued > MAX_QUEUED - 2 * 1_024, "{queued}");
        assert!(dropped >= logged as u64 / 3, "{dropped} of {logged}");
        drop(full.0);
    }
}
