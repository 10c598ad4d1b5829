//! `/api/v1/tasks`: lists of tasks, one task with all that is known of it, and what is done to one or to many.

pub(in crate::http) mod cancel;
pub(in crate::http) mod change;
pub(in crate::http) mod filter;
pub(in crate::http) mod list;
pub(in crate::http) mod pages;
pub(in crate::http) mod post;
pub(in crate::http) mod retry;
pub(in crate::http) mod show;

use axum::routing::{get, post};

use crate::http::app::Routes;

pub(super) fn routes() -> Routes {
    vec![
        ("/api/v1/tasks", get(list::list_tasks).post(post::post_tasks)),
        ("/api/v1/tasks/cancel", post(change::cancel_tasks)),
        ("/api/v1/tasks/retry", post(change::retry_tasks)),
        ("/api/v1/tasks/{task_id}", get(show::show_task)),
        ("/api/v1/tasks/{task_id}/cancel", post(cancel::cancel_task)),
        ("/api/v1/tasks/{task_id}/retry", post(retry::retry_task)),
    ]
}
