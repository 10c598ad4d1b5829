//! `/api/v1/tasks`: lists of tasks, one task with all that is known of it, and what is done to one or to many.

pub(super) mod cancel;
pub(in crate::http) mod change;
pub(in crate::http) mod filter;
pub(super) mod list;
pub(super) mod post;
pub(super) mod retry;
pub(super) mod show;

use axum::routing::{get, post};

use crate::http::routes::Routes;

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
