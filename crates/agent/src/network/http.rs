//! HTTP/1.1 to what tasks name: each request on a connection of its own, so that its times are true.

mod body;
mod cookies;
mod head_limit;
mod proxy;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode, Version};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;

use super::NetworkPolicy;
use super::connect::{ConnectError, IpVersion, Target};
use super::limit::{Limit, TimeIsUp, seconds};
use super::tls::{Peer, TlsError, TlsOptions, TlsRoots, Verify, reason_of_handshake};

use body::Encoding;
pub(crate) use body::{Body, BodyError};
pub(crate) use cookies::Cookies;
use head_limit::HeadLimit;
pub(crate) use proxy::{Proxy, basic};

/// A status line and headers may have so many bytes together.
const LARGEST_HEAD: usize = 256 * 1024;
/// There may be so many headers.
const MOST_HEADERS: usize = 256;

/// How requests are sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client<'a> {
    pub(crate) policy: &'a NetworkPolicy,
    pub(crate) tls: &'a TlsRoots,
    pub(crate) verify: Verify,
    pub(crate) ip_version: Option<IpVersion>,
    pub(crate) proxy: Option<&'a Proxy>,
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Whether it goes over TLS.
    pub(crate) is_secure: bool,
    pub(crate) target: Target,
    /// Path and query.
    pub(crate) path: String,
    /// Without `Host`, unless it is to be another one than the target's.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// How long each step took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    pub(crate) dns: Duration,
    pub(crate) connect: Duration,
    /// Nothing without TLS.
    pub(crate) tls: Duration,
    /// From when the request was sent until the head of the answer was there.
    pub(crate) first_byte: Duration,
}

/// An answer, whose body is still to be read.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) times: Times,
    /// What the other side has shown; `None` without TLS.
    pub(crate) peer: Option<Peer>,
    target: Target,
    body: Incoming,
    _connection: Running,
}

/// Why there is no answer; as a text it is a sentence that names the target.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// It is no request that can be sent.
    #[error("could not make the request: {0}")]
    Request(String),
    /// The proxy did not connect to the target: with this status.
    #[error("the proxy {proxy} does not connect to {target}: {answer}")]
    Tunnel { proxy: Target, target: Target, answer: String },
    #[error("{target} did not answer: {}", reason_of_exchange(cause))]
    Exchange { target: Target, cause: hyper::Error },
    #[error("{target} did not answer within {}", seconds(*after))]
    TimeIsUp { target: Target, after: Duration },
}

/// The task that moves the bytes of a connection; it ends with this value.
#[derive(Debug)]
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Request {
    /// A request to a URL of the schemes `http` or `https`; user and password of the URL are not used.
    pub(crate) fn to(method: Method, url: &Url, headers: HeaderMap, body: Bytes) -> Option<Self> {
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let is_secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let target = Target::new(url.host_str()?, url.port_or_known_default()?);
        Some(Self { method, is_secure, target, path, headers, body })
    }

    fn host(&self) -> String {
        match (self.is_secure, self.target.port) {
            (true, 443) | (false, 80) => {
                let with_port = self.target.to_string();
                with_port.rsplit_once(':').map_or(String::new(), |(host, _)| host.to_owned())
            }
            _ => self.target.to_string(),
        }
    }
}

impl Client<'_> {
    /// Sends a request, and waits for the head of its answer.
    pub(crate) async fn send(&self, request: Request, limit: &Limit) -> Result<Response, HttpError> {
        let target = request.target.clone();
        // A proxy is the operator's choice; what it is asked for is not.
        let reached = match self.proxy {
            Some(proxy) => {
                proxy.may_be_asked_for(&target, self.policy, limit).await?;
                let anywhere = NetworkPolicy::default();
                proxy.target.connect(&anywhere, None, limit).await?
            }
            None => target.connect(self.policy, self.ip_version, limit).await?,
        };
        let mut times = Times { dns: reached.resolve, connect: reached.connect, ..Times::default() };
        let address = reached.address;
        let mut stream = reached.stream;
        let is_forwarded = self.proxy.is_some() && !request.is_secure;
        let message = message(request, if is_forwarded { self.proxy } else { None })?;
        let has_head = Arc::new(AtomicBool::new(false));
        let (peer, sending) = if message.is_secure {
            if let Some(proxy) = self.proxy {
                stream = proxy.tunnel(stream, &target, limit).await?;
            }
            let options = TlsOptions { name: None, verify: self.verify, alpn: &["http/1.1"] };
            let secured = self.tls.secure(stream, &target, options, limit).await?;
            times.tls = secured.took;
            (Some(secured.peer), begin(secured.stream, &has_head).await)
        } else {
            (None, begin(stream, &has_head).await)
        };
        let failed = |cause| HttpError::Exchange { target: target.clone(), cause };
        let (mut sender, connection) = sending.map_err(failed)?;
        let began = Instant::now();
        let response = match limit.hold(sender.send_request(message.request)).await {
            Ok(response) => response.map_err(failed)?,
            Err(TimeIsUp) => return Err(HttpError::TimeIsUp { target, after: began.elapsed() }),
        };
        has_head.store(true, Ordering::Release);
        times.first_byte = began.elapsed();
        let (head, body) = response.into_parts();
        Ok(Response {
            status: head.status,
            version: head.version,
            headers: head.headers,
            address,
            times,
            peer,
            target,
            body,
            _connection: connection,
        })
    }
}

