//! LOG_FILE, opened again when logrotate has moved it away.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// A file that log lines are appended to. All clones are one.
#[derive(Debug, Clone)]
pub(crate) struct LogFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: Mutex<File>,
}

impl LogFile {
    /// Opens the file, and creates it if it is not there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = Mutex::new(append(path)?);
        Ok(Self(Arc::new(Inner { path: path.to_owned(), file })))
    }

    /// Opens the file under its name again; where that fails, lines go on to where they went.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let file = append(&self.0.path)?;
        *self.0.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Write for &LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.file.lock().unwrap_or_else(PoisonError::into_inner).write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.file.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = &'a LogFile;

    fn make_writer(&'a self) -> &'a LogFile {
        self
    }
}
