//! All tokens, as the database held them when they were read last.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use jiff::Timestamp;
use slamon_domain::{AgentBinding, Token, TokenHash};
use slamon_store::{MOST_TOKENS, Store, StoreError};
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use crate::access::token_text;

/// Changes are read again once in this long: a token that is revoked is no good anywhere within a second.
const READ_AGAIN: Duration = Duration::from_millis(500);

/// For a token that is not known, changes are read without waiting for that, but no more often than this: it may be a new
/// one, or an attack.
const READ_FOR_UNKNOWN: Duration = Duration::from_millis(100);

/// The times at which tokens were used are saved once in this long.
const SAVE_USES: Duration = Duration::from_secs(10);

/// How many such times are saved at once.
const SAVED_AT_ONCE: usize = 5_000;

/// A token that the database has.
#[derive(Debug)]
pub(crate) struct HeldToken {
    pub(crate) token: Token,
    /// When it was used last, in seconds of Unix time, and whether that has to be saved.
    used_at: AtomicI64,
    is_use_unsaved: AtomicBool,
}

impl HeldToken {
    fn new(token: Token) -> Self {
        let used_at = token.last_used_at.map_or(i64::MIN, Timestamp::as_second);
        Self { token, used_at: used_at.into(), is_use_unsaved: false.into() }
    }

    /// Takes over when an earlier state of the same token was used.
    fn take_use(&self, old: &Self) {
        self.used_at.fetch_max(old.used_at.load(Ordering::Relaxed), Ordering::Relaxed);
        self.is_use_unsaved.store(old.is_use_unsaved.load(Ordering::Acquire), Ordering::Release);
    }

    /// Notes that it was used. Most requests come within the same second as the one before, and write nothing.
    fn note_use(&self, now: Timestamp) {
        let second = now.as_second();
        if self.used_at.load(Ordering::Relaxed) < second {
            self.used_at.fetch_max(second, Ordering::Relaxed);
            self.is_use_unsaved.store(true, Ordering::Release);
        }
    }
}

/// Why a token is no good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is no token, or there is none like it.
    Unknown,
    Expired,
    Revoked,
    /// Nobody knows, since tokens could not be read yet.
    NotRead,
}

/// All tokens, in memory. All clones are one.
#[derive(Clone)]
pub struct HeldTokens(Arc<Shared>);

struct Shared {
    store: Arc<dyn Store>,
    by_hash: RwLock<HashMap<TokenHash, Arc<HeldToken>>>,
    /// Whether they were read at all.
    is_known: AtomicBool,
    /// Held while changes are read.
    reading: Mutex<Reading>,
}

#[derive(Default)]
struct Reading {
    /// The last change that was read.
    last_change: u64,
    /// When they were read last, or tried to be.
    tried_at: Option<Instant>,
}

