//! The command line, and the environment.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgAction, Args, CommandFactory, Parser};
use serde::Deserialize;
use slamon_command_line::{Completions, Man, whole_number};

use super::health::Health;
use super::settings::{LONGEST_POLL, MOST_EXECUTORS};

/// An agent of SLAMon: polls an Agent Fleet Manager for tasks, executes them, and reports what came out.
///
/// Each option is also an environment variable, and a key of the configuration file: --id-file is SLAMON_AGENT_ID_FILE
/// and id_file. The command line counts before the environment, and that before the file.
#[derive(Debug, Parser)]
#[command(name = "slamon-agent", version, args_conflicts_with_subcommands = true, args_override_self = true)]
pub(super) struct CommandLine {
    /// The configuration file, in TOML
    #[arg(short, long, value_name = "FILE", env = "SLAMON_AGENT_CONFIG")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) options: Options,
    #[command(subcommand)]
    pub(super) subcommand: Option<Subcommand>,
}

/// What the program does instead of being an agent.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Subcommand {
    /// Say whether the agent that listens at an address is alive; for those who watch over it, such as HEALTHCHECK of a
    /// container
    Health(Health),
    /// Print the handlers, and a JSON Schema of each one's data
    Handlers,
    /// Print what a shell needs to complete command lines
    Completions(Completions),
    /// Print the manual page, or write those of all commands into a folder
    Man(Man),
}

/// What the command line, the environment and the configuration file can say.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Options {
    /// Where the AFM is: http://[USER:PASSWORD@]HOST[:PORT][/PATH]. Given again: another address of the same fleet, for
    /// when those before it are away
    #[arg(short, long, value_name = "URL", env = "SLAMON_AGENT_URL", value_delimiter = ',')]
    pub(super) url: Vec<String>,
    /// What people know the agent by; else the name of the machine
    #[arg(long, value_name = "NAME", env = "SLAMON_AGENT_NAME")]
    pub(super) name: Option<String>,
    /// The country where the agent is: 2 characters
    #[arg(long, value_name = "CC", env = "SLAMON_AGENT_COUNTRY")]
    pub(super) country: Option<String>,
    /// The region within the country: 2 to 4 characters
    #[arg(long, value_name = "REGION", env = "SLAMON_AGENT_REGION")]
    pub(super) region: Option<String>,
    /// Degrees, north is positive
    #[arg(long, value_name = "DEGREES", env = "SLAMON_AGENT_LATITUDE", allow_negative_numbers = true)]
    #[arg(value_parser = degrees)]
    pub(super) latitude: Option<f64>,
    /// Degrees, east is positive
    #[arg(long, value_name = "DEGREES", env = "SLAMON_AGENT_LONGITUDE", allow_negative_numbers = true)]
    #[arg(value_parser = degrees)]
    pub(super) longitude: Option<f64>,
    /// How many tasks are executed at the same time; 2 if nothing is said
    #[arg(
        short = 'x',
        long,
        visible_alias = "num-executors",
        value_name = "N",
        env = "SLAMON_AGENT_EXECUTORS",
        value_parser = whole_number(1, MOST_EXECUTORS)
    )]
    pub(super) executors: Option<u32>,
    /// The handlers that the agent offers; all if nothing is said, or slamon_agent.handlers
    #[arg(short = 'l', long, visible_alias = "load", value_name = "NAME", value_delimiter = ',')]
    #[arg(env = "SLAMON_AGENT_HANDLERS")]
    pub(super) handlers: Vec<String>,
    /// The folder for the agent's id and results that are not delivered; else $STATE_DIRECTORY, /var/lib/slamon-agent for
    /// root, $XDG_STATE_HOME/slamon-agent or ~/.local/state/slamon-agent
    #[arg(long, value_name = "FOLDER", env = "SLAMON_AGENT_STATE_FOLDER")]
    pub(super) state_folder: Option<PathBuf>,
    /// The file that keeps the agent's id; else agent-id in the state folder
    #[arg(long, value_name = "FILE", env = "SLAMON_AGENT_ID_FILE")]
    pub(super) id_file: Option<PathBuf>,
    /// Seconds until the next poll where the AFM does not say, and at most after a problem; 60 if nothing is said
    #[arg(short = 'w', long, value_name = "SECONDS", env = "SLAMON_AGENT_DEFAULT_WAIT")]
    #[arg(value_parser = whole_number(1, u32::MAX))]
    pub(super) default_wait: Option<u32>,
    /// Seconds for which a poll is held open at most; 50 if nothing is said, 0 to never wait
    #[arg(long, value_name = "SECONDS", env = "SLAMON_AGENT_LONGEST_POLL")]
    #[arg(value_parser = whole_number(0, LONGEST_POLL))]
    pub(super) longest_poll: Option<u32>,
    /// Seconds for which tasks may go on once the agent is told to end; 30 if nothing is said
    #[arg(long, value_name = "SECONDS", env = "SLAMON_AGENT_SHUTDOWN_LIMIT")]
    #[arg(value_parser = whole_number(0, u32::MAX))]
    pub(super) shutdown_limit: Option<u32>,
    /// A network that tasks may reach: ADDRESS/BITS. Where one is given, all others are out of reach
    #[arg(long, value_name = "NETWORK", env = "SLAMON_AGENT_ALLOW", value_delimiter = ',')]
    pub(super) allow: Vec<String>,
    /// A network that tasks may not reach, whatever is allowed
    #[arg(long, value_name = "NETWORK", env = "SLAMON_AGENT_DENY", value_delimiter = ',')]
    pub(super) deny: Vec<String>,
    /// A file of lines NAME=VALUE or NAME@HOST,HOST=VALUE, for ${secret:NAME} in the data of tasks
    #[arg(long, value_name = "FILE", env = "SLAMON_AGENT_SECRETS")]
    pub(super) secrets: Option<PathBuf>,
    /// A file with a token that the agent shows to the AFM
    #[arg(long, value_name = "FILE", env = "SLAMON_AGENT_TOKEN_FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// The HTTP proxy on the way to the AFM; else as HTTP_PROXY, HTTPS_PROXY and NO_PROXY say
    #[arg(long, value_name = "URL", env = "SLAMON_AGENT_PROXY")]
    pub(super) proxy: Option<String>,
    /// A file of authorities (PEM) that the certificates of the AFM and of targets may be from, beside those that the
    /// system trusts
    #[arg(long, value_name = "FILE", env = "SLAMON_AGENT_CA_FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// A file with the certificate (PEM) that the agent shows to the AFM
    #[arg(long, value_name = "FILE", env = "SLAMON_AGENT_CERTIFICATE")]
    pub(super) certificate: Option<PathBuf>,
    /// A file with the key (PEM) of that certificate
    #[arg(long, value_name = "FILE", env = "SLAMON_AGENT_KEY")]
    pub(super) key: Option<PathBuf>,
    /// Where the agent answers /metrics and /healthz: ADDRESS:PORT; nowhere if nothing is said
    #[arg(long, value_name = "ADDRESS", env = "SLAMON_AGENT_LISTEN")]
    pub(super) listen: Option<String>,
    /// Log more: once for what is executed, twice for all; SLAMON_AGENT_VERBOSE is a number
    #[arg(short, long, action = ArgAction::Count, env = "SLAMON_AGENT_VERBOSE")]
    #[arg(value_parser = whole_number(0, u8::MAX))]
    pub(super) verbose: u8,
}

