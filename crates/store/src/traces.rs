//! The spans of those who posted tasks, for traces.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use crate::error::StoreError;

/// A span in W3C Trace Context: 16 bytes of the trace id, 8 of the span id, and one of flags.
pub type TraceContext = [u8; 25];

/// Keeps the spans of those who posted tasks. Nothing but traces depends on them, so they are written behind the
/// commit of the post.
#[async_trait]
pub trait TraceStore: Send + Sync + 'static {
    /// Saves the spans of the posters of these tasks; the first one of a task holds.
    async fn save_traces(&self, traces: Arc<[(Uuid, TraceContext)]>) -> Result<(), StoreError>;

    /// Reads the spans of the posters of these tasks; most tasks have none.
    async fn traces_of(&self, tasks: Arc<[Uuid]>) -> Result<Vec<(Uuid, TraceContext)>, StoreError>;

    /// Deletes what is kept of these tasks.
    async fn delete_traces(&self, tasks: Arc<[Uuid]>) -> Result<(), StoreError>;

    /// Looks at the next `limit` tasks behind `after`, in the order of their ids, and deletes what is kept of those
    /// that are gone, or ended before this time. Returns the last one; `None` if there are no more.
    async fn purge_traces(
        &self,
        after: Option<Uuid>,
        ended_before: Timestamp,
        limit: u32,
    ) -> Result<Option<Uuid>, StoreError>;
}
