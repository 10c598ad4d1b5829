//! The memory that reading a file may take.

use super::fault::Fault;

/// A file may make values of this many bytes while it is read, which is far more than settings need.
pub(super) const BUDGET: usize = 16 << 20;

/// A string that a file makes may have this many bytes.
pub(super) const LONGEST_TEXT: usize = 64 << 10;

/// What is left of the memory that reading a file may take.
#[derive(Debug)]
pub(super) struct Budget(pub(super) usize);

impl Budget {
    /// Pays for a string of this many bytes before it is made.
    pub(super) fn text(&mut self, bytes: usize) -> Result<(), Fault> {
        if bytes > LONGEST_TEXT {
            return Err(Fault::unreadable("a string of more than 65,536 bytes is made here"));
        }
        self.spend(bytes)
    }

    /// Pays for this many bytes, or steps of work.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), Fault> {
        match self.0.checked_sub(bytes) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => Err(Fault::unreadable("the file makes more values than settings need")),
        }
    }
}
