//! Results that the AFM does not have yet, on disk: an outage or a restart loses none.
//!
//! Each is a file of its own, named by its place in the order in which results came, and holds the body that is posted. It
//! may say what only those may know who may ask the AFM, so that no other user can read it.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::value::RawValue;
use uuid::Uuid;

/// A spool with so many results is full,
const MOST: usize = 10_000;
/// and one with so many bytes of them: they are in memory, too.
const MOST_BYTES: usize = 64 << 20;
/// The file that keeps other agents from using the folder.
const LOCK: &str = "lock";

/// The results that wait, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Spool {
    /// `None`: nothing is kept on disk.
    folder: Option<Folder>,
    results: VecDeque<Spooled>,
    bytes: usize,
    next: u64,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    _lock: File,
}

/// A result that waits to be delivered.
#[derive(Debug, Clone)]
pub(crate) struct Spooled {
    place: u64,
    pub(crate) task_id: Uuid,
    /// The body of `POST /tasks/response`.
    pub(crate) body: Arc<RawValue>,
}

impl Spool {
    /// A spool that keeps results only as long as the agent runs.
    pub(crate) fn in_memory() -> Self {
        Self { folder: None, results: VecDeque::new(), bytes: 0, next: 1 }
    }

    /// Opens a folder, and reads what an earlier run has left. A file that cannot be read as a result is put aside,
    /// as `NAME.unreadable`. A folder that is there keeps its mode.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let folder = Folder { path: path.to_owned(), _lock: lock(path)? };
        let mut results = Vec::new();
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == WRITTEN) {
                // What was being written when the agent was killed.
                fs::remove_file(&path)?;
            }
            let Some(place) = place_of(&path) else { continue };
            let text = fs::read_to_string(&path);
            match text.ok().and_then(|text| Spooled::read(place, text)) {
                Some(result) => results.push(result),
                None => {
                    let aside = path.with_extension("unreadable");
                    tracing::warn!(file = %aside.display(), "put aside a stored result that could not be read");
                    fs::rename(&path, &aside)?;
                }
            }
        }
        results.sort_unstable_by_key(|result| result.place);
        let next = results.last().map_or(1, |result| result.place.saturating_add(1));
        let bytes = results.iter().map(Spooled::bytes).sum();
        Ok(Self { folder: Some(folder), results: results.into(), bytes, next })
    }

    /// Gives a result its place after all others, for [`Placed::store`].
    pub(crate) fn place(&mut self, task_id: Uuid, body: Box<RawValue>) -> Placed {
        let result = Spooled { place: self.next, task_id, body: body.into() };
        self.next = self.next.saturating_add(1);
        Placed { result, folder: self.folder.as_ref().map(|folder| folder.path.clone()) }
    }

    /// Adds a result that is stored.
    pub(crate) fn add(&mut self, result: Spooled) {
        self.bytes += result.bytes();
        let at = self.results.partition_point(|other| other.place < result.place);
        self.results.insert(at, result);
    }

    /// The first results, at most `most` of them, and of more than one at most so many bytes.
    pub(crate) fn first(&self, most: usize, bytes: usize) -> Vec<Spooled> {
        let mut left = bytes;
        let fits = |result: &&Spooled| {
            let is_first = left == bytes;
            let fits = result.bytes() <= left;
            left = left.saturating_sub(result.bytes().max(1));
            is_first || fits
        };
        self.results.iter().take(most).take_while(fits).cloned().collect()
    }

    /// The tasks whose results wait.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Uuid> {
        self.results.iter().map(|result| result.task_id)
    }

    /// Whether results outlive the agent.
    pub(crate) fn is_on_disk(&self) -> bool {
        self.folder.is_some()
    }

    /// Whether so much waits that no more should come.
    pub(crate) fn is_full(&self) -> bool {
        self.results.len() >= MOST || self.bytes >= MOST_BYTES
    }

    /// Removes a result that is delivered, or that nobody wants.
    pub(crate) fn remove(&mut self, result: &Spooled) {
        let Some(at) = self.results.iter().position(|kept| kept.place == result.place) else { return };
        self.results.remove(at);
        self.bytes -= result.bytes();
        let Some(folder) = &self.folder else { return };
        match fs::remove_file(file_of(&folder.path, result.place)) {
            Err(problem) if problem.kind() != io::ErrorKind::NotFound => {
                let task_id = result.task_id;
                tracing::warn!(%task_id, %problem, "could not remove a result that is delivered: it is sent again");
            }
            _ => {}
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.results.len()
    }
}

