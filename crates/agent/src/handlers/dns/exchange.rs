//! Asks a server, over UDP and TCP.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

use super::Transport;
use super::servers::Servers;
use crate::failure::Failure;
use crate::network::NetworkPolicy;
use crate::network::connect::{Target, reason};
use crate::network::limit::{Limit, TimeIsUp, seconds};

/// When a question is asked again over UDP, which loses some; each time it waits twice as long.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// A server that sends so many messages that answer something else is not listened to any longer.
const MOST_STRAY: u32 = 1_000;

/// What a server has answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) message: Message,
    pub(super) server: SocketAddr,
    pub(super) transport: Transport,
    /// From when it was asked first.
    pub(super) took: Duration,
}

/// Asks one server after the other until one answers, whatever it says. Each has an equal part of the time.
pub(super) async fn ask_in_turn(
    query: &Message,
    servers: &Servers,
    transport: Transport,
    limit: &Limit,
) -> Result<Answer, Failure> {
    let mut problems = Vec::new();
    for (index, server) in servers.addresses.iter().enumerate() {
        let limit = limit.part(servers.addresses.len() - index);
        match ask(query, *server, &servers.policy, transport, &limit).await {
            Ok(answer) => return Ok(answer),
            Err(problem) => problems.push(problem),
        }
    }
    Err(Failure::new(problems.join("; ")))
}

async fn ask(
    query: &Message,
    server: SocketAddr,
    policy: &NetworkPolicy,
    transport: Transport,
    limit: &Limit,
) -> Result<Answer, String> {
    let began = Instant::now();
    let bytes = query.to_vec().map_err(|problem| format!("could not write the question: {problem}"))?;
    let answer = |message, transport| Answer { message, server, transport, took: began.elapsed() };
    if transport == Transport::Udp {
        let message = over_udp(query, &bytes, server, limit).await?;
        if !message.metadata.truncation {
            return Ok(answer(message, Transport::Udp));
        }
    }
    let message = over_tcp(query, &bytes, server, policy, limit).await?;
    Ok(answer(message, Transport::Tcp))
}

async fn over_udp(
    query: &Message,
    bytes: &[u8],
    server: SocketAddr,
    limit: &Limit,
) -> Result<Message, String> {
    let failed = |problem: io::Error| match problem.kind() {
        io::ErrorKind::ConnectionRefused => format!("{server} has no DNS server: connection refused"),
        _ => format!("could not ask {server}: {}", reason(&problem)),
    };
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let mut stray = 0;
    let asking = async {
        let socket = UdpSocket::bind(any).await?;
        // Only what comes from the server is read, and the system says when there is none.
        socket.connect(server).await?;
        let mut wait = ASK_AGAIN;
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            socket.send(bytes).await?;
            let ask_again = tokio::time::Instant::now() + wait;
            while let Ok(received) = tokio::time::timeout_at(ask_again, socket.recv(&mut buffer)).await {
                match read(&buffer[..received?], query) {
                    Ok(message) => return Ok(Some(message)),
                    Err(_) if stray >= MOST_STRAY => return Ok(None),
                    Err(_) => stray += 1,
                }
            }
            wait *= 2;
        }
    };
    let asked = limit.hold(asking).await;
    let of_stray = match stray {
        0 => String::new(),
        1 => ", but for a message that does not answer the question".to_owned(),
        _ => format!(", but for {stray} messages that do not answer the question"),
    };
    match asked {
        Ok(Ok(Some(message))) => Ok(message),
        Ok(Ok(None)) => Err(format!("{server} has not answered{of_stray}")),
        Ok(Err(problem)) => Err(failed(problem)),
        Err(TimeIsUp) => {
            Err(format!("{server} has not answered within {}{of_stray}", seconds(limit.elapsed())))
        }
    }
}

async fn over_tcp(
    query: &Message,
    bytes: &[u8],
    server: SocketAddr,
    policy: &NetworkPolicy,
    limit: &Limit,
) -> Result<Message, String> {
    let target = Target::new(&server.ip().to_string(), server.port());
    let connection = target.connect(policy, None, limit).await.map_err(|problem| problem.to_string())?;
    let mut stream = connection.stream;
    let asking = async {
        // The length first, and all in one piece: some servers want it so.
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let late = |_| format!("{server} has not answered over TCP within {}", seconds(limit.elapsed()));
    let answer = limit.hold(asking).await.map_err(late)?;
    let answer =
        answer.map_err(|problem| format!("{server} has not answered over TCP: {}", reason(&problem)))?;
    read(&answer, query).map_err(|problem| format!("the answer of {server} over TCP {problem}"))
}

/// Reads the answer to a question. An error says what is wrong with it.
fn read(bytes: &[u8], query: &Message) -> Result<Message, String> {
    let message = Message::from_vec(bytes).map_err(|problem| format!("is no DNS message: {problem}"))?;
    let (head, asked) = (&message.metadata, &query.queries);
    // A server that could not read the question need not repeat it.
    let has_none = message.queries.is_empty() && head.response_code != ResponseCode::NoError;
    let is_answer = head.message_type == MessageType::Response && head.op_code == OpCode::Query;
    if !is_answer || head.id != query.metadata.id || (message.queries != *asked && !has_none) {
        return Err("answers another question".to_owned());
    }
    Ok(message)
}
