//! The frame around every page: its links, its headers, and pages that say what went wrong.

use std::convert::Infallible;
use std::pin::Pin;

use askama::Template;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, LOCATION, REFERRER_POLICY,
    RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use uuid::Uuid;

use super::presentation::Moment;
use crate::http::app::App;
use crate::http::error::ApiError;
use crate::http::request_deadline;

/// The pages of the bar at the top: name, address below that of the overview, title.
pub(super) const PAGES: [(&str, &str, &str); 5] = [
    ("overview", "", "Overview"),
    ("tasks", "tasks", "Tasks"),
    ("agents", "agents", "Agents"),
    ("types", "types", "Types"),
    ("post", "post", "Post a task"),
];

/// The content security policy: a page loads nothing from elsewhere, and runs only its own script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The header in which a reverse proxy names the prefix that it has removed from the path.
const FORWARDED_PREFIX: &str = "x-forwarded-prefix";

/// A prefix has at most this many bytes.
const LONGEST_PREFIX: usize = 256;

/// What every page shows around its content.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// What all links begin with: the address of the overview, with a slash at its end.
    pub(super) root: String,
    /// The address of the AFM, without a slash at its end, as far as it is known here: the script knows it better.
    pub(super) base: String,
    /// When the page was made.
    pub(super) now: Moment,
}

impl FromRequestParts<App> for Frame {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        Ok(Self::of(parts.uri.path(), &parts.headers, app))
    }
}

impl Frame {
    /// Makes the frame of the page that a request with this path and these headers asks for.
    pub(super) fn of(path: &str, headers: &HeaderMap, app: &App) -> Self {
        let prefix = forwarded_prefix(headers);
        let root = prefix.map_or_else(|| relative_root(path), |prefix| format!("{prefix}/dashboard/"));
        let base = format!("{}://{}{}", scheme(headers), host(headers), prefix.unwrap_or_default());
        Self { root, base, now: Moment(app.clock.now()) }
    }

    /// Waits for a page within the time of a request; what went wrong becomes a page, too.
    pub(super) async fn answer(
        &self,
        app: &App,
        page: Pin<&mut (impl Future<Output = Result<Response, ApiError>> + Send)>,
    ) -> Response {
        let answered = request_deadline::within(app.settings.request_timeout, page).await;
        answered.and_then(|answer| answer).unwrap_or_else(|error| self.error(error))
    }

    /// Returns the page that says what went wrong.
    pub(super) fn error(&self, error: ApiError) -> Response {
        let (status, detail) = (error.status(), error.to_string());
        let problem = error.into_response();
        let page = ErrorPage { frame: self, section: "", title: title(status), detail: &detail };
        let mut response = html_with(status, &page);
        // Those headers tell clients when to come again, whether the connection goes on, and who may come.
        for name in [RETRY_AFTER, CONNECTION, WWW_AUTHENTICATE] {
            for value in problem.headers().get_all(&name) {
                response.headers_mut().append(name.clone(), value.clone());
            }
        }
        *response.extensions_mut() = problem.extensions().clone();
        response
    }

    /// Leads the browser to another page of the dashboard, with GET.
    pub(super) fn lead_to(&self, page: &str) -> Response {
        let mut response = StatusCode::SEE_OTHER.into_response();
        let address = HeaderValue::try_from(format!("{}{page}", self.root));
        response.headers_mut().insert(LOCATION, address.unwrap_or(HeaderValue::from_static(".")));
        add_headers(response.headers_mut(), "no-store");
        response
    }

    /// Returns an id that nothing has yet, for a command that somebody copies.
    #[expect(clippy::unused_self, reason = "templates call it")]
    pub(super) fn fresh_id(&self) -> Uuid {
        Uuid::new_v4()
    }

    /// How long ago a time was.
    pub(super) fn since(&self, time: Timestamp) -> std::time::Duration {
        super::presentation::between(time, self.now.0)
    }
}

/// Says in a few words what a status means for whoever looks at a page.
fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "This cannot be done",
        StatusCode::UNAUTHORIZED => "Who are you?",
        StatusCode::FORBIDDEN => "This is refused",
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::METHOD_NOT_ALLOWED => "This address only takes what a form sends",
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => "Not available now",
        status => status.canonical_reason().unwrap_or("Error"),
    }
}

#[derive(Template)]
#[template(path = "dashboard/error.html")]
struct ErrorPage<'p> {
    frame: &'p Frame,
    section: &'static str,
    title: &'p str,
    detail: &'p str,
}

/// Returns a page.
pub(super) fn html(page: &impl Template) -> Response {
    html_with(StatusCode::OK, page)
}

/// Returns a page with another status than 200.
pub(super) fn html_with(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => own(status, "text/html; charset=utf-8", "no-store", text),
        Err(error) => {
            tracing::error!(%error, "could not write a page");
            ApiError::Failed.into_response()
        }
    }
}

/// Returns one of the files that all pages share.
pub(super) fn asset(media_type: &'static str, text: &'static str) -> Response {
    own(StatusCode::OK, media_type, "no-cache", text)
}

fn own(status: StatusCode, media_type: &'static str, kept: &'static str, text: impl Into<Body>) -> Response {
    let mut response = (status, text.into()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    add_headers(response.headers_mut(), kept);
    response
}

fn add_headers(headers: &mut HeaderMap, kept: &'static str) {
    let all: [(HeaderName, &str); 5] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, kept),
    ];
    for (name, value) in all {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
}

