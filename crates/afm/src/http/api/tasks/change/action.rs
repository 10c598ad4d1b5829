//! What is done to many tasks, and to how many at once.

use slamon_store::States;
use uuid::Uuid;

use super::super::{cancel, retry};
use crate::http::app::App;
use crate::http::error::ApiError;
use crate::http::posted_in::PostedIn;

/// A request names at most this many tasks, and one by filter changes as many.
pub(super) const MOST: usize = 1_000;

/// So many of them wait for the store at the same time. Each may have a megabyte of data.
pub(super) const AT_ONCE: usize = 32;

/// What is done to each task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Action {
    Cancel,
    Retry,
}

impl Action {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Retry => "retry",
        }
    }

    /// The states of tasks to which it can be done.
    pub(super) fn states(self) -> States {
        match self {
            Self::Cancel => States::UNFINISHED,
            Self::Retry => States::UNSUCCESSFUL,
        }
    }

    /// Does it to a task; gives the id of the new one, if there is one, which is `new_id`.
    pub(super) async fn apply(
        self,
        app: &App,
        id: Uuid,
        new_id: Uuid,
        posted_in: PostedIn,
    ) -> Result<Option<Uuid>, ApiError> {
        match self {
            Self::Cancel => cancel::cancel(app, id).await.map(|()| None),
            Self::Retry => {
                posted_in.note(app, new_id);
                retry::retry(app, id, new_id).await.map(|()| Some(new_id))
            }
        }
    }
}
