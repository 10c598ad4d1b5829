//! The tasks of the demo: what a process engine would post to watch the site.

use std::time::Duration;

use serde_json::{Value, json};
use slamon_client::{AgentFilter, Client, NewTask};
use uuid::Uuid;

use super::site::random;

/// A test begins so often; each has a few tasks.
const EVERY: Duration = Duration::from_secs(6);

/// Posts tests for ever.
pub(super) async fn post(client: &Client, site: &str) -> anyhow::Result<()> {
    let kinds = kinds(site);
    let mut every = tokio::time::interval(EVERY);
    for test in 0_usize.. {
        every.tick().await;
        let test_id = Uuid::new_v4();
        let tasks = kinds.iter().cycle().skip(test * 3).take(3);
        let tasks: Result<Vec<NewTask>, _> =
            tasks.map(|(task_type, data)| task(task_type, data).map(|task| task.test_id(test_id))).collect();
        if let Err(problem) = client.post_tasks(&tasks?).await {
            tracing::debug!(%problem, "could not post the tasks of the demo");
        }
    }
    Ok(())
}

fn task(task_type: &str, data: &Value) -> anyhow::Result<NewTask> {
    let mut task =
        NewTask::new(task_type, 1).data(data)?.timeout(Duration::from_secs(10)).ttl(Duration::from_secs(60));
    task.task_max_attempts = Some(2);
    // Some are to be seen from Finland.
    if random(4) == 0 {
        task.agent_filter = Some(AgentFilter { country: Some("FI".to_owned()), ..AgentFilter::default() });
    }
    Ok(task)
}

/// What is posted, kind by kind.
fn kinds(site: &str) -> Vec<(&'static str, Value)> {
    let port: Option<u16> = site.rsplit(':').next().and_then(|port| port.parse().ok());
    vec![
        ("url_http_status", json!({ "url": format!("{site}/") })),
        ("wait", json!({ "time": 1 + random(3) })),
        ("http", json!({ "url": format!("{site}/search"), "contains": "results" })),
        ("tcp", json!({ "host": "127.0.0.1", "port": port })),
        ("http", json!({ "url": format!("{site}/stock"), "json": { "/stock/widgets": 12 } })),
        ("url_http_status", json!({ "url": format!("{site}/stock") })),
        (
            "http_steps",
            json!({
                "steps": [
                    {
                        "name": "log in", "method": "POST", "url": format!("{site}/login"),
                        "form": { "user": "demo" }, "variables": { "user": { "json": "/user" } },
                    },
                    {
                        "name": "order", "method": "POST", "url": format!("{site}/orders"),
                        "body": { "article": 7, "for": "${user}" }, "expected_status": 201,
                        "variables": { "order": { "json": "/order/id" } },
                    },
                    {
                        "name": "look it up", "url": format!("{site}/orders/${{order}}"),
                        "json": { "/order/status": "confirmed" },
                    },
                ],
                "results": ["order"],
            }),
        ),
    ]
}
