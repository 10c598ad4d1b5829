//! Reads the query of a request: filters, limits and cursors.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use jiff::Timestamp;
use slamon_protocol::{excerpt, parse_id};
use uuid::Uuid;

use crate::http::error::{ApiError, invalid};

/// The parameters of a query. Each is taken once; what nobody has taken is refused, so that a misspelt filter
/// does not list everything.
#[derive(Debug)]
pub(in crate::http) struct Query<'q> {
    left: Vec<(Cow<'q, str>, Cow<'q, str>)>,
    known: Vec<&'static str>,
}

impl<'q> Query<'q> {
    /// Reads the text behind the question mark. An empty value is that of a form field which was left empty,
    /// and counts as absent.
    pub(in crate::http) fn of(text: Option<&'q str>) -> Self {
        let pairs = form_urlencoded::parse(text.unwrap_or_default().as_bytes());
        Self { left: pairs.filter(|(_, value)| !value.is_empty()).collect(), known: Vec::new() }
    }

    /// Takes parameters that came in another way.
    pub(in crate::http) fn of_pairs(pairs: Vec<(Cow<'q, str>, Cow<'q, str>)>) -> Self {
        Self { left: pairs, known: Vec::new() }
    }

    /// Takes a parameter as it is.
    ///
    /// # Errors
    /// Fails when it is there twice.
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
        Ok(values.pop())
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
        // In a query, a plus sign that was not escaped stands for a space.
        let text = text.replacen(' ', "+", usize::from(text.contains('T')));
        let time = text.parse().map_err(|_| {
            invalid(name, "must be a time as RFC 3339 writes it, such as 2026-11-22T19:23:01Z")
        })?;
        Ok(Some(time))
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
                let problem = format!("is no parameter of this list, which has {}", self.known.join(", "));
                Err(invalid(&excerpt(name), problem))
            }
        }
    }
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
}
