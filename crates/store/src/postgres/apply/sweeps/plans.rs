//! Tests that what an agent has is found by its own indexes, however much has ended.

use slamon_testbed::PgCluster;

use super::{FORGET, FORGET_NAMES};
use crate::postgres::plans::{make_tables, plan};

/// Few agents, and much that has ended of each; of many others, something runs.
const FILL: &str = "
    insert into task (id, test_id, type, version, created_at, state, agent_id, claimed_at, finished_at, result)
    select gen_random_uuid(), gen_random_uuid(), 'type', 1, now(), 'completed', md5((n % 5)::text)::uuid, now(),
        now(), '{}'
    from generate_series(1, 20000) as n
    union all
    select gen_random_uuid(), gen_random_uuid(), 'type', 1, now(), 'claimed', md5((n % 500)::text)::uuid, now(),
        null, null
    from generate_series(1, 2000) as n";

#[tokio::test]
async fn what_an_agent_has_is_found_without_reading_what_has_ended() {
    let database = PgCluster::shared().create_database();
    make_tables(&database).await;
    database.sql(FILL);
    database.sql("analyze task");
    for statement in [FORGET, FORGET_NAMES] {
        let plan = plan(&database, "", statement, 1);
        for index in ["task_of_holder", "task_ended_of_agent"] {
            assert!(plan.contains(&format!(" using {index} on task")), "{plan}");
        }
        for other in ["task_finished", "task_held", "Seq Scan on task"] {
            assert!(!plan.contains(other), "{plan}");
        }
    }
}
