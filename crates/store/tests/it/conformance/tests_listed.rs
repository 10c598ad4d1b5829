//! Lists of the tasks of a process instance.

use std::sync::Arc;

use slamon_domain::testing::commands::{DUE, at, completed, number, poll_for, seconds, task_of};
use slamon_domain::{Command, Sweep};
use slamon_protocol::PostTask;
use slamon_store::{ListOrder, TaskFilter, TaskQuery};
use uuid::Uuid;

use crate::driver::Driver;
use crate::fixture::Fixture;

/// A store, and what should be in it: the numbers of the tasks, each with that of its test, as they arrived.
struct Tests {
    store: Driver,
    tasks: Vec<(u128, u128)>,
    posted: u128,
}

impl Tests {
    /// Posts tasks of three tests, all in one batch.
    async fn post(&mut self, count: u128) {
        let numbers = self.posted + 1..=self.posted + count;
        self.posted += count;
        let tasks: Vec<_> = numbers.map(|n| (n, n * n % 7 % 3)).collect();
        let submit = |(n, test): &(u128, u128)| {
            Command::Submit(PostTask { test_id: Uuid::from_u128(*test), ..task_of("t", 1, *n) })
        };
        self.store.batch(at(0), tasks.iter().map(submit).collect()).await;
        self.tasks.extend(tasks);
    }

    /// Deletes what is asked for by its place in the order of arrival.
    async fn delete(&mut self, is_deleted: impl Fn(usize) -> bool) {
        let tasks = std::mem::take(&mut self.tasks);
        let mut deleted = 0;
        for (place, task) in tasks.into_iter().enumerate() {
            if is_deleted(place) {
                self.store.cancel(at(1), task.0).await.unwrap();
                deleted += 1;
            } else {
                self.tasks.push(task);
            }
        }
        let sweep = Sweep { limit: 1_000, delete_after: Some(seconds(1)), ..DUE };
        assert_eq!(self.store.sweep(at(9), sweep).await.deleted, deleted);
    }

    async fn check(&self) {
        for test in 0..4 {
            let mut expected: Vec<u128> =
                self.tasks.iter().filter(|task| task.1 == test).map(|task| task.0).collect();
            for order in [ListOrder::OldestFirst, ListOrder::NewestFirst] {
                for limit in [20, 1_000] {
                    assert_eq!(self.listed(test, order, limit).await, expected, "test {test}");
                }
                expected.reverse();
            }
        }
    }

    async fn listed(&self, test: u128, order: ListOrder, limit: u32) -> Vec<u128> {
        let filter = TaskFilter { test_id: Some(Uuid::from_u128(test)), ..TaskFilter::default() };
        let mut query = TaskQuery { filter, order, limit, ..TaskQuery::default() };
        let mut listed = Vec::new();
        loop {
            let page = self.store.list_tasks(Arc::new(query.clone())).await.unwrap();
            listed.extend(page.tasks.iter().map(|task| number(task.task_id)));
            query.after = page.next;
            if page.next.is_none() {
                return listed;
            }
        }
    }
}

/// However many tasks of others wait, the first page has those of the test.
pub(crate) async fn the_tasks_of_a_test_are_found_among_all_that_wait(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let of_test = |test: u128, task_type: &str, n: u128| {
        Command::Submit(PostTask { test_id: Uuid::from_u128(test), ..task_of(task_type, 1, n) })
    };
    let others = |from: u128| (from..from + 6_000).map(|n| of_test(n, "other", n)).collect();
    store.batch(at(0), others(10_000)).await;
    // One runs, one is done, and one waits.
    store.batch(at(0), (1..=3).map(|n| of_test(1, "t", n)).collect()).await;
    store.poll(at(1), poll_for(1, 2, &[("t", 1)])).await;
    store.report(at(2), completed(1, "{}")).await.unwrap();
    store.batch(at(3), others(20_000)).await;
    for order in [ListOrder::OldestFirst, ListOrder::NewestFirst] {
        let filter = TaskFilter { test_id: Some(Uuid::from_u128(1)), ..TaskFilter::default() };
        let query = TaskQuery { filter, order, limit: 9, ..TaskQuery::default() };
        let page = store.list_tasks(Arc::new(query)).await.unwrap();
        let mut listed: Vec<u128> = page.tasks.iter().map(|task| number(task.task_id)).collect();
        listed.sort_unstable();
        assert_eq!((listed, page.next), (vec![1, 2, 3], None), "{order:?}");
    }
}

pub(crate) async fn the_tasks_of_a_test_are_listed_at_any_place(fixture: &impl Fixture) {
    let mut tests = Tests { store: fixture.ready().await, tasks: Vec::new(), posted: 0 };
    for count in [0, 1, 126, 1, 1, 127, 1, 260] {
        tests.post(count).await;
        tests.check().await;
    }
    // Places at the end become free and are taken again, by tasks of other tests.
    for (first, count) in
        [(516, 1), (511, 2), (400, 80), (400, 140), (256, 1), (255, 1), (127, 1), (120, 400)]
    {
        tests.delete(|place| place >= first).await;
        tests.check().await;
        tests.post(count).await;
        tests.check().await;
    }
    // So do others, and are not.
    tests.delete(|place| place % 3 == 0).await;
    tests.check().await;
    tests.post(140).await;
    tests.check().await;
    tests.delete(|_| true).await;
    tests.check().await;
    tests.post(129).await;
    tests.check().await;
}
