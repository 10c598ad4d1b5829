//! Speaks to the AFMs, one at a time: the next one when one is away.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap};
use reqwest::{Client, StatusCode, Url};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use slamon_client::connection::{BaseUrl, retry_after};
use slamon_client::{ConnectError, ConnectOptions};
use tokio::sync::Notify;

use super::wire::{Poll, PollAnswer};

/// How long an answer may take, beside what a poll asks to wait.
const TIMEOUT: Duration = Duration::from_secs(30);
/// After so long an AFM that speaks plain protocol 1 is asked again for more.
const PLAIN_FOR: Duration = Duration::from_secs(3_600);
/// No answer is larger: an AFM hands out 8 MiB at a time, and a task of any size by itself.
const LARGEST: usize = 256 << 20;

/// The AFMs of one fleet.
#[derive(Debug)]
pub(crate) struct Afm {
    client: Client,
    endpoints: Vec<Known>,
    current: AtomicUsize,
    /// Whether no request has been answered lately, whatever the answer.
    is_away: AtomicBool,
    /// Told when a request is answered again.
    back: Notify,
}

#[derive(Debug)]
struct Known {
    poll: Url,
    response: Url,
    /// The URL without user and password, for log lines.
    shown: String,
    /// When it refused what newer AFMs add to protocol 1.
    plain_since: Mutex<Option<Instant>>,
}

impl Known {
    /// Whether it is spoken to in plain protocol 1: it may become a newer AFM while the agent runs.
    fn is_plain(&self) -> bool {
        let since = *self.plain_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() < PLAIN_FOR)
    }

    fn found_plain(&self) {
        let mut since = self.plain_since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.replace(Instant::now()).is_none() {
            tracing::info!(afm = self.shown, "the AFM speaks plain protocol 1");
        }
    }
}

/// An answer to a poll, and what time it was by the AFM's clock.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) answer: PollAnswer,
    pub(crate) date: Option<Timestamp>,
    /// Whether the AFM knew how long the poll would wait.
    pub(crate) is_extended: bool,
}

/// Why a request was not answered as it should.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub(crate) struct Problem {
    pub(crate) sentence: String,
    /// What the AFM asks to wait.
    pub(crate) retry_after: Option<Duration>,
    /// The AFM has looked at the request and refuses it: another try would be refused, too.
    pub(crate) is_final: bool,
    /// It refuses what a handler has made, and not who sends it or when.
    is_unfit: bool,
    /// Nothing has answered.
    is_away: bool,
}

/// What became of a result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    Stored,
    /// Nobody wants it; the sentence says why.
    Refused(String),
    /// The AFM waits for the result of the task, and does not take this one: it is too large, or nested too deeply.
    Unfit(String),
}

impl Afm {
    pub(crate) fn new(urls: &[String], options: &ConnectOptions) -> Result<Self, ConnectError> {
        let user_agent = Some(concat!("slamon-agent/", env!("CARGO_PKG_VERSION")).to_owned());
        let client = ConnectOptions { user_agent, ..options.clone() }.http_client()?;
        let known = |url: &String| {
            let base = BaseUrl::parse(url)?;
            let (poll, response) = (base.at(&["tasks"]), base.at(&["tasks", "response"]));
            Ok(Known { poll, response, shown: base.to_string(), plain_since: Mutex::default() })
        };
        let endpoints: Vec<Known> = urls.iter().map(known).collect::<Result<_, ConnectError>>()?;
        if endpoints.is_empty() {
            return Err(ConnectError::None);
        }
        let (current, is_away, back) = (AtomicUsize::new(0), AtomicBool::new(false), Notify::new());
        Ok(Self { client, endpoints, current, is_away, back })
    }

    /// Polls. An AFM that refuses what newer ones add to protocol 1 is asked again without it.
    pub(crate) async fn poll(&self, mut poll: Poll<'_>) -> Result<Answered, Problem> {
        let known = self.current();
        if known.is_plain() {
            poll.extensions = None;
        }
        let waits = poll.extensions.as_ref().map_or(0, |extensions| extensions.max_wait);
        let timeout = TIMEOUT + Duration::from_secs(waits);
        let (mut answer, mut is_extended) = (self.send(&known.poll, &poll, timeout).await, true);
        if poll.extensions.is_none() {
            is_extended = false;
        } else if answer.as_ref().is_err_and(|problem| problem.is_final) {
            poll.extensions = None;
            answer = self.send(&known.poll, &poll, TIMEOUT).await;
            is_extended = false;
            if answer.is_ok() {
                known.found_plain();
            }
        }
        let (headers, body) = answer.inspect_err(|problem| self.went_wrong(known, problem))?;
        let answer = serde_json::from_slice(&body).map_err(|error| {
            Problem::passing(format!("{}: could not read the answer to a poll: {error}", known.shown))
        });
        let answer = answer.inspect_err(|problem| self.went_wrong(known, problem))?;
        Ok(Answered { answer, date: date(&headers), is_extended })
    }

    /// Waits before another try; not longer than until another request is answered, if `problem` was that none is.
    pub(crate) async fn wait(&self, problem: &Problem, wait: Duration) {
        if !problem.is_away {
            return tokio::time::sleep(wait).await;
        }
        let _ = tokio::time::timeout(wait, self.back.notified()).await;
    }

