//! Tests the server as its clients see it: over real HTTP, on real databases.

mod access;
mod adoption;
mod api;
mod browser;
mod client;
mod differential;
mod process;
mod real_agent;
mod server;
mod test_app;
mod wire;
