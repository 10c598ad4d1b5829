//! The file that an operator writes secrets in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Secret, Secrets, is_name};
use crate::network::plain_host;

/// Why secrets cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The file cannot be read.
    #[error("could not read the secrets of {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// A line is no secret. It is not repeated.
    #[error("{}, line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Secrets {
    /// Reads a file of lines `NAME=VALUE` or `NAME@HOST,HOST=VALUE`; empty lines, and lines that begin with `#`, say
    /// nothing. The value is all that follows the first `=`. A task that names a secret with hosts reaches these alone.
    ///
    /// # Errors
    /// Names the line that is wrong, and never repeats it.
    pub fn read(path: &Path) -> Result<Self, SecretsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| SecretsError::File { path: path.to_owned(), cause })?;
        let mut secrets = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let wrong = |problem| SecretsError::Line { path: path.to_owned(), line: index + 1, problem };
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            let (name, secret) = secret(line).map_err(wrong)?;
            if secrets.insert(name, secret).is_some() {
                return Err(wrong("the name stands in a line before"));
            }
        }
        Ok(Self::new(secrets))
    }
}

fn secret(line: &str) -> Result<(String, Secret), &'static str> {
    let (name, value) = line.split_once('=').ok_or("must be NAME=VALUE or NAME@HOST=VALUE")?;
    let (name, hosts) = match name.split_once('@') {
        Some((name, hosts)) => (name, Some(self::hosts(hosts)?)),
        None => (name, None),
    };
    let name = name.trim();
    if !is_name(name) {
        return Err("a name has letters, digits, '_', '-' and '.', and nothing else");
    }
    if value.is_empty() {
        return Err("the value is empty");
    }
    Ok((name.to_owned(), Secret { value: value.to_owned(), hosts }))
}

fn hosts(list: &str) -> Result<BTreeSet<String>, &'static str> {
    let host = |host: &str| {
        let host = plain_host(host.trim());
        let is_wrong = |letter: char| letter.is_whitespace() || matches!(letter, '/' | '*' | '@' | '[' | ']');
        match host.is_empty() || host.contains(is_wrong) {
            true => Err("a host after '@' is a name or an address, without a port"),
            false => Ok(host),
        }
    };
    list.split(',').map(host).collect()
}
