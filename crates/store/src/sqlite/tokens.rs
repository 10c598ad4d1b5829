//! Tokens, in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use slamon_domain::{Token, TokenHash};
use uuid::Uuid;

use super::SqliteStore;
use super::columns::{id, optional_time, time, unreadable};
use super::write_transaction::WriteTransaction;
use crate::encoding::{agent_binding, agent_binding_columns, token_types, token_types_text};
use crate::error::StoreError;
use crate::tokens::{ChangedTokens, MOST_TOKENS, TokenStore, check_name, is_taken};

/// The number of the next change. Nobody else writes before this one is committed.
macro_rules! next_change {
    () => {
        "(select coalesce(max(change), 0) + 1 from token)"
    };
}

const ADD: &str = concat!(
    "insert into token (id, name, role, hash, agent_id, binds_first, types, created_at, expires_at, revoked_at,
                        last_used_at, change)
     values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ",
    next_change!(),
    ") on conflict do nothing"
);

const IS_KNOWN: &str = "select 1 from token where id = ?1 and hash = ?2";

const CHANGED: &str = "
    select id, name, role, hash, agent_id, binds_first, types, created_at, expires_at, revoked_at, last_used_at,
        change
    from token where change > ?1 order by change limit ?2";

const REVOKE: &str = concat!(
    "update token set revoked_at = ?2, change = ",
    next_change!(),
    " where id = ?1 and revoked_at is null"
);

const BIND: &str = concat!(
    "update token set agent_id = ?2, binds_first = 0, change = ",
    next_change!(),
    " where id = ?1 and binds_first = 1"
);

const BOUND: &str = "select agent_id from token where id = ?1";

const USED: &str = "
    update token set last_used_at = ?2 where id = ?1 and (last_used_at is null or last_used_at < ?2)";

#[async_trait]
impl TokenStore for SqliteStore {
    async fn add_token(&self, token: Arc<Token>) -> Result<(), StoreError> {
        check_name(&token)?;
        self.writer.run(move |connection| add(connection, &token)).await
    }

    async fn changed_tokens(&self, after: u64) -> Result<ChangedTokens, StoreError> {
        self.readers.run(move |connection| Ok(changed(connection, after)?)).await
    }

    async fn revoke_tokens(&self, ids: Arc<[Uuid]>, now: Timestamp) -> Result<u64, StoreError> {
        self.writer.run(move |connection| Ok(revoke(connection, &ids, now)?)).await
    }

    async fn bind_token(&self, id: Uuid, agent_id: Uuid) -> Result<Option<Uuid>, StoreError> {
        self.writer.run(move |connection| Ok(bind(connection, id, agent_id)?)).await
    }

    async fn save_token_uses(&self, uses: Arc<[(Uuid, Timestamp)]>) -> Result<(), StoreError> {
        self.writer.run(move |connection| Ok(save_uses(connection, &uses)?)).await
    }
}

fn add(connection: &mut Connection, token: &Token) -> Result<(), StoreError> {
    let transaction = WriteTransaction::begin(connection)?;
    let (agent_id, binds_first) = agent_binding_columns(token.agent);
    let micros = |time: Option<Timestamp>| time.map(Timestamp::as_microsecond);
    let added = transaction.connection.prepare_cached(ADD)?.execute(params![
        token.id.as_bytes(),
        token.name,
        token.role.name(),
        token.hash.0,
        agent_id.as_ref().map(Uuid::as_bytes),
        binds_first,
        token.types.as_deref().map(token_types_text),
        token.created_at.as_microsecond(),
        micros(token.expires_at),
        micros(token.revoked_at),
        micros(token.last_used_at),
    ])?;
    let known = params![token.id.as_bytes(), token.hash.0];
    if added == 0 && !transaction.connection.prepare_cached(IS_KNOWN)?.exists(known)? {
        return Err(is_taken(token));
    }
    Ok(transaction.commit()?)
}

