//! The modules that can be imported.

/// A module of Python's library, some members of which can be used.
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
    /// Returns the module of that name.
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
