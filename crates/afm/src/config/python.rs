//! Reads a Python file without running it: a closed list of statements and expressions, evaluated as Python 3 does.
//!
//! What is on the list has no effect beyond the file, ends, and needs a bounded amount of memory. What is not on it is
//! a [`Fault`], and so is every name that depends on it; nobody is told of it unless the name is a setting. Ruff's parser
//! reads the file; the bounds are those of [`depth`], of [`Budget`] and of the weight of a container.

mod arguments;
mod attempts;
mod bound;
mod calls;
mod depth;
mod expressions;
mod fault;
mod format;
mod imports;
mod interpreter;
mod methods;
mod operators;
mod paths;
mod render;
mod statements;
#[cfg(test)]
mod tests;
mod value;

pub(super) use fault::{Fault, FaultKind};
pub(super) use statements::read;
pub(super) use value::Value;

use fault::{Exception, Outcome};

/// How many bytes of values a file may make while it is read: far more than settings need.
const BUDGET: usize = 16 << 20;

/// The longest string that a file may make, in bytes.
const LONGEST_TEXT: usize = 64 << 10;

/// What is left of the memory that reading a file may take.
#[derive(Debug)]
struct Budget(usize);

impl Budget {
    /// Pays for a string of this many bytes before it is made.
    fn text(&mut self, bytes: usize) -> Result<(), Fault> {
        if bytes > LONGEST_TEXT {
            return Err(Fault::unreadable("a string of more than 65,536 bytes is made here"));
        }
        self.spend(bytes)
    }

    /// Pays for this many bytes, or steps of work.
    fn spend(&mut self, bytes: usize) -> Result<(), Fault> {
        match self.0.checked_sub(bytes) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => Err(Fault::unreadable("the file makes more values than settings need")),
        }
    }
}
