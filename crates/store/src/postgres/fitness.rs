//! Checks whether a server, a database and a user fulfil what tasks need, and says what to do where they do
//! not.

use std::sync::atomic::{AtomicBool, Ordering};

use uuid::Uuid;

use super::errors::PgError;
use super::session::Session;
use crate::error::SchemaError;

/// The oldest major version of PostgreSQL that knows all statements of this program.
const OLDEST: i32 = 13;

/// The query that every new connection begins with: after an outage the server may be another one.
const LOOK: &str = "
    select
        current_setting('server_version_num')::integer / 10000 as version,
        current_setting('server_version') as version_text,
        current_setting('server_encoding') as encoding,
        current_schema() is not null as has_schema,
        current_setting('search_path') as search_path,
        current_setting('synchronous_commit') as synchronous_commit,
        current_setting('fsync') as fsync,
        current_setting('full_page_writes') as full_page_writes
";

/// A query for where the search path was set, and for the schemas that exist.
const SCHEMAS: &str = "
    select
        (select source from pg_settings where name = 'search_path') as source,
        array(select nspname::text from pg_namespace) as schemas
";

/// The rights that the statements of this program need, table by table.
const NEEDED: [(&str, &[&str]); 16] = [
    ("slamon_schema", &["SELECT"]),
    ("task", &READ_AND_WRITE),
    ("attempt", &READ_AND_WRITE),
    ("agent", &READ_AND_WRITE),
    ("past_agent", &READ_AND_WRITE),
    ("agent_offer", &READ_AND_WRITE),
    ("pause", &READ_AND_WRITE),
    ("task_count", &READ_AND_WRITE),
    ("task_total", &["SELECT", "UPDATE"]),
    ("minute_statistics", &READ_AND_WRITE),
    ("task_trace", &READ_AND_WRITE),
    ("agent_outcome", &READ_AND_WRITE),
    ("agent_census", &["SELECT", "UPDATE"]),
    ("offer_count", &READ_AND_WRITE),
    ("token", &["SELECT", "INSERT", "UPDATE"]),
    (SEQUENCE, &["USAGE"]),
];

const READ_AND_WRITE: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];

/// The only sequence among the relations of this program.
const SEQUENCE: &str = "task_arrival";

/// A query for the rights that the user lacks, and for the full name of each relation concerned.
const LACKING: &str = "
    select name, privilege, found::text as full_name
    from (
        select name, privilege, to_regclass(name) as found
        from unnest($1::text[], $2::text[]) as needed (name, privilege)
    ) as needed
    where case
        -- Numbers are drawn with either right.
        when name = $3 then not has_sequence_privilege(found::oid, privilege || ', UPDATE')
        else not has_table_privilege(found::oid, privilege)
    end
";

const IS_STANDBY: &str = "select pg_is_in_recovery() as is_standby";

const BEGIN: &str = "begin isolation level read committed read write";

/// Begins a transaction where the server would else answer a commit before it is on the disk.
const BEGIN_DURABLE: &str =
    "begin isolation level read committed read write; set local synchronous_commit = on";

/// Checks servers, and remembers what transactions have to know of them.
#[derive(Debug)]
pub(super) struct Fitness {
    user: String,
    database: String,
    /// Whether the server answers commits before they are on the disk, unless the transaction asks for more.
    commits_late: AtomicBool,
    may_lose_all: AtomicBool,
}

impl Fitness {
    /// Checks on behalf of this user of this database.
    pub(super) fn new(user: String, database: String) -> Self {
        let (commits_late, may_lose_all) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { user, database, commits_late, may_lose_all }
    }

