//! The `slamon-bench` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    slamon_bench::cli::main()
}
