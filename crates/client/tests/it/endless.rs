//! Servers that send without end.

use slamon_client::{Client, ClientError, EventFilter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server that answers with these lines, and then with `x` until the client hangs up.
async fn endless(head: &'static str) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                client.read_u8().await?;
                client.write_all(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes()).await?;
                loop {
                    client.write_all(&[b'x'; 65_536]).await?;
                }
                #[expect(unreachable_code, reason = "it gives the block its type")]
                std::io::Result::Ok(())
            });
        }
    });
    Client::new(&url).expect("a client")
}

#[tokio::test]
async fn an_answer_without_end_is_given_up() {
    for head in ["200 OK", "200 OK\r\ncontent-length: 1000001"] {
        let problem = endless(head).await.largest_answer(1_000_000).overview().await.unwrap_err();
        assert!(matches!(problem, ClientError::TooLarge(1_000_000)), "{problem:?}");
        assert_eq!(problem.to_string(), "the answer has more than 1000000 bytes");
    }
}

#[tokio::test]
async fn of_an_error_without_end_the_status_is_told() {
    let client = endless("418 I'm a teapot").await;
    let problem = client.overview().await.unwrap_err();
    assert!(matches!(problem, ClientError::Refused { status: 418, .. }), "{problem:?}");
    let problem = client.events(&EventFilter::default(), None).next().await.unwrap_err();
    assert!(matches!(problem, ClientError::Refused { status: 418, .. }), "{problem:?}");
}

#[tokio::test]
async fn an_event_without_end_is_given_up() {
    let client = endless("200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: ").await;
    let mut events = client.events(&EventFilter::default(), None);
    // The second time on another connection.
    for _ in 0..2 {
        let problem = events.next().await.unwrap_err();
        assert!(matches!(problem, ClientError::TooLarge(_)), "{problem:?}");
    }
}
