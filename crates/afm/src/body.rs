//! Request bodies: JSON, of bounded size, in bounded time.

use std::borrow::Cow;
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use bytes::Bytes;
use encoding_rs::Encoding;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::app::App;
use crate::error::ApiError;

/// How long a body may take to arrive.
const TIME_TO_ARRIVE: Duration = Duration::from_secs(10);

/// The body of a request that says that it is JSON.
pub(crate) struct JsonBody {
    bytes: Bytes,
    charset: &'static Encoding,
}

impl JsonBody {
    /// The body as text.
    pub(crate) fn text(&self) -> Result<Cow<'_, str>, ApiError> {
        if self.charset == encoding_rs::UTF_8 {
            let text = std::str::from_utf8(&self.bytes);
            return text.map(Cow::Borrowed).map_err(|e| ApiError::Body(format!("is not UTF-8: {e}")));
        }
        self.charset
            .decode_without_bom_handling_and_without_replacement(&self.bytes)
            .ok_or_else(|| ApiError::Body(format!("is not {}", self.charset.name())))
    }
}

impl FromRequest<App> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let limit = app.settings.max_content_length;
        let charset = charset(request.headers())?;
        if content_length(request.headers()).is_some_and(|length| length > limit as u64) {
            return Err(ApiError::TooLarge(limit));
        }
        let body = Limited::new(request.into_body(), limit).collect();
        // Well within the time of the whole request, whose end would blame the server: 503.
        let time_to_arrive = TIME_TO_ARRIVE.min(app.settings.request_timeout / 2);
        let body = tokio::time::timeout(time_to_arrive, body).await.map_err(|_| ApiError::TooSlow)?.map_err(
            |error| match error.downcast_ref::<LengthLimitError>() {
                Some(_) => ApiError::TooLarge(limit),
                None => ApiError::Body("could not be read to its end".to_owned()),
            },
        )?;
        Ok(Self { bytes: body.to_bytes(), charset })
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The charset of a JSON media type; anything else is refused, as the original does.
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
        .map(|(_, value)| value.trim().trim_matches('"'));
    match charset {
        None => Ok(encoding_rs::UTF_8),
        Some(label) => Encoding::for_label(label.as_bytes())
            .ok_or_else(|| ApiError::Body(format!("charset {label:?} is not known; send UTF-8"))),
    }
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
            ("application/json; charset=klingon", None),
            ("text/json", None),
            ("application/jsonp", None),
            ("application/xml", None),
            ("json", None),
        ] {
            assert_eq!(charset_of(media_type), charset, "{media_type}");
        }
        assert!(charset(&HeaderMap::new()).is_err());
    }
}
