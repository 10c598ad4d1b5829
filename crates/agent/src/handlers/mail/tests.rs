use rustls::pki_types::PrivateKeyDer;
use rustls::server::ServerConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::network::TlsRoots;

/// What a server does: in turn it sends a text, or waits for a line.
#[derive(Debug, Clone, Copy)]
enum Step {
    Say(&'static str),
    /// The line has to begin with this.
    Hear(&'static str),
    BeginTls,
}
use Step::{BeginTls, Hear, Say};

/// A certificate for mail.example, and an agent that trusts it.
struct Identity {
    acceptor: TlsAcceptor,
    environment: Arc<Environment>,
}

fn identity() -> Identity {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["mail.example".to_owned()]).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), cert.pem()).unwrap();
    let tls = TlsRoots::none().and_file(file.path()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let environment = Arc::new(Environment { tls, ..Environment::default() });
    Identity { acceptor: TlsAcceptor::from(Arc::new(config)), environment }
}

/// A server of one connection that goes through these steps, and then closes it. It panics where it is not spoken to as
/// it wants.
async fn serve(mut stream: BufReader<Box<dyn Stream>>, steps: &[Step], acceptor: &TlsAcceptor) {
    for (index, step) in steps.iter().enumerate() {
        match step {
            Say(text) => {
                // Whoever has heard enough may have gone.
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.flush().await;
            }
            Hear(expected) => {
                let mut line = String::new();
                let _ = stream.read_line(&mut line).await;
                assert!(
                    line.starts_with(expected) && line.ends_with("\r\n"),
                    "heard {line:?}, not {expected}"
                );
            }
            BeginTls => {
                assert!(stream.buffer().is_empty());
                // An agent that does not trust the certificate goes.
                let Ok(secured) = acceptor.accept(stream.into_inner()).await else { return };
                let stream: Box<dyn Stream> = Box::new(secured);
                return Box::pin(serve(BufReader::new(stream), &steps[index + 1..], acceptor)).await;
            }
        }
    }
    let _ = stream.shutdown().await;
}

/// What an agent says of a server that goes through these steps.
async fn meet(protocol: Protocol, steps: Vec<Step>, mut data: Value) -> Result<Value, String> {
    let Identity { acceptor, environment } = identity();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let stream: Box<dyn Stream> = Box::new(listener.accept().await.unwrap().0);
        serve(BufReader::new(stream), &steps, &acceptor).await;
    });
    let members = data.as_object_mut().unwrap();
    members.insert("host".to_owned(), "127.0.0.1".into());
    members.insert("port".to_owned(), port.into());
    if members.contains_key("tls") {
        members.entry("name").or_insert("mail.example".into());
    }
    let data = serde_json::from_value(data).unwrap();
    let outcome = execute(protocol, data, &Context::alone(), &environment).await;
    if outcome.is_ok() {
        server.await.unwrap();
    }
    outcome
        .map(|output| serde_json::to_value(output).unwrap())
        .map_err(|failure| failure.to_string().replace(&port.to_string(), "PORT"))
}

async fn smtp(steps: Vec<Step>, data: Value) -> Result<Value, String> {
    meet(Protocol::Smtp, steps, data).await
}

async fn imap(steps: Vec<Step>, data: Value) -> Result<Value, String> {
    meet(Protocol::Imap, steps, data).await
}

const EHLO: Step = Hear("EHLO [127.0.0.1]\r\n");

#[tokio::test]
async fn smtp_without_tls() {
    let steps = vec![
        Say("220-mail.example\r\n220 ESMTP "),
        Say("ready\r\n"),
        EHLO,
        Say("250-mail.example\r\n250-PIPELINING\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n"),
        Hear("QUIT"),
        Say("221 bye\r\n"),
    ];
    let data = json!({"expected_greeting": "ESMTP", "expected_capabilities": ["auth login", "8BITMIME"]});
    let output = smtp(steps, data).await.unwrap();
    assert_eq!(output["greeting"], "mail.example\nESMTP ready");
    assert_eq!(output["capabilities"], json!(["PIPELINING", "AUTH PLAIN LOGIN", "8BITMIME"]));
    assert_eq!(output["address"], "127.0.0.1");
    assert!(output["greeting_ms"].as_f64().unwrap() > 0.0 && output["connect_ms"].as_f64().unwrap() > 0.0);
    assert!(output["tls_ms"].is_null() && output["certificate_not_after"].is_null(), "{output}");
}

