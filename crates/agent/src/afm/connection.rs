//! Speaks to the AFMs, one at a time: the next one when one is away.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Response, StatusCode, Url};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use slamon_client::connection::{BaseUrl, date};
use slamon_client::{ConnectError, ConnectOptions};
use tokio::sync::Notify;

use super::problem::{Problem, is_final, is_unfit};
use super::wire::{Poll, PollAnswer};

/// How long an answer may take, beside what a poll asks to wait.
const TIMEOUT: Duration = Duration::from_secs(30);
/// What is large may take longer: a second for so many bytes.
const SLOWEST: usize = 16 << 10;
/// So much is read of an answer that says what is wrong.
const LARGEST_ERROR: usize = 64 << 10;
/// After so long an AFM that speaks plain protocol 1 is asked again for more.
const PLAIN_FOR: Duration = Duration::from_secs(3_600);
/// What is no larger is refused for its size by no proxy that lets any request pass.
pub(crate) const SMALL: usize = 8 << 10;
/// No answer is larger: an AFM hands out 8 MiB at a time, and a task of any size by itself.
const LARGEST: usize = 256 << 20;

/// The AFMs of one fleet.
#[derive(Debug)]
pub(crate) struct Afm {
    client: Client,
    endpoints: Vec<Endpoint>,
    current: AtomicUsize,
    /// Whether no request has been answered lately, whatever the answer.
    is_away: AtomicBool,
    /// Told when a request is answered again.
    back: Notify,
}

#[derive(Debug)]
struct Endpoint {
    poll: Url,
    response: Url,
    /// The URL without user and password, for log lines.
    shown: String,
    /// When it refused what newer AFMs add to protocol 1, and took the same poll without.
    plain_since: Mutex<Option<Instant>>,
}

impl Endpoint {
    /// Whether it is spoken to in plain protocol 1: it may become a newer AFM while the agent runs.
    fn is_plain(&self) -> bool {
        let since = *self.plain_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() < PLAIN_FOR)
    }

    /// Whether it is the AFM who refuses a result, and not something in its place, such as a server that wants TLS. One
    /// that speaks plain protocol 1 says no more than a status.
    fn refuses(&self, problem: &Problem) -> bool {
        let is_plain = || self.plain_since.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        problem.is_final && (problem.is_of_afm || is_plain())
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

/// What became of a result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    Stored,
    /// Nobody wants it; the sentence says why.
    Refused(String),
    /// The AFM waits for the result of the task, and does not take this one: it is too large, or nested too deeply. Of a
    /// result that is [`SMALL`] the AFM itself has said so.
    Unfit(String),
}

impl Afm {
    pub(crate) fn new(urls: &[String], options: &ConnectOptions) -> Result<Self, ConnectError> {
        let user_agent = Some(concat!("slamon-agent/", env!("CARGO_PKG_VERSION")).to_owned());
        let bases = urls.iter().map(|url| BaseUrl::parse(url)).collect::<Result<Vec<_>, _>>()?;
        if bases.is_empty() {
            return Err(ConnectError::None);
        }
        let client = ConnectOptions { user_agent, ..options.clone() }.http_client(&bases)?;
        let endpoint = |base: &BaseUrl| {
            let (poll, response) = (base.at(&["tasks"]), base.at(&["tasks", "response"]));
            // What goes wrong on the way may be the proxy's.
            Endpoint { poll, response, shown: options.shown(base), plain_since: Mutex::default() }
        };
        let endpoints = bases.iter().map(endpoint).collect();
        let (current, is_away, back) = (AtomicUsize::new(0), AtomicBool::new(false), Notify::new());
        Ok(Self { client, endpoints, current, is_away, back })
    }

    /// Polls. An AFM that refuses what newer ones add to protocol 1 is asked again without it.
    pub(crate) async fn poll(&self, mut poll: Poll<'_>) -> Result<Answered, Problem> {
        let endpoint = self.current();
        if endpoint.is_plain() {
            poll.extensions = None;
        }
        let waits = poll.extensions.as_ref().map_or(0, |extensions| extensions.max_wait);
        let timeout = TIMEOUT + Duration::from_secs(waits);
        let (mut answer, mut is_extended) = (self.send(endpoint, &endpoint.poll, &poll, timeout).await, true);
        if poll.extensions.is_none() {
            is_extended = false;
        } else if answer.as_ref().is_err_and(|problem| problem.is_final) {
            poll.extensions = None;
            answer = self.send(endpoint, &endpoint.poll, &poll, TIMEOUT).await;
            is_extended = false;
            if answer.is_ok() {
                endpoint.found_plain();
            }
        }
        let (headers, body) = answer.map_err(|problem| self.went_wrong(endpoint, problem))?;
        let answer = serde_json::from_slice(&body).map_err(|error| {
            let sentence = format!("could not read the answer to a poll: {error}");
            self.went_wrong(endpoint, Problem::passing(&endpoint.shown, sentence))
        })?;
        Ok(Answered { answer, date: date(&headers), is_extended })
    }

