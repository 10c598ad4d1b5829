//! The `slamon-afm` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    slamon_afm::cli::main()
}
