//! The HTTP server: connections, what every request passes through, and the handlers, one file for each
//! resource.

mod api;
pub mod app;
mod body;
mod bulk;
mod connections;
mod dashboard;
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
mod same_site;
pub mod server;
