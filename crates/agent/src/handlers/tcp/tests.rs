use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

async fn execute_at(port: u16, mut data: Value) -> Result<Value, String> {
    let members = data.as_object_mut().unwrap();
    members.entry("host").or_insert("127.0.0.1".into());
    members.insert("port".to_owned(), port.into());
    let outcome = execute(serde_json::from_value(data).unwrap(), Context::alone(), Arc::default()).await;
    outcome
        .map(|output| serde_json::to_value(output).unwrap())
        .map_err(|failure| failure.to_string().replace(&port.to_string(), "PORT"))
}

/// A server of one connection, which does this with it. Its task ends with the runtime of the test.
async fn server<F: Future<Output = ()> + Send>(serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
    port
}

#[tokio::test]
async fn a_connection_is_enough_where_nothing_is_expected() {
    let (closed, is_closed) = tokio::sync::oneshot::channel();
    let port = server(|mut stream| async move {
        let _ = closed.send(stream.read(&mut [0]).await.unwrap());
    })
    .await;
    let output = execute_at(port, json!({"host": "localhost", "ip_version": 4})).await.unwrap();
    assert_eq!(output["address"], "127.0.0.1");
    assert!(output["connect_ms"].as_f64().unwrap() > 0.0 && output["dns_ms"].as_f64().unwrap() > 0.0);
    assert!(output["received"].is_null() && output["first_byte_ms"].is_null(), "{output}");
    assert_eq!(is_closed.await, Ok(0));
}

#[tokio::test]
async fn a_text_is_sent_and_another_expected_also_in_pieces() {
    let port = server(|mut stream| async move {
        let mut sent = [0; 6];
        stream.read_exact(&mut sent).await.unwrap();
        assert_eq!(&sent, b"PING\r\n");
        for piece in ["+P", "ON", "G\r\n"] {
            stream.write_all(piece.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        let _ = stream.read(&mut [0]).await;
    })
    .await;
    let output = execute_at(port, json!({"send": "PING\r\n", "expected": "+PONG"})).await.unwrap();
    assert!(output["received"].as_str().unwrap().starts_with("+PONG"));
    let times = ["first_byte_ms", "expected_ms", "total_ms"].map(|name| output[name].as_f64().unwrap());
    assert!(times[0] > 0.0 && times.is_sorted(), "{times:?}");
}

#[tokio::test]
async fn what_does_not_come_is_told_with_what_came() {
    let port = server(|mut stream| async move { stream.write_all(b"SSH-2.0-x\r\n").await.unwrap() }).await;
    assert_eq!(
        execute_at(port, json!({"expected": "220 "})).await.unwrap_err(),
        "expected \"220 \" from 127.0.0.1:PORT, but the other side closed the connection; 11 bytes were received, \
         at the end \"SSH-2.0-x\\r\\n\""
    );
    let port = server(|stream| async move {
        let _ = stream.set_zero_linger();
    })
    .await;
    let error = execute_at(port, json!({"expected": "220 "})).await.unwrap_err();
    assert!(error.contains("reset the connection; nothing was received"), "{error}");
}

#[tokio::test]
async fn silent_slow_and_endless_servers_are_left_in_time() {
    let port = server(|mut stream| async move {
        let _ = stream.read(&mut [0]).await;
    })
    .await;
    let error = execute_at(port, json!({"expected": "x", "timeout": 0.3})).await.unwrap_err();
    assert!(error.starts_with("expected \"x\" from 127.0.0.1:PORT, but the time was over after "), "{error}");
    assert!(error.ends_with("; nothing was received"), "{error}");
    let port = server(|mut stream| async move {
        while stream.write_all(b".").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let error = execute_at(port, json!({"expected": "x", "timeout": 0.5})).await.unwrap_err();
    assert!(error.contains("bytes were received, at the end \"."), "{error}");
    let port =
        server(|mut stream| async move { while stream.write_all(&[b'.'; 4096]).await.is_ok() {} }).await;
    let error = execute_at(port, json!({"expected": "x"})).await.unwrap_err();
    assert!(error.contains("but it was not in the first 65536 bytes; 65536 bytes were received"), "{error}");
    assert!(error.len() < 800, "{error}");
    // One that takes nothing.
    let port = server(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let data = json!({"send": "x".repeat(64 << 20), "timeout": 0.5});
    let error = execute_at(port, data).await.unwrap_err();
    assert!(error.starts_with("127.0.0.1:PORT has not taken the text within "), "{error}");
}

#[tokio::test]
async fn a_closed_port_and_a_forbidden_address_are_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = execute_at(port, json!({})).await.unwrap_err();
    assert!(error.starts_with("could not connect to 127.0.0.1:PORT: connection refused after "), "{error}");
    let error = execute_at(port, json!({"host": "169.254.169.254"})).await.unwrap_err();
    assert_eq!(error, "this agent does not allow tasks to reach 169.254.169.254");
    let error = execute_at(port, json!({"expected": ""})).await.unwrap_err();
    assert!(error.starts_with("task_data.expected: must not be empty"), "{error}");
}
