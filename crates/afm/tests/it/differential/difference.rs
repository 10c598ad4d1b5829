//! What an allowed difference is.

/// A difference that is meant.
pub(super) struct Difference {
    /// Begins the row of COMPATIBILITY.md.
    pub(super) name: &'static str,
    /// Stands in that row.
    pub(super) why: &'static str,
    /// Every request that shows it.
    pub(super) seen: &'static [Seen],
}

/// A request that is answered differently.
pub(super) struct Seen {
    pub(super) on: On,
    /// Case and step.
    pub(super) request: &'static str,
    pub(super) original: &'static str,
    pub(super) ours: &'static str,
}

/// On which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    Both,
    Sqlite,
    Postgresql,
}

pub(super) const fn both(request: &'static str, original: &'static str, ours: &'static str) -> Seen {
    Seen { on: On::Both, request, original, ours }
}

pub(super) const fn sqlite(request: &'static str, original: &'static str, ours: &'static str) -> Seen {
    Seen { on: On::Sqlite, request, original, ours }
}

pub(super) const fn postgresql(request: &'static str, original: &'static str, ours: &'static str) -> Seen {
    Seen { on: On::Postgresql, request, original, ours }
}
