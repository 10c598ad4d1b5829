//! What a batch sends last: the commit, with all before it whose answers nothing else depends on.

use std::collections::HashMap;

use futures_util::future::join4;
use jiff::Timestamp;
use slamon_domain::batch::Executor;
use tokio_postgres::Statement;

use super::claims::{self, Chosen};
use super::polls::Polls;
use super::saving::Saving;
use crate::postgres::errors::PgError;
use crate::postgres::outgoing_notifications::OutgoingNotifications;
use crate::postgres::session::Session;

/// The statements that go out with the commit.
pub(super) struct LastTrip<'a> {
    /// The changes that are not saved yet: only tasks.
    pub(super) saving: Option<(Saving, Executor<'a>)>,
    /// The claims that are not saved yet, and the statement that saves them.
    pub(super) claims: Option<(Vec<Chosen>, Statement)>,
    pub(super) notifications: OutgoingNotifications,
}

/// Why a transaction was not committed, as far as is known.
pub(in crate::postgres) enum LastTripFailure {
    /// The server has refused a statement before the commit, so nothing was committed.
    Statement(PgError),
    /// Somebody else was faster to take a task, or has locked it, so nothing was committed.
    Missed,
    /// The commit failed, or was not answered.
    Commit(PgError),
}

impl LastTrip<'_> {
    /// Sends everything in one round trip, gives the polls what was claimed, and returns the number of the
    /// transaction, if notifications were sent.
    pub(super) async fn commit(
        self,
        session: &Session,
        polls: &mut Polls<'_>,
        now: Timestamp,
    ) -> Result<Option<String>, LastTripFailure> {
        let Self { saving, claims, notifications } = self;
        let saving = async {
            match &saving {
                Some((saving, executor)) => saving.save_tasks(session, executor).await,
                None => Ok(()),
            }
        };
        let claiming = async {
            match &claims {
                Some((chosen, statement)) => claims::save(session, Some(statement), chosen, now, true).await,
                None => Ok(HashMap::new()),
            }
        };
        let (saved, claimed, notified, committed) =
            join4(saving, claiming, notifications.send(session), session.script("commit")).await;
        // A COMMIT after a statement that failed rolls back, and is no error. Whoever ends the connection may be
        // a pooler, behind which the server has committed.
        let before = |problem: PgError| {
            if problem.is_rolled_back() && !problem.is_of_connection() {
                LastTripFailure::Statement(problem)
            } else {
                LastTripFailure::Commit(problem)
            }
        };
        saved.map_err(before)?;
        let claimed = claimed.map_err(|problem| match before(problem) {
            LastTripFailure::Statement(problem) if problem.is_failed_cast() => LastTripFailure::Missed,
            failure => failure,
        })?;
        let number = notified.map_err(LastTripFailure::Commit)?;
        committed.map_err(LastTripFailure::Commit)?;
        if let Some((chosen, _)) = claims {
            polls.give(chosen, claimed).map_err(LastTripFailure::Commit)?;
        }
        Ok(number)
    }
}
