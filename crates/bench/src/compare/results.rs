//! What was measured, in a file, so that one section can be measured again without the others.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::backlog::Backlogs;
use super::batches::Batches;
use super::dispatch::Dispatches;
use super::environment::Environment;
use super::fleet::Fleets;
use super::held::Held;
use super::lists::Lists;
use super::overload::Overloads;
use super::rates::Rates;
use super::scale::Size;
use super::start::Starts;
use super::workshop::Workshop;

/// One field a section.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Results {
    pub(crate) environment: Option<Environment>,
    pub(crate) polls: Option<Section<Rates>>,
    pub(crate) lives: Option<Section<Rates>>,
    pub(crate) dispatch: Option<Section<Dispatches>>,
    pub(crate) start: Option<Section<Starts>>,
    pub(crate) overload: Option<Section<Overloads>>,
    pub(crate) fleet: Option<Section<Fleets>>,
    pub(crate) backlog: Option<Section<Backlogs>>,
    pub(crate) held: Option<Section<Held>>,
    pub(crate) lists: Option<Section<Lists>>,
    pub(crate) batches: Option<Section<Batches>>,
}

/// A section, how much it measured and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Section<T> {
    pub(crate) size: Size,
    /// UTC.
    pub(crate) ended: String,
    /// The load average of the minute before: what else the machine had to do.
    #[serde(default)]
    pub(crate) busy: Option<f64>,
    pub(crate) found: T,
}

impl<T> Section<T> {
    /// Measures, and notes when.
    ///
    /// # Errors
    /// What `measure` says.
    #[expect(clippy::disallowed_methods, reason = "a date for people; nothing depends on it")]
    pub(crate) fn of(workshop: &Workshop, measure: impl FnOnce(&Workshop) -> Result<T>) -> Result<Self> {
        let busy = load_average();
        let found = measure(workshop)?;
        let ended = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M").to_string();
        Ok(Self { size: workshop.scale.size, ended, busy, found })
    }

    /// What stands below a table.
    pub(crate) fn note(&self) -> String {
        let size = match self.size {
            Size::Full => "",
            Size::Tenth => ", at a tenth of the full size",
            Size::Quick => ", quick: these numbers mean nothing",
        };
        let busy = match self.busy {
            Some(busy) if busy >= BUSY => {
                format!(" The machine had other things to do: a load average of {busy} before it began.")
            }
            _ => String::new(),
        };
        format!("Measured until {} UTC{size}.{busy}", self.ended)
    }
}

/// From where on readers are told of it. The section before leaves some, too.
const BUSY: f64 = 4.0;

/// Of the last minute.
fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

impl Results {
    /// What earlier runs have left.
    ///
    /// # Errors
    /// When the file cannot be read, or is of another version of this program.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        if !file.exists() {
            return Ok(Self::default());
        }
        let said = || format!("{}: remove it to begin anew", file.display());
        serde_json::from_slice(&fs::read(file).with_context(said)?).with_context(said)
    }

    /// Leaves them to later runs.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        fs::write(file, json + "\n").with_context(|| format!("cannot write {}", file.display()))
    }
}
