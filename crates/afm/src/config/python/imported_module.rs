//! The modules that are known.

/// A module of Python's library of which some is on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum ImportedModule {
    Os,
    OsPath,
    Datetime,
    Logging,
    Urllib,
    UrllibParse,
}

impl ImportedModule {
    /// The module of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "os" => Self::Os,
            "os.path" | "posixpath" => Self::OsPath,
            "datetime" => Self::Datetime,
            "logging" => Self::Logging,
            "urllib" => Self::Urllib,
            "urllib.parse" => Self::UrllibParse,
            _ => return None,
        })
    }
}
