//! Options that all commands have: where the AFM is, and how its answers are shown.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use slamon_client::connection::read_token;
use slamon_client::{Client, ClientError, ConnectOptions, tls_configuration};

use super::arguments::positive_seconds;
use super::failure::Failure;

/// How the AFM is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "The AFM")]
pub(in crate::cli) struct Connection {
    #[arg(long, value_name = "URL", env = "SLAMON_AFM_URL", hide_env_values = true)]
    #[arg(help = "Where the AFM is: http://[USER:PASSWORD@]HOST[:PORT][/PATH]")]
    #[arg(default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A file with a token that is sent with each request
    #[arg(long, value_name = "FILE", env = "SLAMON_AFM_TOKEN_FILE", hide_env_values = true)]
    token_file: Option<PathBuf>,
    /// A file of authorities (PEM) that the AFM's certificate may be from, beside those that the system trusts
    #[arg(long, value_name = "FILE", env = "SLAMON_AFM_CA_FILE", hide_env_values = true)]
    ca_file: Option<PathBuf>,
    /// Print the answers of the AFM as JSON, one document a line
    #[arg(long)]
    pub(super) json: bool,
    /// Give up an AFM that has not answered for so many seconds; until then, what may help is tried again
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = positive_seconds)]
    timeout: Duration,
}

impl Connection {
    /// Makes a client. Nothing is sent yet.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let problem = |error| Failure::Afm(ClientError::Connect(error));
        let token = self.token_file.as_deref().map(read_token).transpose().map_err(problem)?;
        let options = ConnectOptions {
            token,
            proxy: None,
            tls: Some(tls_configuration(self.ca_file.as_deref(), None).map_err(problem)?),
            user_agent: Some(concat!("slamon-afm/", env!("CARGO_PKG_VERSION")).to_owned()),
        };
        let client = Client::with_options(&self.url, &options).map_err(problem)?;
        Ok(client.answer_within(self.timeout).retry_for(self.timeout))
    }
}
