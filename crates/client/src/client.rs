//! Requests, tried again where that may help.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backoff::Backoff;
use crate::connection::{BaseUrl, ConnectError, ConnectOptions, retry_after};
use crate::error::ClientError;
use crate::reason::PROXY_WANTS_USER;

/// How long an answer may take, beside what a request asks to wait.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The last try has at least this long.
const LEAST_TRY: Duration = Duration::from_millis(500);
/// An answer has at most so many bytes, if nothing else is said.
const LARGEST: usize = 256 << 20;
/// So much of an error is read; it is a sentence.
const LARGEST_ERROR: usize = 1 << 20;
/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// A client of an AFM. Clones share their connections.
///
/// Every request is one that may be repeated: a task is posted under an id that the client chooses, and posting it again
/// changes nothing. So a request that is not answered, or answered with a status of 500 or above or 429, is tried again
/// for as long as [`Client::retry_for`] says, and not sooner than `Retry-After` asks.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: BaseUrl,
    /// The URL, and by way of which proxy, without users and passwords.
    shown: String,
    answer_within: Duration,
    retry_for: Duration,
    largest: usize,
}

/// Whether a request was sent before: the AFM may have done already what it is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WasRepeated(pub(crate) bool);

impl Client {
    /// A client of the AFM at `url`, which may have a user and a password in it.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn new(url: &str) -> Result<Self, ConnectError> {
        Self::with_options(url, &ConnectOptions::default())
    }

    /// A client that reaches the AFM as `options` say.
    ///
    /// # Errors
    /// Names the option that cannot be used.
    pub fn with_options(url: &str, options: &ConnectOptions) -> Result<Self, ConnectError> {
        let base = BaseUrl::parse(url)?;
        let (http, shown) = (options.http_client([&base])?, options.shown(&base));
        Ok(Self {
            http,
            base,
            shown,
            answer_within: TIMEOUT,
            retry_for: Duration::from_secs(60),
            largest: LARGEST,
        })
    }

    /// Gives an answer so long to come, beside what a request asks to wait; 30 s if nothing else is said.
    #[must_use]
    pub fn answer_within(mut self, time: Duration) -> Self {
        self.answer_within = time;
        self
    }

    /// Tries each request again for so long; a minute if nothing else is said, and not at all with zero.
    #[must_use]
    pub fn retry_for(mut self, time: Duration) -> Self {
        self.retry_for = time;
        self
    }

    /// Takes answers of at most so many bytes; 256 MiB if nothing else is said. A larger one is
    /// [`ClientError::TooLarge`].
    #[must_use]
    pub fn largest_answer(mut self, bytes: usize) -> Self {
        self.largest = bytes;
        self
    }

    /// Where the AFM is, without user and password.
    #[must_use]
    pub fn url(&self) -> String {
        self.base.to_string()
    }

    /// Asks for what no other method reads, or for all of it: `path` has the parts of the path, not escaped, and `T` may be
    /// a [`RawValue`](serde_json::value::RawValue) in a box, which is the answer as it was written.
    ///
    /// # Errors
    /// As the AFM answers.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, ClientError> {
        read(&self.send(Method::GET, self.at(path, query)?, None, Duration::ZERO).await?)
    }

    /// Sends what no other method sends, as [`Client::get`] reads. The request has to be one that may be repeated.
    ///
    /// # Errors
    /// As the AFM answers.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body)?;
        read(&self.send(Method::POST, self.at(path, &[])?, Some(body), Duration::ZERO).await?)
    }

    /// Sends something whose answer is empty. Beside an error is whether the request was sent before.
    pub(crate) async fn post_for_nothing(
        &self,
        path: &[&str],
        body: Vec<u8>,
    ) -> Result<(), (ClientError, WasRepeated)> {
        let url = self.at(path, &[]).map_err(|problem| (problem, WasRepeated(false)))?;
        let (answer, was_repeated) = self.repeat(Method::POST, url, Some(body), Duration::ZERO).await;
        match answer.map_err(|problem| (problem, was_repeated))?.trim_ascii() {
            [] => Ok(()),
            // Such as the login page of a proxy.
            _ => Err((ClientError::Unreadable("an empty one is expected".to_owned()), was_repeated)),
        }
    }

    /// Asks for something whose answer is `ok`.
    pub(crate) async fn get_ok(&self, path: &[&str]) -> Result<(), ClientError> {
        let answer = self.send(Method::GET, self.at(path, &[])?, None, Duration::ZERO).await?;
        match answer.trim_ascii() {
            b"ok" => Ok(()),
            // Such as the login page of a proxy.
            _ => Err(ClientError::Unreadable("ok is expected".to_owned())),
        }
    }

    /// Asks for something to be done that needs no further words.
    pub(crate) async fn post_nothing<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ClientError> {
        read(&self.send(Method::POST, self.at(path, &[])?, None, Duration::ZERO).await?)
    }

    pub(crate) async fn delete_at<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ClientError> {
        read(&self.send(Method::DELETE, self.at(path, &[])?, None, Duration::ZERO).await?)
    }

    /// Asks for something that the AFM may wait for.
    pub(crate) async fn get_waiting<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        waits: Duration,
    ) -> Result<T, ClientError> {
        read(&self.send(Method::GET, self.at(path, query)?, None, waits).await?)
    }

    /// Begins to read an answer that does not end.
    pub(crate) async fn open(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        headers: &[(&'static str, &str)],
    ) -> Result<reqwest::Response, ClientError> {
        let mut request = self.http.get(self.at(path, query)?);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = async {
            let response = request.send().await.map_err(|error| self.no_answer(error))?;
            match response.status().is_success() {
                true => Ok(response),
                false => Err(self.refusal(response).await),
            }
        };
        let late = |_| ClientError::Unreachable(format!("{}: no answer has come in time", self.shown));
        tokio::time::timeout(self.answer_within, answer).await.map_err(late)?
    }

    /// The waits between tries.
    pub(crate) fn backoff() -> Backoff {
        Backoff::new(LONGEST_WAIT)
    }

    /// Whether there may be another try after a wait.
    pub(crate) fn has_time_for(&self, began: Instant, wait: Duration) -> bool {
        began.elapsed().saturating_add(wait) <= self.retry_for
    }

    pub(crate) fn no_answer(&self, error: reqwest::Error) -> ClientError {
        ClientError::no_answer(&self.shown, error)
    }

    fn at(&self, path: &[&str], query: &[(&str, String)]) -> Result<Url, ClientError> {
        // Within a path they are no names but steps, also when they are escaped, and would lead to something else.
        if let Some(step) = path.iter().find(|part| matches!(**part, "." | "..")) {
            return Err(ClientError::Unaddressable((*step).to_owned()));
        }
        let mut url = self.base.at(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        body: Option<Vec<u8>>,
        waits: Duration,
    ) -> Result<Vec<u8>, ClientError> {
        self.repeat(method, url, body, waits).await.0
    }

    /// Sends a request until it is answered, or its time is over.
    async fn repeat(
        &self,
        method: Method,
        url: Url,
        body: Option<Vec<u8>>,
        waits: Duration,
    ) -> (Result<Vec<u8>, ClientError>, WasRepeated) {
        let began = Instant::now();
        let mut backoff = Self::backoff();
        let mut within = self.answer_within;
        let mut was_repeated = WasRepeated(false);
        loop {
            let tried = self.try_once(&method, &url, body.as_deref(), within.saturating_add(waits)).await;
            let Err(problem) = tried else { return (tried, was_repeated) };
            // What the AFM asks for is obeyed, or the request is given up.
            let wait = backoff.wait(None).max(problem.retry_after().unwrap_or_default());
            if !problem.is_passing() || !self.has_time_for(began, wait) {
                return (Err(problem), was_repeated);
            }
            tracing::debug!(%problem, wait_s = wait.as_secs_f64(), "trying a request again");
            tokio::time::sleep(wait).await;
            was_repeated = WasRepeated(true);
            // Another try begins only where time is left for it.
            within = within.min(self.retry_for.saturating_sub(began.elapsed()).max(LEAST_TRY));
        }
    }

    async fn try_once(
        &self,
        method: &Method,
        url: &Url,
        body: Option<&[u8]>,
        within: Duration,
    ) -> Result<Vec<u8>, ClientError> {
        let mut request = self.http.request(method.clone(), url.clone()).timeout(within);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_vec());
        }
        let response = request.send().await.map_err(|error| self.no_answer(error))?;
        match response.status().is_success() {
            true => self.body(response, self.largest).await,
            false => Err(self.refusal(response).await),
        }
    }

    /// What an answer says that is no success.
    async fn refusal(&self, response: reqwest::Response) -> ClientError {
        let (status, retry_after) = (response.status(), retry_after(response.headers()));
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            let detail = format!("{}: {PROXY_WANTS_USER}", self.shown);
            return ClientError::Refused { status: status.as_u16(), detail, field: None };
        }
        match self.body(response, LARGEST_ERROR).await {
            Ok(body) => ClientError::of_answer(status, retry_after, &body),
            // A page without end; the status says enough.
            Err(ClientError::TooLarge(_)) => ClientError::of_answer(status, retry_after, b""),
            Err(problem) => problem,
        }
    }

    async fn body(&self, mut response: reqwest::Response, most: usize) -> Result<Vec<u8>, ClientError> {
        if response.content_length().is_some_and(|length| length > most as u64) {
            return Err(ClientError::TooLarge(most));
        }
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| self.no_answer(error))? {
            if body.len() + part.len() > most {
                return Err(ClientError::TooLarge(most));
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(body).map_err(|error| ClientError::Unreadable(error.to_string()))
}

/// The query of a page of a list.
pub(crate) fn page(
    mut query: Vec<(&'static str, String)>,
    limit: u32,
    cursor: Option<&str>,
) -> Vec<(&'static str, String)> {
    query.push(("limit", limit.to_string()));
    query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
    query
}
