//! What tests run against: a private PostgreSQL, the original AFM and its agent, and our own server as a process.
//!
//! Nothing here is left behind. What a test starts ends with the value that holds it, and also when the test process is
//! killed: every child hangs on a pipe from the test process and ends when that pipe does.
//!
//! ```no_run
//! use slamon_testbed::{AfmProcess, PgCluster};
//!
//! let database = PgCluster::shared().create_database();
//! let afm = AfmProcess::start("slamon-afm".as_ref(), &["--database-uri", &database.uri()], &[], None);
//! println!("{}", afm.url());
//! ```
//!
//! What is missing on the machine is an error that says how to install it; no test is ever skipped. `make setup` installs it.

mod afm;
mod built;
mod corpus;
mod port;
mod postgres;
mod process;
mod python;
mod relay;

pub use afm::AfmProcess;
pub use built::built;
pub use corpus::replay_corpus;
pub use port::free_port;
pub use postgres::{PgBouncer, PgCluster, PgOptions, Stop, TestDatabase};
pub use process::Process;
pub use relay::Relay;

pub use python::{OriginalAfm, OriginalAgent, PythonEnv, original_afm, original_agent, schemathesis};
