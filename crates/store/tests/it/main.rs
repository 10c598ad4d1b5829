//! Proves that the stores do what `Store` says, all of them the same.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod commands;
mod conformance;
mod driver;
mod fixture;
#[path = "../../src/lifecycle/tests/model.rs"]
mod model;
mod model_checker;
#[path = "../../src/lifecycle/tests/outcome.rs"]
mod outcome;
#[path = "../../src/lifecycle/tests/sequences.rs"]
mod sequences;
mod sqlite;
