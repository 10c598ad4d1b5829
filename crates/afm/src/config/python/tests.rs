//! Compares the values of expressions with those that Python computes.

mod bounds;
mod same_as_python;

use super::fault::{Fault, FaultKind};
use super::statements::{ReadFile, read};
use super::value::Value;

/// Reads a source with these environment variables.
fn read_with(source: &str, variables: &[(&str, &str)]) -> Result<ReadFile, String> {
    let find =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    read(source, "/etc/afm/afm.cfg", &find, |name| name == "KEY")
        .map_err(|(at, what)| format!("{at:?}: {what}"))
}

/// Returns the value of a name.
fn value_of(module: &ReadFile, name: &str) -> Option<Result<Value, Fault>> {
    let found = module.names.iter().find(|known| known.name == name);
    found.map(|found| found.value.clone())
}

/// Returns the value of an expression, or the kind of its fault.
fn value(expression: &str) -> Result<Value, FaultKind> {
    let module = read_with(&format!("X = {expression}\n"), &[]).expect(expression);
    value_of(&module, "X").expect("it is bound").map_err(|fault| fault.kind)
}
