//! The server as its clients see it: over real HTTP, on real databases.

mod process;
mod server;
mod test_app;
mod wire;
