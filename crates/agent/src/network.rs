//! Reaches the targets of tasks: the only way in which a handler opens a connection.

pub(crate) mod certificate;
pub(crate) mod connect;
pub(crate) mod http;
pub(crate) mod limit;
mod policy;
#[cfg(test)]
pub(crate) mod test_server;
pub(crate) mod tls;

pub use policy::{Network, NetworkPolicy, ParseNetworkError};
pub use tls::{TlsRoots, TlsRootsError};
