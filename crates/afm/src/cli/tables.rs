//! The subcommands `create-tables` and `drop-tables`.

use slamon_store::{Adopted, Prepared};

use crate::database::Database;

/// The message that says why no tables are created in memory.
pub(super) const IN_MEMORY: &str = "create-tables: the database is in memory (sqlite://, the default) \
     and would be gone at once; name one: --database-uri sqlite:///slamon-afm.db, \
     or set SQLALCHEMY_DATABASE_URI";

pub(super) async fn create(database: &Database) -> anyhow::Result<()> {
    report(database.store.create_tables().await.map_err(|error| database.unusable(error))?);
    database.store.close().await;
    Ok(())
}

pub(super) async fn drop(database: &Database) -> anyhow::Result<()> {
    if database.store.drop_tables().await.map_err(|error| database.unusable(error))? {
        tracing::info!("tables dropped");
    } else {
        tracing::info!("there were no tables to drop");
    }
    database.store.close().await;
    Ok(())
}

/// Logs what was done to the tables.
pub(super) fn report(prepared: Prepared) {
    match prepared {
        Prepared::Present => tracing::info!("tables are there and up to date"),
        Prepared::Created => tracing::info!("tables created"),
        Prepared::Migrated { from } => tracing::info!(from, "tables migrated"),
        Prepared::Adopted(Adopted { tasks, pending, agents, renamed }) => {
            tracing::info!(tasks, pending, agents, renamed, "took over the database of slamon-afm 1.1.0");
        }
    }
}
