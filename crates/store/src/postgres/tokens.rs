//! Tokens, in PostgreSQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use jiff::Timestamp;
use slamon_domain::{Token, TokenHash};
use tokio_postgres::Row;
use uuid::Uuid;

use super::errors::PgError;
use super::rows;
use super::session::Session;
use super::store::PostgresStore;
use crate::encoding::{agent_binding, agent_binding_columns, token_types, token_types_text};
use crate::error::StoreError;
use crate::tokens::{ChangedTokens, MOST_TOKENS, TokenStore, check_name, is_taken};

/// Lets one transaction at a time make changes, so that they are numbered in the order of their commits. Tokens can be
/// read, and their uses saved, meanwhile.
const LOCK: &str = "lock table token in share update exclusive mode";

const ADD: &str = "
    insert into token (
        id, name, role, hash, agent_id, binds_first, types, created_at, expires_at, revoked_at, last_used_at, change
    )
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, (select coalesce(max(change), 0) + 1 from token))
    on conflict do nothing
";

const IS_KNOWN: &str = "select true from token where id = $1 and hash = $2";

const CHANGED: &str = "
    select id, name, role, hash, agent_id, binds_first, types, created_at, expires_at, revoked_at, last_used_at,
        change
    from token where change > $1 order by change limit $2
";

/// Rows are locked in the order of their ids, as by those who save uses.
const REVOKE: &str = "
    with held as materialized (
        select id from token where id = any($1::uuid[]) and revoked_at is null order by id for update
    ), numbered as materialized (
        select id, row_number() over (order by id) as number from held
    )
    update token
    set revoked_at = $2, change = (select max(change) from token) + numbered.number
    from numbered where token.id = numbered.id
    returning token.id
";

/// Finds what the same revocation has done if it is made once more.
const REVOKED_THEN: &str = "select id from token where id = any($1::uuid[]) and revoked_at = $2";

const BIND: &str = "
    update token
    set agent_id = $2, binds_first = false, change = (select max(change) from token) + 1
    where id = $1 and binds_first
";

const BOUND: &str = "select agent_id from token where id = $1";

/// Rows are locked in the order of their ids, as by every AFM; whoever was faster may have saved a later use.
const USED: &str = "
    with used as materialized (
        select id, max(at) as at from unnest($1::uuid[], $2::timestamptz[]) as used (id, at) group by id
    ), held as materialized (
        select token.id, used.at from used join token on token.id = used.id
        where token.last_used_at is null or token.last_used_at < used.at
        order by token.id for no key update of token
    )
    update token set last_used_at = held.at from held where token.id = held.id
";

#[async_trait]
impl TokenStore for PostgresStore {
    async fn add_token(&self, token: Arc<Token>) -> Result<(), StoreError> {
        check_name(&token)?;
        let begin = self.database().fitness.begin();
        let is_known = self
            .database()
            .call(|session| {
                let token = Arc::clone(&token);
                Box::pin(async move { add(session, begin, &token).await })
            })
            .await?;
        if is_known { Ok(()) } else { Err(is_taken(&token)) }
    }

    async fn changed_tokens(&self, after: u64) -> Result<ChangedTokens, StoreError> {
        self.database().call(|session| Box::pin(changed(session, after))).await
    }

    async fn revoke_tokens(&self, ids: Arc<[Uuid]>, now: Timestamp) -> Result<u64, StoreError> {
        let begin = self.database().fitness.begin();
        let is_repeat = AtomicBool::new(false);
        self.database()
            .call(|session| {
                let ids = Arc::clone(&ids);
                // A connection that is lost during a commit does not tell whether it was committed.
                let is_repeat = is_repeat.swap(true, Ordering::Relaxed);
                Box::pin(async move { revoke(session, begin, &ids, now, is_repeat).await })
            })
            .await
    }

    async fn bind_token(&self, id: Uuid, agent_id: Uuid) -> Result<Option<Uuid>, StoreError> {
        let begin = self.database().fitness.begin();
        self.database().call(|session| Box::pin(bind(session, begin, id, agent_id))).await
    }

    async fn save_token_uses(&self, uses: Arc<[(Uuid, Timestamp)]>) -> Result<(), StoreError> {
        self.database()
            .call(|session| {
                let uses = Arc::clone(&uses);
                Box::pin(async move {
                    let (ids, times): (Vec<Uuid>, Vec<Timestamp>) =
                        uses.iter().map(|(id, at)| (*id, rows::as_stored(*at))).unzip();
                    session.query(USED, &[&ids, &times]).await.map(drop)
                })
            })
            .await
    }
}

