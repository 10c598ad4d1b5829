//! Tests the management API, resource by resource.

mod agent_figures;
mod agents;
mod census;
pub(crate) mod event_stream;
mod events;
mod locations;
mod one_test;
mod openapi;
mod overview;
mod parameters;
mod pauses;
mod tasks;
mod types;
