//! The settings, checked.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use slamon_agent::handlers::{Environment, Secrets};
use slamon_agent::network::{Network, NetworkPolicy, TlsRoots};
use slamon_agent::{Agent, ConnectOptions, Location};
use slamon_client::connection::read_token;
use slamon_client::tls_configuration;

use super::command_line::{self, Options};
use super::file::File;
use super::state_folder;

/// What the original calls the package of the handlers that it comes with.
const ALL_HANDLERS: &str = "slamon_agent.handlers";
/// More are hardly meant: each is a task, with its connections and its memory.
pub(super) const MOST_EXECUTORS: u32 = 10_000;
/// An AFM holds a poll for so long.
pub(super) const LONGEST_POLL: u32 = 300;

/// What the agent is told, checked.
#[derive(Debug)]
pub(super) struct Settings {
    options: Options,
    environment: Arc<Environment>,
    location: Option<Location>,
    state_folder: PathBuf,
    pub(super) verbosity: u8,
}

impl Settings {
    /// Checks what the command line, the environment and the file say.
    pub(super) fn of(options: Options, file: File) -> Result<Self> {
        let mut options = options.or(file.options);
        // Lists are often written with a space after each comma.
        for list in [&mut options.url, &mut options.handlers] {
            list.iter_mut().for_each(|entry| *entry = entry.trim().to_owned());
        }
        ensure!(!options.url.is_empty(), "url: is required, like --url http://127.0.0.1:8080");
        let executors = options.executors.unwrap_or(2);
        ensure!((1..=MOST_EXECUTORS).contains(&executors), "executors: must be from 1 to {MOST_EXECUTORS}");
        ensure!(options.default_wait.is_none_or(|wait| wait > 0), "default-wait: must be at least 1");
        let longest_poll = options.longest_poll.unwrap_or(0);
        ensure!(longest_poll <= LONGEST_POLL, "longest-poll: must be from 0 to {LONGEST_POLL}");
        ensure!(
            options.certificate.is_some() == options.key.is_some(),
            "certificate and key: both are needed, or none"
        );
        if let Some(address) = &options.listen {
            command_line::address(address).map_err(|problem| anyhow!("listen: {problem}"))?;
        }
        let secrets = options.secrets.as_deref().map(Secrets::read).transpose();
        let secrets = secrets.context("secrets")?.unwrap_or_default();
        let network =
            NetworkPolicy::new(networks("allow", &options.allow)?, networks("deny", &options.deny)?);
        for (name, command) in &file.commands {
            ensure!(
                command.program.is_absolute(),
                "commands.{name}.program: must be an absolute path, is {}",
                command.program.display()
            );
        }
        let tls = match &options.ca_file {
            Some(path) => TlsRoots::system().and_file(path).context("ca-file")?,
            None => TlsRoots::system(),
        };
        let environment = Environment { network, tls, secrets: Arc::new(secrets), commands: file.commands };
        let state_folder = match &options.state_folder {
            Some(folder) => folder.clone(),
            None => state_folder::default()?,
        };
        Ok(Self {
            location: location(&options)?,
            environment: Arc::new(environment),
            state_folder,
            verbosity: options.verbose,
            options,
        })
    }

    /// Warns of what somebody should know, once there is a log.
    pub(super) fn warn(&self) {
        let Some(path) = &self.options.secrets else { return };
        if std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0) {
            let path = path.display();
            tracing::warn!("others than the agent's user may read or change the secrets: chmod 600 {path}");
        }
    }

    /// Makes the agent.
    pub(super) fn agent(self) -> Result<Agent> {
        let Self { options, environment, location, state_folder, .. } = self;
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let certificate = options.certificate.as_deref().zip(options.key.as_deref());
        let afm = ConnectOptions {
            token: options.token_file.as_deref().map(read_token).transpose()?,
            proxy: options.proxy,
            user_agent: None,
            tls: Some(tls_configuration(options.ca_file.as_deref(), certificate)?),
        };
        let mut urls = options.url.into_iter();
        let first = urls.next().context("url: is required")?;
        let mut agent = urls
            .fold(Agent::new(first), Agent::or_url)
            .options(afm)
            .name(options.name.unwrap_or_else(machine_name))
            .id_file(options.id_file.unwrap_or_else(|| state_folder.join("agent-id")))
            .spool(state_folder.join("results"))
            .executors(options.executors.unwrap_or(2) as usize);
        if let Some(location) = location {
            agent = agent.location(location);
        }
        if let Some(wait) = options.default_wait {
            agent = agent.default_wait(seconds(wait));
        }
        if let Some(wait) = options.longest_poll {
            agent = agent.longest_poll(seconds(wait));
        }
        if let Some(limit) = options.shutdown_limit {
            agent = agent.shutdown_limit(seconds(limit));
        }
        if let Some(address) = options.listen {
            agent = agent.monitoring(address);
        }
        let handlers = options.handlers;
        let are_all = handlers.is_empty() || handlers.iter().any(|name| name == ALL_HANDLERS);
        agent.built_in((!are_all).then_some(handlers.as_slice()), &environment).context("handlers")
    }
}