    /// The statement that begins a transaction that writes, and whose commit is answered only once it is on
    /// the disk.
    pub(super) fn begin(&self) -> &'static str {
        if self.commits_late.load(Ordering::Relaxed) { BEGIN_DURABLE } else { BEGIN }
    }

    /// Checks whether tasks can be kept on the server of `session`, as far as that does not depend on the
    /// tables.
    ///
    /// # Errors
    /// [`PgError::Schema`] where they cannot.
    pub(super) async fn look(&self, session: &Session) -> Result<(), PgError> {
        let (user, database) = (&self.user, &self.database);
        let rows = session.query(LOOK, &[]).await?;
        let row = rows.first().ok_or_else(|| {
            PgError::Unexpected("the query of the server's settings returned no row".to_owned())
        })?;
        if row.try_get::<_, i32>("version")? < OLDEST {
            return Err(too_old(row.try_get("version_text")?));
        }
        let encoding: String = row.try_get("encoding")?;
        if encoding != "UTF8" {
            return Err(wrong_encoding(database, &encoding));
        }
        if !row.try_get::<_, bool>("has_schema")? {
            return Err(no_schema(session, user, database, row.try_get("search_path")?).await?);
        }
        let is_off = |name: &str| Ok::<_, PgError>(row.try_get::<_, String>(name)? == "off");
        let commits_late = is_off("synchronous_commit")?;
        if commits_late && !self.commits_late.swap(commits_late, Ordering::Relaxed) {
            tracing::warn!(
                "synchronous_commit is off at the server: it is turned on for the transactions of this \
                 program, since a crash would lose tasks and results that were answered"
            );
        } else if !commits_late {
            self.commits_late.store(false, Ordering::Relaxed);
        }
        for setting in ["fsync", "full_page_writes"] {
            if is_off(setting)? && !self.may_lose_all.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "{setting} is off at the server: a crash of its machine may lose or damage all tasks; \
                     as a superuser, run in psql: ALTER SYSTEM SET {setting} = on; SELECT pg_reload_conf();"
                );
            }
        }
        Ok(())
    }

    /// Checks whether the server takes writes, and whether the user has all rights on the tables that
    /// statements need.
    ///
    /// # Errors
    /// [`PgError::ReadOnly`] or [`PgError::Schema`] where not.
    pub(super) async fn look_at_rights(&self, session: &Session) -> Result<(), PgError> {
        let rows = session.query(IS_STANDBY, &[]).await?;
        if rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(false) {
            return Err(PgError::ReadOnly(
                "the server is a hot standby: promote it (SELECT pg_promote();), or have the database URI \
                 name the primary (postgresql://HOST1,HOST2/NAME?target_session_attrs=read-write finds it)"
                    .to_owned(),
            ));
        }
        let needed = NEEDED.iter().flat_map(|(name, rights)| rights.iter().map(|right| (*name, *right)));
        let (names, rights): (Vec<&str>, Vec<&str>) = needed.unzip();
        let rows = session.query(LACKING, &[&names, &rights, &SEQUENCE]).await?;
        let mut lacking: Vec<(String, String, bool)> = Vec::new();
        for row in &rows {
            let (name, right): (&str, &str) = (row.try_get("name")?, row.try_get("privilege")?);
            let full_name: String = row.try_get("full_name")?;
            match lacking.iter_mut().find(|(known, ..)| *known == full_name) {
                Some((_, rights, _)) => *rights = format!("{rights}, {right}"),
                None => lacking.push((full_name, right.to_owned(), name == SEQUENCE)),
            }
        }
        if lacking.is_empty() {
            return Ok(());
        }
        let (user, database) = (quoted(&self.user), quoted(&self.database));
        let what: Vec<_> = lacking.iter().map(|(name, rights, _)| format!("{rights} on {name}")).collect();
        let grants: Vec<_> = lacking
            .iter()
            .map(|(name, rights, is_sequence)| {
                format!("GRANT {rights} ON {}{name} TO {user};", if *is_sequence { "SEQUENCE " } else { "" })
            })
            .collect();
        Err(SchemaError::Denied(format!(
            "the user {user} lacks rights in the database {database} ({}): as the owner of the tables, run \
             in psql: \\c {database} and then: {}",
            what.join("; "),
            grants.join(" ")
        ))
        .into())
    }

    /// The error of a statement for which a right was lacking, with what to do about it, as far as the
    /// server's message tells.
    pub(super) fn denied(&self, message: &str) -> PgError {
        if let Some(schema) = message.strip_prefix("permission denied for schema ") {
            return may_not_create(&self.user, &self.database, schema);
        }
        let (user, database) = (quoted(&self.user), quoted(&self.database));
        SchemaError::Denied(format!(
            "the user {user} lacks a right in the database {database} ({message}): connect as the role that \
             owns the tables, or, as a superuser, give them to {user} with ALTER TABLE … OWNER TO {user};"
        ))
        .into()
    }
}

