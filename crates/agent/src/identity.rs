//! The agent's id, kept in a file: a restarted agent is the same agent.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use slamon_protocol::parse_id;
use uuid::Uuid;

/// An id, and the lock on its file that keeps a second agent from using it.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) id: Uuid,
    _lock: File,
}

/// Why an agent has no id.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("could not read or write the id file {}: {cause}", path.display())]
    File {
        /// The id file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// Another agent uses the id.
    #[error("another agent runs with the id file {}: give this one an id file of its own", .0.display())]
    InUse(PathBuf),
    /// The file has something else in it.
    #[error("the id file {} holds no UUID: correct it, or remove it to get a new id", .0.display())]
    NoId(PathBuf),
}

impl Identity {
    /// Reads the id, and makes a new one where the file does not exist or is empty.
    pub(crate) fn open(path: &Path) -> Result<Self, IdentityError> {
        let failed = |cause| IdentityError::File { path: path.to_owned(), cause };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            // There may be no end of what is read.
            return Err(IdentityError::NoId(path.to_owned()));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(IdentityError::InUse(path.to_owned())),
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let id = if text.trim().is_empty() {
            let id = Uuid::new_v4();
            // All of it is written at once; what a crash leaves is an empty file, which is as good as none.
            file.rewind().and_then(|()| file.write_all(format!("{id}\n").as_bytes())).map_err(failed)?;
            file.sync_all().map_err(failed)?;
            id
        } else {
            parse_id(text.trim()).ok_or_else(|| IdentityError::NoId(path.to_owned()))?
        };
        Ok(Self { id, _lock: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_kept_and_used_by_one_agent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/agent-id");
        let first = Identity::open(&path).unwrap();
        let problem = Identity::open(&path).unwrap_err();
        assert_eq!(
            problem.to_string(),
            format!(
                "another agent runs with the id file {}: give this one an id file of its own",
                path.display()
            )
        );
        let id = first.id;
        drop(first);
        assert_eq!(Identity::open(&path).unwrap().id, id);
    }

    #[test]
    fn a_file_with_something_else_is_left_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "my agent\n").unwrap();
        assert!(matches!(Identity::open(file.path()), Err(IdentityError::NoId(_))));
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "my agent\n");
        assert!(matches!(Identity::open(Path::new("/dev/zero")), Err(IdentityError::NoId(_))));
    }
}
