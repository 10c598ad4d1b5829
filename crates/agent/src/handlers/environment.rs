//! What the operator of an agent gives its handlers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::handlers::secrets::Secrets;
use crate::network::{NetworkPolicy, TlsRoots};

/// What the operator of an agent gives its handlers.
#[derive(Debug, Default)]
pub struct Environment {
    /// What tasks may reach.
    pub network: NetworkPolicy,
    /// The authorities whose certificates targets may have; by default those that the system trusts.
    pub tls: TlsRoots,
    /// What is filled in for `${secret:NAME}`.
    pub secrets: Arc<Secrets>,
    /// The commands that tasks may have executed, by the names that they are asked for by.
    pub commands: BTreeMap<String, Command>,
}

impl Environment {
    /// What a task has that may reach these hosts alone.
    pub(super) fn for_hosts(&self, hosts: BTreeSet<String>) -> Self {
        let Self { network, tls, secrets, commands } = self;
        Self {
            network: network.clone().for_hosts(hosts),
            tls: tls.clone(),
            secrets: Arc::clone(secrets),
            commands: commands.clone(),
        }
    }
}

/// A command that tasks may have executed.
#[derive(Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The program: an absolute path.
    pub program: PathBuf,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Its environment, beside a `PATH`, `LANG=C.UTF-8` and `SLAMON_TASK_ID`; it has none of the agent's.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The folder in which it runs: by default the root.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// How many bytes it may write to its standard output: by default 256 KiB.
    #[serde(default)]
    pub output_limit: Option<usize>,
}

/// Without the values of its environment, which may be passwords.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, arguments, environment, folder, output_limit } = self;
        f.debug_struct("Command")
            .field("program", program)
            .field("arguments", arguments)
            .field("environment", &environment.keys())
            .field("folder", folder)
            .field("output_limit", output_limit)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_logged_has_no_values_of_a_commands_environment() {
        let given = BTreeMap::from([("PGPASSWORD".to_owned(), "hunter2".to_owned())]);
        let command = Command { program: "/bin/true".into(), environment: given, ..Command::default() };
        let commands = BTreeMap::from([("check".to_owned(), command)]);
        let shown = format!("{:?}", Environment { commands, ..Environment::default() });
        assert!(shown.contains("/bin/true") && shown.contains("PGPASSWORD"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
