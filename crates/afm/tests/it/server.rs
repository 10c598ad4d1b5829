//! Connections: slow ones, idle ones, broken ones, and the end of the server.

mod connections;
mod overload;
mod stop;
