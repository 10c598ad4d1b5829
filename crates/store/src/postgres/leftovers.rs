//! Closes connections of a pooler on which this program has left settings.
//!
//! The mode of a pooler may change while it has connections of ours: what was set on them then meets its
//! other clients.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, Error};

use super::connection::Connector;

/// Begins a transaction, and asks whether the connection has settings that only this program makes together.
const OURS: &str = "
    begin;
    select count(*) = 4 from pg_settings
    where source = 'session'
        and (name, setting) in (
            ('enable_seqscan', 'off'), ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off'),
            ('plan_cache_mode', 'force_generic_plan')
        )
";

/// How long a pooler that has connections may take to lend one.
const LENT: Duration = Duration::from_secs(1);

/// Has the pooler close connections to the server on which this program has set something, as far as they are
/// among the `most` that it lends: a pooler closes one whose client leaves within a transaction.
pub(super) async fn close(connector: &Connector, most: usize) {
    let mut of_others = Vec::new();
    for _ in 0..most {
        let Ok(Ok(client)) = timeout(LENT, connector.connect()).await else { break };
        match timeout(LENT, is_ours(&client)).await {
            Ok(Ok(true)) => drop(client),
            // While this one is held, the pooler lends another one next.
            Ok(Ok(false)) => of_others.push(client),
            _ => break,
        }
    }
    for client in of_others {
        let _ = timeout(LENT, client.batch_execute("rollback")).await;
    }
}

async fn is_ours(client: &Client) -> Result<bool, Error> {
    let messages = client.simple_query(OURS).await?;
    Ok(messages.iter().any(
        |message| matches!(message, tokio_postgres::SimpleQueryMessage::Row(row) if row.get(0) == Some("t")),
    ))
}
