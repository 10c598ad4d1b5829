//! The configuration of the server.

mod database_uri;

pub use database_uri::DatabaseUri;
