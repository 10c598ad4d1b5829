//! Proves that the stores do what `Store` says, all of them the same.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod conformance;
mod driver;
mod fixture;
mod sqlite;
