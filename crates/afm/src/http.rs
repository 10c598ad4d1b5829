//! The HTTP side: connections, what is around every handler, and the handlers themselves, one file a resource.

pub mod app;
mod body;
mod connections;
mod delayed_answers;
mod error;
mod held_places;
mod keepalive;
mod memory;
mod overload;
mod peer;
mod request_deadline;
mod request_log;
pub mod routes;
pub mod server;
