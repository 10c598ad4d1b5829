//! Proves that the stores do what `Store` says, all of them the same.

mod commands;
mod conformance;
mod driver;
mod fixture;
#[path = "../../src/lifecycle/tests/model.rs"]
mod model;
#[path = "../../src/lifecycle/tests/sequences.rs"]
mod sequences;
mod sqlite;
