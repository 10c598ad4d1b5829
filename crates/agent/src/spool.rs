//! Results that the AFM does not have yet, on disk: an outage or a restart loses none.
//!
//! Each is a file of its own, named by its place in the order in which results came, and holds the body that is posted.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::value::RawValue;
use uuid::Uuid;

/// The results that wait, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Spool {
    /// `None`: nothing is kept on disk.
    folder: Option<PathBuf>,
    results: VecDeque<Spooled>,
    next: u64,
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
        Self { folder: None, results: VecDeque::new(), next: 1 }
    }

    /// Opens a folder, and reads what an earlier run has left. A file that cannot be read as a result is put aside,
    /// as `NAME.unreadable`.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut results = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
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
        let next = results.last().map_or(1, |result| result.place + 1);
        Ok(Self { folder: Some(folder.to_owned()), results: results.into(), next })
    }

    /// Adds a result. Where it cannot be stored it is kept in memory, and the log says so.
    pub(crate) fn push(&mut self, task_id: Uuid, body: Box<RawValue>) {
        let result = Spooled { place: self.next, task_id, body: body.into() };
        self.next += 1;
        if let Some(folder) = &self.folder
            && let Err(problem) = store(folder, &result)
        {
            tracing::error!(%task_id, %problem, "could not store a result on disk: a restart would lose it");
        }
        self.results.push_back(result);
    }

    /// The first results, at most `most`.
    pub(crate) fn first(&self, most: usize) -> Vec<Spooled> {
        self.results.iter().take(most).cloned().collect()
    }

    /// Removes a result that is delivered, or that nobody wants.
    pub(crate) fn remove(&mut self, result: &Spooled) {
        self.results.retain(|kept| kept.place != result.place);
        let Some(folder) = &self.folder else { return };
        match fs::remove_file(file_of(folder, result.place)) {
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

impl Spooled {
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

/// Writes a result under another name first, so that no half of one is ever found.
fn store(folder: &Path, result: &Spooled) -> io::Result<()> {
    let path = file_of(folder, result.place);
    let written = path.with_extension("new");
    let mut file = File::create(&written)?;
    file.write_all(result.body.get().as_bytes())?;
    file.sync_data()?;
    fs::rename(&written, &path)?;
    File::open(folder)?.sync_all()
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

    fn ids(spool: &Spool) -> Vec<u128> {
        spool.first(usize::MAX).iter().map(|result| result.task_id.as_u128()).collect()
    }

    #[test]
    fn results_outlive_the_agent_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path()).unwrap();
        for n in 1..=12 {
            let (id, body) = body(n);
            spool.push(id, body);
        }
        let delivered = spool.first(2);
        delivered.iter().for_each(|result| spool.remove(result));
        drop(spool);
        let mut spool = Spool::open(folder.path()).unwrap();
        assert_eq!(ids(&spool), (3..=12).collect::<Vec<_>>());
        let (id, body) = body(13);
        spool.push(id, body);
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
    }

    #[test]
    fn a_result_that_cannot_be_stored_is_still_delivered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let mut spool = Spool::open(&path).unwrap();
        fs::remove_dir(&path).unwrap();
        let (id, body) = body(1);
        spool.push(id, body);
        assert_eq!(ids(&spool), [1]);
        let first = spool.first(1);
        spool.remove(&first[0]);
        assert_eq!(spool.len(), 0);
    }
}
