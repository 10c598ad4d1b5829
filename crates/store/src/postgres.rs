//! Tasks in PostgreSQL (13 or newer), which any number of AFMs may share.

mod apply;
mod backlog;
mod batch;
mod claiming;
mod connection;
mod connection_limit;
mod database;
mod errors;
mod fitness;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;
mod hearing;
mod in_doubt;
mod kinds;
mod leftovers;
mod listening;
mod memory;
mod notices;
mod notifications;
mod options;
mod pooling;
mod quiet;
mod read;
mod rows;
mod schema;
mod session;
mod store;
mod surroundings;
mod timeouts;
mod tls;
mod uri;

pub use self::options::PostgresOptions;
pub use self::store::PostgresStore;
pub use self::uri::UriError;