impl Options {
    /// What these say, and where they say nothing, what `other` says.
    pub(super) fn or(self, other: Self) -> Self {
        let list = |these: Vec<String>, others| if these.is_empty() { others } else { these };
        Self {
            url: list(self.url, other.url),
            name: self.name.or(other.name),
            country: self.country.or(other.country),
            region: self.region.or(other.region),
            latitude: self.latitude.or(other.latitude),
            longitude: self.longitude.or(other.longitude),
            executors: self.executors.or(other.executors),
            handlers: list(self.handlers, other.handlers),
            state_folder: self.state_folder.or(other.state_folder),
            id_file: self.id_file.or(other.id_file),
            default_wait: self.default_wait.or(other.default_wait),
            longest_poll: self.longest_poll.or(other.longest_poll),
            shutdown_limit: self.shutdown_limit.or(other.shutdown_limit),
            allow: list(self.allow, other.allow),
            deny: list(self.deny, other.deny),
            secrets: self.secrets.or(other.secrets),
            token_file: self.token_file.or(other.token_file),
            proxy: self.proxy.or(other.proxy),
            ca_file: self.ca_file.or(other.ca_file),
            certificate: self.certificate.or(other.certificate),
            key: self.key.or(other.key),
            listen: self.listen.or(other.listen),
            verbose: self.verbose.max(other.verbose),
        }
    }
}

/// Reads a number of degrees; how many there may be, the settings say.
fn degrees(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "must be a number of degrees, such as 60.17".to_owned())
}

