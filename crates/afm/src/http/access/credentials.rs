//! Reads the token that a request shows.

use std::borrow::Cow;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::http::error::ApiError;

/// Returns the token of `Authorization: Bearer TOKEN`, or the password of `Authorization: Basic`, which is how clients send
/// it that know nothing but users and passwords in URLs. `None` if there is no such header, or it is of another kind.
///
/// # Errors
/// Fails where there are several such headers: which of them holds is anybody's guess.
pub(super) fn token(headers: &HeaderMap) -> Result<Option<Cow<'_, str>>, ApiError> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (first, second) = (given.next(), given.next());
    if second.is_some() {
        return Err(ApiError::Head("must have one Authorization at most, has more"));
    }
    let Some((scheme, value)) = first.and_then(|value| value.to_str().ok()?.trim().split_once(' ')) else {
        return Ok(None);
    };
    let value = value.trim_start();
    Ok(if scheme.eq_ignore_ascii_case("bearer") {
        Some(Cow::Borrowed(value))
    } else if scheme.eq_ignore_ascii_case("basic") {
        password(value).map(Cow::Owned)
    } else {
        None
    })
}

fn password(value: &str) -> Option<String> {
    let decoded = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_token_is_that_of_bearer_or_the_password_of_basic() {
        for (given, wanted) in [
            (&[][..], Ok(None)),
            (&["Bearer slamon_1"], Ok(Some("slamon_1"))),
            (&["bearer  slamon_1 "], Ok(Some("slamon_1"))),
            (&["Bearer"], Ok(None)),
            (&["Bearer "], Ok(None)),
            (&["slamon_1"], Ok(None)),
            (&["Digest username=\"a\""], Ok(None)),
            // agent:slamon_1
            (&["Basic YWdlbnQ6c2xhbW9uXzE="], Ok(Some("slamon_1"))),
            // :a:b
            (&["BASIC OmE6Yg=="], Ok(Some("a:b"))),
            // agent
            (&["Basic YWdlbnQ="], Ok(None)),
            (&["Basic !"], Ok(None)),
            (&["Basic /w=="], Ok(None)),
            (&["Bearer a", "Bearer a"], Err(())),
        ] {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            let found = token(&headers).map_err(|_| ());
            assert_eq!(
                found.as_ref().map(Option::as_deref),
                wanted.as_ref().map(|wanted| *wanted),
                "{given:?}"
            );
        }
    }
}
