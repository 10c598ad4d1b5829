//! What the rules and the stores are tested with: a model of the rules, and commands for it.

#![expect(missing_docs, reason = "the names of what tests use say what it is")]

pub mod commands;
pub mod model;
pub mod outcome;
pub mod sequences;
