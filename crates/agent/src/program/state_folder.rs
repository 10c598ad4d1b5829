//! Where the agent keeps what it must not forget.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The folder that is usual for a service, or for a user.
pub(super) fn default() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // systemd may name several folders.
    if let Some(folders) = variable("STATE_DIRECTORY") {
        let folders = folders.to_string_lossy().into_owned();
        return Ok(folders.split(':').next().unwrap_or_default().into());
    }
    if rustix::process::geteuid().is_root() {
        return Ok("/var/lib/slamon-agent".into());
    }
    let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")));
    let state = state.context("state-folder: is required, since neither XDG_STATE_HOME nor HOME is set")?;
    Ok(state.join("slamon-agent"))
}
