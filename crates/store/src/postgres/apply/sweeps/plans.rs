//! Tests that what an agent has is found by its own indexes, however much has ended.

use slamon_testbed::PgCluster;

use super::{FORGET, FORGET_NAMES};
use crate::postgres::listing::plans::plan;
use crate::postgres::{PostgresOptions, PostgresStore};
use crate::store::Store;

/// Few agents, and much that has ended of each.
const FILL: &str = "
    insert into task (id, test_id, type, version, created_at, state, agent_id, claimed_at, finished_at, result)
    select gen_random_uuid(), gen_random_uuid(), 'type', 1, now(), 'completed', md5((n % 5)::text)::uuid, now(), now(), '{}'
    from generate_series(1, 20000) as n";

#[tokio::test]
async fn what_an_agent_has_is_found_without_reading_what_has_ended() {
    let database = PgCluster::shared().create_database();
    let store = PostgresStore::new(&PostgresOptions {
        uri: database.uri(),
        pool_size: 1,
        pool_timeout: std::time::Duration::from_secs(60),
        statement_timeout: std::time::Duration::from_secs(60),
        echo: false,
    });
    store.unwrap().create_tables().await.unwrap();
    database.sql(FILL);
    database.sql("analyze task");
    for statement in [FORGET, FORGET_NAMES] {
        let plan = plan(&database, statement, 1);
        for index in ["task_of_holder", "task_ended_of_agent"] {
            assert!(plan.contains(&format!(" using {index} on task")), "{plan}");
        }
        for other in ["task_finished", "task_held", "Seq Scan on task"] {
            assert!(!plan.contains(other), "{plan}");
        }
    }
}