#[tokio::test]
async fn smtp_with_starttls_and_with_implicit_tls() {
    let steps = vec![
        Say("220 x\r\n"),
        EHLO,
        Say("250-x\r\n250 STARTTLS\r\n"),
        Hear("STARTTLS\r\n"),
        Say("220 go on\r\n"),
        BeginTls,
        EHLO,
        Say("250-x\r\n250 AUTH PLAIN\r\n"),
        Hear("QUIT"),
    ];
    let output = smtp(steps, json!({"tls": "starttls", "min_days_left": 30})).await.unwrap();
    assert_eq!(output["capabilities"], json!(["AUTH PLAIN"]));
    assert_eq!(output["protocol"], "TLSv1.3");
    assert!(
        output["tls_ms"].as_f64().unwrap() > 0.0 && output["certificate_days_left"].as_i64().unwrap() > 30
    );
    let steps = vec![BeginTls, Say("220 x\r\n"), EHLO, Say("250 x\r\n"), Hear("QUIT")];
    let output = smtp(steps, json!({"tls": "implicit"})).await.unwrap();
    assert_eq!(output["capabilities"], json!([]));
    assert!(output["certificate_not_after"].is_string());
}

#[tokio::test]
async fn imap_in_all_ways() {
    let answer = "* CAPABILITY IMAP4rev1 STARTTLS\r\n* 1 EXISTS\r\na OK done\r\n";
    let steps = vec![Say("* OK IMAP ready\r\n"), Hear("a CAPABILITY\r\n"), Say(answer), Hear("z LOGOUT")];
    let output = imap(steps, json!({"expected_capabilities": ["imap4rev1"]})).await.unwrap();
    assert_eq!(output["greeting"], "IMAP ready");
    assert_eq!(output["capabilities"], json!(["IMAP4rev1", "STARTTLS"]));
    let steps = vec![
        Say("* PREAUTH x\r\n"),
        Hear("a CAPABILITY"),
        Say(answer),
        Hear("a STARTTLS"),
        Say("a OK begin\r\n"),
        BeginTls,
        Hear("a CAPABILITY"),
        Say("* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\na OK done\r\n"),
        Hear("z LOGOUT"),
    ];
    let output = imap(steps, json!({"tls": "starttls"})).await.unwrap();
    assert_eq!(output["capabilities"], json!(["IMAP4rev1", "AUTH=PLAIN"]));
    let steps =
        vec![BeginTls, Say("* OK x\r\n"), Hear("a CAPABILITY"), Say("a OK done\r\n"), Hear("z LOGOUT")];
    assert!(imap(steps, json!({"tls": "implicit"})).await.unwrap()["tls_ms"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn servers_that_answer_badly_are_told() {
    let cases = [
        (vec![Say("554 no service\r\n")], "does not greet with 220 but with \"554 no service\""),
        (
            vec![Say("HTTP/1.1 400 Bad Request\r\n")],
            "does not speak SMTP: it sent \"HTTP/1.1 400 Bad Request\"",
        ),
        (vec![Say("220-a\r\n250 b\r\n")], "does not speak SMTP: it sent \"250 b\""),
        (vec![Say("ä\r\n")], "does not speak SMTP: it sent \"ä\""),
        (vec![Say("220 x")], "closed the connection, and has not greeted"),
        (vec![], "closed the connection, and has not greeted"),
        (
            vec![Say("220 x\r\n"), EHLO, Say("502 what\r\n")],
            "does not answer EHLO with 250 but with \"502 what\"",
        ),
        (vec![Say("220 x\r\n"), EHLO], "closed the connection, and has not answered EHLO"),
        (vec![Say("220 x\r\n"), EHLO, Say("250-x\r\n250 A\r\n")], "does not offer STARTTLS; it offers A"),
        (
            vec![
                Say("220 x\r\n"),
                EHLO,
                Say("250-x\r\n250 STARTTLS\r\n"),
                Hear("STARTTLS"),
                Say("454 no\r\n"),
            ],
            "does not answer STARTTLS with 220 but with \"454 no\"",
        ),
        (
            vec![
                Say("220 x\r\n"),
                EHLO,
                Say("250-x\r\n250 STARTTLS\r\n"),
                Hear("STARTTLS"),
                Say("220 go\r\n250 injected\r\n"),
            ],
            "sent more than its answer before TLS began, which is not safe",
        ),
    ];
    for (steps, expected) in cases {
        let error = smtp(steps, json!({"tls": "starttls"})).await.unwrap_err();
        assert_eq!(error, format!("127.0.0.1:PORT {expected}"));
    }
    let cases = [
        (vec![Say("* BYE too many\r\n")], "does not want to be spoken to: \"too many\""),
        (vec![Say("220 x\r\n")], "does not speak IMAP: it sent \"220 x\""),
        (vec![Say("* HM x\r\n")], "does not speak IMAP: it sent \"* HM x\""),
        (
            vec![Say("* OK x\r\n"), Hear("a CAPABILITY"), Say("a BAD no\r\n")],
            "does not answer CAPABILITY with OK but with \"BAD no\"",
        ),
        (
            vec![Say("* OK x\r\n"), Hear("a CAPABILITY"), Say("b OK\r\n")],
            "does not speak IMAP: it sent \"b OK\"",
        ),
    ];
    for (steps, expected) in cases {
        assert_eq!(imap(steps, json!({})).await.unwrap_err(), format!("127.0.0.1:PORT {expected}"));
    }
}

#[tokio::test]
async fn what_was_expected_and_is_not_there_is_named() {
    let steps =
        || vec![Say("220 x\r\n"), EHLO, Say("250-x\r\n250-SIZE 100\r\n250 AUTH PLAIN\r\n"), Hear("QUIT")];
    assert_eq!(
        smtp(steps(), json!({"expected_greeting": "Postfix"})).await.unwrap_err(),
        "127.0.0.1:PORT greets with \"x\", where \"Postfix\" was expected"
    );
    assert_eq!(
        smtp(steps(), json!({"expected_capabilities": ["SIZE", "AUTH LOGIN", "DSN"]})).await.unwrap_err(),
        "127.0.0.1:PORT does not offer AUTH LOGIN, DSN, which was expected; it offers SIZE 100, AUTH PLAIN"
    );
    let error = smtp(vec![BeginTls], json!({"tls": "implicit", "name": "other.example"})).await.unwrap_err();
    assert!(error.starts_with("the certificate of 127.0.0.1:PORT is not valid: "), "{error}");
    let steps = vec![BeginTls, Say("220 x\r\n"), EHLO, Say("250 x\r\n"), Hear("QUIT")];
    let data = json!({"tls": "implicit", "name": "other.example", "verify": false});
    assert_eq!(smtp(steps, data).await.unwrap()["certificate_problems"].as_array().unwrap().len(), 1);
    let error = smtp(vec![Say("220 x\r\n")], json!({"tls": "implicit"})).await.unwrap_err();
    assert!(error.starts_with("could not begin TLS with 127.0.0.1:PORT: "), "{error}");
}

#[tokio::test]
async fn what_could_not_be_checked_is_refused() {
    for (data, expected) in [
        (json!({"min_days_left": 1}), "min_days_left: without TLS there is no certificate"),
        (json!({"name": "mail.example"}), "name: without TLS there is no certificate"),
        (
            json!({"expected_greeting": ""}),
            "expected_greeting: must not be empty; leave it out to expect nothing",
        ),
    ] {
        let steps = vec![Say("220 x\r\n"), EHLO, Say("250 x\r\n"), Hear("QUIT")];
        assert_eq!(smtp(steps, data.clone()).await, Err(format!("task_data.{expected}")));
        let steps = vec![Say("* OK x\r\n"), Hear("a CAPABILITY"), Say("a OK done\r\n"), Hear("z LOGOUT")];
        assert_eq!(imap(steps, data).await, Err(format!("task_data.{expected}")));
    }
}

/// What an agent says of a server that does this with its connection.
async fn against<F: Future<Output = ()> + Send>(
    protocol: Protocol,
    serve: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
    let data = json!({"host": "127.0.0.1", "port": port, "timeout": 1});
    let data = serde_json::from_value(data).unwrap();
    let failure = execute(protocol, data, &Context::alone(), &Environment::default()).await.unwrap_err();
    failure.to_string().replace(&port.to_string(), "PORT")
}

#[tokio::test]
async fn silent_slow_and_endless_servers_are_left_in_time() {
    for protocol in [Protocol::Smtp, Protocol::Imap] {
        let error = against(protocol, |mut stream| async move {
            let _ = stream.read(&mut [0]).await;
        })
        .await;
        assert!(error.starts_with("127.0.0.1:PORT has not greeted within "), "{error}");
        let error = against(protocol, |mut stream| async move {
            while stream.write_all(b"2").await.is_ok() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
        assert!(error.starts_with("127.0.0.1:PORT has not greeted within "), "{error}");
        let error =
            against(
                protocol,
                |mut stream| async move { while stream.write_all(&[b'2'; 4096]).await.is_ok() {} },
            )
            .await;
        assert_eq!(error, "127.0.0.1:PORT sent a line of more than 8192 bytes, and has not greeted");
    }
    let error = against(Protocol::Smtp, |mut stream| async move {
        while stream.write_all(b"220-more\r\n").await.is_ok() {}
    })
    .await;
    assert_eq!(error, "127.0.0.1:PORT sent more than 200 lines or 65536 bytes, and has not greeted");
    let error = against(Protocol::Smtp, |mut stream| async move {
        let line = format!("220-{}\r\n", "x".repeat(4_000));
        while stream.write_all(line.as_bytes()).await.is_ok() {}
    })
    .await;
    assert_eq!(error, "127.0.0.1:PORT sent more than 200 lines or 65536 bytes, and has not greeted");
    let error = against(Protocol::Imap, |mut stream| async move {
        while stream.write_all(b"* OK more\r\n").await.is_ok() {}
    })
    .await;
    assert_eq!(
        error,
        "127.0.0.1:PORT sent more than 200 lines or 65536 bytes, and has not answered CAPABILITY"
    );
}
