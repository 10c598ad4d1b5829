//! The HTTP server: connections, what every request passes through, and the handlers, one file for each
//! resource.

pub mod access;
mod answer;
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
mod many;
mod members;
mod memory;
mod openapi;
mod overload;
mod peer;
mod posted_in;
mod request_deadline;
mod request_log;
pub mod router;
mod routes;
mod same_site;
mod schemas;
pub mod server;

pub(crate) use dashboard::is_unseen;