/// The error of a server that does not know a setting that every connection makes.
pub(super) fn too_old(version: &str) -> PgError {
    SchemaError::Unusable(format!(
        "the server is PostgreSQL {version}, and {OLDEST} or newer is needed: upgrade it (pg_upgrade), or \
         move the database to a newer one (pg_dump, then psql)"
    ))
    .into()
}

fn wrong_encoding(database: &str, encoding: &str) -> PgError {
    let other = quoted(&format!("{database}_utf8"));
    SchemaError::Unusable(format!(
        "the database {} is encoded in {encoding}, which cannot hold every task: name one that is encoded \
         in UTF8, made in psql with: CREATE DATABASE {other} ENCODING 'UTF8' LOCALE 'C' TEMPLATE \
         template0;",
        quoted(database)
    ))
    .into()
}

/// The error of a search path of which no schema exists, or may be used.
async fn no_schema(session: &Session, user: &str, database: &str, path: &str) -> Result<PgError, PgError> {
    let rows = session.query(SCHEMAS, &[]).await?;
    let row = rows
        .first()
        .ok_or_else(|| PgError::Unexpected("the query of the catalog returned no row".to_owned()))?;
    let schemas: Vec<String> = row.try_get("schemas")?;
    let source: String = row.try_get("source")?;
    let named = names(path, user);
    if let Some(closed) = named.iter().find(|name| schemas.contains(name)) {
        return Ok(may_not_create(user, database, closed));
    }
    let (user, database) = (quoted(user), quoted(database));
    let mend = match source.as_str() {
        "client" => "change it in the `options` of the database URI, or in PGOPTIONS".to_owned(),
        "database" => format!("run in psql: ALTER DATABASE {database} SET search_path = public;"),
        "database user" => {
            format!("run in psql: ALTER ROLE {user} IN DATABASE {database} SET search_path = public;")
        }
        _ => format!("run in psql: ALTER ROLE {user} SET search_path = public;"),
    };
    let first = named.iter().find(|name| **name != user).map_or("public", String::as_str);
    Ok(SchemaError::Unusable(format!(
        "search_path of {user} in the database {database} is {path:?} and names no schema that exists: \
         {mend} or make the schema: CREATE SCHEMA {} AUTHORIZATION {user};",
        quoted_if_needed(first)
    ))
    .into())
}

/// Takes the names out of a search path.
fn names(path: &str, user: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = String::new();
    let mut is_quoted = false;
    for c in path.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => names.push(std::mem::take(&mut name)),
            ' ' if !is_quoted => {}
            c => name.push(c),
        }
    }
    names.push(name);
    names.retain(|name| !name.is_empty());
    names.into_iter().map(|name| if name == "$user" { user.to_owned() } else { name }).collect()
}

/// The error of a schema that the user may not look into, or not make tables in.
fn may_not_create(user: &str, database: &str, schema: &str) -> PgError {
    let (user, database, schema) = (quoted(user), quoted(database), quoted_if_needed(schema));
    SchemaError::Denied(format!(
        "the user {user} may not create tables in the schema {schema} of the database {database}: as a \
         superuser, run in psql: \\c {database} and then: GRANT USAGE, CREATE ON SCHEMA {schema} TO {user};"
    ))
    .into()
}

/// Tries whether a row can be written, and rolls back.
pub(super) async fn try_to_write(session: &Session) -> Result<(), PgError> {
    session
        .script(&format!(
            "{BEGIN}; insert into agent (id, name, capabilities, last_seen) values ('{}', '', '{{}}', \
             now()); rollback",
            Uuid::new_v4()
        ))
        .await
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn quoted_if_needed(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if name.bytes().all(plain) { name.to_owned() } else { quoted(name) }
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_search_path_is_taken_apart() {
        for (path, found) in [
            ("\"$user\", public", &["afm", "public"][..]),
            ("", &[]),
            ("\"\"", &[]),
            ("\"a, b\",c", &["a, b", "c"]),
        ] {
            assert_eq!(names(path, "afm"), found, "{path}");
        }
    }
}
