//! What goes on without a request.

pub(crate) mod background;
pub mod sweeper;