/// Returns the way from the page at `path` to the overview. Being relative, it also holds behind a proxy that
/// removes a prefix without saying so, or that has another name for `/dashboard/`.
fn relative_root(path: &str) -> String {
    let below = path.split_once("/dashboard").map_or("", |(_, below)| below);
    match below.matches('/').count() {
        // A browser takes the last part of an address without a slash at its end for a file.
        0 => "dashboard/".to_owned(),
        1 => "./".to_owned(),
        depth => "../".repeat(depth - 1),
    }
}

/// Returns the host and the port under which the client has found the AFM, or the reverse proxy before it.
fn host(headers: &HeaderMap) -> &str {
    let hosts = [headers.get("x-forwarded-host"), headers.get(HOST)].into_iter().flatten();
    let mut hosts = hosts.filter_map(|host| host.to_str().ok()).map(first);
    // It becomes a part of a command.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '[' | ']');
    let is_host =
        |host: &&str| !host.is_empty() && host.len() <= LONGEST_PREFIX && host.chars().all(is_plain);
    hosts.find(is_host).unwrap_or("localhost")
}

/// Returns how the client has come, as far as a reverse proxy says so.
fn scheme(headers: &HeaderMap) -> &'static str {
    let scheme = headers.get("x-forwarded-proto").and_then(|scheme| scheme.to_str().ok()).map(first);
    if scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) { "https" } else { "http" }
}

/// Returns what the first of several proxies has written, which is the one that the client has found.
fn first(value: &str) -> &str {
    value.split(',').next().unwrap_or_default().trim()
}

/// Returns the prefix that a reverse proxy names; `None` if it names none, or what is no plain path.
fn forwarded_prefix(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(FORWARDED_PREFIX).iter();
    let prefix = values.next()?.to_str().ok()?.trim().trim_end_matches('/');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    let is_part = |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(is_plain);
    // Two slashes at the beginning would name another host.
    let is_path =
        prefix.is_empty() || prefix.strip_prefix('/').is_some_and(|path| path.split('/').all(is_part));
    (values.next().is_none() && prefix.len() <= LONGEST_PREFIX && is_path).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_is_relative() {
        for (path, root) in [
            ("/dashboard", "dashboard/"),
            ("//dashboard", "dashboard/"),
            ("/dashboard/", "./"),
            ("/dashboard/tasks", "./"),
            ("/dashboard/tasks/", "../"),
            ("/dashboard/tasks/dashboard", "../"),
            ("/dashboard/types/a%2Fb/1", "../../"),
        ] {
            assert_eq!(relative_root(path), root, "{path}");
        }
    }

    #[test]
    fn only_a_plain_host_becomes_a_part_of_a_command() {
        for (value, expected) in [
            ("afm.example:8080", "afm.example:8080"),
            ("[::1]:8080", "[::1]:8080"),
            ("a;reboot", "localhost"),
            ("a b", "localhost"),
            ("$(reboot)", "localhost"),
            ("", "localhost"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(value).unwrap());
            assert_eq!(host(&headers), expected, "{value}");
        }
        assert_eq!(host(&HeaderMap::new()), "localhost");
    }

    #[test]
    fn a_proxy_says_how_clients_come() {
        for (given, expected) in [
            (&[("host", "10.0.0.1:8080")][..], ("http", "10.0.0.1:8080")),
            (
                &[("host", "10.0.0.1"), ("x-forwarded-host", "afm.example"), ("x-forwarded-proto", "https")],
                ("https", "afm.example"),
            ),
            (
                &[("x-forwarded-host", "afm.example:8443, inner"), ("x-forwarded-proto", "HTTPS, http")],
                ("https", "afm.example:8443"),
            ),
            (
                &[("host", "afm"), ("x-forwarded-host", "$(reboot)"), ("x-forwarded-proto", "javascript")],
                ("http", "afm"),
            ),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            assert_eq!((scheme(&headers), host(&headers)), expected, "{given:?}");
        }
    }

    #[test]
    fn only_a_plain_path_is_a_prefix() {
        for (value, prefix) in [
            ("/afm", Some("/afm")),
            ("/a/b-c_d.e~f/", Some("/a/b-c_d.e~f")),
            ("", Some("")),
            ("/", Some("")),
            ("//evil.example", None),
            ("/..", None),
            ("/a/../b", None),
            ("/a//b", None),
            ("afm", None),
            ("https://evil.example", None),
            ("/a\"><script>", None),
            ("/a b", None),
            ("/a,/b", None),
            ("/a?b", None),
            ("/a\\b", None),
            ("/%2e%2e", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED_PREFIX, HeaderValue::from_str(value).unwrap());
            assert_eq!(forwarded_prefix(&headers), prefix, "{value}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(forwarded_prefix(&headers), None);
        headers.insert(FORWARDED_PREFIX, HeaderValue::from_str(&format!("/{}", "x".repeat(256))).unwrap());
        assert_eq!(forwarded_prefix(&headers), None);
        headers.insert(FORWARDED_PREFIX, HeaderValue::from_static("/a"));
        headers.append(FORWARDED_PREFIX, HeaderValue::from_static("/b"));
        assert_eq!(forwarded_prefix(&headers), None);
    }
}
