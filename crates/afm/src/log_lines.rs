//! Log lines on their way to standard error, or to LOG_FILE, which is opened again when logrotate has moved it away.
//!
//! A line that comes alone is written at once. Where they come fast they are gathered, and written together after
//! [`GATHERED`]: under load, a write for each line took as long as a third of all else that a request takes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// How long lines are gathered for.
const GATHERED: Duration = Duration::from_millis(10);

/// How many bytes are gathered; they are written sooner then.
const MOST: usize = 64 * 1_024;

/// Where lines go. All clones are one.
#[derive(Debug, Clone)]
pub(crate) struct LogLines(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: Option<PathBuf>,
    state: Mutex<State>,
    /// Told when the first line is gathered.
    gathering: Condvar,
}

#[derive(Debug)]
struct State {
    /// `None`: standard error.
    file: Option<File>,
    gathered: Vec<u8>,
    written_at: Option<Instant>,
}

impl LogLines {
    /// To the file, which is created if it is not there; without one, to standard error.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let file = path.map(append).transpose()?;
        let state = Mutex::new(State { file, gathered: Vec::new(), written_at: None });
        let lines =
            Self(Arc::new(Inner { path: path.map(Path::to_owned), state, gathering: Condvar::new() }));
        let gatherer = lines.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || gatherer.write_what_is_gathered())?;
        Ok(lines)
    }

    /// Opens the file under its name again; where that fails, lines go on to where they went. `false`: there is no file.
    pub(crate) fn reopen(&self) -> io::Result<bool> {
        let Some(path) = &self.0.path else { return Ok(false) };
        let file = append(path)?;
        let mut state = self.0.lock();
        // What was said before belongs to the file that was there before.
        let _ = state.write_gathered();
        state.file = Some(file);
        Ok(true)
    }

    /// Writes what is gathered, when the program ends.
    pub(crate) fn finish(&self) {
        // There is nobody left to tell.
        let _ = self.0.lock().write_gathered();
    }

    /// For ever, since the last line may come at any time.
    fn write_what_is_gathered(&self) {
        loop {
            let is_empty = |state: &mut State| state.gathered.is_empty();
            let state = self.0.gathering.wait_while(self.0.lock(), is_empty);
            drop(state.unwrap_or_else(PoisonError::into_inner));
            thread::sleep(GATHERED);
            // As a line that could not be written was never more than that.
            let _ = self.0.lock().write_gathered();
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write_gathered(&mut self) -> io::Result<()> {
        let mut lines = std::mem::take(&mut self.gathered);
        let written = if lines.is_empty() { Ok(()) } else { self.write(&lines) };
        // Its room serves the next ones.
        lines.clear();
        self.gathered = lines;
        written
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.written_at = Some(Instant::now());
        match &mut self.file {
            Some(file) => file.write_all(lines),
            None => io::stderr().write_all(lines),
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Write for &LogLines {
    /// Takes one whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        let comes_alone = state.written_at.is_none_or(|at| at.elapsed() >= GATHERED);
        if state.gathered.is_empty() {
            if comes_alone {
                return state.write(line).map(|()| line.len());
            }
            self.0.gathering.notify_one();
        }
        state.gathered.extend_from_slice(line);
        if state.gathered.len() >= MOST {
            state.write_gathered()?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogLines {
    type Writer = &'a LogLines;

    fn make_writer(&'a self) -> &'a LogLines {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_line_that_comes_alone_is_written_at_once_and_those_after_it_together_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let lines = LogLines::open(Some(&path)).unwrap();
        (&lines).write_all(b"0\n").unwrap();
        assert_eq!(read(&path), "0\n");
        let mut expected = "0\n".to_owned();
        for n in 1..20_000 {
            let line = format!("{n}\n");
            (&lines).write_all(line.as_bytes()).unwrap();
            expected.push_str(&line);
        }
        lines.finish();
        assert_eq!(read(&path), expected);
    }

    #[test]
    fn what_is_gathered_is_written_without_being_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let lines = LogLines::open(Some(&path)).unwrap();
        (&lines).write_all(b"first\n").unwrap();
        (&lines).write_all(b"last\n").unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !read(&path).ends_with("last\n") {
            assert!(Instant::now() < deadline, "it was never written");
            thread::yield_now();
        }
    }

    #[test]
    fn what_was_said_before_a_file_was_opened_again_is_in_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
        let lines = LogLines::open(Some(&path)).unwrap();
        (&lines).write_all(b"a\n").unwrap();
        (&lines).write_all(b"b\n").unwrap();
        std::fs::rename(&path, &moved).unwrap();
        assert!(lines.reopen().unwrap());
        (&lines).write_all(b"c\n").unwrap();
        lines.finish();
        assert_eq!((read(&moved).as_str(), read(&path).as_str()), ("a\nb\n", "c\n"));
    }
}
