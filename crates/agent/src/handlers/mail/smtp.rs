//! SMTP (RFC 5321) and its STARTTLS (RFC 3207).

use std::net::IpAddr;

use super::talk::Talk;
use crate::failure::Failure;

/// An answer: its code, and the texts of its lines.
struct Reply {
    code: u16,
    lines: Vec<String>,
}

impl Reply {
    fn text(&self) -> String {
        format!("{} {}", self.code, self.lines.join(" "))
    }
}

pub(super) async fn greeting(talk: &mut Talk<'_>) -> Result<String, Failure> {
    let reply = reply(talk, "greeted").await?;
    match reply.code {
        220 => Ok(reply.lines.join("\n")),
        _ => Err(talk.refused("does not greet with 220 but with", &reply.text())),
    }
}

/// What the server can do, told as an answer to EHLO.
pub(super) async fn capabilities(talk: &mut Talk<'_>, own_address: IpAddr) -> Result<Vec<String>, Failure> {
    // A client that has no name says its address (RFC 5321, 4.1.3).
    talk.send(&match own_address.to_canonical() {
        IpAddr::V4(address) => format!("EHLO [{address}]"),
        IpAddr::V6(address) => format!("EHLO [IPv6:{address}]"),
    })
    .await?;
    let reply = reply(talk, "answered EHLO").await?;
    match reply.code {
        // The first line is another greeting.
        250 => Ok(reply.lines.into_iter().skip(1).collect()),
        _ => Err(talk.refused("does not answer EHLO with 250 but with", &reply.text())),
    }
}

pub(super) async fn start_tls(talk: &mut Talk<'_>) -> Result<(), Failure> {
    talk.send("STARTTLS").await?;
    let reply = reply(talk, "answered STARTTLS").await?;
    match reply.code {
        220 => Ok(()),
        _ => Err(talk.refused("does not answer STARTTLS with 220 but with", &reply.text())),
    }
}

/// Reads the lines of an answer: `250-one`, `250 the last`.
async fn reply(talk: &mut Talk<'_>, done: &str) -> Result<Reply, Failure> {
    let mut lines = Vec::new();
    let mut first = None;
    loop {
        let line = talk.line(done).await?;
        let Some((code, is_last, text)) = read(&line) else { return Err(talk.strange("SMTP", &line)) };
        if *first.get_or_insert(code) != code {
            return Err(talk.strange("SMTP", &line));
        }
        lines.push(text.to_owned());
        if is_last {
            return Ok(Reply { code, lines });
        }
    }
}

/// Reads a line of an answer: its code, whether it is the last, and its text.
fn read(line: &str) -> Option<(u16, bool, &str)> {
    let (code, rest) = line.split_at_checked(3)?;
    let code = code.bytes().all(|byte| byte.is_ascii_digit()).then(|| code.parse().ok())??;
    match rest.chars().next() {
        None => Some((code, true, "")),
        Some(' ') => Some((code, true, &rest[1..])),
        Some('-') => Some((code, false, &rest[1..])),
        Some(_) => None,
    }
}
