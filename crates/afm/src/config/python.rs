//! Reads a Python file without running it: evaluates a closed list of statements and expressions as Python 3
//! does.
//!
//! What is on the list has no effect outside the file, terminates, and needs a bounded amount of memory.
//! Everything else is a [`Fault`], and so is every name that depends on it; the user is told only if the name
//! is a setting. Ruff's parser reads the file. The bounds are those of [`depth`], of [`budget`] and of the
//! size of containers.

mod arguments;
mod attempts;
mod bound;
mod budget;
mod calls;
mod depth;
mod expressions;
mod fault;
mod format;
mod function;
mod imported_module;
mod imports;
mod interpreter;
mod members;
mod methods;
mod numbers;
mod operators;
mod paths;
mod reader;
mod render;
mod statements;
#[cfg(test)]
mod tests;
mod value;

pub(super) use fault::{Fault, FaultKind};
pub(super) use statements::read;
pub(super) use value::Value;
