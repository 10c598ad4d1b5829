//! IMAP (RFC 3501 and RFC 9051).

use super::talk::Talk;
use crate::failure::Failure;

pub(super) async fn greeting(talk: &mut Talk<'_>) -> Result<String, Failure> {
    let line = talk.line("greeted").await?;
    let Some((status, text)) = line.strip_prefix("* ").map(first_word) else {
        return Err(talk.strange("IMAP", &line));
    };
    match status.to_ascii_uppercase().as_str() {
        "OK" | "PREAUTH" => Ok(text.to_owned()),
        "BYE" => Err(talk.refused("does not want to be spoken to:", text)),
        _ => Err(talk.strange("IMAP", &line)),
    }
}

pub(super) async fn capabilities(talk: &mut Talk<'_>) -> Result<Vec<String>, Failure> {
    let mut capabilities = Vec::new();
    command(talk, "CAPABILITY", |line| {
        let (name, words) = first_word(line);
        if name.eq_ignore_ascii_case("CAPABILITY") {
            capabilities.extend(words.split_whitespace().map(str::to_owned));
        }
    })
    .await?;
    Ok(capabilities)
}

pub(super) async fn start_tls(talk: &mut Talk<'_>) -> Result<(), Failure> {
    command(talk, "STARTTLS", |_| {}).await
}

/// Sends a command, and reads lines until it is answered. `told` is given what else the server says.
async fn command(
    talk: &mut Talk<'_>,
    command: &str,
    mut told: impl FnMut(&str) + Send,
) -> Result<(), Failure> {
    talk.send(&format!("a {command}")).await?;
    let done = format!("answered {command}");
    loop {
        let line = talk.line(&done).await?;
        if let Some(line) = line.strip_prefix("* ") {
            told(line);
            continue;
        }
        let Some(answer) = line.strip_prefix("a ") else { return Err(talk.strange("IMAP", &line)) };
        if first_word(answer).0.eq_ignore_ascii_case("OK") {
            return Ok(());
        }
        return Err(talk.refused(&format!("does not answer {command} with OK but with"), answer));
    }
}

fn first_word(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}
