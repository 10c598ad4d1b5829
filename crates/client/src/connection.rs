//! How an AFM is reached: connections, TLS, proxies, and who one is.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Proxy, Url};

use crate::tls::tls_configuration;

/// After so long a silence the system asks the other side of a connection whether it is still there,
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
/// and then each time after so long.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// A connection whose other side acknowledges nothing for so long is given up. It is longer than the 30 s of an AFM,
/// which hands out the tasks anew by then that it has sent into the void.
const UNACKNOWLEDGED: Duration = Duration::from_secs(35);

/// How AFMs are reached.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    /// Shown with each request: `Authorization: Bearer …`. A user and password stand in the URL.
    pub token: Option<String>,
    /// The proxy for all URLs; `None`: as the environment says (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`).
    pub proxy: Option<String>,
    /// How TLS is done; `None`: with the authorities that the system trusts.
    pub tls: Option<rustls::ClientConfig>,
    /// Who asks: the `User-Agent`; `None`: this library.
    pub user_agent: Option<String>,
}

/// Why an AFM cannot be reached as it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It is no URL of an AFM. Neither it nor the password in it is repeated.
    #[error("url: {0}")]
    Url(String),
    /// There is none.
    #[error("url: is required")]
    None,
    /// The token has characters that a header cannot have.
    #[error("token: has characters that cannot be sent")]
    Token,
    /// There is a user in the URL, too: only one of them can be shown.
    #[error("token: must not be given together with a user in the URL")]
    TokenAndUser,
    /// The proxy cannot be used.
    #[error("proxy: {0}")]
    Proxy(String),
    /// A file cannot be used.
    #[error("{0}")]
    File(String),
    /// TLS cannot be done.
    #[error("tls: {0}")]
    Tls(String),
}

/// The URL of an AFM. Shown without user and password.
#[derive(Clone)]
pub struct BaseUrl {
    url: Url,
    shown: String,
}

impl BaseUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// When it is none, is of another protocol, or has a query: the error does not repeat it.
    pub fn parse(text: &str) -> Result<Self, ConnectError> {
        let url = http_url(text).map_err(ConnectError::Url)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(ConnectError::Url("must end with the path: no ? and no #".to_owned()));
        }
        let mut shown = url.clone();
        // A URL with a host can have both.
        let _ = (shown.set_username(""), shown.set_password(None));
        let shown = shown.as_str().trim_end_matches('/').to_owned();
        Ok(Self { url, shown })
    }

    fn has_user(&self) -> bool {
        !self.url.username().is_empty() || self.url.password().is_some()
    }

    /// The URL of a path below it, each part of which is escaped.
    #[must_use]
    pub fn at(&self, parts: &[&str]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl ConnectOptions {
    /// Makes a client that keeps its connections, for these AFMs.
    ///
    /// # Errors
    /// Names the option that cannot be used.
    pub fn http_client<'a>(
        &self,
        afms: impl IntoIterator<Item = &'a BaseUrl>,
    ) -> Result<Client, ConnectError> {
        if self.token.is_some() && afms.into_iter().any(BaseUrl::has_user) {
            return Err(ConnectError::TokenAndUser);
        }
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.token {
            let mut value =
                HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| ConnectError::Token)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let tls = match &self.tls {
            Some(tls) => tls.clone(),
            None => tls_configuration(None, None)?,
        };
        let user_agent = self.user_agent.as_deref();
        let mut client = Client::builder()
            .user_agent(user_agent.unwrap_or(concat!("slamon-client/", env!("CARGO_PKG_VERSION"))))
            .default_headers(headers)
            .connect_timeout(Duration::from_secs(10))
            // Longer than most requests are held open, so that the next ones find a connection.
            .pool_idle_timeout(Duration::from_secs(90))
            // Answers are waited for: so soon it is noticed that the other side, or the network, is gone. The system
            // sends these probes, and the program sleeps on.
            .tcp_keepalive(KEEPALIVE_IDLE)
            .tcp_keepalive_interval(KEEPALIVE_INTERVAL)
            .tcp_keepalive_retries(4)
            .tcp_user_timeout(UNACKNOWLEDGED)
            // An AFM answers by itself; a redirect would turn a POST into a GET.
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(tls);
        if let Some(proxy) = &self.proxy {
            client = client.proxy(http_proxy(proxy)?);
        }
        client.build().map_err(|error| ConnectError::Tls(error.to_string()))
    }

    /// An AFM, and by way of which proxy it is reached, as errors name it: without users and passwords.
    #[must_use]
    pub fn shown(&self, afm: &BaseUrl) -> String {
        match self.proxy.as_deref().map(BaseUrl::parse) {
            Some(Ok(proxy)) => format!("{afm} by way of {proxy}"),
            _ => afm.to_string(),
        }
    }
}

