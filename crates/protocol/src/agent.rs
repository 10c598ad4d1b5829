//! The requests of agents: polls and results.

mod capabilities;
mod location;
mod poll;
mod result;

pub use self::capabilities::Capability;
pub use self::location::Location;
pub use self::poll::{LONGEST_WAIT, MOST_RUNNING, PollRequest};
pub use self::result::{ResultPost, TaskOutcome};

use crate::fields::Field;
use crate::invalid::Invalid;

/// The one version of the protocol that is served.
pub const PROTOCOL: i64 = 1;

fn check_protocol(field: Field<'_>) -> Result<(), Invalid> {
    match field.integer()? {
        PROTOCOL => Ok(()),
        other => Err(Invalid::field("protocol", format!("{other} is not served, only {PROTOCOL} is"))),
    }
}
