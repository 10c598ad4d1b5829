//! Other queues under the same lives: graphile-worker on our PostgreSQL, and RabbitMQ with quorum queues. They are driven by
//! programs for node, which npm installs beside the results as a lock file pins them.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::rabbitmq::RabbitMq;
use super::{SIZE, Way};
use crate::compare::kind::Kind;
use crate::compare::load::Latency;
use crate::compare::workshop::Workshop;

/// What is compared with ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Other {
    /// Jobs in PostgreSQL; results are rows.
    Graphile,
    /// Messages and replies in quorum queues.
    RabbitMq,
}

pub(crate) const OTHERS: [Other; 2] = [Other::Graphile, Other::RabbitMq];

/// As it is written in messages and tables.
impl fmt::Display for Other {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Graphile => "graphile-worker, PostgreSQL",
            Self::RabbitMq => "RabbitMQ, quorum queues",
        })
    }
}

impl Other {
    /// Ours on what is kept alike.
    pub(crate) fn rival(self) -> Kind {
        match self {
            Self::Graphile => Kind::Postgres,
            Self::RabbitMq => Kind::File,
        }
    }

    fn script(self) -> &'static str {
        match self {
            Self::Graphile => "graphile.cjs",
            Self::RabbitMq => "rabbitmq.cjs",
        }
    }
}

/// What a program has measured.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Lives {
    pub(crate) lives_per_second: f64,
    /// Of all lives of a batch.
    pub(crate) latency_us: Latency,
}

/// The folder with the programs and what they need.
#[derive(Debug)]
pub(crate) struct Programs(PathBuf);

const LOCK: &str = include_str!("../../../others/package-lock.json");
const FILES: [(&str, &str); 5] = [
    ("package.json", include_str!("../../../others/package.json")),
    ("package-lock.json", LOCK),
    ("loop.cjs", include_str!("../../../others/loop.cjs")),
    ("graphile.cjs", include_str!("../../../others/graphile.cjs")),
    ("rabbitmq.cjs", include_str!("../../../others/rabbitmq.cjs")),
];

impl Programs {
    /// Installs them in `output`, unless they are there; says what must be installed before.
    ///
    /// # Errors
    /// When node, npm or RabbitMQ is missing, or npm does not get the packages.
    pub(crate) fn install(output: &Path) -> Result<Self> {
        super::rabbitmq::find()?;
        let folder = output.join("others");
        fs::create_dir_all(&folder)?;
        for (name, text) in FILES {
            fs::write(folder.join(name), text)?;
        }
        // Its last step, so that what an interrupted one has left is installed anew.
        let stamp = folder.join("installed");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == LOCK) {
            return Ok(Self(folder));
        }
        let words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        let npm = Command::new("npm").args(words).current_dir(&folder).stdin(Stdio::null()).output();
        let npm = npm.map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow::anyhow!("npm is not there: apt-get install nodejs npm"),
            _ => error.into(),
        })?;
        ensure!(npm.status.success(), "npm ci: {}", String::from_utf8_lossy(&npm.stderr));
        fs::write(stamp, LOCK)?;
        Ok(Self(folder))
    }

    /// Runs one as long as the scale says.
    ///
    /// # Errors
    /// When a queue does not start, or a life did not come to its end.
    pub(crate) fn measure(&self, workshop: &Workshop, other: Other) -> Result<Lives> {
        workshop.go_on()?;
        match other {
            Other::Graphile => {
                let place = workshop.place(Kind::Postgres)?;
                self.run(workshop, other, place.uri())
            }
            Other::RabbitMq => {
                let server = RabbitMq::start(workshop.scratch())?;
                self.run(workshop, other, &server.uri())
            }
        }
    }

    fn run(&self, workshop: &Workshop, other: Other, uri: &str) -> Result<Lives> {
        let done = Command::new("node")
            .arg(self.0.join(other.script()))
            .args(["--uri", uri, "--size", &SIZE.to_string()])
            .args(["--connections", &Way::Batches.connections().to_string()])
            .args(["--seconds", &workshop.scale.seconds.as_secs_f64().to_string()])
            .args(["--warm-up", &workshop.scale.warm_up.as_secs_f64().to_string()])
            .stdin(Stdio::null())
            .output()
            .context("cannot start node: apt-get install nodejs npm")?;
        workshop.go_on()?;
        let said = || format!("{other} ({}): {}", done.status, String::from_utf8_lossy(&done.stderr));
        ensure!(done.status.success(), said());
        serde_json::from_slice(&done.stdout).with_context(said)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_is_installed_is_pinned() {
        let wanted: Value = serde_json::from_str(FILES[0].1).unwrap();
        let lock: Value = serde_json::from_str(LOCK).unwrap();
        let packages = lock["packages"].as_object().unwrap();
        assert_eq!(packages[""]["dependencies"], wanted["dependencies"]);
        for (name, version) in wanted["dependencies"].as_object().unwrap() {
            assert_eq!(packages[&format!("node_modules/{name}")]["version"], *version, "{name}");
        }
        for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
            assert!(package["integrity"].is_string(), "{name}");
        }
    }
}
