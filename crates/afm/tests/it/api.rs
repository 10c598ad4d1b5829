//! Tests the management API, resource by resource.

pub(crate) mod event_stream;
mod events;
mod openapi;
mod overview;
mod pauses;
