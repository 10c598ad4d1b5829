//! What the operator of an agent gives its handlers.

use std::collections::{BTreeMap, BTreeSet};
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
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
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