/// A result that has its place, and is not stored yet.
pub(crate) struct Placed {
    result: Spooled,
    folder: Option<PathBuf>,
}

impl Placed {
    /// Stores it, which takes as long as the disk does; several at a time take little longer. Where it cannot be stored it
    /// is kept in memory, and the log says so.
    pub(crate) fn store(self) -> Spooled {
        let Self { result, folder } = self;
        if let Some(folder) = folder
            && let Err(problem) = store(&folder, &result)
        {
            let task_id = result.task_id;
            tracing::error!(%task_id, %problem, "could not store a result on disk: a restart would lose it");
        }
        result
    }
}

impl Spooled {
    fn bytes(&self) -> usize {
        self.body.get().len()
    }

    /// Whether it says that the task has failed.
    pub(crate) fn is_error(&self) -> bool {
        #[derive(serde::Deserialize)]
        struct Body {
            task_error: Option<serde::de::IgnoredAny>,
        }
        serde_json::from_str(self.body.get()).is_ok_and(|body: Body| body.task_error.is_some())
    }

    fn read(place: u64, text: String) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Body {
            task_id: Uuid,
        }
        let body = RawValue::from_string(text).ok()?;
        let Body { task_id } = serde_json::from_str(body.get()).ok()?;
        Some(Self { place, task_id, body: body.into() })
    }
}

/// What the name of a file ends in while it is written.
const WRITTEN: &str = "new";

/// Writes a result under another name first, so that no half of one is ever found.
fn store(folder: &Path, result: &Spooled) -> io::Result<()> {
    let path = file_of(folder, result.place);
    let written = path.with_extension(WRITTEN);
    let created = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&written);
    let stored = created.and_then(|mut file| {
        file.write_all(result.body.get().as_bytes())?;
        file.sync_data()?;
        fs::rename(&written, &path)
    });
    if stored.is_err() {
        // Half a file would take what is left of a full disk.
        let _ = fs::remove_file(&written);
    }
    stored?;
    File::open(folder)?.sync_all()
}

/// Keeps other agents from using a folder: what one stores, the other one would overwrite.
fn lock(folder: &Path) -> io::Result<File> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let sentence = "another agent keeps its results there: give this one a state folder of its own";
            Err(io::Error::new(io::ErrorKind::ResourceBusy, sentence))
        }
        Err(TryLockError::Error(problem)) => Err(problem),
    }
}

fn file_of(folder: &Path, place: u64) -> PathBuf {
    folder.join(format!("{place:020}.json"))
}