    /// Posts a result.
    pub(crate) async fn deliver(&self, body: &RawValue) -> Result<Delivered, Problem> {
        let known = self.current();
        match self.send(&known.response, body, TIMEOUT).await {
            Ok(_) => Ok(Delivered::Stored),
            Err(problem) if problem.is_unfit => Ok(Delivered::Unfit(problem.sentence)),
            Err(problem) if problem.is_final => Ok(Delivered::Refused(problem.sentence)),
            Err(problem) => {
                self.went_wrong(known, &problem);
                Err(problem)
            }
        }
    }

    /// Posts several results in one request; `None` where the AFM knows only one at a time.
    pub(crate) async fn deliver_many(
        &self,
        bodies: &[&RawValue],
    ) -> Result<Option<Vec<Result<Delivered, Problem>>>, Problem> {
        #[derive(Serialize)]
        struct Many<'a> {
            results: &'a [&'a RawValue],
        }
        #[derive(Deserialize)]
        struct Answers {
            results: Vec<One>,
        }
        #[derive(Deserialize)]
        struct One {
            status: u16,
            #[serde(default)]
            detail: String,
            #[serde(default)]
            field: Option<String>,
        }
        let known = self.current();
        if known.is_plain() {
            return Ok(None);
        }
        let sent = self.send(&known.response, &Many { results: bodies }, TIMEOUT).await;
        let (_, body) = match sent {
            Ok(answer) => answer,
            // Something between here and the AFM may know only one at a time.
            Err(problem) if problem.is_final => return Ok(None),
            Err(problem) => {
                self.went_wrong(known, &problem);
                return Err(problem);
            }
        };
        let Ok(answers) = serde_json::from_slice::<Answers>(&body) else { return Ok(None) };
        if answers.results.len() != bodies.len() {
            return Ok(None);
        }
        let delivered = |answer: One| {
            let sentence = format!("status {}: {}", answer.status, answer.detail);
            match answer.status {
                200 => Ok(Delivered::Stored),
                status if is_unfit(status, answer.field.as_deref()) => Ok(Delivered::Unfit(sentence)),
                status if is_final(status) => Ok(Delivered::Refused(sentence)),
                _ => Err(Problem::passing(sentence)),
            }
        };
        Ok(Some(answers.results.into_iter().map(delivered).collect()))
    }

    fn current(&self) -> &Known {
        &self.endpoints[self.current.load(Ordering::Relaxed) % self.endpoints.len()]
    }

    /// Turns to the next AFM, unless another request has done so.
    fn went_wrong(&self, known: &Known, problem: &Problem) {
        if self.endpoints.len() < 2 || problem.is_final {
            return;
        }
        let at = self.current.load(Ordering::Relaxed);
        let next = (at + 1) % self.endpoints.len();
        if std::ptr::eq(known, &raw const self.endpoints[at % self.endpoints.len()])
            && self.current.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            let afm = &self.endpoints[next].shown;
            tracing::warn!(problem = problem.sentence, afm, "turning to the next AFM");
        }
    }

    async fn send(
        &self,
        url: &Url,
        body: &(impl Serialize + ?Sized),
        timeout: Duration,
    ) -> Result<(HeaderMap, Vec<u8>), Problem> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Problem::passing(format!("could not write a request: {error}")))?;
        let request = self
            .client
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .timeout(timeout)
            .body(body);
        let sent = request.send().await;
        if self.is_away.swap(sent.is_err(), Ordering::Relaxed) && sent.is_ok() {
            self.back.notify_waiters();
        }
        let mut response = sent.map_err(Problem::of)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut answer = Vec::new();
        while let Some(part) = response.chunk().await.map_err(Problem::of)? {
            if answer.len() + part.len() > LARGEST {
                return Err(Problem::passing(format!("the answer has more than {LARGEST} bytes")));
            }
            answer.extend_from_slice(&part);
        }
        if status == StatusCode::OK {
            return Ok((headers, answer));
        }
        let Said { detail, field } = serde_json::from_slice(&answer).unwrap_or_default();
        let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
        let status = status.as_u16();
        Err(Problem {
            sentence: format!("status {status}{detail}"),
            retry_after: retry_after(&headers),
            is_final: is_final(status),
            is_unfit: is_unfit(status, field.as_deref()),
            is_away: false,
        })
    }
}

impl Problem {
    /// A problem that may be over at the next try.
    fn passing(sentence: String) -> Self {
        Self { sentence, retry_after: None, is_final: false, is_unfit: false, is_away: false }
    }

    fn of(error: reqwest::Error) -> Self {
        // The URL may have a password in it.
        let sentence = crate::Failure::from(error.without_url()).to_string();
        Self { is_away: true, ..Self::passing(sentence) }
    }
}

/// Whether a status says that the request is wrong, and not who sends it, where, or when.
fn is_final(status: u16) -> bool {
    matches!(status, 400 | 409 | 410 | 413 | 415 | 422)
}

/// Whether a status, and the field that an error names, say that the result itself cannot be taken.
fn is_unfit(status: u16, field: Option<&str>) -> bool {
    status == 413 || status == 400 && field.is_some_and(|field| field.starts_with("task_data"))
}

/// What an error says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    detail: Option<String>,
    field: Option<String>,
}

/// The time by the AFM's clock.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let date = headers.get(DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()
}
