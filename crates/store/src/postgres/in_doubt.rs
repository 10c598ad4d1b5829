//! Transactions in doubt: the connection was cut, or the server did not answer, while they were being
//! committed.
//!
//! They may still be under way. Until one has ended, nobody sees what it has inserted, not even as locked:
//! whoever looks for the tasks that it has claimed would find none, and take that for an answer.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_postgres::error::SqlState;

use super::errors::PgError;
use super::session::Session;

const UNDER_WAY: &str =
    "select id from unnest($1::text[]) as given (id) where pg_xact_status(id::xid8) = 'in progress'";

/// The transactions in doubt of this AFM, by the numbers that the server has given them, as text.
#[derive(Debug, Default)]
pub(super) struct TransactionsInDoubt(Mutex<Vec<String>>);

impl TransactionsInDoubt {
    /// Notes a transaction whose commit was begun and not answered.
    pub(super) fn add(&self, transaction: String) {
        self.given().push(transaction);
    }

    /// Asks the server which of them have ended, and forgets those. Must not be called in a transaction.
    ///
    /// # Errors
    /// [`PgError::InDoubt`] as long as one is under way.
    pub(super) async fn check_ended(&self, session: &Session) -> Result<(), PgError> {
        let given = self.given().clone();
        if given.is_empty() {
            return Ok(());
        }
        let under_way = match session.query(UNDER_WAY, &[&given]).await {
            Ok(rows) => rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?,
            // It has never heard of one: another server, which took the place of the one that did not get
            // that far.
            Err(problem) if problem.code() == Some(&SqlState::INVALID_PARAMETER_VALUE) => Vec::new(),
            Err(problem) => return Err(problem),
        };
        self.given().retain(|id| !given.contains(id) || under_way.contains(id));
        if under_way.is_empty() { Ok(()) } else { Err(PgError::InDoubt) }
    }

    fn given(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
