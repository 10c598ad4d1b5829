//! The tasks of the demo: what a process engine would post to watch the site.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use slamon_agent::handlers::{Environment, built_in};
use slamon_client::{AgentFilter, Client, NewTask};
use uuid::Uuid;

use super::agents::COMMAND;
use super::services::{NAME, Ports};
use super::site::random;

/// A test begins so often, and has so many tasks.
const EVERY: Duration = Duration::from_secs(6);
const TASKS: usize = 3;

/// Posts tests for ever.
pub(super) async fn post(client: &Client, kinds: &[(&'static str, Value)]) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(EVERY);
    let mut kinds = kinds.iter().cycle();
    loop {
        every.tick().await;
        let test_id = Uuid::new_v4();
        let tasks = kinds.by_ref().take(TASKS);
        let tasks: Result<Vec<NewTask>, _> =
            tasks.map(|(task_type, data)| task(task_type, data).map(|task| task.test_id(test_id))).collect();
        if let Err(problem) = client.post_tasks(&tasks?).await {
            tracing::debug!(%problem, "could not post the tasks of the demo");
        }
    }
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

/// What is posted, kind by kind. Kinds that this system does not allow are left out, which is `ping` on some.
pub(super) async fn kinds(
    site: &str,
    ports: Ports,
    environment: &Arc<Environment>,
) -> Vec<(&'static str, Value)> {
    let port: Option<u16> = site.rsplit(':').next().and_then(|port| port.parse().ok());
    let local = "127.0.0.1";
    let mut kinds = vec![
        ("url_http_status", json!({ "url": format!("{site}/") })),
        ("wait", json!({ "time": 1 + random(3) })),
        ("http", json!({ "url": format!("{site}/search"), "contains": "results" })),
        ("tcp", json!({ "host": local, "port": port })),
        ("http", json!({ "url": format!("{site}/stock"), "json": { "/stock/widgets": 12 } })),
        ("dns", json!({ "name": NAME, "server": local, "port": ports.dns, "expected": [local] })),
        ("http_steps", order(site)),
        ("smtp", json!({ "host": local, "port": ports.smtp })),
        ("url_http_status", json!({ "url": format!("{site}/stock") })),
        (
            "tls_certificate",
            json!({ "host": local, "port": ports.tls, "name": NAME, "verify": false, "min_days_left": 7 }),
        ),
        ("imap", json!({ "host": local, "port": ports.imap })),
        ("process", json!({ "command": COMMAND })),
    ];
    let ping = json!({ "host": local, "count": 2, "interval": 0.2 });
    let handler = built_in().into_iter().find(|handler| handler.name == "ping");
    if let Some(handler) = handler
        && handler.execute(Arc::clone(environment), &ping.to_string()).await.is_ok()
    {
        kinds.push(("ping", ping));
    }
    kinds
}

/// A customer, from the login to the order.
fn order(site: &str) -> Value {
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
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio::net::TcpListener;

    use super::*;
    use crate::cli::demo::services::Services;
    use crate::cli::demo::{agents, site};

    #[tokio::test]
    async fn tasks_of_every_kind_are_posted_and_can_be_executed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (services, ports) = Services::bind().await.unwrap();
        tokio::spawn(site::serve(listener));
        tokio::spawn(services.serve());
        let mut environment = agents::environment().unwrap();
        // The program of tests would run all of them.
        environment.commands.get_mut(COMMAND).unwrap().program = "/bin/true".into();
        let environment = Arc::new(environment);
        let kinds = kinds(&url, ports, &environment).await;
        let mut missing: BTreeSet<&str> = built_in().iter().map(|handler| handler.name).collect();
        for (kind, data) in &kinds {
            missing.remove(kind);
            let handler = built_in().into_iter().find(|handler| handler.name == *kind).unwrap();
            // The site takes an order now and then that it cannot fill.
            let mut ended = handler.execute(Arc::clone(&environment), &data.to_string()).await;
            while ended.as_ref().is_err_and(|error| error.to_string().contains("409")) {
                ended = handler.execute(Arc::clone(&environment), &data.to_string()).await;
            }
            ended.unwrap_or_else(|error| panic!("{kind}: {error}"));
        }
        missing.remove("ping");
        assert!(missing.is_empty(), "{missing:?}");
    }
}
