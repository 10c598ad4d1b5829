//! Programs of this workspace that lie beside the tests.

use std::path::PathBuf;

/// A program as `cargo test --workspace` and `cargo build` leave it in the folder of the tests' own.
///
/// # Panics
///
/// When it has not been built, with the command that builds it.
#[must_use]
pub fn built(program: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its program");
    let binary = test.parent().and_then(|deps| deps.parent()).map(|folder| folder.join(program));
    let binary = binary.expect("tests lie two folders deep");
    assert!(binary.exists(), "{} is missing: run `cargo build --workspace`", binary.display());
    binary
}
