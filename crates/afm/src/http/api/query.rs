//! Reads the query of a request: filters, limits and cursors.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::extract::Request;
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::fmt::temporal::Pieces;
use percent_encoding::percent_decode;
use slamon_protocol::{excerpt, parse_id};
use uuid::Uuid;

use crate::http::error::{ApiError, invalid};

/// The parameters of a query. Each is taken once; what nobody has taken is refused, so that a misspelt filter
/// does not list everything.
#[derive(Debug)]
pub(in crate::http) struct Query<'q> {
    /// Names and values; `None` for a value that is not valid UTF-8.
    left: Vec<(Cow<'q, str>, Option<Cow<'q, str>>)>,
    known: Vec<&'static str>,
}

/// Refuses parameters where a path knows none. `reads_some`: its GET reads some, and refuses others by itself.
pub(in crate::http) async fn check(reads_some: bool, request: Request, next: Next) -> Response {
    let is_read = reads_some && matches!(*request.method(), Method::GET | Method::HEAD);
    match request.uri().query() {
        Some(text) if !is_read => match Query::of(Some(text)).end() {
            Ok(()) => next.run(request).await,
            Err(error) => error.into_response(),
        },
        _ => next.run(request).await,
    }
}

impl<'q> Query<'q> {
    /// Reads the text behind the question mark.
    pub(in crate::http) fn of(text: Option<&'q str>) -> Self {
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let decoded = |pair: &'q str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name).unwrap_or(Cow::Borrowed(name)), decode(value))
        };
        Self { left: pairs.map(decoded).collect(), known: Vec::new() }
    }

    /// Takes parameters that came in another way.
    pub(in crate::http) fn of_pairs(pairs: Vec<(Cow<'q, str>, Cow<'q, str>)>) -> Self {
        let left = pairs.into_iter().map(|(name, value)| (name, Some(value))).collect();
        Self { left, known: Vec::new() }
    }

    /// Takes a parameter as it is. An empty value is that of a form field which was left empty, and counts as
    /// absent.
    ///
    /// # Errors
    /// Fails when it is there twice, or when no text of a task or an agent can have such a value.
    pub(in crate::http) fn text(&mut self, name: &'static str) -> Result<Option<Cow<'q, str>>, ApiError> {
        self.known.push(name);
        let mut values = Vec::new();
        self.left.retain_mut(|(key, value)| {
            let is_it = key == name;
            if is_it {
                values.push(std::mem::take(value));
            }
            !is_it
        });
        if values.len() > 1 {
            return Err(invalid(name, "is given more than once"));
        }
        let Some(value) = values.pop() else { return Ok(None) };
        let value = value.ok_or_else(|| invalid(name, "is not valid UTF-8"))?;
        if value.contains('\0') {
            return Err(invalid(name, "must not contain U+0000"));
        }
        Ok(Some(value).filter(|value| !value.is_empty()))
    }

    /// Takes an id.
    ///
    /// # Errors
    /// Fails when it is none.
    pub(in crate::http) fn id(&mut self, name: &'static str) -> Result<Option<Uuid>, ApiError> {
        let text = self.text(name)?;
        text.map(|text| parse_id(&text).ok_or_else(|| invalid(name, "must be a UUID"))).transpose()
    }

    /// Takes an integer.
    ///
    /// # Errors
    /// Fails when it is none, or not within `range`.
    pub(in crate::http) fn integer<T>(
        &mut self,
        name: &'static str,
        range: RangeInclusive<T>,
    ) -> Result<Option<T>, ApiError>
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        let (least, most) = range.into_inner();
        number.map(Some).ok_or_else(|| invalid(name, format!("must be an integer from {least} to {most}")))
    }

    /// Takes a time: RFC 3339, with an offset or `Z`.
    ///
    /// # Errors
    /// Fails when it is none.
    pub(in crate::http) fn time(&mut self, name: &'static str) -> Result<Option<Timestamp>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        time_of(&text).map(Some).ok_or_else(|| {
            invalid(name, "must be a time as RFC 3339 writes it, such as 2026-11-22T19:23:01Z")
        })
    }

    /// Takes one of a few words.
    ///
    /// # Errors
    /// Fails when it is another one.
    pub(in crate::http) fn one_of<T: Copy>(
        &mut self,
        name: &'static str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                Err(invalid(name, format!("must be one of {}", words.join(", "))))
            }
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Fails when a parameter is left that nobody has taken.
    pub(in crate::http) fn end(self) -> Result<(), ApiError> {
        match self.left.first() {
            None => Ok(()),
            Some((name, _)) => {
                let problem = if self.known.is_empty() {
                    "is no parameter of this path, which has none".to_owned()
                } else {
                    format!("is no parameter of this list, which has {}", self.known.join(", "))
                };
                Err(invalid(&excerpt(name), problem))
            }
        }
    }
}