fn changed(connection: &Connection, after: u64) -> rusqlite::Result<ChangedTokens> {
    let mut changed = ChangedTokens { last_change: after, ..ChangedTokens::default() };
    let mut select = connection.prepare_cached(CHANGED)?;
    let mut rows = select.query(params![i64::try_from(after).unwrap_or(i64::MAX), MOST_TOKENS])?;
    while let Some(row) = rows.next()? {
        changed.tokens.push(token(row)?);
        changed.last_change = row.get("change")?;
    }
    Ok(changed)
}

fn token(row: &Row<'_>) -> rusqlite::Result<Token> {
    let agent_id: Option<[u8; 16]> = row.get("agent_id")?;
    let types: Option<String> = row.get("types")?;
    Ok(Token {
        id: id(row, "id")?,
        name: row.get("name")?,
        role: row.get::<_, String>("role")?.parse().map_err(|e| unreadable(format!("token.role: {e}")))?,
        hash: TokenHash(row.get("hash")?),
        agent: agent_binding(agent_id.map(Uuid::from_bytes), row.get("binds_first")?),
        types: types
            .map(|types| token_types(&types))
            .transpose()
            .map_err(|e| unreadable(format!("token.types: {e}")))?,
        created_at: time(row, "created_at")?,
        expires_at: optional_time(row, "expires_at")?,
        revoked_at: optional_time(row, "revoked_at")?,
        last_used_at: optional_time(row, "last_used_at")?,
    })
}

fn revoke(connection: &mut Connection, ids: &[Uuid], now: Timestamp) -> rusqlite::Result<u64> {
    let transaction = WriteTransaction::begin(connection)?;
    let mut revoked = 0;
    {
        let mut revoke = transaction.connection.prepare_cached(REVOKE)?;
        for id in ids {
            revoked += revoke.execute(params![id.as_bytes(), now.as_microsecond()])?;
        }
    }
    transaction.commit()?;
    Ok(revoked as u64)
}

fn bind(connection: &mut Connection, id: Uuid, agent_id: Uuid) -> rusqlite::Result<Option<Uuid>> {
    let transaction = WriteTransaction::begin(connection)?;
    transaction.connection.prepare_cached(BIND)?.execute(params![id.as_bytes(), agent_id.as_bytes()])?;
    let bound: Option<Option<[u8; 16]>> = transaction
        .connection
        .prepare_cached(BOUND)?
        .query_row([id.as_bytes()], |row| row.get("agent_id"))
        .optional()?;
    transaction.commit()?;
    Ok(bound.flatten().map(Uuid::from_bytes))
}

fn save_uses(connection: &mut Connection, uses: &[(Uuid, Timestamp)]) -> rusqlite::Result<()> {
    let transaction = WriteTransaction::begin(connection)?;
    {
        let mut used = transaction.connection.prepare_cached(USED)?;
        for (id, at) in uses {
            used.execute(params![id.as_bytes(), at.as_microsecond()])?;
        }
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema;

    #[test]
    fn what_has_not_changed_is_not_read() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::create(&mut connection).unwrap();
        for (sql, parameters, search) in [
            (CHANGED, 2, "SEARCH token USING INDEX token_changed (change>?)"),
            (REVOKE, 2, "SEARCH token USING PRIMARY KEY (id=?)"),
            (USED, 2, "SEARCH token USING PRIMARY KEY (id=?)"),
        ] {
            let mut plan = connection.prepare(&format!("explain query plan {sql}")).unwrap();
            let details = plan
                .query_map(rusqlite::params_from_iter(vec![0; parameters]), |row| row.get::<_, String>(3))
                .unwrap();
            let details: Vec<String> = details.map(Result::unwrap).collect();
            assert_eq!(details[0], search, "{details:?}");
            assert!(!details.iter().any(|detail| detail.contains("ORDER BY")), "{details:?}");
        }
    }
}
