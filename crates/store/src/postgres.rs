//! Tasks in PostgreSQL (13 or newer), which any number of AFMs may share.

mod agent_figures;
mod apply;
mod attempt_spans;
mod backlog;
mod batch;
mod census;
mod changes;
mod claiming;
mod connection;
mod connection_limit;
mod database;
mod errors;
mod fitness;
mod fleet;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;
mod in_doubt;
mod leftovers;
mod listener;
mod listing;
mod notifications;
mod notify_pause;
mod offers;
mod options;
mod other_afms;
mod outgoing_notifications;
mod pauses;
#[cfg(test)]
mod plans;
mod pooling;
mod queue_diagnostics;
mod read;
mod reception;
mod row_place;
mod rows;
mod schema;
mod session;
mod shared_state;
mod statistics;
mod store;
mod stored_kind;
mod sweep_progress;
mod timeouts;
mod tls;
mod tokens;
mod traces;
mod uri;
mod waiting;

pub use self::options::PostgresOptions;
pub use self::store::PostgresStore;
pub use self::uri::UriError;
