//! Tests that PostgreSQL reads lists by the indexes that were made for them.

use slamon_testbed::{PgCluster, PgOptions, TestDatabase};

use super::conditions::{Condition, Key, conditions, with_indexes};
use super::{end_statement, span, summary};
use crate::listing::{ListOrder, TaskFilter, TaskQuery, every_filter};
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

/// Checks a plan: one of the indexes, and nothing that reads or sorts more. What runs is sorted, and a single task may be.
#[track_caller]
fn check(plan: &str, condition: Condition, indexes: &[&str], what: &str) {
    let is_used = |index: &&str| plan.contains(&format!(" using {index} on task"));
    assert!(indexes.iter().any(is_used), "{what}: {plan}");
    for other in ["Seq Scan on task", "Sort", "Bitmap"] {
        let is_sorted = other == "Sort" && (is_by_id(condition) || !condition.is_in_order);
        assert!(is_sorted || !plan.contains(other), "{what}: {plan}");
    }
}

fn check_all(database: &TestDatabase, what: &str) {
    for (condition, indexes) in with_indexes() {
        for order in [ListOrder::NewestFirst, ListOrder::OldestFirst] {
            for error_text in [None, Some("text".to_owned())] {
                let filter = TaskFilter { error_text, ..TaskFilter::default() };
                let query = TaskQuery { filter, order, ..TaskQuery::default() };
                let plan = plan(database, UNSORTED, &summary::statement(condition, &query), 18);
                check(&plan, condition, indexes, what);
            }
            let parameters = if condition.key.is_some() { 4 } else { 3 };
            // The index of one task has no order, and needs none.
            if condition.is_in_order && !is_by_id(condition) {
                let plan = plan(database, UNSORTED, &end_statement(condition, order), parameters);
                check(&plan, condition, indexes, what);
            }
        }
    }
    for (statement, parameters) in [(span::ends_statement(), 0), (span::next_statement(), 2)] {
        let plan = plan(database, UNSORTED, &statement, parameters);
        for index in ["task_arrived", "task_delayed", "task_completed", "task_unsuccessful"] {
            assert!(plan.contains(&format!(" using {index} on task")), "{what}: {plan}");
        }
        for other in ["Seq Scan on task", "Bitmap", "task_of_test", "task_finished"] {
            assert!(!plan.contains(other), "{what}: {plan}");
        }
    }
}

fn is_by_id(condition: Condition) -> bool {
    condition.key == Some(Key::Task)
}

/// Whatever is asked for, only these conditions are, and each by a key that the filter has.
#[test]
fn every_list_has_its_indexes() {
    let known: Vec<Condition> = with_indexes().into_iter().map(|(condition, _)| condition).collect();
    for filter in every_filter() {
        let states = filter.possible_states();
        for condition in conditions(&filter, states) {
            assert!(known.contains(&condition), "{filter:?} {condition:?}");
            let has_key = match condition.key {
                None => true,
                Some(Key::Task) => filter.task_id.is_some(),
                Some(Key::Test) => filter.test_id.is_some(),
                Some(Key::Agent) => filter.agent_id.is_some(),
                Some(Key::Type) => filter.task_type.is_some(),
            };
            assert!(has_key, "{filter:?} {condition:?}");
        }
    }
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
