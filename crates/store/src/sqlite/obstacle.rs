//! Describes what keeps a database file from being used, with the command that mends it. SQLite itself names
//! neither.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::errors::sqlite_error;
use crate::error::StoreError;

/// Adds to an error of a store its cause in the file system.
pub(super) fn explain(error: StoreError, file: &Path) -> StoreError {
    let Some(code) = sqlite_error(&error).map(|error| error.code) else { return error };
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let shown = file.display();
    let told = match code {
        ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied => found(&file),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Some(format!(
            "another program holds the lock of {shown}: end it, or wait until it is done; `fuser -v \
             {shown}` names it"
        )),
        ErrorCode::NotADatabase => {
            Some(format!("{shown} is no SQLite database: name another file, or move this one away"))
        }
        ErrorCode::DatabaseCorrupt => {
            Some(format!("{shown} is damaged: restore a backup, or run `sqlite3 {shown} .recover`"))
        }
        ErrorCode::DiskFull => {
            Some(format!("there is no room for {shown}: make some; `df -h {shown}` shows how much there is"))
        }
        ErrorCode::SystemIoFailure => Some(format!(
            "the disk of {shown} is full or fails: `df -h {shown}` shows how much room there is, `dmesg` \
             what failed"
        )),
        _ => None,
    };
    let Some(told) = told else { return error };
    match error {
        StoreError::Unavailable(cause) => StoreError::Unavailable(cause.context(told)),
        StoreError::ReadOnly(cause) => StoreError::ReadOnly(cause.context(told)),
        StoreError::Failed(cause) => StoreError::Failed(cause.context(told)),
        error => error,
    }
}

/// The reason why the file system does not let `file` be written, or the files that SQLite keeps beside it.
fn found(file: &Path) -> Option<String> {
    let folder = file.parent()?;
    let Ok(of_folder) = fs::metadata(folder) else { return Some(missing(folder)) };
    if !of_folder.is_dir() {
        return Some(format!("{} is no folder", folder.display()));
    }
    if file.is_dir() {
        return Some(format!("{} is a folder: name a file in it", file.display()));
    }
    let beside = ["-wal", "-shm", "-journal"].map(|end| {
        let mut name = OsString::from(file);
        name.push(end);
        PathBuf::from(name)
    });
    for file in std::iter::once(file).chain(beside.iter().map(PathBuf::as_path)) {
        let Ok(metadata) = fs::metadata(file) else { continue };
        if let Err(errno) = access(file, Access::READ_OK | Access::WRITE_OK) {
            return Some(closed("the file", file, &metadata, errno));
        }
    }
    let errno = access(folder, Access::WRITE_OK | Access::EXEC_OK).err()?;
    Some(format!("{} (SQLite makes files in it)", closed("the folder", folder, &of_folder, errno)))
}

fn missing(folder: &Path) -> String {
    let shown = folder.display();
    match folder.ancestors().find(|folder| folder.exists()) {
        // The file may exist, in a folder that this program may not look into.
        Some(above) if access(above, Access::EXEC_OK).is_err() => {
            format!("the folder {} is closed to {}", above.display(), me())
        }
        _ => format!("the folder {shown} does not exist: make it with `mkdir -p {shown}`"),
    }
}

fn closed(what: &str, path: &Path, metadata: &Metadata, errno: Errno) -> String {
    let shown = path.display();
    match errno {
        Errno::ROFS => format!("{what} {shown} is on a file system that is mounted read-only: remount it"),
        Errno::PERM => format!("{what} {shown} is immutable: as root, run `chattr -i {shown}`"),
        _ => {
            let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
            let mend = match own_id() {
                Some(id) if id == owner => format!("run `chmod u+rwX {shown}`"),
                Some(id) => format!("as root, run `chown {id} {shown}`"),
                None => "change its owner or its mode".to_owned(),
            };
            format!(
                "{what} {shown} cannot be written by {}: it is user {owner}'s, mode {mode:o}; {mend}",
                me()
            )
        }
    }
}

fn me() -> String {
    own_id().map_or_else(|| "this program".to_owned(), |id| format!("user {id}, who runs this program"))
}

/// The id of the user that runs this program.
fn own_id() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|metadata| metadata.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &Path, errno: Errno) -> String {
        closed("the file", path, &fs::metadata(path).unwrap(), errno)
    }

    #[test]
    fn each_obstacle_names_what_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("afm.db");
        fs::write(&file, "").unwrap();
        assert_eq!(found(&file), None);
        for (errno, mend) in [
            (Errno::ROFS, "mounted read-only"),
            (Errno::PERM, "chattr -i"),
            (Errno::ACCESS, "run `chmod u+rwX"),
        ] {
            let told = of(&file, errno);
            assert!(told.contains(mend) && told.contains("afm.db"), "{told}");
        }
        let told = found(&folder.path().join("a/b/afm.db")).unwrap();
        assert!(told.contains(&format!("mkdir -p {}/a/b`", folder.path().display())), "{told}");
        assert!(found(&file.join("afm.db")).unwrap().contains("is no folder"));
        assert!(found(folder.path()).unwrap().contains("name a file in it"));
    }
}
