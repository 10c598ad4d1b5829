//! Reads the configuration of the server.
//!
//! Every key has a default, and is read from environment variables, Flask configuration files and the command
//! line: see [`load`] for their order and [`EXAMPLE`] for the keys. Files are read, never run.
//!
//! ```
//! use slamon_afm::config::{Overrides, load};
//!
//! let args = Overrides { database_uri: Some("sqlite:///afm.db".parse()?), ..Overrides::default() };
//! let loaded = load(&args, &|name| (name == "AGENT_RETURN_TIME").then(|| "30".to_owned()))?;
//! assert_eq!(loaded.config.agent_return_time.as_secs(), 30);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A new key needs a field and its default in `settings.rs`, a row in `keys.rs`, and a paragraph in
//! `config.example.cfg`. Tests compare the three.

mod database_uri;
mod error;
mod flask_file;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod keys;
mod layers;
mod log_level;
mod python;
mod raw_value;
mod settings;
#[cfg(test)]
mod tests;

pub use database_uri::DatabaseUri;
pub use error::{ConfigError, Origin};
pub use layers::{Loaded, Overrides, load};
pub use settings::{Config, LogFormat};

/// A configuration file with every key, its default and what it means.
pub const EXAMPLE: &str = include_str!("../../../config.example.cfg");

/// Returns what the help of the command line says of settings: where they can be given, and their names.
pub(crate) fn help() -> String {
    let mut help = "Settings are lines KEY = VALUE of a Flask configuration file, which --config or the \
                    environment variable\nSLAMON_AFM_CFG names, or environment variables of the same names. \
                    config.example.cfg, which comes with the\nsource, has the default and the meaning of \
                    each:\n"
        .to_owned();
    let mut width = 100;
    for key in &keys::KEYS {
        if width > 80 {
            help.push_str("\n ");
            width = 1;
        }
        help.push(' ');
        help.push_str(key.name);
        width += key.name.len() + 1;
    }
    help
}
