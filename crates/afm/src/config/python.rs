//! Reads a Python file without running it: a closed list of statements and expressions, evaluated as Python 3 does.
//!
//! What is on the list has no effect beyond the file, ends, and needs a bounded amount of memory. What is not on it is
//! a [`Fault`], and so is every name that depends on it; nobody is told of it unless the name is a setting. Ruff's parser
//! reads the file; the bounds are those of [`depth`], of [`budget`] and of the weight of a container.

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
