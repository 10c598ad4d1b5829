//! What every load can do.

use crate::options::Shared;
use crate::report::Report;
use crate::stop::Stop;

/// A load: what a subcommand does.
pub trait Load {
    /// The options that all loads share.
    fn shared(&self) -> &Shared;

    /// Loads the server until the end, or until `stop`, and says what was measured.
    ///
    /// # Errors
    ///
    /// When nothing can be measured: the server cannot be reached, or the options contradict each other.
    fn run(&self, stop: &Stop) -> impl Future<Output = anyhow::Result<Report>> + Send;
}