/// Decodes a name or a value; `None` if it is not valid UTF-8.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('+') {
        let text = text.replace('+', " ");
        return percent_decode(text.as_bytes()).decode_utf8().ok().map(|text| Cow::Owned(text.into_owned()));
    }
    percent_decode(text.as_bytes()).decode_utf8().ok()
}

/// Reads a time. Times that RFC 3339 can write and nothing here can have stand for the first or the last one.
fn time_of(text: &str) -> Option<Timestamp> {
    // In a query, a plus sign that was not escaped stands for a space. One between date and time is a space.
    let (date, time) = text.split_at_checked("2026-11-22T".len()).unwrap_or((text, ""));
    let text = format!("{date}{}", time.replacen(' ', "+", 1));
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    let pieces = Pieces::parse(&text).ok()?;
    let time = pieces.date().to_datetime(pieces.time()?);
    let out_of_range = if time.year() > 0 { Timestamp::MAX } else { Timestamp::MIN };
    Some(pieces.to_numeric_offset()?.to_timestamp(time).unwrap_or(out_of_range))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T>(result: Result<T, ApiError>) -> String {
        result.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn parameters_are_taken_once() {
        let mut query = Query::of(Some("a=1&b=x%20y&c=&d=2026-11-22T19:23:01+01:00"));
        assert_eq!(query.integer("a", 0..=5_u32).unwrap(), Some(1));
        assert_eq!(query.text("b").unwrap().as_deref(), Some("x y"));
        assert_eq!(query.text("c").unwrap(), None);
        assert_eq!(query.time("d").unwrap(), Some("2026-11-22T18:23:01Z".parse().unwrap()));
        query.end().unwrap();
    }

    #[test]
    fn errors_name_the_parameter() {
        let mut query = Query::of(Some("n=9&n=8&limit=0&id=x&time=now&state=odd&oops=1"));
        assert_eq!(message(query.text("n")), "n: is given more than once");
        assert_eq!(message(query.integer("limit", 1..=9_u32)), "limit: must be an integer from 1 to 9");
        assert_eq!(message(query.id("id")), "id: must be a UUID");
        assert!(message(query.time("time")).starts_with("time: must be a time"));
        assert_eq!(message(query.one_of("state", &[("a", 1), ("b", 2)])), "state: must be one of a, b");
        assert_eq!(
            message(query.end()),
            "oops: is no parameter of this list, which has n, limit, id, time, state"
        );
    }

    #[test]
    fn an_empty_value_is_absent_but_its_name_is_checked() {
        let mut query = Query::of(Some("&a=&b=&b=1&oops&"));
        assert_eq!(query.text("a").unwrap(), None);
        assert_eq!(message(query.text("b")), "b: is given more than once");
        assert_eq!(message(query.end()), "oops: is no parameter of this list, which has a, b");
        assert_eq!(
            message(Query::of(Some("oops=")).end()),
            "oops: is no parameter of this path, which has none"
        );
        Query::of(Some("&&")).end().unwrap();
    }

    #[test]
    fn what_no_text_can_be_is_refused() {
        let mut query = Query::of(Some("a=%FF&b=x%00&c=%ED%A0%80&d=%EF%BF%BD+%2B&%FF=1"));
        assert_eq!(message(query.text("a")), "a: is not valid UTF-8");
        assert_eq!(message(query.text("b")), "b: must not contain U+0000");
        assert_eq!(message(query.text("c")), "c: is not valid UTF-8");
        assert_eq!(query.text("d").unwrap().as_deref(), Some("\u{fffd} +"));
        assert!(message(query.end()).starts_with("%FF: is no parameter"));
    }

    #[test]
    fn every_time_of_rfc_3339_is_one() {
        let reads = |text: &str| time_of(text);
        let time = "2026-11-22T18:23:01Z".parse().ok();
        for text in [
            "2026-11-22T18:23:01Z",
            "2026-11-22t18:23:01z",
            "2026-11-22 18:23:01Z",
            "2026-11-22T19:23:01+01:00",
            "2026-11-22T19:23:01 01:00",
            "2026-11-22t19:23:01 01:00",
            "2026-11-22 19:23:01 01:00",
            "2026-11-22T17:23:01-01:00",
        ] {
            assert_eq!(reads(text), time, "{text}");
        }
        for (text, time) in [
            ("9999-12-31T23:59:59Z", Timestamp::MAX),
            ("9999-12-31T23:59:59.999999999-23:59", Timestamp::MAX),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z".parse().unwrap()),
        ] {
            assert_eq!(reads(text), Some(time), "{text}");
        }
        for text in
            ["now", "2026-11-22", "2026-11-22T18:23:01", "9999-12-31T23:59:59", "", "é\u{e9}\u{e9}T\u{e9}é é"]
        {
            assert_eq!(reads(text), None, "{text}");
        }
    }
}
