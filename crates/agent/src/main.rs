//! `slamon-agent`: an agent with handlers that are worth running.

mod program;

use std::process::ExitCode;

fn main() -> ExitCode {
    program::main()
}
