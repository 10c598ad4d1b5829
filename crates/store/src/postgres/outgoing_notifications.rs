//! Sends notifications of a batch in the transaction of the batch.

use slamon_domain::Applied;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use super::errors::PgError;
use super::notifications::{InstanceId, payloads};
use super::session::Session;
use super::timeouts::milliseconds;

/// Sends payloads. Commits that notify wait for each other, here as long as any statement may take.
const NOTIFY: &str = "
    select set_config('lock_timeout', $2, true), pg_notify('slamon_afm', payload),
        pg_current_xact_id()::text as transaction
    from unnest($1::text[]) as payload
";

/// Sends payloads beside a batch, in a transaction of their own.
pub(super) async fn publish(session: &Session, payloads: &[String]) -> Result<(), PgError> {
    let lock_wait = milliseconds(session.statement_timeout()).to_string();
    session.query(NOTIFY, &[&payloads, &lock_wait]).await?;
    Ok(())
}

/// The notifications that go out with the commit of a batch.
pub(super) struct OutgoingNotifications {
    notify: Option<Statement>,
    payloads: Vec<String>,
}

impl OutgoingNotifications {
    /// Prepares the notifications of what was applied.
    pub(super) async fn prepare(
        session: &Session,
        this: InstanceId,
        applied: &Applied,
    ) -> Result<Self, PgError> {
        let payloads = payloads(this, applied);
        Ok(Self { notify: session.prepare_if(!payloads.is_empty(), NOTIFY).await?, payloads })
    }

    /// No notifications: the batch is committed alone.
    pub(super) fn none() -> Self {
        Self { notify: None, payloads: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.payloads.is_empty()
    }

    /// Sends the notifications with the first poll of the future. Returns the number of the transaction, if
    /// there are any.
    pub(super) async fn send(&self, session: &Session) -> Result<Option<String>, PgError> {
        let lock_wait = milliseconds(session.statement_timeout()).to_string();
        let parameters: [&(dyn ToSql + Sync); 2] = [&self.payloads, &lock_wait];
        let notified = session.run_if(self.notify.as_ref(), &parameters).await?;
        Ok(notified.first().map(|row| row.try_get("transaction")).transpose()?)
    }
}
