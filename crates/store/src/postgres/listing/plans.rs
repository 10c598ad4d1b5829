//! Tests that PostgreSQL reads lists by the indexes that were made for them.

use slamon_testbed::{PgCluster, PgOptions, TestDatabase};

use super::conditions::{Condition, Key, with_indexes};
use super::{end_statement, summary};
use crate::listing::{ListOrder, TaskFilter, TaskQuery};
use crate::postgres::plans::{make_tables, plan};

/// What every transaction sets that reads a list.
const UNSORTED: &str = "set enable_sort = off";

/// 20,000 tasks, of which a hundredth each is pending, delayed, claimed and failed, and all else completed.
const FILL: &str = "
    insert into task (id, test_id, type, version, created_at, state, agent_id, claimed_at, available_at,
                      finished_at, result, error)
    select gen_random_uuid(), gen_random_uuid(), 'type ' || n % 7, 1, now(),
        (array['pending', 'delayed', 'claimed', 'failed'])[n % 100 + 1],
        case when n % 100 > 1 then md5((n % 50)::text)::uuid end,
        case when n % 100 > 1 then now() end, case when n % 100 = 1 then now() end,
        case when n % 100 > 2 then now() end, case when n % 100 > 3 then '{}' end,
        case when n % 100 = 3 then '\"no\"' end
    from (select n, case when n % 100 < 4 then n % 100 else 4 end as kind from generate_series(1, 20000) as n) as n
    where n % 100 < 4
    union all
    select gen_random_uuid(), gen_random_uuid(), 'type ' || n % 7, 1, now(), 'completed',
        md5((n % 50)::text)::uuid, now(), null, now(), '{}', null
    from generate_series(1, 20000) as n where n % 100 > 3";

/// Checks a plan: the index, and nothing that reads or sorts more. A single task may be sorted.
#[track_caller]
fn check(plan: &str, index: &str, what: &str) {
    assert!(plan.contains(&format!(" using {index} on task")), "{what}: {plan}");
    for other in ["Seq Scan on task", "Sort", "Bitmap"] {
        let is_one = other == "Sort" && index == "task_pkey";
        assert!(is_one || !plan.contains(other), "{what}: {plan}");
    }
}

fn check_all(database: &TestDatabase, what: &str) {
    for (condition, index) in with_indexes() {
        for order in [ListOrder::NewestFirst, ListOrder::OldestFirst] {
            for error_text in [None, Some("text".to_owned())] {
                let filter = TaskFilter { error_text, ..TaskFilter::default() };
                let query = TaskQuery { filter, order, ..TaskQuery::default() };
                let plan = plan(database, UNSORTED, &summary::statement(condition, &query), 17);
                check(&plan, index, what);
            }
            let parameters = if condition.key.is_some() { 4 } else { 3 };
            // The index of one task has no order, and needs none.
            if !is_by_id(condition) {
                check(&plan(database, UNSORTED, &end_statement(condition, order), parameters), index, what);
            }
        }
    }
}

fn is_by_id(condition: Condition) -> bool {
    matches!(condition.key, Some(Key::Task))
}

#[tokio::test]
async fn lists_are_read_by_their_indexes() {
    check_on(&PgCluster::shared().create_database()).await;
}

#[tokio::test]
async fn lists_are_read_by_their_indexes_by_the_oldest_and_the_newest_server() {
    for version in [13, 18] {
        let cluster = PgCluster::start(&PgOptions { version: Some(version), ..PgOptions::default() });
        check_on(&cluster.unwrap().create_database()).await;
    }
}

async fn check_on(database: &TestDatabase) {
    make_tables(database).await;
    check_all(database, "without rows");
    database.sql(FILL);
    check_all(database, "without statistics");
    database.sql("analyze task");
    check_all(database, "with statistics");
}