/// Reads the URL of a proxy; errors do not repeat it, since it may have a password.
fn http_proxy(text: &str) -> Result<Proxy, ConnectError> {
    let url = http_url(text).map_err(ConnectError::Proxy)?;
    Proxy::all(url).map_err(|error| ConnectError::Proxy(error.to_string()))
}

/// Reads a URL that HTTP can reach. What is wrong does not repeat it.
fn http_url(text: &str) -> Result<Url, String> {
    type UrlError = <Url as FromStr>::Err;
    let begin = "must begin with http:// or https:// and name a host";
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => Ok(url),
        Ok(_) | Err(UrlError::RelativeUrlWithoutBase | UrlError::EmptyHost) => Err(begin.to_owned()),
        Err(UrlError::InvalidPort) => Err("has a port that is no number from 0 to 65535".to_owned()),
        Err(error) => Err(format!("is no URL: {error}")),
    }
}

/// Reads a token from a file; a file of secrets often ends with a line feed.
///
/// # Errors
/// When there is none in it.
pub fn read_token(path: &Path) -> Result<String, ConnectError> {
    let problem = |what: String| ConnectError::File(format!("token-file: {what}"));
    let token = std::fs::read_to_string(path)
        .map_err(|error| problem(format!("could not read {}: {error}", path.display())))?;
    let token = token.trim();
    if token.is_empty() {
        return Err(problem(format!("{} is empty", path.display())));
    }
    Ok(token.to_owned())
}

/// How long an answer asks to wait before the next try: seconds, or until a time by the clock of its own `Date`.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let asked = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    Duration::try_from(http_date(asked)?.duration_since(date(headers)?)).ok()
}

/// The time by the clock of whoever has answered.
#[must_use]
pub fn date(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(headers.get(DATE)?.to_str().ok()?)
}

fn http_date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_the_url_that_is_given() {
        for url in ["http://user:secret@afm:8080/slamon", "http://user:secret@afm:8080/slamon/"] {
            let base = BaseUrl::parse(url).unwrap();
            let at = |parts: &[&str]| base.at(parts).to_string();
            assert_eq!(at(&["tasks", "response"]), "http://user:secret@afm:8080/slamon/tasks/response");
            assert_eq!(
                at(&["types", "a/b ?ä"]),
                "http://user:secret@afm:8080/slamon/types/a%2Fb%20%3F%C3%A4"
            );
            assert_eq!(base.to_string(), "http://afm:8080/slamon");
        }
        assert_eq!(BaseUrl::parse("http://afm").unwrap().at(&["tasks"]).as_str(), "http://afm/tasks");
    }

    #[test]
    fn what_is_no_proxy_is_named_without_its_password() {
        for proxy in ["ht tp://u:secret@proxy", "socks5://u:secret@proxy", "proxy:3128", "http://u:secret@"] {
            let problem = http_proxy(proxy).unwrap_err().to_string();
            assert!(problem.starts_with("proxy: ") && !problem.contains("secret"), "{problem}");
            assert!(problem.contains("must begin with http:// or https://"), "{problem}");
        }
        http_proxy("http://u:secret@proxy:3128").unwrap();
    }

    #[test]
    fn what_is_no_url_of_an_afm_is_named_without_its_password() {
        for url in ["afm:8080", "", "ftp://u:secret@afm", "http://u:secret@afm/?x=1", "http://u:secret@"] {
            let problem = BaseUrl::parse(url).unwrap_err().to_string();
            assert!(problem.starts_with("url: ") && !problem.contains("secret"), "{problem}");
        }
        for url in ["127.0.0.1:8080", "localhost:8080", "afm", "", "http://", "http://:8080"] {
            let problem = BaseUrl::parse(url).unwrap_err().to_string();
            assert_eq!(problem, "url: must begin with http:// or https:// and name a host", "{url}");
        }
        for url in ["http://afm:65536", "http://u:secret"] {
            let problem = BaseUrl::parse(url).unwrap_err().to_string();
            assert_eq!(problem, "url: has a port that is no number from 0 to 65535", "{url}");
        }
    }
}
