//! What the command lines of the programs share: completions for shells, manual pages, numbers, and what is said of wrong
//! arguments.

mod numbers;
mod usage;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;

pub use numbers::{integer, whole_number};
pub use usage::without_environment;

/// The subcommand `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// The subcommand `man`.
#[derive(Debug, Args)]
pub struct Man {
    /// The folder for the pages of all commands, which is made where it is missing; without one, the page of the program
    /// is printed
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

impl Completions {
    /// Prints what the shell reads.
    ///
    /// # Errors
    /// When it cannot be written; that nobody reads on is none.
    pub fn print(&self, mut command: Command) -> io::Result<()> {
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, &name, &mut script);
        let mut script = String::from_utf8_lossy(&script).into_owned();
        if self.shell == Shell::Bash {
            // clap_complete 4.6.12 writes a hyphen in the name of a program in two ways, and then finds none of its
            // subcommands.
            script = script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"));
        }
        print(script.as_bytes())
    }
}

impl Man {
    /// Prints the page of the program, or writes the pages of all commands.
    ///
    /// # Errors
    /// When they cannot be written; that nobody reads on is none.
    pub fn write(&self, command: Command) -> io::Result<()> {
        match &self.folder {
            Some(folder) => write_all(command, folder),
            None => {
                let mut page = Vec::new();
                clap_mangen::Man::new(command).render(&mut page)?;
                print(&page)
            }
        }
    }
}

fn write_all(command: Command, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command, folder)
}

/// Prints a text, of which the reader may want only the beginning.
///
/// # Errors
/// When it cannot be written; that nobody reads on is none.
pub fn print(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
