//! The loads, at small size, against the real server on every store; and against one that does wrong.

#[expect(dead_code, reason = "the tests of lists start servers on stores that are filled")]
mod afm;
mod bare;
mod command;
mod fake;
mod faults;
mod loads;
mod stalls;

use slamon_bench::{Load, Report, Stop};

/// Runs a load with these arguments.
#[track_caller]
fn run<L: Load + clap::Args>(address: std::net::SocketAddr, arguments: &str) -> Report {
    let address = address.to_string();
    let words: Vec<&str> = [address.as_str()].into_iter().chain(arguments.split_whitespace()).collect();
    let load: L = slamon_bench::parse(&words).expect("the arguments are right");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("threads can be started");
    runtime.block_on(load.run(&Stop::default())).expect("the server can be measured")
}
