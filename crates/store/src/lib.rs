//! Where tasks live.
//!
//! A [`Store`] takes [`Command`](slamon_domain::Command)s in batches, one transaction a batch, and gives
//! [`Replies`](slamon_domain::Replies) of each kind. What a task may become is decided in
//! [`lifecycle`](slamon_domain::lifecycle), by plain functions; the stores find rows, lock them and save what
//! the rules said. This is the only crate with SQL.

#![cfg_attr(
    not(test),
    warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)
)]

mod agent_figures;
mod census;
mod connections;
mod encoding;
mod error;
mod event;
mod fleet;
#[cfg(any(test, fuzzing))]
pub mod fuzzed {
    //! What fuzz targets call.

    pub use crate::postgres::fuzzed::{database_uri, notification};
}
mod listing;
mod offers;
mod postgres;
mod reads;
mod sqlite;
mod statistics;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod tokens;
mod traces;
mod views;
mod waiting;

pub use agent_figures::{AgentFiguresStore, AgentOutcomes, Outcomes, Place, PlaceCounts, PlacesPart};
pub use census::{Census, CensusStore, OfferPlace};
pub use connections::Connections;
pub use error::{SchemaError, StoreError};
pub use event::{Published, StoreEvent};
pub use fleet::{
    AgentDetails, AgentQuery, AgentState, LISTED_CAPABILITIES, ListedAgent, MOST_PASSED_OVER, MOST_RUNNING,
    Page, RunningTask,
};
pub use listing::{ListOrder, States, TaskFilter, TaskPage, TaskPlace, TaskQuery, TaskSummary};
pub use offers::{MOST_OFFERING, OfferedType, OffersQuery};
pub use postgres::{PostgresOptions, PostgresStore, UriError};
pub use reads::{ReadResult, Reads};
pub use sqlite::SqliteStore;
pub use statistics::{
    AgentCounts, BUCKETS, CountChange, Counter, Counters, Histogram, MinuteStatistics, Saved,
    StatisticsStore, StatisticsUpdate, TaskCounts, TypeCounts, TypeFigures,
};
pub use store::{Adopted, Backlog, Prepared, SMALL_TASK, Store, TYPE_BEGINNING, TaskRead, WriteConcurrency};
pub use tokens::{ChangedTokens, MOST_TOKENS, TokenStore};
pub use traces::{TraceContext, TraceStore};
pub use views::{
    AgentView, AttemptSpan, AttemptView, Counts, LIST_RESULT_BYTES, LateView, List, Overview, TaskView,
};
pub use waiting::{WaitingHead, WaitingPart};