fn place_of(path: &Path) -> Option<u64> {
    let is_result = path.extension().is_some_and(|extension| extension == "json");
    path.file_stem()?.to_str()?.parse().ok().filter(|_| is_result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(n: u128) -> (Uuid, Box<RawValue>) {
        let id = Uuid::from_u128(n);
        (id, RawValue::from_string(format!(r#"{{"protocol":1,"task_id":"{id}","task_data":{{}}}}"#)).unwrap())
    }

    fn push(spool: &mut Spool, task_id: Uuid, body: Box<RawValue>) {
        let stored = spool.place(task_id, body).store();
        spool.add(stored);
    }

    fn ids(spool: &Spool) -> Vec<u128> {
        spool.ids().map(|id| id.as_u128()).collect()
    }

    #[test]
    fn results_outlive_the_agent_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path()).unwrap();
        for n in 1..=12 {
            let (id, body) = body(n);
            push(&mut spool, id, body);
        }
        let delivered = spool.first(2, 1000);
        delivered.iter().for_each(|result| spool.remove(result));
        drop(spool);
        let mut spool = Spool::open(folder.path()).unwrap();
        assert_eq!(ids(&spool), (3..=12).collect::<Vec<_>>());
        let (id, body) = body(13);
        push(&mut spool, id, body);
        drop(spool);
        assert_eq!(ids(&Spool::open(folder.path()).unwrap()), (3..=13).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_that_is_no_result_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("00000000000000000001.json"), "{\"task_id\"").unwrap();
        fs::write(folder.path().join("00000000000000000002.new"), "{\"task_id\"").unwrap();
        assert_eq!(Spool::open(folder.path()).unwrap().len(), 0);
        assert!(folder.path().join("00000000000000000001.unreadable").exists());
        assert!(!folder.path().join("00000000000000000002.new").exists());
    }

    #[test]
    fn no_other_user_can_read_results() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/results");
        let mut spool = Spool::open(&path).unwrap();
        let (id, body) = body(1);
        push(&mut spool, id, body);
        let files = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
        let paths: Vec<_> = files.chain([path.clone()]).collect();
        assert_eq!(paths.len(), 3, "a result, the lock, and the folder: {paths:?}");
        for path in paths {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
        }
    }

    #[test]
    fn one_agent_uses_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = Spool::open(folder.path()).unwrap();
        let problem = Spool::open(folder.path()).unwrap_err().to_string();
        assert!(problem.starts_with("another agent keeps its results there"), "{problem}");
        drop(first);
        Spool::open(folder.path()).unwrap();
    }

    #[test]
    fn results_that_are_stored_at_the_same_time_keep_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path()).unwrap();
        let placed: Vec<_> = (1..=3).map(body).map(|(id, body)| spool.place(id, body)).collect();
        for placed in placed.into_iter().rev() {
            spool.add(placed.store());
        }
        assert_eq!(ids(&spool), [1, 2, 3]);
        drop(spool);
        assert_eq!(ids(&Spool::open(folder.path()).unwrap()), [1, 2, 3]);
    }

    #[test]
    fn a_spool_is_full_by_number_or_by_bytes() {
        let result = |length: usize| RawValue::from_string(format!("\"{}\"", "x".repeat(length))).unwrap();
        let mut spool = Spool::in_memory();
        for _ in 1..MOST {
            push(&mut spool, Uuid::nil(), result(1));
        }
        assert!(!spool.is_full());
        push(&mut spool, Uuid::nil(), result(1));
        assert!(spool.is_full());
        let first = spool.first(1, 1);
        spool.remove(&first[0]);
        assert!(!spool.is_full());
        let mut spool = Spool::in_memory();
        for _ in 0..63 {
            push(&mut spool, Uuid::nil(), result(1 << 20));
        }
        assert!(!spool.is_full());
        push(&mut spool, Uuid::nil(), result(1 << 20));
        assert!(spool.is_full());
    }

    #[test]
    fn the_first_results_are_few_or_small() {
        let mut spool = Spool::in_memory();
        for length in [50, 30, 10, 20, 1] {
            push(&mut spool, Uuid::nil(), RawValue::from_string("1".repeat(length)).unwrap());
        }
        let lengths = |most, bytes| spool.first(most, bytes).iter().map(Spooled::bytes).collect::<Vec<_>>();
        assert_eq!(lengths(9, 90), [50, 30, 10]);
        assert_eq!(lengths(9, 1000), [50, 30, 10, 20, 1]);
        assert_eq!(lengths(2, 1000), [50, 30]);
        assert_eq!(lengths(9, 20), [50]);
    }

    #[test]
    fn a_result_that_cannot_be_stored_is_still_delivered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let mut spool = Spool::open(&path).unwrap();
        fs::remove_dir_all(&path).unwrap();
        let (id, body) = body(1);
        push(&mut spool, id, body);
        assert_eq!(ids(&spool), [1]);
        let first = spool.first(1, 1000);
        spool.remove(&first[0]);
        assert_eq!(spool.len(), 0);
    }
}
