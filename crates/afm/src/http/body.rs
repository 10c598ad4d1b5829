//! Reads request bodies: JSON of bounded size, in bounded time.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use bytes::Bytes;
use encoding_rs::Encoding;
use http_body_util::BodyExt;
use tokio::time::{Instant, Sleep};

use crate::http::app::{App, Settings};
use crate::http::error::ApiError;
use crate::http::memory::{self, Lease};
use crate::http::peer;
use crate::http::peer::arriving::Arriving;

/// A body is given up when nothing of it arrives for this long.
const TIME_BETWEEN_READS: Duration = Duration::from_secs(10);

/// A body must arrive at this many bytes a second in the long run, beside the time that may pass between two
/// reads.
const SLOWEST: usize = 8 * 1024;

/// A body that is too large by up to this many bytes is still read to its end, and thrown away.
const DISCARDED: usize = 16 * 1024 * 1024;

/// Some Windows programs write this before UTF-8.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads the body of a request, also where no handler wants it.
///
/// A connection with unread bytes ends in a reset, which takes the answer with it: a client that sent too
/// much, or to a wrong path, would never learn so, and would try again for ever.
pub(crate) async fn arrive(request: &mut Request, settings: &Settings) -> Result<(), ApiError> {
    if !request.body().is_end_stream() {
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = Body::from(read(request.headers(), body, settings).await?);
    }
    Ok(())
}

async fn read(headers: &HeaderMap, mut body: Body, settings: &Settings) -> Result<Bytes, ApiError> {
    let limit = settings.max_content_length;
    let announced = content_length(headers);
    // A client that asks first, with Expect, has sent nothing yet.
    let asks_first = || headers.contains_key(EXPECT);
    if announced.is_some_and(|length| length > limit && (length > most(limit) || asks_first())) {
        return Err(ApiError::TooLarge(limit));
    }
    let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await;
    // Most bodies come whole, together with their head.
    let first = match first {
        Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
            Ok(data) if body.is_end_stream() && data.len() <= limit => return Ok(data),
            Ok(data) => Some(data),
            Err(_) => None,
        },
        Poll::Ready(Some(Err(_))) => return Err(broken()),
        Poll::Ready(None) => return Ok(Bytes::new()),
        Poll::Pending => None,
    };
    let Some(arriving) = peer::current(Arriving::begin) else { return Err(broken()) };
    let mut kept = KeptBody { bytes: Vec::new(), lease: None, announced, limit };
    let (mut length, mut has_room) = (0, true);
    let mut arrived = first;
    let mut waits = BodyTimer::begin(settings);
    loop {
        if let Some(data) = arrived.take() {
            length += data.len();
            // A body that is refused is read all the same, or its client would see a reset instead of the
            // reason.
            has_room = has_room && length <= limit && kept.add(&data, &arriving);
            if !has_room {
                kept.forget();
            }
            waits.until_after(length);
        }
        if length > most(limit) || body.is_end_stream() {
            break;
        }
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = arriving.gives_way() => return Err(ApiError::GivesWay),
            () = waits.end() => return Err(ApiError::TooSlow),
        };
        let Some(frame) = frame else { break };
        arrived = frame.map_err(|_| broken())?.into_data().ok();
    }
    if length > limit {
        return Err(ApiError::TooLarge(limit));
    }
    if !has_room {
        return Err(ApiError::NoRoom);
    }
    if let Some(lease) = kept.lease {
        arriving.arrived(lease);
    }
    Ok(kept.bytes.into())
}

fn broken() -> ApiError {
    ApiError::Body("could not be read to its end".to_owned())
}

/// Returns how long a body may be that is still read to its end.
fn most(limit: usize) -> usize {
    limit.saturating_add(DISCARDED)
}

/// The part of a body that has arrived, and the memory for it. Memory is taken as the body arrives, since an
/// announced length may never come.
struct KeptBody {
    bytes: Vec<u8>,
    lease: Option<Lease>,
    announced: Option<usize>,
    limit: usize,
}

impl KeptBody {
    /// Adds what has arrived; returns `false` if there is no memory for it.
    fn add(&mut self, data: &[u8], arriving: &Arriving) -> bool {
        let (capacity, needed) = (self.bytes.capacity(), self.bytes.len() + data.len());
        if needed > capacity {
            let end = self.announced.unwrap_or(self.limit).min(self.limit);
            let grown = needed.max((2 * capacity).max(memory::SMALL).min(end));
            if grown > memory::SMALL {
                let is_new = self.lease.is_none();
                let lease = self.lease.get_or_insert_with(|| arriving.lease());
                if !lease.grow(if is_new { grown } else { grown - capacity }) {
                    return false;
                }
            }
            self.bytes.reserve_exact(grown - self.bytes.len());
        }
        self.bytes.extend_from_slice(data);
        true
    }

    fn forget(&mut self) {
        self.bytes = Vec::new();
        self.lease = None;
    }
}

/// The time that may pass until more of a body arrives.
struct BodyTimer {
    began: Instant,
    between_reads: Duration,
    timer: Pin<Box<Sleep>>,
}

