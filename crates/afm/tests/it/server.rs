//! Tests connections that are slow, idle, broken or too many, and the end of the server.

mod connections;
mod crowds;
mod half_closed;
mod heads;
mod overload;
mod stop;
mod undelivered;
