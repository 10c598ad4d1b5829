//! The configuration file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;
use slamon_agent::handlers::Command;

use super::command_line::Options;

/// What the configuration file says: what the command line can, and the commands that tasks may have executed.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) options: Options,
    pub(super) commands: BTreeMap<String, Command>,
}

/// Reads a configuration file.
pub(super) fn read(path: &Path) -> Result<File> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("could not read the configuration file {}", path.display()))?;
    parse(&text).map_err(|problem| anyhow!("{}: {problem}", path.display()))
}

fn parse(text: &str) -> Result<File, String> {
    let mut table: toml::Table = toml::from_str(text).map_err(|problem| problem.to_string())?;
    // One value stands for a list of one.
    for key in ["url", "handlers", "allow", "deny"] {
        if let Some(value) = table.get_mut(key)
            && value.is_str()
        {
            *value = toml::Value::Array(vec![value.clone()]);
        }
    }
    let commands = table.remove("commands").map(BTreeMap::deserialize).transpose();
    let commands =
        commands.map_err(|problem| format!("commands: {}", problem.message()))?.unwrap_or_default();
    let options = serde_path_to_error::deserialize(table)
        .map_err(|problem| format!("{}: {}", problem.path(), problem.inner().message()))?;
    Ok(File { options, commands })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_the_command_line_can_and_the_commands() {
        let file = parse(
            "url = 'http://afm:8080'\nname = 'Helsinki'\nlatitude = 60.2\nexecutors = 4\nallow = ['10.0.0.0/8']\n\
             [commands.disk]\nprogram = '/usr/bin/df'\narguments = ['-h']\n",
        )
        .unwrap();
        assert_eq!(file.options.url, ["http://afm:8080"]);
        assert_eq!((file.options.latitude, file.options.executors), (Some(60.2), Some(4)));
        assert_eq!(file.commands["disk"].arguments, ["-h"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("executors = 'many'", "executors"),
            ("excutors = 2", "excutors"),
            ("url = 1", "url"),
            ("[commands.disk]\nprogramme = 'df'", "commands"),
            ("name = ", "name = "),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains(named), "{text:?}: {problem}");
        }
    }
}
