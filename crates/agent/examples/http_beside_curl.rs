//! How long the handler `http` takes beside curl, for the same page of the same local server:
//! `cargo run --release -p slamon-agent --example http_beside_curl`.

use std::process::Command;
use std::sync::Arc;

use slamon_agent::handlers::{Environment, built_in};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const ROUNDS: usize = 300;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                // The whole request fits into one read.
                if stream.read(&mut request).await? > 0 {
                    stream.write_all(ANSWER).await?;
                }
                stream.shutdown().await
            });
        }
    });
    let handler = built_in().into_iter().find(|handler| handler.name == "http").ok_or("no http")?;
    let environment = Arc::new(Environment::default());
    let data = format!(r#"{{"url": "{url}", "contains": "hello"}}"#);
    let (mut curl, mut http) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        curl.push(by_curl(url.clone()).await?);
        let result =
            handler.execute(Arc::clone(&environment), &data).await.map_err(|failure| failure.to_string())?;
        let result: serde_json::Value = serde_json::from_str(&result)?;
        http.push(result["total_ms"].as_f64().ok_or("no total_ms")?);
    }
    let (curl, http) = (median(curl), median(http));
    println!("median of {ROUNDS} rounds: curl {curl:.3} ms, http {http:.3} ms, {:+.3} ms", http - curl);
    Ok(())
}

/// What `time_total` of curl says, in milliseconds.
async fn by_curl(url: String) -> Result<f64, Box<dyn std::error::Error>> {
    let curl =
        move || Command::new("curl").args(["-s", "-o", "/dev/null", "-w", "%{time_total}", &url]).output();
    let output = tokio::task::spawn_blocking(curl).await??;
    Ok(String::from_utf8(output.stdout)?.parse::<f64>()? * 1_000.0)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
