//! Where an AFM is, and how it is spoken to.

use std::fmt;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Proxy, Url};

/// How an agent speaks to its AFMs.
#[derive(Debug, Clone, Default)]
pub struct AfmOptions {
    /// What the agent shows that it is by: `Authorization: Bearer …`. A user and password stand in the URL.
    pub token: Option<String>,
    /// The proxy for all URLs; `None`: as the environment says (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`).
    pub proxy: Option<String>,
    /// How TLS is done; `None`: with the authorities that the system trusts.
    pub tls: Option<rustls::ClientConfig>,
}

/// Why the URL of an AFM, or how it is to be spoken to, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AfmUrlError {
    /// It is no URL of an AFM. Neither it nor the password in it is repeated.
    #[error("url: {0}")]
    Url(String),
    /// There is none.
    #[error("url: is required")]
    None,
    /// The token has characters that a header cannot have.
    #[error("token: has characters that cannot be sent")]
    Token,
    /// The proxy cannot be used.
    #[error("proxy: {0}")]
    Proxy(String),
    /// TLS cannot be done.
    #[error("tls: {0}")]
    Tls(String),
}

/// An AFM.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) poll: Url,
    pub(super) response: Url,
    /// The URL without user and password, for log lines.
    pub(super) shown: String,
}

impl Endpoint {
    pub(super) fn parse(text: &str) -> Result<Self, AfmUrlError> {
        let problem = |problem: String| AfmUrlError::Url(problem);
        let url = Url::parse(text).map_err(|error| problem(format!("is no URL: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(problem("must begin with http:// or https:// and name a host".to_owned()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(problem("must end with the path: no ? and no #".to_owned()));
        }
        let at = |path: &str| {
            let mut url = url.clone();
            url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
            url
        };
        let mut shown = url.clone();
        // A URL with a host can have both.
        let _ = (shown.set_username(""), shown.set_password(None));
        Ok(Self {
            poll: at("tasks"),
            response: at("tasks/response"),
            shown: shown.as_str().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Makes the client for all AFMs.
pub(super) fn client(options: &AfmOptions) -> Result<Client, AfmUrlError> {
    let mut headers = HeaderMap::new();
    if let Some(token) = &options.token {
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| AfmUrlError::Token)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let tls = match &options.tls {
        Some(tls) => tls.clone(),
        None => system_tls().map_err(AfmUrlError::Tls)?,
    };
    let mut client = Client::builder()
        .user_agent(concat!("slamon-agent/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .connect_timeout(Duration::from_secs(10))
        // Kept a little longer than a poll is held open, so that results find one.
        .pool_idle_timeout(Duration::from_secs(90))
        .tcp_keepalive(Duration::from_secs(60))
        // An AFM answers by itself; a redirect would turn a POST into a GET.
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured(tls);
    if let Some(proxy) = &options.proxy {
        let proxy = Proxy::all(proxy).map_err(|error| AfmUrlError::Proxy(error.to_string()))?;
        client = client.proxy(proxy);
    }
    client.build().map_err(|error| AfmUrlError::Tls(error.to_string()))
}

fn system_tls() -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    // Without any, only `https` URLs fail, and say so.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = rustls::crypto::ring::default_provider();
    let config = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// How long the other side asks to wait.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_the_url_that_is_given() {
        for url in ["http://user:secret@afm:8080/slamon", "http://user:secret@afm:8080/slamon/"] {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!(endpoint.poll.as_str(), "http://user:secret@afm:8080/slamon/tasks");
            assert_eq!(endpoint.response.as_str(), "http://user:secret@afm:8080/slamon/tasks/response");
            assert_eq!(endpoint.shown, "http://afm:8080/slamon");
        }
    }

    #[test]
    fn what_is_no_url_of_an_afm_is_named_without_its_password() {
        for url in ["afm:8080", "", "ftp://u:secret@afm", "http://u:secret@afm/?x=1", "http://u:secret@"] {
            let problem = Endpoint::parse(url).unwrap_err().to_string();
            assert!(problem.starts_with("url: ") && !problem.contains("secret"), "{problem}");
        }
    }
}
