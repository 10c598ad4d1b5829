//! Splits valid JSON into its tokens, without recursion and without copying.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Visitor};

/// One token. A string comes with its quotes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Token<'a> {
    /// `{` or `[`
    Open(u8),
    /// `}` or `]`
    Close,
    Colon,
    Comma,
    String(&'a str),
    /// A number, `true`, `false` or `null`.
    Scalar(&'a str),
}

/// The tokens of a valid JSON text.
pub(super) struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn string_end(&self, start: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        while at < bytes.len() {
            match bytes[at] {
                b'"' => return at + 1,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        bytes.len()
    }

    fn scalar_end(&self, start: usize) -> usize {
        let rest = &self.text.as_bytes()[start..];
        let is_end = |b: &u8| matches!(b, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t' | b':');
        rest.iter().position(is_end).map_or(self.text.len(), |n| start + n)
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        let start = self.at;
        let (token, end) = match *bytes.get(start)? {
            open @ (b'{' | b'[') => (Token::Open(open), start + 1),
            b'}' | b']' => (Token::Close, start + 1),
            b':' => (Token::Colon, start + 1),
            b',' => (Token::Comma, start + 1),
            b'"' => {
                let end = self.string_end(start);
                (Token::String(&self.text[start..end]), end)
            }
            _ => {
                let end = self.scalar_end(start);
                (Token::Scalar(&self.text[start..end]), end)
            }
        };
        self.at = end;
        Some(token)
    }
}

/// Decodes a string literal, to bytes: JSON can write a lone surrogate, which UTF-8 cannot hold.
pub(super) fn decoded(literal: &str) -> Cow<'_, [u8]> {
    let inner = &literal.as_bytes()[1..literal.len() - 1];
    if !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    serde_json::Deserializer::from_str(literal)
        .deserialize_bytes(Bytes)
        .map_or(Cow::Borrowed(inner), Cow::Owned)
}

struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }
}
