//! Tests the server behind a reverse proxy that keeps its connections and does not tell when its clients hang
//! up.

use std::net::SocketAddr;
use std::time::Duration;

use slamon_testbed::{Process, free_port};

use super::{folder, serve, write};
use crate::test_app::{Body, Client, PATIENCE, eventually, id};

/// Starts nginx in front of a server.
#[track_caller]
fn nginx(folder: &std::path::Path, behind: SocketAddr) -> (Process, Client) {
    let port = free_port();
    let at = folder.display();
    let config = format!(
        "daemon off; worker_processes 1; error_log stderr warn; pid {at}/nginx.pid;
         events {{ worker_connections 256; }}
         http {{
           access_log off;
           client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
           uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
           upstream afm {{ server {behind}; keepalive 16; }}
           server {{
             listen 127.0.0.1:{port};
             location / {{
               proxy_pass http://afm; proxy_http_version 1.1; proxy_set_header Connection '';
               proxy_ignore_client_abort on; proxy_read_timeout 330s;
             }}
             location /fleet/ {{ proxy_pass http://afm/; }}
             location /board/ {{ proxy_pass http://afm/dashboard/; }}
             location /named/ {{ proxy_pass http://afm/; proxy_set_header X-Forwarded-Prefix /named; }}
           }}
         }}"
    );
    let file = write(folder, "nginx.conf", &config);
    let args = ["-p", &at.to_string(), "-c", &file.display().to_string()];
    // On Debian, nginx is in a folder that only root has in PATH.
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let process = Process::start("nginx".as_ref(), &args, &[("PATH", &path)]).expect("sh runs");
    let client = Client::new(SocketAddr::from(([127, 0, 0, 1], port)));
    eventually("nginx listens", || {
        assert!(!process.has_ended(), "{:#?}", process.log_lines());
        client.listens()
    });
    (process, client)
}

#[test]
fn tasks_come_and_go() {
    let (afm, direct) = serve("sqlite://");
    let folder = folder();
    let (nginx, client) = nginx(folder.path(), afm.address());
    for n in 1..=20 {
        client.post_task(Body::task(n));
        assert_eq!(client.poll(Body::poll(9)), [id(n)]);
        client.post("/tasks/response", Body::result(n)).is_empty();
        assert_eq!(client.task(n)["task_state"], "completed");
    }
    // Here an agent and a client wait.
    let poll = Body::poll(9).with("max_wait", "300").to_string();
    let mut agent = client.connect();
    agent.post("/tasks", &poll);
    eventually("the agent has asked", || direct.get("/status").json()["agents"] == 1);
    assert!(agent.is_silent_for(Duration::from_millis(100)));
    client.post_task(Body::task(30));
    assert_eq!(agent.answer().json()["tasks"][0]["task_id"], id(30));
    let mut read = client.connect();
    read.get(&format!("/task/{}?wait=300", id(30)));
    client.post("/tasks/response", Body::result(30)).is_empty();
    assert_eq!(read.answer().json()["task_state"], "completed");
    // nginx does not tell that an agent has gone; only its next poll shows it.
    let mut gone = client.connect();
    gone.post("/tasks", &poll);
    assert!(gone.is_silent_for(Duration::from_millis(100)));
    drop(gone);
    let mut agent = client.connect();
    agent.post("/tasks", &poll);
    assert!(agent.is_silent_for(Duration::from_millis(100)));
    for n in 31..=34 {
        client.post_task(Body::task(n));
        assert_eq!(agent.answer().json()["tasks"][0]["task_id"], id(n));
        agent.post("/tasks", &poll);
        client.post("/tasks/response", Body::result(n)).is_empty();
    }
    // These bodies are larger than nginx keeps in memory, in both directions.
    let text = format!("{{\"x\":\"{}\"}}", "x".repeat(900_000));
    client.post_task(Body::task(40).with("task_version", "2").with("task_data", text));
    assert_eq!(client.task(40)["task_data"]["x"].as_str().map(str::len), Some(900_000));
    afm.signal("TERM");
    assert_eq!(afm.wait_exit(PATIENCE).code(), Some(0), "{:#?}", afm.log_lines());
    nginx.signal("TERM");
}

/// Returns the address that a link on the page at `page` leads to.
fn follow(page: &str, link: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    if link.starts_with('/') {
        parts.clear();
    }
    for part in link.split('/') {
        match part {
            "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn the_dashboard_works_behind_a_prefix() {
    let (afm, direct) = serve("sqlite://");
    direct.post_task(Body::task(1));
    let folder = folder();
    let (_nginx, client) = nginx(folder.path(), afm.address());
    let task = format!("tasks/{}", id(1));
    for (root, page) in [
        ("/fleet/dashboard/", ""),
        ("/fleet/dashboard", ""),
        ("/fleet/dashboard/", "tasks"),
        ("/fleet/dashboard/", &task),
        ("/board/", ""),
        ("/board/", &task),
        ("/named/dashboard", ""),
        ("/named/dashboard/", &task),
    ] {
        let address = format!("{root}{page}");
        let answer = client.get(&address);
        assert_eq!(answer.status, 200, "{answer:?}");
        let links = answer.body.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
        let links: Vec<String> =
            links.filter(|link| !link.starts_with('#')).map(|link| follow(&address, link)).collect();
        assert!(links.len() > 5, "{answer:?}");
        for link in links {
            assert_eq!(client.get(&link).status, 200, "{link} from {address}");
        }
    }
}
