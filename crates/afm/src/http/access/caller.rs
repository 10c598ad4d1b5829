//! Who sends a request, and which of the things that their role allows they may do.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use slamon_domain::{AgentBinding, Task, Token};
use slamon_protocol::{PostTask, ResultPost, excerpt};
use uuid::Uuid;

use crate::access::HeldToken;
use crate::http::app::App;
use crate::http::error::ApiError;

/// Who sends a request: the bearer of a token, or anybody where none is needed.
#[derive(Debug, Clone, Default)]
pub(in crate::http) struct Caller(Option<Arc<HeldToken>>);

impl FromRequestParts<App> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

impl Caller {
    pub(super) fn of(held: Arc<HeldToken>) -> Self {
        Self(Some(held))
    }

    fn token(&self) -> Option<&Token> {
        self.0.as_ref().map(|held| &held.token)
    }

    /// Notes in a task who posts it.
    ///
    /// # Errors
    /// Fails if the bearer may not post tasks of its type.
    pub(in crate::http) fn posts(&self, task: &mut PostTask) -> Result<(), ApiError> {
        let Some(token) = self.token() else { return Ok(()) };
        if !token.may_post(&task.task_type) {
            return Err(ApiError::ForbiddenField {
                field: "task_type",
                problem: format!("the token may not post tasks of type {:?}", excerpt(&task.task_type)),
            });
        }
        task.posted_by = Some(token.name.clone());
        Ok(())
    }

    /// Whether only tasks that were posted by the same name are seen.
    pub(in crate::http) fn sees_only_own_tasks(&self) -> bool {
        self.token().is_some_and(|token| token.role.sees_only_own_tasks())
    }

    /// Checks that a task is seen.
    ///
    /// # Errors
    /// Fails as if there was no such task.
    pub(in crate::http) fn sees(&self, task: &Task) -> Result<(), ApiError> {
        let is_own = |token: &Token| task.posted.posted_by.as_deref() == Some(token.name.as_str());
        match self.token() {
            Some(token) if token.role.sees_only_own_tasks() && !is_own(token) => Err(ApiError::UnknownTask),
            _ => Ok(()),
        }
    }

    /// Checks that the bearer may poll as an agent. The first such poll may bind the token to it.
    ///
    /// # Errors
    /// Fails if the token is bound to another agent.
    pub(in crate::http) async fn polls_as(&self, app: &App, agent_id: Uuid) -> Result<(), ApiError> {
        let Some(token) = self.token() else { return Ok(()) };
        let bound = app.tokens.bind(token, agent_id).await.map_err(|error| app.read_failed(&error))?;
        match bound {
            Some(bound) if bound != agent_id => Err(ApiError::ForbiddenField {
                field: "agent_id",
                problem: "the token is another agent's".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Returns the same caller, with the agent to which another AFM may have bound the token a moment ago: an agent polls
    /// at one and may report at the next.
    ///
    /// # Errors
    /// Fails when that cannot be read.
    pub(in crate::http) async fn bound(self, app: &App) -> Result<Self, ApiError> {
        match &self.0 {
            Some(held) if held.token.agent == AgentBinding::First => {
                let latest = app.tokens.latest(held).await.map_err(|error| app.read_failed(&error))?;
                Ok(Self::of(latest))
            }
            _ => Ok(self),
        }
    }

    /// Has a result come from the agent to which the token is bound.
    ///
    /// # Errors
    /// Fails if the result says that it is another agent's, or the token was bound to none yet.
    pub(in crate::http) fn reports(&self, result: &mut ResultPost) -> Result<(), ApiError> {
        let bound = match self.token().map(|token| token.agent) {
            None | Some(AgentBinding::Any) => return Ok(()),
            Some(AgentBinding::Agent(bound)) => Some(bound),
            // Who has never polled has been handed nothing.
            Some(AgentBinding::First) => None,
        };
        if bound.is_none() || result.agent_id.is_some_and(|given| Some(given) != bound) {
            return Err(ApiError::ForbiddenField {
                field: "agent_id",
                problem: "the token is another agent's".to_owned(),
            });
        }
        result.agent_id = bound;
        Ok(())
    }
}
