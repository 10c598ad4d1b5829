//! How PostgreSQL runs a statement, for tests.

use std::time::Duration;

use slamon_testbed::TestDatabase;

use super::{PostgresOptions, PostgresStore};
use crate::store::Store;

/// What every connection of ours sets.
const SETTINGS: &str = "set enable_seqscan = off; set enable_bitmapscan = off; set enable_hashjoin = off; \
    set enable_mergejoin = off; set plan_cache_mode = force_generic_plan";

/// How a statement runs on a connection of ours, where a transaction sets something `besides`.
pub(super) fn plan(database: &TestDatabase, besides: &str, statement: &str, parameters: usize) -> String {
    let nulls =
        if parameters == 0 { String::new() } else { format!("({})", vec!["null"; parameters].join(", ")) };
    database.sql(&format!(
        "{SETTINGS}; {besides}; prepare planned as {statement}; explain (costs off) execute planned {nulls}"
    ))
}

/// Makes our tables.
pub(super) async fn make_tables(database: &TestDatabase) {
    let store = PostgresStore::new(&PostgresOptions {
        uri: database.uri(),
        pool_size: 1,
        pool_timeout: Duration::from_secs(60),
        statement_timeout: Duration::from_secs(60),
        echo: false,
    });
    store.unwrap().create_tables().await.unwrap();
}
