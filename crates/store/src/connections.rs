//! How the connections to a database are used.

/// The connections of a store, at one moment. One that only listens to other AFMs is none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Connections {
    /// How many there may be.
    pub most: usize,
    /// How many are used by calls.
    pub used: usize,
    /// How many are open and not used.
    pub idle: usize,
    /// How many calls wait for one.
    pub waiting: usize,
}