/// Adds a token; `false` if another one has its id or its hash.
async fn add(session: &Session, begin: &str, token: &Token) -> Result<bool, PgError> {
    let (agent_id, binds_first) = agent_binding_columns(token.agent);
    let (role, hash) = (token.role.name(), token.hash.0.as_slice());
    let types = token.types.as_deref().map(token_types_text);
    let created = rows::as_stored(token.created_at);
    let [expires, revoked, last_used] =
        [token.expires_at, token.revoked_at, token.last_used_at].map(|time| time.map(rows::as_stored));
    session.script(begin).await?;
    session.script(LOCK).await?;
    session
        .query(
            ADD,
            &[
                &token.id,
                &token.name,
                &role,
                &hash,
                &agent_id,
                &binds_first,
                &types,
                &created,
                &expires,
                &revoked,
                &last_used,
            ],
        )
        .await?;
    let known = session.query(IS_KNOWN, &[&token.id, &hash]).await?;
    session.script("commit").await?;
    Ok(!known.is_empty())
}

async fn changed(session: &Session, after: u64) -> Result<ChangedTokens, PgError> {
    let from = i64::try_from(after).unwrap_or(i64::MAX);
    let rows = session.query(CHANGED, &[&from, &i64::from(MOST_TOKENS)]).await?;
    let last = rows.last().map(|row| row.try_get::<_, i64>("change")).transpose()?;
    Ok(ChangedTokens {
        tokens: rows.iter().map(token).collect::<Result<_, _>>()?,
        last_change: last.map_or(after, i64::unsigned_abs),
    })
}

fn token(row: &Row) -> Result<Token, PgError> {
    let unreadable = |what: &str, why: String| PgError::Unexpected(format!("token.{what}: {why}"));
    let role: &str = row.try_get("role")?;
    let hash: &[u8] = row.try_get("hash")?;
    let types: Option<&str> = row.try_get("types")?;
    Ok(Token {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        role: role.parse().map_err(|e| unreadable("role", e))?,
        hash: TokenHash(hash.try_into().map_err(|_| unreadable("hash", "it is not of 32 bytes".to_owned()))?),
        agent: agent_binding(row.try_get("agent_id")?, row.try_get("binds_first")?),
        types: types.map(token_types).transpose().map_err(|e| unreadable("types", e.to_string()))?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        revoked_at: row.try_get("revoked_at")?,
        last_used_at: row.try_get("last_used_at")?,
    })
}

async fn revoke(
    session: &Session,
    begin: &str,
    ids: &[Uuid],
    now: Timestamp,
    is_repeat: bool,
) -> Result<u64, PgError> {
    let now = rows::as_stored(now);
    session.script(begin).await?;
    session.script(LOCK).await?;
    let revoked = session.query(REVOKE, &[&ids, &now]).await?;
    let revoked = if is_repeat { session.query(REVOKED_THEN, &[&ids, &now]).await? } else { revoked };
    session.script("commit").await?;
    Ok(revoked.len() as u64)
}

async fn bind(session: &Session, begin: &str, id: Uuid, agent_id: Uuid) -> Result<Option<Uuid>, PgError> {
    session.script(begin).await?;
    session.script(LOCK).await?;
    session.query(BIND, &[&id, &agent_id]).await?;
    let bound = session.query(BOUND, &[&id]).await?;
    session.script("commit").await?;
    let bound = bound.first().map(|row| row.try_get::<_, Option<Uuid>>("agent_id")).transpose()?;
    Ok(bound.flatten())
}

#[cfg(test)]
mod tests {
    use slamon_testbed::PgCluster;

    use super::*;
    use crate::postgres::plans::{make_tables, plan};

    #[tokio::test]
    async fn what_has_not_changed_is_not_read() {
        let database = PgCluster::shared().create_database();
        make_tables(&database).await;
        for (statement, parameters, scan) in [
            (CHANGED, 2, "Index Scan using token_changed on token"),
            (REVOKE, 2, "Index Scan using token_pkey on token"),
            (REVOKED_THEN, 2, "Index Scan using token_pkey on token"),
            (USED, 2, "Index Scan using token_pkey on token"),
        ] {
            let plan = plan(&database, "", statement, parameters);
            assert!(plan.contains(scan) && !plan.contains("Seq Scan on token"), "{plan}");
        }
    }
}
