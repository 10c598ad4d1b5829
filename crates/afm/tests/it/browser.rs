//! Tests the dashboard as people see it: in a browser.

mod accessibility;
mod driver;
mod first_steps;
mod fleet;
mod form;
mod hostile;
mod operator;
mod pictures;
mod scene;
mod viewer;
mod walk;

use std::path::PathBuf;

pub(crate) use driver::Browser;

/// The root of the repository.
fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}