impl HeldTokens {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self(Arc::new(Shared {
            store,
            by_hash: RwLock::default(),
            is_known: AtomicBool::default(),
            reading: Mutex::default(),
        }))
    }

    /// Finds a token by its text, and notes that it was used.
    pub(crate) async fn find(&self, text: &str, now: Timestamp) -> Result<Arc<HeldToken>, Refused> {
        let hash = token_text::hash(text).ok_or(Refused::Unknown)?;
        // Hashes of 256 bits are compared: how long that takes tells nothing of any token.
        let mut found = self.held().get(&hash).cloned();
        if found.is_none() {
            self.read_for_unknown().await;
            found = self.held().get(&hash).cloned();
        }
        let Some(held) = found else {
            return Err(if self.0.is_known.load(Ordering::Acquire) {
                Refused::Unknown
            } else {
                Refused::NotRead
            });
        };
        if held.token.revoked_at.is_some() {
            return Err(Refused::Revoked);
        }
        if !held.token.is_valid(now) {
            return Err(Refused::Expired);
        }
        held.note_use(now);
        Ok(held)
    }

    /// Returns the agent to which a token is bound, once it is used by this one; `None` where it may be used by any.
    ///
    /// # Errors
    /// Fails when the first use cannot be saved.
    pub(crate) async fn bind(&self, token: &Token, agent_id: Uuid) -> Result<Option<Uuid>, StoreError> {
        match token.agent {
            AgentBinding::Any => Ok(None),
            AgentBinding::Agent(bound) => Ok(Some(bound)),
            AgentBinding::First => {
                let bound = self.0.store.bind_token(token.id, agent_id).await?;
                // The binding holds already: that it is not in memory yet costs the next request a call.
                if let Err(error) = self.read().await {
                    tracing::debug!(error = format!("{error:#}"), "could not read tokens");
                }
                Ok(bound)
            }
        }
    }

    /// Returns a token as the database has it now.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub(crate) async fn latest(&self, held: &Arc<HeldToken>) -> Result<Arc<HeldToken>, StoreError> {
        self.read().await?;
        Ok(self.held().get(&held.token.hash).unwrap_or(held).clone())
    }

    /// Reads what has changed since the last time.
    ///
    /// # Errors
    /// Fails when it cannot be read; then those that were read last go on to hold.
    pub async fn read(&self) -> Result<(), StoreError> {
        let mut reading = self.0.reading.lock().await;
        self.read_on(&mut reading).await
    }

    async fn read_on(&self, reading: &mut Reading) -> Result<(), StoreError> {
        reading.tried_at = Some(Instant::now());
        loop {
            let changed = self.0.store.changed_tokens(reading.last_change).await?;
            let is_last = changed.tokens.len() < MOST_TOKENS as usize;
            if !changed.tokens.is_empty() {
                let mut held = self.0.by_hash.write().unwrap_or_else(PoisonError::into_inner);
                for token in changed.tokens {
                    let (hash, token) = (token.hash, HeldToken::new(token));
                    if let Some(old) = held.get(&hash) {
                        token.take_use(old);
                    }
                    held.insert(hash, Arc::new(token));
                }
            }
            reading.last_change = changed.last_change;
            if is_last {
                self.0.is_known.store(true, Ordering::Release);
                return Ok(());
            }
        }
    }

    /// Reads what had changed when this was called. All who call it meanwhile share a reading.
    async fn read_for_unknown(&self) {
        let called = Instant::now();
        let mut reading = self.0.reading.lock().await;
        if let Some(tried) = reading.tried_at {
            if tried > called {
                return;
            }
            tokio::time::sleep_until(tried + READ_FOR_UNKNOWN).await;
        }
        if let Err(error) = self.read_on(&mut reading).await {
            tracing::debug!(error = format!("{error:#}"), "could not read tokens");
        }
    }

    /// Reads changes for ever.
    pub(crate) async fn keep_read(self) {
        loop {
            if let Err(error) = self.read().await {
                // The failure of the database is logged at a higher level.
                tracing::debug!(error = format!("{error:#}"), "could not read tokens");
            }
            tokio::time::sleep(READ_AGAIN).await;
        }
    }

    /// Saves for ever when tokens were used.
    pub(crate) async fn keep_uses_saved(self) {
        loop {
            tokio::time::sleep(SAVE_USES).await;
            self.save_uses().await;
        }
    }

    /// Saves when tokens were used.
    pub async fn save_uses(&self) {
        let unsaved: Vec<Arc<HeldToken>> = {
            let held = self.held();
            held.values().filter(|held| held.is_use_unsaved.swap(false, Ordering::AcqRel)).cloned().collect()
        };
        for part in unsaved.chunks(SAVED_AT_ONCE) {
            let used_at =
                |held: &HeldToken| Timestamp::from_second(held.used_at.load(Ordering::Relaxed)).ok();
            let uses: Arc<[_]> =
                part.iter().filter_map(|held| Some((held.token.id, used_at(held)?))).collect();
            if let Err(error) = self.0.store.save_token_uses(uses).await {
                tracing::debug!(error = format!("{error:#}"), "could not save when tokens were used");
                part.iter().for_each(|held| held.is_use_unsaved.store(true, Ordering::Release));
            }
        }
    }

    fn held(&self) -> RwLockReadGuard<'_, HashMap<TokenHash, Arc<HeldToken>>> {
        self.0.by_hash.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for HeldTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeldTokens")
    }
}
