//! Connections: slow ones, idle ones, broken ones, too many, and the end of the server.

mod connections;
mod crowds;
mod half_closed;
mod heads;
mod overload;
mod stop;
mod undelivered;
