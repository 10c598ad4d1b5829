//! The subcommand `demo`: an AFM in memory with three agents, a site that is not always well, and tasks that watch it.

mod agents;
mod services;
mod site;
mod tasks;

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use std::{env, future, io};

use slamon_client::Client;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tracing::Level;

use super::run::{self, Address};
use crate::config::Config;
use crate::database::Database;
use crate::logging::LogWriter;
use services::Services;

/// What names proxies.
const PROXIES: [&str; 6] =
    ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/// Begins anew without the proxies that the environment names, where it names any: agents, their tasks and the client
/// would look there for what is on this machine, and the demo reaches nothing else.
pub(super) fn without_proxies() -> io::Result<()> {
    if PROXIES.iter().all(|name| env::var_os(name).is_none()) {
        return Ok(());
    }
    let mut anew = Command::new(env::current_exe()?);
    anew.args(env::args_os().skip(1));
    for name in PROXIES {
        anew.env_remove(name);
    }
    // It comes back only if that fails.
    Err(anew.exec())
}

/// How long tasks are kept, if nothing is said: as long as there are figures of them. So a demo that is left alone
/// stays as small as it is then.
const RETENTION: Duration = Duration::from_secs(3_600);

/// Changes settings to what suits a demo.
pub(super) fn apply_defaults(config: &mut Config) {
    // What the demo prints would drown in what it does.
    config.log_level = config.log_level.min(Level::ERROR);
    config.task_retention.get_or_insert(RETENTION);
}

/// Runs the demo until the process is told to end.
pub(super) async fn run(
    address: &Address,
    config: &Config,
    database: Database,
    log: LogWriter,
) -> anyhow::Result<()> {
    let (tell, listening) = oneshot::channel();
    let afm = run::run(address, config, database, log, move |addresses| {
        let _ = tell.send(addresses.first().copied());
    });
    let shown = async {
        match listening.await {
            Ok(Some(address)) => show(address).await,
            // The AFM says why.
            Ok(None) | Err(_) => Ok(()),
        }
    };
    tokio::select! {
        ended = afm => ended,
        Err(problem) = shown => Err(problem),
        // What is shown has ended by itself; the AFM is about to.
        else => future::pending().await,
    }
}

/// Runs everything beside the AFM.
async fn show(afm: SocketAddr) -> anyhow::Result<()> {
    let url = format!("http://{}", reachable(afm));
    let site = TcpListener::bind("127.0.0.1:0").await?;
    let target = format!("http://{}", site.local_addr()?);
    println!("The AFM is at          {url}");
    println!("The dashboard is at    {url}/dashboard");
    println!("The API is shown at    {url}/api/docs");
    // As this one was started, since it may not be where the shell finds it.
    let program = env::args_os().next().unwrap_or_else(|| "slamon-afm".into());
    println!("In another terminal    {} top --url {url}", program.display());
    println!("Three agents watch     {target}, which is slow now and then, and broken every few minutes");
    println!("Ctrl-C ends the demo; nothing of it is kept.");
    let client = Client::new(&url)?.retry_for(Duration::ZERO);
    let environment = Arc::new(agents::environment()?);
    let (services, ports) = Services::bind().await?;
    let post = async {
        let kinds = tasks::kinds(&target, ports, &environment).await;
        tasks::post(&client, &kinds).await
    };
    tokio::try_join!(agents::run(&url, &environment), site::serve(site), services.serve(), post)?;
    Ok(())
}

/// An address that can be connected to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut reachable = address;
    if address.ip().is_unspecified() {
        reachable.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    reachable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_keeps_tasks_for_an_hour_unless_it_is_told_for_how_long() {
        let mut config = Config::default();
        apply_defaults(&mut config);
        assert_eq!((config.task_retention, config.log_level), (Some(RETENTION), Level::ERROR));
        config.task_retention = Some(Duration::from_secs(60));
        apply_defaults(&mut config);
        assert_eq!(config.task_retention, Some(Duration::from_secs(60)));
    }
}
