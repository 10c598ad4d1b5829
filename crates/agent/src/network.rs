//! Reaches the targets of tasks: the only way in which a handler opens a connection.

mod policy;

pub use policy::{Network, NetworkPolicy, ParseNetworkError};
