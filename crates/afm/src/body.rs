//! Request bodies: JSON, of bounded size, in bounded time.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use bytes::Bytes;
use encoding_rs::Encoding;
use http_body_util::BodyExt;

use crate::app::{App, Settings};
use crate::error::ApiError;

/// How long a body may take to arrive.
const TIME_TO_ARRIVE: Duration = Duration::from_secs(10);

/// How much more than allowed a body may have, in bytes, and is still read to its end.
const DISCARDED: usize = 16 * 1024 * 1024;

/// What some Windows programs write before UTF-8.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads the body of every request, also where nobody wants it.
///
/// A connection with unread bytes ends in a reset, which takes the answer with it: a client that sent too much, or
/// to a wrong path, would not learn so and try again for ever.
pub(crate) async fn arrive(request: Request, settings: &Settings) -> Result<Request, ApiError> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let (head, body) = request.into_parts();
    // Well within the time of the whole request, whose end would blame the server: 503.
    let time_to_arrive = TIME_TO_ARRIVE.min(settings.request_timeout / 2);
    let arrived = read(&head.headers, body, settings.max_content_length);
    let bytes = tokio::time::timeout(time_to_arrive, arrived).await.unwrap_or(Err(ApiError::TooSlow))?;
    Ok(Request::from_parts(head, Body::from(bytes)))
}

async fn read(headers: &HeaderMap, mut body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let announced = content_length(headers).unwrap_or(0);
    let most = limit.saturating_add(DISCARDED) as u64;
    // A client that asks first has sent nothing yet.
    if announced > most || (announced > limit as u64 && headers.contains_key(EXPECT)) {
        return Err(ApiError::TooLarge(limit));
    }
    let mut bytes = Vec::new();
    let mut length: u64 = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::Body("could not be read to its end".to_owned()))?;
        let Ok(data) = frame.into_data() else { continue };
        // Most bodies come whole.
        if length == 0 && body.is_end_stream() && data.len() <= limit {
            return Ok(data);
        }
        length += data.len() as u64;
        if length > most {
            break;
        }
        if length <= limit as u64 {
            bytes.extend_from_slice(&data);
        }
    }
    if length > limit as u64 { Err(ApiError::TooLarge(limit)) } else { Ok(bytes.into()) }
}

/// The body of a request that says that it is JSON.
pub(crate) struct JsonBody {
    bytes: Bytes,
    charset: &'static Encoding,
}

impl JsonBody {
    /// The body as text.
    ///
    /// UTF-8 whatever the charset says: the original never looked at it, so clients may say what they like.
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
        let (head, body) = request.into_parts();
        // It has arrived, and is not too large.
        let bytes = read(&head.headers, body, usize::MAX).await?;
        Ok(Self { bytes, charset })
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The charset of a JSON media type, UTF-8 where it names none that is known; any other media type is refused, as the
/// original does.
fn charset(headers: &HeaderMap) -> Result<&'static Encoding, ApiError> {
    let expected = || ApiError::Body("must be sent as Content-Type: application/json".to_owned());
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).ok_or_else(expected)?;
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
