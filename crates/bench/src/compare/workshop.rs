//! What every section of a comparison works with: the programs, a scratch folder, a PostgreSQL, and how much to do.

use std::cell::{OnceCell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use slamon_testbed::{PgCluster, PgOptions};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use super::batches::Programs;
use super::kind::Kind;
use super::place::Place;
use super::scale::Scale;

/// See the module.
#[derive(Debug)]
pub(crate) struct Workshop {
    itself: PathBuf,
    ours: PathBuf,
    scratch: TempDir,
    cluster: OnceCell<PgCluster>,
    pub(crate) scale: Scale,
    /// Other queues that have their turns, too.
    pub(crate) others: Option<Programs>,
    interrupted: Arc<AtomicBool>,
    /// What ours did wrong, of all loads.
    pub(crate) complaints: RefCell<Vec<String>>,
}

impl Workshop {
    /// `ours` is our server; without it, the one beside this program. Files go to a folder in `output`.
    ///
    /// # Errors
    /// When our server is not there, or the folder cannot be made.
    pub(crate) fn new(ours: Option<&Path>, output: &Path, scale: Scale) -> Result<Self> {
        let itself = std::env::current_exe().context("which program is this?")?;
        let ours = ours.map_or_else(|| itself.with_file_name("slamon-afm"), Path::to_owned);
        ensure!(ours.is_file(), "{} is not there: build it, or name it with --server", ours.display());
        fs::create_dir_all(output).with_context(|| format!("cannot make {}", output.display()))?;
        let output = output.canonicalize()?;
        let scratch = tempfile::Builder::new().prefix("scratch-").tempdir_in(&output)?;
        let interrupted = Arc::new(AtomicBool::new(false));
        watch_for_interrupts(Arc::clone(&interrupted))?;
        Ok(Self {
            itself,
            ours: ours.canonicalize()?,
            scratch,
            cluster: OnceCell::new(),
            scale,
            others: None,
            interrupted,
            complaints: RefCell::default(),
        })
    }

    /// This program.
    pub(crate) fn itself(&self) -> &Path {
        &self.itself
    }

    /// Our server.
    pub(crate) fn ours(&self) -> &Path {
        &self.ours
    }

    /// A folder for files that nobody wants afterwards.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// The PostgreSQL of this run, started when first asked for: durable, otherwise as it comes.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn cluster(&self) -> Result<&PgCluster> {
        if let Some(cluster) = self.cluster.get() {
            return Ok(cluster);
        }
        let settings = [
            ("synchronous_commit", "on"),
            // Checkpoints by time and not by size, or the filling of a large store would be felt after it.
            ("max_wal_size", "8GB"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let cluster = PgCluster::start(&PgOptions { fsync: true, settings, ..PgOptions::default() })?;
        Ok(self.cluster.get_or_init(|| cluster))
    }

    /// An empty database of the kind that `kind` works on.
    ///
    /// # Errors
    /// When there is no room for it.
    pub(crate) fn place(&self, kind: Kind) -> Result<Place> {
        match kind {
            Kind::Bare | Kind::Memory => Place::memory(self.scratch()),
            Kind::File | Kind::Development => Place::file(self.scratch()),
            Kind::Postgres | Kind::Gunicorn | Kind::Pgbench => {
                Place::postgres(self.scratch(), self.cluster()?)
            }
        }
    }

    /// Fails when somebody has pressed Ctrl-C: what is measured from then on is only part of it.
    ///
    /// # Errors
    /// See above.
    pub(crate) fn go_on(&self) -> Result<()> {
        ensure!(!self.interrupted.load(Ordering::Relaxed), "interrupted");
        Ok(())
    }
}

/// The first Ctrl-C or SIGTERM is noted, so that servers and files are tidied away; the second ends the program.
fn watch_for_interrupts(interrupted: Arc<AtomicBool>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut by_key, mut by_signal) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = by_key.recv() => {}
                    _ = by_signal.recv() => {}
                }
                if interrupted.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
                eprintln!("interrupted: tidying up");
            }
        });
    });
    Ok(())
}
