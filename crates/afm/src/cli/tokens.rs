//! The subcommand `token`: makes, lists and revokes tokens, in the database.

mod expiry;

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::{Context, bail};
use jiff::Timestamp;
use serde::Serialize;
use slamon_domain::{AgentBinding, Role, Token};
use slamon_protocol::{iso_time, parse_id};
use slamon_store::{MOST_TOKENS, SchemaError, Store, StoreError};
use uuid::Uuid;

use super::client::table::Table;
use super::client::terminal_text::{json, name as shown_name, shown};
use super::{ServerOptions, tables};
use crate::access::token_text;
use crate::clock::Clock;
use crate::database::Database;
use expiry::Expiry;

/// The message that says why there are no tokens in memory.
pub(super) const IN_MEMORY: &str = "token: the database is in memory (sqlite://, the default), where no other process sees it; \
     name one: --database-uri sqlite:///slamon-afm.db, or set SQLALCHEMY_DATABASE_URI";

/// The longest name of a token, in bytes.
const LONGEST_NAME: usize = 200;

/// Make, list and revoke tokens, which say who may do what
#[derive(Debug, clap::Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token, and print it: it is shown this once, and never again
    Create {
        #[command(flatten)]
        new: NewToken,
        #[command(flatten)]
        options: ServerOptions,
    },
    /// List tokens, without their texts, which nobody has
    List {
        /// Also those that have expired or were revoked
        #[arg(long)]
        all: bool,
        /// Print JSON, one token a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        options: ServerOptions,
    },
    /// Revoke tokens: they are no good any more, on every AFM, within a second
    Revoke {
        /// The ids of tokens, or names: of a name, all tokens are revoked
        #[arg(required = true, value_name = "ID|NAME")]
        tokens: Vec<String>,
        #[command(flatten)]
        options: ServerOptions,
    },
}

/// What a new token is for.
#[derive(Debug, clap::Args)]
pub(super) struct NewToken {
    /// What its bearer is: agent (polls and reports), client (posts tasks, reads and cancels its own), viewer (reads),
    /// operator (reads, cancels, retries, pauses) or admin (everything)
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// Who bears it; a client sees the tasks that were posted by the same name [default: the role and a number]
    #[arg(long, value_name = "NAME", value_parser = token_name)]
    name: Option<String>,
    /// The only agent that may use it, by its id; or `first`: the one that uses it first
    #[arg(long, value_name = "ID|first", value_parser = binding)]
    agent_id: Option<AgentBinding>,
    /// The only task types that its bearer may post, separated by commas
    #[arg(long, value_name = "TYPES", value_delimiter = ',', value_parser = task_type)]
    types: Option<Vec<String>>,
    /// Until when it is good: 90d, 12h, 2027-01-31 (UTC) or 2027-01-31T12:00Z [default: until it is revoked]
    #[arg(long, value_name = "WHEN")]
    expires: Option<Expiry>,
}

impl TokenCommand {
    /// Takes what it says of the database.
    pub(super) fn take_options(&mut self) -> ServerOptions {
        let (Self::Create { options, .. } | Self::List { options, .. } | Self::Revoke { options, .. }) = self;
        std::mem::take(options)
    }

    /// Says what is wrong with the arguments together.
    pub(super) fn check(&self) -> Result<(), String> {
        let Self::Create { new, .. } = self else { return Ok(()) };
        if new.agent_id.is_some() && new.role != Role::Agent {
            return Err(format!("--agent-id is for --role agent, not for {}", new.role));
        }
        if new.types.is_some() && new.role != Role::Client {
            return Err(format!("--types is for --role client, not for {}", new.role));
        }
        Ok(())
    }
}

/// Does what the command says.
pub(super) async fn run(
    command: &TokenCommand,
    database: &Database,
    auto_create: bool,
) -> anyhow::Result<()> {
    let store = &*database.store;
    let done = async {
        prepare(database, auto_create).await?;
        match command {
            TokenCommand::Create { new, .. } => create(store, new).await,
            TokenCommand::List { all, json, .. } => list(store, *all, *json).await,
            TokenCommand::Revoke { tokens, .. } => revoke(store, tokens).await,
        }
    };
    let done = done.await;
    store.close().await;
    done
}

/// Creates the tables where there are none yet: the first token is often made before the first start.
async fn prepare(database: &Database, auto_create: bool) -> anyhow::Result<()> {
    let unusable = |error| database.unusable(error);
    match database.store.check().await {
        Err(StoreError::Schema(SchemaError::Missing)) if auto_create => {
            tables::report(database.store.create_tables().await.map_err(unusable)?);
            Ok(())
        }
        checked => checked.map_err(unusable),
    }
}

async fn create(store: &dyn Store, new: &NewToken) -> anyhow::Result<()> {
    let now = now(store).await?;
    let expires_at =
        new.expires.as_ref().map(|expiry| expiry.after(now)).transpose().map_err(anyhow::Error::msg)?;
    if expires_at.is_some_and(|end| end <= now) {
        bail!("--expires: {} is past", expires_at.unwrap_or(now));
    }
    let text = token_text::make().context("the system has no random numbers")?;
    let id = Uuid::new_v4();
    let name = new.name.clone().unwrap_or_else(|| format!("{}-{}", new.role, &id.simple().to_string()[..8]));
    let token = Token {
        id,
        name,
        role: new.role,
        hash: token_text::hash(&text).context("the token is none")?,
        agent: new.agent_id.unwrap_or(AgentBinding::Any),
        types: new.types.clone(),
        created_at: now,
        expires_at,
        revoked_at: None,
        last_used_at: None,
    };
    let (name, role) = (token.name.clone(), token.role);
    store.add_token(Arc::new(token)).await.context("could not save the token")?;
    tracing::info!(%id, name, %role, "token created");
    writeln!(io::stdout(), "{text}").context("could not write the token")
}