impl Response {
    /// Reads the body, at most `most` bytes of it before and after it is decompressed; what is beyond is left unread.
    pub(crate) async fn read(
        &mut self,
        most: usize,
        decompress: bool,
        limit: &Limit,
    ) -> Result<Body, BodyError> {
        let encoding = if decompress { Encoding::of(&self.headers) } else { Encoding::None };
        body::read(&mut self.body, encoding, Some(most), &self.target, limit).await
    }

    /// Reads the body to its end, and keeps nothing of it; what is compressed with gzip or deflate
    /// is decompressed to see that it can be.
    pub(crate) async fn discard(&mut self, limit: &Limit) -> Result<Body, BodyError> {
        let encoding = match Encoding::of(&self.headers) {
            Encoding::Brotli => Encoding::None,
            other => other,
        };
        body::read(&mut self.body, encoding, None, &self.target, limit).await
    }
}

/// A request as it goes out.
struct Message {
    is_secure: bool,
    request: hyper::Request<Full<Bytes>>,
}

fn message(request: Request, proxy: Option<&Proxy>) -> Result<Message, HttpError> {
    let host = request.host();
    let uri = match proxy {
        Some(_) => format!("http://{host}{}", request.path),
        None => request.path,
    };
    let wrong = |problem: String| HttpError::Request(problem);
    let mut message = hyper::Request::builder()
        .method(request.method)
        .uri(uri)
        .body(Full::new(request.body))
        .map_err(|error| wrong(error.to_string()))?;
    let headers = message.headers_mut();
    *headers = request.headers;
    if !headers.contains_key(HOST) {
        let host = HeaderValue::try_from(host).map_err(|error| wrong(error.to_string()))?;
        headers.insert(HOST, host);
    }
    if let Some(authorization) = proxy.and_then(Proxy::authorization) {
        headers.insert(hyper::header::PROXY_AUTHORIZATION, authorization);
    }
    Ok(Message { is_secure: request.is_secure, request: message })
}

/// Begins HTTP on a connection.
async fn begin<S>(stream: S, has_head: &Arc<AtomicBool>) -> hyper::Result<(SendRequest<Full<Bytes>>, Running)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = Builder::new()
        .title_case_headers(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .max_header_size(LARGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .handshake(TokioIo::new(HeadLimit::new(stream, Arc::clone(has_head))))
        .await?;
    // Whoever waits for the answer or reads the body is told of its errors.
    let running = tokio::spawn(async move { drop(connection.await) });
    Ok((sender, Running(running.abort_handle())))
}

/// What went wrong with an exchange, in words.
fn reason_of_exchange(error: &hyper::Error) -> String {
    if error.is_parse_too_large() {
        let most = LARGEST_HEAD / 1024;
        return format!("the head of its answer has more than {most} KiB or {MOST_HEADERS} headers");
    }
    if error.is_parse() || error.is_parse_status() {
        return format!("what it sent is no answer of HTTP/1 ({error})");
    }
    if error.is_incomplete_message() {
        return "it closed the connection".to_owned();
    }
    match io_error(error) {
        // TLS of a client whose certificate is refused ends here, too.
        Some(io) => reason_of_handshake(io),
        None => crate::Failure::from(Told(error)).to_string(),
    }
}

/// The system's error that an error comes from.
pub(crate) fn io_error(error: &hyper::Error) -> Option<&std::io::Error> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        source = error.source();
    }
    None
}

/// An error that is told with what caused it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Told<'a>(&'a hyper::Error);