    /// Whether the AFM is one that knows no more than plain protocol 1.
    pub(crate) fn is_plain(&self) -> bool {
        self.current().is_plain()
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
        let endpoint = self.current();
        match self.send(endpoint, &endpoint.response, body, TIMEOUT).await {
            // An AFM says nothing more, or something in JSON; a page is of somebody else, who has not taken the result.
            Ok((_, said))
                if !said.trim_ascii().is_empty() && serde_json::from_slice::<IgnoredAny>(&said).is_err() =>
            {
                let sentence =
                    "what answers a result is no AFM: status 200, and a body that is no JSON".to_owned();
                Err(self.went_wrong(endpoint, Problem::passing(&endpoint.shown, sentence)))
            }
            Ok(_) => Ok(Delivered::Stored),
            Err(problem) if problem.is_unfit && (problem.is_of_afm || body.get().len() > SMALL) => {
                Ok(Delivered::Unfit(problem.sentence))
            }
            Err(problem) if endpoint.refuses(&problem) && !problem.is_unfit => {
                Ok(Delivered::Refused(problem.sentence))
            }
            Err(problem) => Err(self.went_wrong(endpoint, problem)),
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
        let endpoint = self.current();
        if endpoint.is_plain() {
            return Ok(None);
        }
        let sent = self.send(endpoint, &endpoint.response, &Many { results: bodies }, TIMEOUT).await;
        let (_, body) = match sent {
            Ok(answer) => answer,
            // Something between here and the AFM may know only one at a time.
            Err(problem) if problem.is_final => return Ok(None),
            Err(problem) => return Err(self.went_wrong(endpoint, problem)),
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
                _ => Err(Problem::passing(&endpoint.shown, sentence)),
            }
        };
        Ok(Some(answers.results.into_iter().map(delivered).collect()))
    }

    fn current(&self) -> &Endpoint {
        &self.endpoints[self.current.load(Ordering::Relaxed) % self.endpoints.len()]
    }

    /// Turns to the next AFM, unless another request has done so. What the one before asks to wait does not count there.
    fn went_wrong(&self, endpoint: &Endpoint, problem: Problem) -> Problem {
        if self.endpoints.len() < 2 || problem.is_final && problem.is_of_afm {
            return problem;
        }
        let at = self.current.load(Ordering::Relaxed);
        let next = (at + 1) % self.endpoints.len();
        if std::ptr::eq(endpoint, &raw const self.endpoints[at % self.endpoints.len()])
            && self.current.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            let (problem, afm) = (problem.to_string(), &self.endpoints[next].shown);
            tracing::warn!(problem, afm, "turning to the next AFM");
        }
        Problem { retry_after: None, ..problem }
    }

    async fn send(
        &self,
        endpoint: &Endpoint,
        url: &Url,
        body: &(impl Serialize + ?Sized),
        timeout: Duration,
    ) -> Result<(HeaderMap, Vec<u8>), Problem> {
        let body = serde_json::to_vec(body).map_err(|error| {
            Problem::passing(&endpoint.shown, format!("could not write a request: {error}"))
        })?;
        let timeout = timeout + time_for(body.len());
        let request = self.client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        let began = Instant::now();
        let sent = match tokio::time::timeout(timeout, request.send()).await {
            Ok(sent) => sent.map_err(|error| Problem::away(&endpoint.shown, error)),
            Err(_) => Err(Problem::silent(&endpoint.shown, began.elapsed())),
        };
        if self.is_away.swap(sent.is_err(), Ordering::Relaxed) && sent.is_ok() {
            self.back.notify_waiters();
        }
        let mut response = sent?;
        let (status, headers) = (response.status(), response.headers().clone());
        let is_ok = status == StatusCode::OK;
        let said = read(&endpoint.shown, &mut response, if is_ok { LARGEST } else { LARGEST_ERROR }).await;
        if !is_ok {
            // The status says enough if the rest cannot be read.
            return Err(Problem::of_answer(&endpoint.shown, status, &headers, &said.unwrap_or_default().0));
        }
        match said? {
            (said, true) => Ok((headers, said)),
            (_, false) => {
                Err(Problem::passing(&endpoint.shown, format!("the answer has more than {LARGEST} bytes")))
            }
        }
    }
}

/// How much longer something may take that has so many bytes.
fn time_for(bytes: usize) -> Duration {
    Duration::from_secs((bytes / SLOWEST) as u64)
}

/// Reads the body of an answer, at most `most` bytes of it, and says whether that is all.
async fn read(afm: &str, response: &mut Response, most: usize) -> Result<(Vec<u8>, bool), Problem> {
    let mut said = Vec::new();
    if response.content_length().is_some_and(|length| length > most as u64) {
        return Ok((said, false));
    }
    let began = Instant::now();
    loop {
        let left = (TIMEOUT + time_for(said.len())).saturating_sub(began.elapsed());
        let part = match tokio::time::timeout(left, response.chunk()).await {
            Ok(part) => part.map_err(|error| Problem::away(afm, error))?,
            Err(_) => return Err(Problem::silent(afm, began.elapsed())),
        };
        match part {
            Some(part) if said.len() + part.len() > most => return Ok((said, false)),
            Some(part) => said.extend_from_slice(&part),
            None => return Ok((said, true)),
        }
    }
}