async fn list(store: &dyn Store, all: bool, as_json: bool) -> anyhow::Result<()> {
    let now = now(store).await?;
    let mut tokens = read_all(store).await?;
    tokens.retain(|token| all || token.is_valid(now));
    tokens.sort_by(|a, b| (&a.name, a.created_at, a.id).cmp(&(&b.name, b.created_at, b.id)));
    let mut out = io::BufWriter::new(io::stdout());
    let lines: Vec<String> = if as_json {
        let text = |token: &Token| serde_json::to_string(&Listed::of(token, now)).map(|text| json(&text));
        tokens.iter().map(text).collect::<Result<_, _>>()?
    } else {
        let mut table =
            Table::new(&["ID", "NAME", "ROLE", "STATE", "CREATED", "EXPIRES", "LAST USED", "ONLY FOR"]);
        for token in &tokens {
            table.row(row(token, now));
        }
        table.lines(None)
    };
    for line in lines {
        writeln!(out, "{line}").context("could not write the list")?;
    }
    out.flush().context("could not write the list")
}

async fn revoke(store: &dyn Store, named: &[String]) -> anyhow::Result<()> {
    let now = now(store).await?;
    let tokens = read_all(store).await?;
    let mut ids = Vec::new();
    for wanted in named {
        let id = parse_id(wanted);
        let found = tokens.iter().filter(|token| Some(token.id) == id || token.name == *wanted);
        let before = ids.len();
        ids.extend(found.map(|token| token.id));
        if ids.len() == before {
            bail!("there is no token with the id or the name {}; nothing was revoked", shown_name(wanted));
        }
    }
    let revoked = store.revoke_tokens(ids.into(), now).await.context("could not revoke")?;
    tracing::info!(revoked, "tokens revoked");
    Ok(())
}

/// Reads all tokens.
async fn read_all(store: &dyn Store) -> anyhow::Result<Vec<Token>> {
    let mut by_id = std::collections::HashMap::new();
    let mut after = 0;
    loop {
        let changed = store.changed_tokens(after).await.context("could not read the tokens")?;
        let is_last = changed.tokens.len() < MOST_TOKENS as usize;
        by_id.extend(changed.tokens.into_iter().map(|token| (token.id, token)));
        after = changed.last_change;
        if is_last {
            return Ok(by_id.into_values().collect());
        }
    }
}

/// The time by the clock of the database, as AFMs have it.
async fn now(store: &dyn Store) -> anyhow::Result<Timestamp> {
    let time = store.time().await.context("could not read the time")?;
    Ok(time.unwrap_or_else(|| Clock::system().now()))
}

/// A token in JSON.
#[derive(Serialize)]
struct Listed<'t> {
    id: Uuid,
    name: &'t str,
    role: &'static str,
    state: &'static str,
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    types: Option<&'t [String]>,
}

impl<'t> Listed<'t> {
    fn of(token: &'t Token, now: Timestamp) -> Self {
        Self {
            id: token.id,
            name: &token.name,
            role: token.role.name(),
            state: state(token, now),
            created: iso_time(token.created_at),
            expires: token.expires_at.map(iso_time),
            revoked: token.revoked_at.map(iso_time),
            last_used: token.last_used_at.map(iso_time),
            agent_id: bound(token),
            types: token.types.as_deref(),
        }
    }
}

fn state(token: &Token, now: Timestamp) -> &'static str {
    match token.revoked_at {
        Some(_) => "revoked",
        None if token.is_valid(now) => "good",
        None => "expired",
    }
}

fn bound(token: &Token) -> Option<String> {
    match token.agent {
        AgentBinding::Any => None,
        AgentBinding::First => Some("first".to_owned()),
        AgentBinding::Agent(id) => Some(id.to_string()),
    }
}

fn row(token: &Token, now: Timestamp) -> Vec<String> {
    let time = |time: Option<Timestamp>, none: &str| match time {
        Some(time) => time.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        None => none.to_owned(),
    };
    let agent = bound(token).map(|id| format!("agent {id}"));
    let types = token.types.as_ref().map(|types| format!("types {}", shown(&types.join(","))));
    vec![
        token.id.to_string(),
        shown_name(&token.name),
        token.role.to_string(),
        state(token, now).to_owned(),
        time(Some(token.created_at), ""),
        time(token.expires_at, "never"),
        time(token.last_used_at, "never"),
        agent.into_iter().chain(types).collect::<Vec<_>>().join(", "),
    ]
}

fn token_name(text: &str) -> Result<String, String> {
    match text {
        "" => Err("is empty".to_owned()),
        _ if text.len() > LONGEST_NAME => Err(format!("is longer than {LONGEST_NAME} bytes")),
        _ if text.contains(char::is_control) => Err("has a control character".to_owned()),
        _ if parse_id(text).is_some() => Err("is a UUID, as the ids of tokens are".to_owned()),
        // Whoever confuses the two must not have it in every list.
        _ if token_text::is_meant(text) => Err("is a token".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

fn task_type(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("a type is empty".to_owned()) } else { Ok(text.to_owned()) }
}

fn binding(text: &str) -> Result<AgentBinding, String> {
    if text == "first" {
        return Ok(AgentBinding::First);
    }
    parse_id(text).map(AgentBinding::Agent).ok_or_else(|| "must be a UUID, or first".to_owned())
}
