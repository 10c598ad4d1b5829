//! Tasks that have an agent ask something of others, with what its operator gives it.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::thread;

use serde_json::{Value, json};

use crate::fleet::{Fleet, Task};

const SECRET: &str = "p&w \"1";

/// A server that answers each request with what it was asked, for as long as the process runs.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut request = [0; 4096];
            let Ok(read) = stream.read(&mut request) else { continue };
            let request = String::from_utf8_lossy(&request[..read]);
            let body = json!({ "request": request }).to_string();
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
            let answer = format!("{head}Content-Length: {}\r\nX-Echo: a\r\n\r\n{body}", body.len());
            // Who asked may have gone.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn an_agent_reaches_what_its_operator_allows_and_tells_nobody_its_secrets() {
    let fleet = Fleet::start();
    let address = echo();
    let secrets = fleet.state_folder("secrets");
    std::fs::write(&secrets, format!("shop={SECRET}\n")).unwrap();
    std::fs::set_permissions(&secrets, Permissions::from_mode(0o640)).unwrap();
    let secrets = secrets.to_string_lossy();
    let agent = fleet.agent("first", &["--secrets", &secrets, "--deny", "127.0.0.2"]);
    let run = |task_type: &str, data: Value| {
        fleet.wait_for(fleet.post(&Task { task_type, data, terms: json!({}) }))
    };
    let url = format!("http://{address}/?password=${{secret:shop}}");
    let shown = format!("http://{address}/?password=${{secret:shop}}");
    let done = run("http", json!({"url": url, "contains": "password=p&w%20%221"}));
    assert_eq!(done["task_result"]["url"], shown, "{done}");
    let failed = run("http", json!({"url": url, "contains": "${secret:shop}!"}));
    let error = failed["task_error"].as_str().unwrap();
    assert!(error.starts_with(&format!("{shown}: expected \"${{secret:shop}}!\" in the body")), "{error}");
    let steps = json!([
        {"name": "log in", "url": format!("http://{address}/"), "method": "POST", "body": {"p": "${secret:shop}"},
         "variables": {"all": {"json": "/request"}, "echo": {"header": "x-echo"}}},
        {"name": "look", "url": format!("http://{address}/${{echo}}"), "json": {"/request": "nothing"}},
    ]);
    let failed = run("http_steps", json!({ "steps": steps }));
    let error = failed["task_error"].as_str().unwrap();
    assert!(error.starts_with(&format!("step \"look\" (2 of 2): http://{address}/a: expected ")), "{error}");
    let first = json!([steps[0]]);
    let done = run("http_steps", json!({"steps": first, "results": ["all"]}));
    let all = done["task_result"]["results"]["all"].as_str().unwrap();
    assert!(all.ends_with(r#"{"p":"${secret:shop}"}"#), "{all}");
    let done = run("url_http_status", json!({"url": format!("http://{address}/")}));
    assert_eq!(done["task_result"], json!({"status": 200}));
    for (task_type, data) in [
        ("http", json!({"url": "http://127.0.0.2:1/"})),
        ("http_steps", json!({"steps": [{"name": "a", "url": "http://127.0.0.2:1/"}]})),
        ("url_http_status", json!({"url": "http://127.0.0.2:1/"})),
        ("tls_certificate", json!({"host": "127.0.0.2"})),
    ] {
        let error = run(task_type, data)["task_error"].as_str().unwrap().to_owned();
        assert!(error.ends_with("this agent does not allow tasks to reach 127.0.0.2"), "{error}");
    }
    agent.kill9();
    let log = agent.log_lines().join("\n");
    assert!(log.contains("WARN others than the agent's user may read or change the secrets"), "{log}");
    assert!(log.contains("${secret:shop}") && !log.contains("p&w"), "{log}");
}
