//! What every request handler works with.

use std::sync::Arc;
use std::time::Duration;

use slamon_store::Store;

use crate::clock::Clock;
use crate::committer::Committer;

/// The parts of a running AFM.
#[derive(Clone)]
pub struct App {
    /// Takes everything that changes something.
    pub committer: Committer,
    /// Answers everything that does not.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: Clock,
    /// The numbers that answers depend on.
    pub settings: Settings,
}

/// The numbers that answers depend on.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// When an agent is told to poll next.
    pub agent_return_time: Duration,
    /// After how much silence an agent counts as lost.
    pub agent_active_threshold: Duration,
    /// The largest request body, in bytes.
    pub max_content_length: usize,
    /// How long a request may take.
    pub request_timeout: Duration,
}
