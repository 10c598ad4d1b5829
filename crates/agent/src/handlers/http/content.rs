//! What the body of an answer says: as a text, and as JSON.

use std::borrow::Cow;
use std::cell::OnceCell;

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::request::Answer;
use crate::failure::Failure;
use crate::network::limit::{Limit, seconds};

/// A body that is longer is neither read as JSON, which takes up to 20 times its memory, nor compared with a regular
/// expression.
pub(in crate::handlers) const LARGEST_PARSED: u64 = 4 << 20;
/// So many bodies are compared with regular expressions at the same time. A regular expression cannot be stopped: it keeps
/// its thread and a processor, for some seconds at most, when the time of its task is over.
static REGEXES: Semaphore = Semaphore::const_new(2);

/// The body of an answer, decoded and parsed once.
pub(in crate::handlers) struct Content<'a> {
    pub(in crate::handlers) answer: &'a Answer,
    text: OnceCell<Cow<'a, str>>,
    json: OnceCell<Result<Value, String>>,
    /// Cancelled when nobody waits any more for what is found.
    given_up: CancellationToken,
}

impl<'a> Content<'a> {
    fn of(answer: &'a Answer, given_up: CancellationToken) -> Self {
        Self { answer, text: OnceCell::new(), json: OnceCell::new(), given_up }
    }

    /// Whether somebody still waits for what is found: to be asked before each part that may take long.
    pub(in crate::handlers) fn go_on(&self) -> Result<(), String> {
        match self.given_up.is_cancelled() {
            true => Err("nobody waits for it any more".to_owned()),
            false => Ok(()),
        }
    }

    /// The body as a text, in the charset that `Content-Type` says, else UTF-8.
    pub(in crate::handlers) fn text(&self) -> &str {
        self.text.get_or_init(|| {
            let content_type = self.answer.header("content-type").unwrap_or_default().to_ascii_lowercase();
            let charset = content_type.split(';').find_map(|part| part.trim().strip_prefix("charset="));
            let charset = charset.map(|charset| charset.trim_matches('"').as_bytes());
            let encoding = charset.and_then(encoding_rs::Encoding::for_label).unwrap_or(encoding_rs::UTF_8);
            encoding.decode(&self.answer.body.bytes).0
        })
    }

    /// The body as JSON.
    pub(in crate::handlers) fn json(&self) -> Result<&Value, String> {
        let read = || {
            if self.answer.body.is_cut {
                let read = self.answer.body.bytes.len();
                return Err(format!(
                    "expected JSON in the body, and it is longer than the {read} bytes that were read"
                ));
            }
            serde_json::from_str(self.text())
                .map_err(|error| format!("expected JSON in the body, and it is none: {error}"))
        };
        self.json.get_or_init(read).as_ref().map_err(Clone::clone)
    }
}

/// Examines the body of an answer on a thread of its own, and returns the answer with what was found. A problem, or the
/// end of the time, is told with the URL. Those with a regular expression wait for each other.
pub(in crate::handlers) async fn examine<T, F>(
    answer: Answer,
    limit: &Limit,
    has_regex: bool,
    find: F,
) -> Result<(Answer, T), Failure>
where
    T: Send + 'static,
    F: FnOnce(&Content<'_>) -> Result<T, String> + Send + 'static,
{
    let url = answer.shown_url();
    let given_up = CancellationToken::new();
    let waiting = given_up.clone().drop_guard();
    let examining = async {
        let permit = if has_regex { Some(REGEXES.acquire().await?) } else { None };
        let examined = tokio::task::spawn_blocking(move || {
            let found = find(&Content::of(&answer, given_up));
            drop(permit);
            (answer, found)
        });
        Ok::<_, Failure>(examined.await?)
    };
    let late = |_| {
        let time = seconds(limit.elapsed());
        Failure::new(format!("{url}: the body was not examined within {time}"))
    };
    let (answer, found) = limit.hold(examining).await.map_err(late)??;
    drop(waiting);
    let found = found.map_err(|problem| Failure::new(format!("{url}: {problem}")))?;
    Ok((answer, found))
}
