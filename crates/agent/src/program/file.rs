//! The configuration file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use slamon_agent::handlers::Command;
use toml::de::DeTable;

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
    parse(&text).map_err(|problem| anyhow!("{}: {}", path.display(), problem.trim_end()))
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
    let commands = match table.remove("commands") {
        Some(commands) => serde_path_to_error::deserialize(commands)
            .map_err(|problem| told(text, &format!("commands.{}", problem.path()), problem.inner()))?,
        None => BTreeMap::new(),
    };
    let options = serde_path_to_error::deserialize(table)
        .map_err(|problem| told(text, &problem.path().to_string(), problem.inner()))?;
    Ok(File { options, commands })
}

/// What is wrong with a key, and the line that it is on.
fn told(text: &str, key: &str, problem: &toml::de::Error) -> String {
    let line = line_of(text, key).map(|line| format!("line {line}: ")).unwrap_or_default();
    format!("{line}{key}: {}", problem.message())
}

/// The line of a key with dots, or of the table that has most of it.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let (mut table, mut line) = (Some(table.get_ref()), None);
    for part in key.split('.') {
        let found = table.and_then(|table| table.iter().find(|(name, _)| name.get_ref() == part));
        let Some((name, value)) = found else { break };
        line = Some(text[..name.span().start].matches('\n').count() + 1);
        table = value.get_ref().as_table();
    }
    line
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
            ("# ours\nexecutors = 'many'", "line 2: executors: invalid type: string \"many\""),
            ("name = 'a'\n\nexcutors = 2", "line 3: excutors: unknown field `excutors`"),
            ("executors = -1", "line 1: executors: "),
            ("url = 1", "line 1: url: "),
            (
                "name = 'a'\n[commands.disk]\nprogramme = 'df'",
                "line 3: commands.disk.programme: unknown field",
            ),
            ("[commands.disk]\narguments = []", "line 1: commands.disk: missing field `program`"),
            ("commands = 1", "line 1: commands"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.starts_with(named), "{text:?}: {problem}");
        }
        let problem = parse("executors = 2\nname = ").unwrap_err();
        assert!(problem.contains("line 2") && problem.contains("name = "), "{problem}");
    }
}
