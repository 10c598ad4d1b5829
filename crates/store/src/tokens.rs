//! Who may do what: tokens.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use slamon_domain::Token;
use uuid::Uuid;

use crate::error::StoreError;

/// The most tokens that are read at once.
pub const MOST_TOKENS: u32 = 1_000;

/// Tokens that were made, revoked or bound since a change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangedTokens {
    /// The tokens, in the order of their changes: at most [`MOST_TOKENS`].
    pub tokens: Vec<Token>,
    /// The number of the last of these changes; the one that was asked with, if there are none.
    pub last_change: u64,
}

/// Keeps tokens. Every AFM has all of them in memory, and reads what has changed twice a second.
#[async_trait]
pub trait TokenStore: Send + Sync + 'static {
    /// Adds a token. One that was added before stays as it is.
    ///
    /// # Errors
    /// [`StoreError::Failed`] where another token has its id or its hash, or its name contains U+0000.
    async fn add_token(&self, token: Arc<Token>) -> Result<(), StoreError>;

    /// Reads the tokens that were changed after a change, 0 for all of them. Changes are numbered in the order of their
    /// commits, so that none is missed; that a token was used is no change.
    async fn changed_tokens(&self, after: u64) -> Result<ChangedTokens, StoreError>;

    /// Revokes tokens, and returns how many of them were not revoked before.
    async fn revoke_tokens(&self, ids: Arc<[Uuid]>, now: Timestamp) -> Result<u64, StoreError>;

    /// Binds a token whose binding is `First` to an agent, and returns to which agent the token is bound then; `None` if
    /// there is no such token, or any agent may bear it.
    async fn bind_token(&self, id: Uuid, agent_id: Uuid) -> Result<Option<Uuid>, StoreError>;

    /// Saves when tokens were used last. An earlier time than the saved one changes nothing.
    async fn save_token_uses(&self, uses: Arc<[(Uuid, Timestamp)]>) -> Result<(), StoreError>;
}

/// Refuses a name that PostgreSQL cannot keep, in every store.
pub(crate) fn check_name(token: &Token) -> Result<(), StoreError> {
    if token.name.contains('\0') {
        return Err(StoreError::Failed(anyhow::anyhow!("the name of a token must not contain U+0000")));
    }
    Ok(())
}

/// The error of a token that cannot be added.
pub(crate) fn is_taken(token: &Token) -> StoreError {
    StoreError::Failed(anyhow::anyhow!("another token has the id {} or the same hash", token.id))
}