/// Checks an address to listen on: the port is not left out, and is a number.
pub(super) fn address(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(text.to_owned()),
        _ => Err("must be ADDRESS:PORT, such as 127.0.0.1:9110".to_owned()),
    }
}

/// The arguments of the program, with what the environment of the original's image says before them: AFM is the URL,
/// HANDLERS the handlers, and EXTRA_FLAGS are arguments.
pub(super) fn arguments(
    given: impl Iterator<Item = OsString>,
    environment: impl Fn(&str) -> Option<String>,
) -> Vec<OsString> {
    let mut given = given;
    let program = given.next().unwrap_or_else(|| "slamon-agent".into());
    let mut rest: Vec<OsString> = given.collect();
    let mut arguments = vec![program];
    let has_subcommand = rest.first().is_some_and(|first| !first.to_string_lossy().starts_with('-'));
    if !has_subcommand {
        let says = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
        // Words are separated as by the shell of the original's image: quotes count as what they are.
        let flags = says("EXTRA_FLAGS").unwrap_or_default();
        rest.splice(0..0, flags.split_whitespace().map(OsString::from));
        // What is wrong with them is found out when all of them are read.
        let read = arguments.iter().chain(&rest);
        let read = CommandLine::command().ignore_errors(true).try_get_matches_from(read).ok();
        let has = |id: &str| {
            let source = read.as_ref().and_then(|read| read.value_source(id));
            source == Some(ValueSource::CommandLine)
        };
        for (variable, own, id, flag) in [
            ("AFM", "SLAMON_AGENT_URL", "url", "--url"),
            ("HANDLERS", "SLAMON_AGENT_HANDLERS", "handlers", "--handlers"),
        ] {
            let is_said = says(own).is_some() || has(id);
            if let Some(value) = says(variable).filter(|_| !is_said) {
                arguments.extend([flag.into(), value.into()]);
            }
        }
    }
    arguments.extend(rest);
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(given: &[&str], environment: &[(&str, &str)]) -> Options {
        let given = ["slamon-agent"].iter().chain(given).map(OsString::from);
        let environment = |name: &str| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        CommandLine::try_parse_from(arguments(given, environment)).unwrap().options
    }

    #[test]
    fn the_originals_flags_are_accepted() {
        let given = "-u http://afm:8080 -l slamon_agent.handlers -w 5 -x 3 -v -v";
        let options = parse(&given.split(' ').collect::<Vec<_>>(), &[]);
        assert_eq!(options.url, ["http://afm:8080"]);
        assert_eq!(options.handlers, ["slamon_agent.handlers"]);
        assert_eq!((options.default_wait, options.executors, options.verbose), (Some(5), Some(3), 2));
        let long = "--url http://afm --load wait --load http --default-wait 5 --num-executors 3 --verbose";
        let options = parse(&long.split(' ').collect::<Vec<_>>(), &[]);
        assert_eq!(options.handlers, ["wait", "http"]);
        assert_eq!((options.default_wait, options.executors, options.verbose), (Some(5), Some(3), 1));
    }

    #[test]
    fn the_environment_of_the_originals_image_counts() {
        let environment = [
            ("AFM", "http://afm:8080"),
            ("HANDLERS", "slamon_agent.handlers"),
            ("EXTRA_FLAGS", "-v -v -x 7"),
        ];
        let options = parse(&[], &environment);
        assert_eq!(options.url, ["http://afm:8080"]);
        assert_eq!(options.handlers, ["slamon_agent.handlers"]);
        assert_eq!((options.executors, options.verbose), (Some(7), 2));
        // The last one counts.
        let given = ["-x", "3", "-v", "-x", "4", "-u", "http://a", "-u", "http://b"];
        let options = parse(&given, &environment);
        assert_eq!((options.executors, options.verbose), (Some(4), 3));
        assert_eq!(options.url, ["http://a", "http://b"]);
        for given in ["-u http://other", "--url=http://other", "-uhttp://other", "-vu http://other"] {
            let options = parse(&given.split(' ').collect::<Vec<_>>(), &environment);
            assert_eq!(options.url, ["http://other"], "{given}");
        }
        assert_eq!(parse(&["-vvl", "wait"], &environment).handlers, ["wait"]);
        let of_flags = [("AFM", "http://afm"), ("EXTRA_FLAGS", " -u http://other\n-v ")];
        assert_eq!(parse(&[], &of_flags).url, ["http://other"]);
        assert_eq!(parse(&[], &[("AFM", ""), ("EXTRA_FLAGS", " ")]).url, Vec::<String>::new());
    }
}
