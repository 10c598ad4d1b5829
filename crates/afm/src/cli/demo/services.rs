//! What the shop has beside its site: mail, names, and a certificate.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join4;
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;

use super::site::random;

/// What all of it is called.
pub(super) const NAME: &str = "shop.example";

/// Services that listen.
pub(super) struct Services {
    smtp: TcpListener,
    imap: TcpListener,
    dns: UdpSocket,
    tls: TcpListener,
}

/// Their ports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) smtp: u16,
    pub(super) imap: u16,
    pub(super) dns: u16,
    pub(super) tls: u16,
}

impl Services {
    /// Listens on ports that are free.
    pub(super) async fn bind() -> anyhow::Result<(Self, Ports)> {
        let any = (Ipv4Addr::LOCALHOST, 0);
        let services = Self {
            smtp: TcpListener::bind(any).await?,
            imap: TcpListener::bind(any).await?,
            dns: UdpSocket::bind(any).await?,
            tls: TcpListener::bind(any).await?,
        };
        let ports = Ports {
            smtp: services.smtp.local_addr()?.port(),
            imap: services.imap.local_addr()?.port(),
            dns: services.dns.local_addr()?.port(),
            tls: services.tls.local_addr()?.port(),
        };
        Ok((services, ports))
    }

    /// Serves for ever.
    pub(super) async fn serve(self) -> anyhow::Result<()> {
        let Self { smtp, imap, dns, tls } = self;
        try_join4(serve_lines(smtp, smtp_says), serve_lines(imap, imap_says), serve_dns(dns), serve_tls(tls))
            .await?;
        Ok(())
    }
}

/// What a server says to a line, or to greet; `None`: it hangs up.
type Says = fn(Option<&str>) -> Option<&'static str>;

fn smtp_says(line: Option<&str>) -> Option<&'static str> {
    match line.map(|line| line.split(' ').next().unwrap_or_default()) {
        None => Some("220 mail.shop.example is ready\r\n"),
        Some("EHLO") => Some("250-mail.shop.example\r\n250 SIZE 10000000\r\n"),
        Some("QUIT") => None,
        Some(_) => Some("502 this is a demo\r\n"),
    }
}

fn imap_says(line: Option<&str>) -> Option<&'static str> {
    match line {
        None => Some("* OK mail.shop.example is ready\r\n"),
        Some("a CAPABILITY") => Some("* CAPABILITY IMAP4rev1 IDLE\r\na OK done\r\n"),
        Some(_) => None,
    }
}

async fn serve_lines(listener: TcpListener, says: Says) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        // A client that hangs up has what it wanted.
        tokio::spawn(async move { talk(stream, says).await.ok() });
    }
}

async fn talk(stream: TcpStream, says: Says) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut answer = says(None);
    while let Some(text) = answer {
        tokio::time::sleep(Duration::from_millis(random(60))).await;
        stream.write_all(text.as_bytes()).await?;
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            break;
        }
        answer = says(Some(line.trim_end()));
    }
    Ok(())
}

/// Answers that whatever it is asked for is here.
async fn serve_dns(socket: UdpSocket) -> anyhow::Result<()> {
    let mut message = [0; 512];
    loop {
        let (size, client) = socket.recv_from(&mut message).await?;
        if let Some(answer) = dns_answer(&message[..size]) {
            tokio::time::sleep(Duration::from_millis(random(30))).await;
            socket.send_to(&answer, client).await?;
        }
    }
}

/// The answer to a question (RFC 1035, 4.1); `None` to what is none.
fn dns_answer(message: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    let (id, question) = (message.get(..2)?, message.get(HEADER..)?);
    // The name ends with an empty label; type and class follow.
    let end = question.iter().position(|byte| *byte == 0)? + 5;
    let mut answer = id.to_vec();
    // An authoritative answer without an error: to one question, with one record.
    answer.extend([0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0]);
    answer.extend(question.get(..end)?);
    // The record: the name of the question, type A, class IN, for a minute, four bytes.
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    answer.extend(Ipv4Addr::LOCALHOST.octets());
    Some(answer)
}

/// Shows a certificate that the shop has signed itself.
async fn serve_tls(listener: TcpListener) -> anyhow::Result<()> {
    let own = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.into())?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    loop {
        let (stream, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // A client that has seen the certificate has what it wanted.
            if let Ok(mut stream) = acceptor.accept(stream).await {
                stream.shutdown().await.ok();
            }
        });
    }
}
