//! `create-tables` and `drop-tables`.

use slamon_store::{Adopted, Prepared, Store};

pub(super) async fn create(store: &dyn Store) -> anyhow::Result<()> {
    report(store.create_tables().await?);
    store.close().await;
    Ok(())
}

pub(super) async fn drop(store: &dyn Store) -> anyhow::Result<()> {
    if store.drop_tables().await? {
        tracing::info!("tables dropped");
    } else {
        tracing::info!("there were no tables to drop");
    }
    store.close().await;
    Ok(())
}

/// Says what was done to the tables.
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