impl BodyTimer {
    fn begin(settings: &Settings) -> Self {
        // This stays well within the time of the whole request, at whose end the answer would blame the
        // server.
        let between_reads = TIME_BETWEEN_READS.min(settings.request_timeout / 2);
        Self { began: Instant::now(), between_reads, timer: Box::pin(tokio::time::sleep(between_reads)) }
    }

    /// Restarts the timer after `length` bytes in all.
    fn until_after(&mut self, length: usize) {
        let in_all = self.between_reads + Duration::from_secs((length / SLOWEST) as u64);
        self.timer.as_mut().reset((Instant::now() + self.between_reads).min(self.began + in_all));
    }

    async fn end(&mut self) {
        self.timer.as_mut().await;
    }
}

/// The body of a request that says that it is JSON.
pub(crate) struct JsonBody {
    bytes: Bytes,
    charset: &'static Encoding,
}

impl JsonBody {
    /// The body as text.
    ///
    /// UTF-8 is taken whatever the charset says: the original never looked at it, so clients may say
    /// anything.
    pub(crate) fn text(&self) -> Result<Cow<'_, str>, ApiError> {
        let charset = self.charset;
        if charset.is_ascii_compatible() {
            match std::str::from_utf8(&self.bytes) {
                Ok(text) => return Ok(Cow::Borrowed(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text))),
                Err(e) if charset == encoding_rs::UTF_8 => {
                    return Err(ApiError::Body(format!("is not UTF-8: {e}")));
                }
                Err(_) => {}
            }
        }
        match charset.decode_with_bom_removal(&self.bytes) {
            (text, false) => Ok(text),
            (_, true) => Err(ApiError::Body(format!("is not {}", charset.name()))),
        }
    }
}

impl FromRequest<App> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &App) -> Result<Self, ApiError> {
        let charset = charset(request.headers())?;
        Ok(Self { bytes: arrived(request).await?, charset })
    }
}

/// Gives the body of a request, which has been read already, and is not too large.
async fn arrived(request: Request) -> Result<Bytes, ApiError> {
    match request.into_body().frame().await {
        Some(Ok(frame)) => Ok(frame.into_data().unwrap_or_default()),
        Some(Err(_)) => Err(broken()),
        None => Ok(Bytes::new()),
    }
}

/// The body of a request that may have none. If it has one, it is as [`JsonBody`].
pub(crate) struct OptionalJsonBody(pub(crate) Option<JsonBody>);

impl FromRequest<App> for OptionalJsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &App) -> Result<Self, ApiError> {
        let charset = charset(request.headers());
        let bytes = arrived(request).await?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        Ok(Self(Some(JsonBody { bytes, charset: charset? })))
    }
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Returns the charset of a JSON media type, or UTF-8 if it names none that is known. Any other media type is
/// refused, as the original does.
fn charset(headers: &HeaderMap) -> Result<&'static Encoding, ApiError> {
    let expected = || ApiError::Body("must be sent as Content-Type: application/json".to_owned());
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).ok_or_else(expected)?;
    // Nearly all clients send this.
    if media_type == "application/json" {
        return Ok(encoding_rs::UTF_8);
    }
    let mut parts = media_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let subtype = essence.strip_prefix("application/").ok_or_else(expected)?;
    if subtype != "json" && !subtype.ends_with("+json") {
        return Err(expected());
    }
    let charset = parts
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .and_then(|(_, value)| Encoding::for_label(value.trim().trim_matches('"').as_bytes()));
    Ok(charset.unwrap_or(encoding_rs::UTF_8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charset_of(media_type: &str) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, media_type.parse().unwrap());
        charset(&headers).ok().map(Encoding::name)
    }

    #[test]
    fn json_media_types() {
        for (media_type, charset) in [
            ("application/json", Some("UTF-8")),
            ("APPLICATION/JSON", Some("UTF-8")),
            ("application/json; charset=utf-8", Some("UTF-8")),
            ("application/json;charset=\"UTF-8\"", Some("UTF-8")),
            ("application/json; charset=ISO-8859-1", Some("windows-1252")),
            ("application/problem+json", Some("UTF-8")),
            ("application/json; charset=klingon", Some("UTF-8")),
            ("text/json", None),
            ("application/jsonp", None),
            ("application/xml", None),
            ("json", None),
        ] {
            assert_eq!(charset_of(media_type), charset, "{media_type}");
        }
        assert!(charset(&HeaderMap::new()).is_err());
    }

    #[test]
    fn utf8_unless_it_cannot_be() {
        let text = |charset: &str, bytes: &'static [u8]| {
            let charset = Encoding::for_label(charset.as_bytes()).unwrap();
            JsonBody { bytes: Bytes::from_static(bytes), charset }.text().map(Cow::into_owned).ok()
        };
        for (charset, bytes, read) in [
            ("utf-8", "ä".as_bytes(), Some("ä")),
            ("utf-8", b"\xef\xbb\xbfa", Some("a")),
            ("utf-8", b"\xe4", None),
            ("latin1", b"\xe4", Some("ä")),
            ("latin1", "ä".as_bytes(), Some("ä")),
            ("utf-16le", b"\xff\xfea\0", Some("a")),
            ("utf-16le", b"a", None),
        ] {
            assert_eq!(text(charset, bytes).as_deref(), read, "{charset} {bytes:?}");
        }
    }
}
