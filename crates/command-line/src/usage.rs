//! What is said of wrong arguments.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Command, Error};

/// Makes the error for arguments that are wrong anew, without the environment: clap takes an option that a variable sets
/// for one that was written, and shows it in the usage as if it were required. Help and version stay as they are.
#[must_use]
pub fn without_environment(
    error: Error,
    command: Command,
    arguments: impl IntoIterator<Item = OsString>,
) -> Error {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return error;
    }
    match strip(command).try_get_matches_from(arguments) {
        Err(anew) if anew.kind() == error.kind() => anew,
        // It is the environment that is wrong.
        _ => error,
    }
}

fn strip(command: Command) -> Command {
    command.mut_args(|argument| argument.env(None::<&'static str>)).mut_subcommands(strip)
}

#[cfg(test)]
mod tests {
    use clap::{Arg, value_parser};

    use super::*;

    /// What is said of arguments of a program with an option that PATH sets, which is always there.
    fn said(arguments: &[&str], path: Arg) -> String {
        let command = Command::new("program")
            .subcommand(Command::new("sub").arg(path.long("path").env("PATH")).arg(Arg::new("other")));
        let arguments = || ["program", "sub"].iter().chain(arguments).map(OsString::from);
        let error = command.clone().try_get_matches_from(arguments()).unwrap_err();
        without_environment(error, command, arguments()).to_string()
    }

    #[test]
    fn the_usage_has_no_option_that_the_environment_sets() {
        let said = said(&["--nonsense"], Arg::new("path"));
        assert!(said.contains("Usage: program sub [OPTIONS] [other]"), "{said}");
    }

    #[test]
    fn an_environment_that_is_wrong_is_named() {
        let said = said(&[], Arg::new("path").value_parser(value_parser!(u16)));
        assert!(said.contains("--path <path>"), "{said}");
    }
}
