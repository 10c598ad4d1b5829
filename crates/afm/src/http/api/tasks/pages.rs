//! Reads pages of lists of tasks. A page of the store may be short although others follow; then these are read, too.

use std::sync::Arc;

use slamon_store::{StoreError, TaskPage, TaskQuery};
use tokio::time::Instant;

use crate::http::app::App;

/// For one request, at most about this many tasks are passed over, and those of one more page.
pub(super) const PASSED: u32 = 100_000;

/// A page counts as so many tasks at least: one ends early where errors are large.
const LEAST: u32 = 1_000;

/// Reads a page. While it is not full, and others follow, it reads on, for a bounded time. Each page of the store is a
/// read of its own, so that others come in between.
///
/// # Errors
/// Fails when the store does.
pub(in crate::http) async fn read(app: &App, query: TaskQuery) -> Result<TaskPage, StoreError> {
    let (began, looks_for) = (Instant::now(), app.settings.list_looks_for);
    read_on(query, |query| app.store.list_tasks(query), || began.elapsed() >= looks_for).await
}

/// How many tasks a page counts as having passed over.
pub(super) fn passed_over(page: &TaskPage) -> u32 {
    page.passed.max(LEAST)
}

async fn read_on<R: Future<Output = Result<TaskPage, StoreError>>>(
    mut query: TaskQuery,
    mut read: impl FnMut(Arc<TaskQuery>) -> R,
    is_late: impl Fn() -> bool,
) -> Result<TaskPage, StoreError> {
    let (mut tasks, mut passed) = (Vec::new(), 0);
    loop {
        let page = read(Arc::new(query.clone())).await?;
        passed += passed_over(&page);
        query.limit = query.limit.saturating_sub(u32::try_from(page.tasks.len()).unwrap_or(u32::MAX));
        tasks.extend(page.tasks);
        if query.limit == 0 || page.next.is_none() || passed >= PASSED || is_late() {
            return Ok(TaskPage { tasks, next: page.next, passed });
        }
        query.after = page.next;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use jiff::Timestamp;
    use slamon_domain::StateName;
    use slamon_store::TaskSummary;
    use uuid::Uuid;

    use super::*;

    fn task() -> TaskSummary {
        TaskSummary {
            task_id: Uuid::nil(),
            test_id: Uuid::nil(),
            task_type: String::new(),
            task_version: 1,
            agent_filter: String::new(),
            priority: 0,
            created: Timestamp::UNIX_EPOCH,
            state: StateName::Pending,
            attempts: 0,
            agent: None,
            claimed: None,
            finished: None,
            result: None,
            result_bytes: None,
            error: None,
            error_bytes: None,
        }
    }

    /// Reads a page of up to `limit` tasks of a store which passes over `passed` tasks at a time, and has one task at
    /// each of these places. Returns the page and where each that was read has begun.
    async fn asked(limit: u32, passed: u32, at: &[i64], late_after: usize) -> (TaskPage, Vec<Option<i64>>) {
        let asked = RefCell::new(Vec::new());
        let read = |query: Arc<TaskQuery>| {
            asked.borrow_mut().push(query.after);
            let begin = query.after.unwrap_or_default();
            let end = begin + i64::from(passed);
            let mut found = at.iter().filter(|at| (begin + 1..=end).contains(at));
            let places: Vec<i64> = found.by_ref().take(query.limit as usize).copied().collect();
            let last = if found.next().is_some() { places.last().copied() } else { None };
            let next = last.unwrap_or(end);
            let tasks = places.iter().map(|_| task()).collect();
            let page = TaskPage { tasks, next: (next < 10_000_000).then_some(next), passed };
            std::future::ready(Ok(page))
        };
        let query = TaskQuery { limit, ..TaskQuery::default() };
        let page = read_on(query, read, || asked.borrow().len() >= late_after).await.unwrap();
        (page, asked.into_inner())
    }

    #[tokio::test]
    async fn empty_pages_are_read_past_within_bounds() {
        let (page, asked_at) = asked(1, 5_000, &[5_000], 1_000).await;
        assert_eq!((page.tasks.len(), page.next, asked_at), (1, Some(5_000), vec![None]));
        let (page, asked_at) = asked(1, 5_000, &[15_000], 1_000).await;
        assert_eq!((page.tasks.len(), page.next), (1, Some(15_000)));
        assert_eq!(asked_at, [None, Some(5_000), Some(10_000)]);
        // No further than so many tasks, and where pages are short, than so many pages.
        let (page, asked_at) = asked(1, 5_000, &[], 1_000).await;
        assert_eq!((page.tasks.len(), page.next, asked_at.len()), (0, Some(100_000), 20));
        let (page, asked_at) = asked(1, 1, &[], 1_000).await;
        assert_eq!((page.tasks.len(), page.next, asked_at.len()), (0, Some(100), 100));
        // No longer than so long.
        let (page, asked_at) = asked(1, 5_000, &[], 3).await;
        assert_eq!((page.tasks.len(), page.next, asked_at.len()), (0, Some(15_000), 3));
        // The end is the end.
        let (page, asked_at) = asked(1, 10_000_000, &[], 1_000).await;
        assert_eq!((page.tasks.len(), page.next, asked_at.len()), (0, None, 1));
    }

    #[tokio::test]
    async fn a_page_that_is_not_full_is_filled_within_the_same_bounds() {
        let rare = [1, 5_001, 5_002, 12_000, 90_000, 200_000];
        let (page, asked_at) = asked(4, 5_000, &rare, 1_000).await;
        assert_eq!((page.tasks.len(), page.next), (4, Some(15_000)));
        assert_eq!(asked_at, [None, Some(5_000), Some(10_000)]);
        // It ends behind its last task where there are more.
        let (page, asked_at) = asked(2, 5_000, &rare, 1_000).await;
        assert_eq!((page.tasks.len(), page.next, asked_at.len()), (2, Some(5_001), 2));
        let (page, asked_at) = asked(50, 5_000, &rare, 1_000).await;
        assert_eq!((page.tasks.len(), page.next, asked_at.len()), (5, Some(100_000), 20));
        let (page, asked_at) = asked(50, 5_000, &rare, 2).await;
        assert_eq!((page.tasks.len(), page.next, asked_at.len()), (3, Some(10_000), 2));
    }
}
