//! The errors of a configuration, and where its values came from.

use std::fmt;
use std::path::PathBuf;

/// Why the server cannot start with this configuration. The message is one line, and never shows a database
/// URI.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that the user named cannot be read.
    #[error("cannot read the configuration file {} (named by {named_by}): {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The environment variable or the option that named it.
        named_by: &'static str,
        /// The error of the operating system.
        reason: std::io::Error,
    },
    /// A file, or a part of it, cannot be read as settings.
    #[error("{origin}: {what}")]
    Line {
        /// The place in the file.
        origin: Origin,
        /// What is wrong there, and with which key.
        what: String,
    },
    /// A value has the wrong type, or is out of range.
    #[error("{}: found {found}, expected {expected}", .origin.of_key(.key))]
    Value {
        /// The key.
        key: &'static str,
        /// Where the value was given.
        origin: Origin,
        /// The value, or its kind where the value may be secret.
        found: String,
        /// What the key takes.
        expected: &'static str,
    },
    /// Two values contradict each other.
    #[error("{0}")]
    Contradiction(String),
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave a value.
    Default,
    /// The environment variable of this name.
    Environment(&'static str),
    /// A line of a configuration file, counted from 1.
    Line(PathBuf, usize),
    /// A line and column of a configuration file, both counted from 1.
    Place(PathBuf, usize, usize),
    /// A configuration file as a whole.
    File(PathBuf),
    /// An option of the command line.
    Option(&'static str),
}

impl Origin {
    /// Returns the origin together with a key, which it may already name.
    pub(super) fn of_key(&self, key: &str) -> String {
        match self {
            Self::Line(..) | Self::Place(..) | Self::File(_) | Self::Default => format!("{self}: {key}"),
            Self::Environment(_) | Self::Option(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Line(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Place(path, line, column) => write!(f, "{}:{line}:{column}", path.display()),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Option(name) => f.write_str(name),
        }
    }
}
