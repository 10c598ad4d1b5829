use tokio::net::TcpListener;

use super::*;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A client, a request, and the server that it asks.
async fn set_up(close: bool, timeout: Duration) -> (Client, Request, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (Client::new(address, close, timeout), Request::get(address, close, "/"), listener)
}

/// Reads a request, which is known to be small, and sends `answer`.
async fn answer(stream: &mut TcpStream, answer: &[u8]) {
    assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
    stream.write_all(answer).await.unwrap();
}

async fn ask(client: &mut Client, request: &Request) -> Result<(u16, Vec<u8>), Failure> {
    client.send(request).await.map(|answer| (answer.status, answer.body.to_vec()))
}

#[tokio::test]
async fn a_connection_is_used_again_unless_each_request_has_its_own() {
    for (close, wanted) in [(false, 1), (true, 3)] {
        let (mut client, request, listener) = set_up(close, Duration::from_secs(60)).await;
        let server = tokio::spawn(async move {
            let (mut connections, mut answers) = (0, 0);
            while answers < 3 {
                let (mut stream, _) = listener.accept().await.unwrap();
                connections += 1;
                for _ in 0..if close { 1 } else { 3 } {
                    answer(&mut stream, ANSWER).await;
                    answers += 1;
                }
            }
            connections
        });
        for _ in 0..3 {
            assert_eq!(ask(&mut client, &request).await, Ok((200, b"ok".to_vec())));
        }
        assert_eq!(server.await.unwrap(), wanted);
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_while_it_was_idle_is_no_failure() {
    let (mut client, request, listener) = set_up(false, Duration::from_secs(60)).await;
    let server = tokio::spawn(async move {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            answer(&mut stream, ANSWER).await;
        }
    });
    assert!(ask(&mut client, &request).await.is_ok());
    // Until the server has hung up.
    client.stream.as_ref().unwrap().readable().await.unwrap();
    client.used = client.used.checked_sub(2 * IDLE).unwrap();
    assert!(ask(&mut client, &request).await.is_ok());
    server.await.unwrap();
}

#[tokio::test]
async fn answers_in_any_form_are_read() {
    let forms: [&[u8]; 3] = [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
    ];
    let (mut client, request, listener) = set_up(false, Duration::from_secs(60)).await;
    let server = tokio::spawn(async move {
        for form in forms {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
            for byte in form {
                stream.write_all(&[*byte]).await.unwrap();
            }
        }
    });
    for _ in forms {
        assert_eq!(ask(&mut client, &request).await, Ok((200, b"ok".to_vec())));
        client.stream = None;
    }
    server.await.unwrap();
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_given_up_after_its_own_time() {
    const TIMEOUT: Duration = Duration::from_millis(50);
    let (mut client, request, listener) = set_up(false, TIMEOUT).await;
    let server =
        tokio::spawn(async move { [listener.accept().await.unwrap(), listener.accept().await.unwrap()] });
    for _ in 0..2 {
        // The timer was set before, for the client or the request before.
        let began = Instant::now();
        assert_eq!(ask(&mut client, &request).await, Err(Failure::TimedOut));
        assert!(began.elapsed() >= TIMEOUT);
    }
    drop(server.await.unwrap());
}
