//! What goes wrong between an agent and an AFM.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use slamon_client::Backoff;
use slamon_client::connection::retry_after;
use slamon_client::reason::{PROXY_WANTS_USER, reason};

use crate::pace::LONGEST;

/// Why a request was not answered as it should.
#[derive(Debug, thiserror::Error)]
#[error("{afm}: {sentence}")]
pub(crate) struct Problem {
    /// The AFM, without user and password.
    pub(super) afm: String,
    pub(super) sentence: String,
    /// What the AFM asks to wait.
    pub(super) retry_after: Option<Duration>,
    /// The request was looked at and is refused: another try would be refused, too.
    pub(crate) is_final: bool,
    /// An AFM has said so, and not something in its place.
    pub(super) is_of_afm: bool,
    /// It refuses what a handler has made, and not who sends it or when.
    pub(super) is_unfit: bool,
    /// Nothing has answered.
    pub(super) is_away: bool,
}

impl Problem {
    /// A problem that may be over at the next try.
    pub(super) fn passing(afm: &str, sentence: String) -> Self {
        Self {
            afm: afm.to_owned(),
            sentence,
            retry_after: None,
            is_final: false,
            is_of_afm: false,
            is_unfit: false,
            is_away: false,
        }
    }

    /// There is no answer, or no end of it.
    pub(super) fn away(afm: &str, error: reqwest::Error) -> Self {
        Self { is_away: true, ..Self::passing(afm, reason(error).sentence) }
    }

    /// The answer, or its end, has not come in time.
    pub(super) fn silent(afm: &str, after: Duration) -> Self {
        let sentence = format!("did not answer within {} s", after.as_secs());
        Self { is_away: true, ..Self::passing(afm, sentence) }
    }

    /// An answer with another status than 200, and what it says.
    pub(super) fn of_answer(afm: &str, status: StatusCode, headers: &HeaderMap, said: &[u8]) -> Self {
        let Said { detail, field } = serde_json::from_slice(said).unwrap_or_default();
        let detail = detail.or_else(|| redirect(status, headers));
        // Of what stands before an AFM, a page for people; what it wants shows by the status alone.
        let detail = detail.or_else(|| match status {
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => Some(PROXY_WANTS_USER.to_owned()),
            status => status.canonical_reason().map(str::to_owned),
        });
        let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
        let status = status.as_u16();
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Self {
            retry_after: retry_after(headers),
            is_final: is_final(status),
            is_of_afm: content_type.is_some_and(|value| value.starts_with("application/problem+json")),
            is_unfit: is_unfit(status, field.as_deref()),
            ..Self::passing(afm, format!("status {status}{detail}"))
        }
    }

    /// How long to wait before the next try. What the AFM asks for is the least, and an hour at most.
    pub(crate) fn wait(&self, backoff: &mut Backoff) -> Duration {
        backoff.wait(None).max(self.retry_after.unwrap_or_default().min(LONGEST))
    }
}

/// What an error says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    detail: Option<String>,
    field: Option<String>,
}

/// Where a redirect leads. It is not followed: a POST might become a GET, and a password go elsewhere.
fn redirect(status: StatusCode, headers: &HeaderMap) -> Option<String> {
    let target = headers.get(LOCATION).filter(|_| status.is_redirection())?.to_str().ok()?;
    // No more than where that is: the rest may be a secret.
    let place = match Url::parse(target) {
        Ok(url) => url.origin().ascii_serialization(),
        Err(_) => "another path".to_owned(),
    };
    Some(format!("it redirects to {place}, which is not followed"))
}

/// Whether a status says that the request is wrong, and not who sends it, where, or when.
pub(super) fn is_final(status: u16) -> bool {
    matches!(status, 400 | 409 | 410 | 413 | 415 | 422)
}

/// Whether a status, and the field that an error names, say that the result itself cannot be taken.
pub(super) fn is_unfit(status: u16, field: Option<&str>) -> bool {
    status == 413 || status == 400 && field.is_some_and(|field| field.starts_with("task_data"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, headers: &[(&str, &str)]) -> Problem {
        let header = |(name, value): &(&str, &str)| Some((name.parse().ok()?, value.parse().ok()?));
        let headers = headers.iter().filter_map(header).collect();
        Problem::of_answer("http://afm", StatusCode::from_u16(status).unwrap(), &headers, b"")
    }

    #[test]
    fn what_an_afm_asks_for_is_waited_for_up_to_an_hour() {
        let asked = |value: &str| {
            let date = ("date", "Sun, 29 Nov 2026 15:30:00 GMT");
            let problem = problem(503, &[("retry-after", value), date]);
            problem.wait(&mut Backoff::new(Duration::from_secs(5))).as_secs_f64()
        };
        assert_eq!(asked("30"), 30.0);
        assert_eq!(asked("1000000000"), 3600.0);
        assert_eq!(asked("Sun, 29 Nov 2026 15:30:40 GMT"), 40.0);
        for nothing in ["soon", "-1", "0", "Sun, 29 Nov 2020 15:30:40 GMT", "99999999999999999999999"] {
            assert!(asked(nothing) <= 1.0, "{nothing}");
        }
    }

    #[test]
    fn a_status_without_a_detail_is_told_in_words() {
        let wanted = "http://afm: status 407: the proxy wants a user and a password, or others than these";
        assert_eq!(problem(407, &[]).to_string(), wanted);
        assert_eq!(problem(502, &[]).to_string(), "http://afm: status 502: Bad Gateway");
        assert_eq!(problem(599, &[]).to_string(), "http://afm: status 599");
    }

    #[test]
    fn a_redirect_is_told_without_its_secrets() {
        let location = ("location", "https://user:password@portal.example/login?token=abc");
        let said = problem(302, &[location]).to_string();
        assert_eq!(
            said,
            "http://afm: status 302: it redirects to https://portal.example, which is not followed"
        );
    }
}
