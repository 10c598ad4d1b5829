//! What fuzzing has found worth keeping: inputs that reach code which others do not.

use std::fs;
use std::path::{Path, PathBuf};

/// Gives `try_input` each input of a target in `fuzz/corpus`, and says which one it was that it died of.
///
/// # Panics
///
/// When there is none, or one cannot be read.
#[track_caller]
pub fn replay_corpus(target: &str, try_input: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a folder can be read to its end").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    for path in paths {
        let input = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let named = Named(&path);
        try_input(&input);
        drop(named);
    }
}

/// Names an input if it is dropped by a panic.
struct Named<'a>(&'a Path);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input is {}", self.0.display());
        }
    }
}
