//! Reaches the targets of tasks: the only way in which a handler opens a connection.

pub(crate) mod certificate;
pub(crate) mod connect;
pub(crate) mod http;
pub(crate) mod limit;
mod look_up;
mod policy;
#[cfg(test)]
pub(crate) mod test_server;
pub(crate) mod tls;

pub(crate) use policy::plain_host;
pub use policy::{Network, NetworkPolicy, ParseNetworkError};
pub use tls::{TlsRoots, TlsRootsError};
