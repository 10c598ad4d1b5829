//! Decides which value holds when several places give one.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::database_uri::DatabaseUri;
use super::error::{ConfigError, Origin};
use super::flask_file::{Assignment, FlaskFile, LONGEST, NoValue};
use super::keys::{self, Key, KeyResult};
use super::raw_value::{Mismatch, RawValue};
use super::settings::Config;

/// This environment variable names a configuration file.
const FILE_VARIABLE: &str = "SLAMON_AFM_CFG";

/// What the command line says about the configuration. It overrules everything else.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`: a file to read after the one that `SLAMON_AFM_CFG` names.
    pub config: Option<PathBuf>,
    /// `--database-uri`.
    pub database_uri: Option<DatabaseUri>,
}

/// A configuration, and what to log about it once there is a log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Where the database URI came from: an option, a variable, or a line of a file and its key.
    pub database_uri_name: String,
    /// What the user should know, each on one line, without secrets.
    pub warnings: Vec<String>,
    /// The files that were read, in this order.
    pub files: Vec<PathBuf>,
}

/// Loads the configuration: defaults, then the environment, then the file that the environment variable
/// `SLAMON_AFM_CFG` names, then the file of `--config`, then the command line; the later one holds. A value
/// that is overruled must still be readable.
///
/// `env` looks up environment variables; an empty one counts as not set. Relative paths start at the working
/// directory. Unlike the original, which passed over a file it could not find when `SLAMON_AFM_CFG` named it,
/// a file that cannot be read is an error: a server that runs on its defaults instead, on a database in
/// memory, loses tasks.
///
/// # Errors
///
/// Fails when a file, a line or a value cannot be read, or when values contradict each other.
pub fn load(args: &Overrides, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, ConfigError> {
    let not_empty = |name: &str| env(name).filter(|value| !value.is_empty());
    let mut layers = Layers::default();
    layers.environment(&not_empty)?;
    if let Some(path) = not_empty(FILE_VARIABLE) {
        layers.file(Path::new(&path), FILE_VARIABLE, env)?;
    }
    if let Some(path) = &args.config {
        layers.file(path, "--config", env)?;
    }
    if let Some(uri) = &args.database_uri {
        layers.set(keys::DATABASE_URI, RawValue::Text(uri.expose()), Origin::Option("--database-uri"))?;
    }
    layers.check()?;
    let origin = layers.origins.get(keys::DATABASE_URI).unwrap_or(&Origin::Default);
    layers.loaded.database_uri_name = origin.of_key(keys::DATABASE_URI);
    Ok(layers.loaded)
}

/// Reads the bytes of a file, up to one more than it may have: it may have no end, such as a device.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[derive(Default)]
pub(super) struct Layers {
    pub(super) loaded: Loaded,
    /// Where the value of each key came from. A key that is not in here has its default.
    origins: HashMap<&'static str, Origin>,
}

impl Layers {
    fn environment(&mut self, env: &dyn Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
        let (uri, alias) = (env(keys::DATABASE_URI), env(keys::DATABASE_URI_ALIAS));
        if let (Some(uri), Some(alias)) = (&uri, &alias)
            && uri != alias
        {
            return Err(ConfigError::Contradiction(format!(
                "the environment variables {} and {} differ: set one of them",
                keys::DATABASE_URI,
                keys::DATABASE_URI_ALIAS
            )));
        }
        if let (None, Some(alias)) = (uri, alias) {
            let origin = Origin::Environment(keys::DATABASE_URI_ALIAS);
            self.set(keys::DATABASE_URI, RawValue::Text(&alias), origin)?;
        }
        for key in &keys::KEYS {
            if let Some(text) = env(key.name) {
                self.set(key.name, RawValue::Text(&text), Origin::Environment(key.name))?;
            }
            let lower = key.name.to_lowercase();
            if env(&lower).is_some() {
                let name = key.name;
                self.loaded.warnings.push(format!(
                    "environment variable {lower} is passed over: keys are in upper case; \
                     did you mean {name}?"
                ));
            }
        }
        for (name, instead) in keys::ADDRESS {
            if env(name).is_some() {
                self.loaded.warnings.push(format!("environment variable {name} is passed over: {instead}"));
            }
        }
        Ok(())
    }

    /// Reads a file whose expressions look up variables by `env`.
    fn file(
        &mut self,
        path: &Path,
        named_by: &'static str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), ConfigError> {
        let bytes =
            read(path).map_err(|reason| ConfigError::File { path: path.to_owned(), named_by, reason })?;
        self.bytes(&bytes, path, env)
    }

    /// Takes the contents of the file at `path`.
    pub(super) fn bytes(
        &mut self,
        bytes: &[u8],
        path: &Path,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), ConfigError> {
        let file = FlaskFile::parse(bytes, path, env)?;
        self.loaded.files.push(path.to_owned());
        for (line, remark) in file.remarks {
            let origin = Origin::Line(path.to_owned(), line);
            self.warn(&origin, &remark);
        }
        for Assignment { key, value, line, from_environment } in file.assignments {
            let origin = Origin::Line(path.to_owned(), line);
            match value {
                Ok(value) if from_environment => self.set(&key, RawValue::Secret(&value), origin)?,
                Ok(value) => self.set(&key, RawValue::Literal(&value), origin)?,
                Err(_) if Key::named(&key).is_none() => self.warn(&origin, &keys::remark(&key)),
                Err(NoValue { line, column, reason, is_unreadable }) => {
                    let way_out = if is_unreadable {
                        format!(
                            "; this file is read, not run: write the value itself, or take the key out and \
                             set the environment variable {key}"
                        )
                    } else {
                        String::new()
                    };
                    let origin = Origin::Place(path.to_owned(), line, column);
                    return Err(ConfigError::Line { origin, what: format!("{key}: {reason}{way_out}") });
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, name: &str, given: RawValue<'_>, origin: Origin) -> Result<(), ConfigError> {
        let Some(key) = Key::named(name) else {
            self.warn(&origin, &keys::remark(name));
            return Ok(());
        };
        match key.set(&mut self.loaded.config, given) {
            Ok(KeyResult::Yes) => drop(self.origins.insert(key.name, origin)),
            Ok(KeyResult::No(reason)) => {
                self.loaded.warnings.push(format!("{}: {reason}", origin.of_key(key.name)));
            }
            Err(Mismatch { found, expected }) => {
                return Err(ConfigError::Value { key: key.name, origin, found, expected });
            }
        }
        Ok(())
    }

    fn warn(&mut self, origin: &Origin, what: &str) {
        self.loaded.warnings.push(format!("{origin}: {what}"));
    }

    pub(super) fn check(&mut self) -> Result<(), ConfigError> {
        // Files for the original have no AGENT_DROP_THRESHOLD, so its default adapts.
        if !self.origins.contains_key(keys::DROP_THRESHOLD) {
            let active = self.loaded.config.agent_active_threshold;
            self.loaded.config.agent_drop_threshold = active.max(self.loaded.config.agent_drop_threshold);
        }
        let config = &self.loaded.config;
        let return_time = self.told(keys::RETURN_TIME, config.agent_return_time);
        let active = self.told(keys::ACTIVE_THRESHOLD, config.agent_active_threshold);
        let drop = self.told(keys::DROP_THRESHOLD, config.agent_drop_threshold);
        if config.agent_drop_threshold < config.agent_active_threshold {
            return Err(ConfigError::Contradiction(format!(
                "{drop} is less than {active}: agents would be forgotten before they count as lost"
            )));
        }
        // The original runs with these values, so this server does, too.
        let early = (config.agent_active_threshold < config.agent_return_time).then(|| {
            format!(
                "{active} is less than {return_time}: agents count as lost before they are told to come back"
            )
        });
        self.loaded.warnings.extend(early);
        Ok(())
    }

    /// Returns a key with its value and origin, for a message.
    fn told(&self, key: &'static str, value: Duration) -> String {
        let origin = self.origins.get(key).unwrap_or(&Origin::Default);
        format!("{key} ({} s, {origin})", value.as_secs_f64())
    }
}