fn networks(option: &str, texts: &[String]) -> Result<Vec<Network>> {
    texts.iter().map(|text| text.trim().parse().with_context(|| option.to_owned())).collect()
}

fn location(options: &Options) -> Result<Option<Location>> {
    let Options { country, region, latitude, longitude, .. } = options;
    let location = match (country, region) {
        (Some(country), Some(region)) => Location {
            country: country.clone(),
            region: region.clone(),
            latitude: *latitude,
            longitude: *longitude,
        },
        (None, None) => {
            ensure!(
                latitude.is_none() && longitude.is_none(),
                "country and region: are required with a position"
            );
            return Ok(None);
        }
        (None, Some(_)) => bail!("country: is required with a region"),
        (Some(_), None) => bail!("region: is required with a country"),
    };
    ensure!(location.country.chars().count() == 2, "country: must have 2 characters");
    ensure!((2..=4).contains(&location.region.chars().count()), "region: must have 2 to 4 characters");
    let is_within = |degrees: Option<f64>, most: f64| degrees.is_none_or(|degrees| degrees.abs() <= most);
    ensure!(is_within(location.latitude, 90.0), "latitude: must be from -90 to 90");
    ensure!(is_within(location.longitude, 180.0), "longitude: must be from -180 to 180");
    Ok(Some(location))
}

fn machine_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "slamon-agent".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(change: impl FnOnce(&mut Options)) -> String {
        let mut options = Options {
            url: vec!["http://afm".to_owned()],
            state_folder: Some("/tmp".into()),
            ..Options::default()
        };
        change(&mut options);
        Settings::of(options, File::default()).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn lists_may_have_spaces_after_their_commas() {
        let options = Options {
            url: vec!["http://a".to_owned(), " http://b".to_owned()],
            handlers: vec!["wait".to_owned(), " http".to_owned()],
            state_folder: Some("/tmp".into()),
            ..Options::default()
        };
        let settings = Settings::of(options, File::default()).unwrap();
        assert_eq!(settings.options.url, ["http://a", "http://b"]);
        settings.agent().unwrap();
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(problem(|options| options.url.clear()).starts_with("url: "));
        assert!(problem(|options| options.executors = Some(0)).starts_with("executors: "));
        assert!(problem(|options| options.default_wait = Some(0)).starts_with("default-wait: "));
        assert!(problem(|options| options.longest_poll = Some(301)).starts_with("longest-poll: "));
        assert!(problem(|options| options.country = Some("FI".to_owned())).starts_with("region: "));
        assert!(problem(|options| options.region = Some("18".to_owned())).starts_with("country: "));
        assert!(problem(|options| options.latitude = Some(60.0)).starts_with("country and region: "));
        assert!(problem(|options| options.allow = vec!["10/8".to_owned()]).starts_with("allow"));
        for address in ["9110", "127.0.0.1", ":9110", "127.0.0.1:http", "127.0.0.1:65536"] {
            let problem = problem(|options| options.listen = Some(address.to_owned()));
            assert_eq!(problem, "listen: must be ADDRESS:PORT, such as 127.0.0.1:9110", "{address}");
        }
        assert!(problem(|options| options.key = Some("key.pem".into())).starts_with("certificate and key: "));
    }
}
