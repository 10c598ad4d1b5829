//! Objects that name a key more than once: `{"a":1,"a":2}` says `{"a":2}`.
//!
//! A Python dict keeps the last value in the place of the first, and so does this. Numbers and strings stay
//! as they are written.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::tokens::{Token, Tokens, decoded};
use crate::limits::MAX_DEPTH;

pub(super) enum Keys {
    Unique,
    Repeated,
    TooDeep,
}

/// Looks whether any object in `text`, which must be valid JSON, repeats a key.
pub(super) fn look_for(text: &str) -> Keys {
    // The keys of all objects that are open. Each level remembers where its own keys begin.
    let mut keys: Vec<Cow<'_, [u8]>> = Vec::new();
    let mut levels: Vec<(u8, usize)> = Vec::new();
    let mut repeated = false;
    let mut at_key = false;
    for token in Tokens::of(text) {
        match token {
            Token::Open(kind) => {
                if levels.len() == MAX_DEPTH {
                    return Keys::TooDeep;
                }
                levels.push((kind, keys.len()));
                at_key = kind == b'{';
            }
            Token::Close => {
                let (_, first) = levels.pop().unwrap_or_default();
                repeated = repeated || any_equal(&mut keys[first..]);
                keys.truncate(first);
            }
            Token::Comma => at_key = levels.last().is_some_and(|(kind, _)| *kind == b'{'),
            Token::Colon => at_key = false,
            Token::String(literal) if at_key => keys.push(decoded(literal)),
            Token::String(_) | Token::Scalar(_) => {}
        }
    }
    if repeated { Keys::Repeated } else { Keys::Unique }
}

fn any_equal(keys: &mut [Cow<'_, [u8]>]) -> bool {
    if let [a, b] = keys {
        return a == b;
    }
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

/// Drops all but the last of repeated keys from `text`, whose depth must be bounded; white space goes too.
pub(super) fn drop_all_but_last(text: &str) -> String {
    let mut tokens = Tokens::of(text);
    let mut out = String::with_capacity(text.len());
    if let Some(value) = tokens.next().and_then(|token| Value::read(token, &mut tokens)) {
        value.write(&mut out);
    }
    out
}

enum Value<'a> {
    /// Anything but an array or an object, as it is written.
    Leaf(&'a str),
    Array(Vec<Value<'a>>),
    /// The members, with their keys as they are written.
    Object(Vec<(&'a str, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// Reads a value that starts with `token`; `None` if no value does.
    fn read(token: Token<'a>, tokens: &mut Tokens<'a>) -> Option<Self> {
        match token {
            Token::String(text) | Token::Scalar(text) => Some(Self::Leaf(text)),
            Token::Open(b'{') => Some(Self::read_object(tokens)),
            Token::Open(_) => Some(Self::read_array(tokens)),
            Token::Close | Token::Colon | Token::Comma => None,
        }
    }

    fn read_array(tokens: &mut Tokens<'a>) -> Self {
        let mut values = Vec::new();
        while let Some(token) = tokens.next().filter(|token| *token != Token::Close) {
            values.extend(Self::read(token, tokens));
        }
        Self::Array(values)
    }

    fn read_object(tokens: &mut Tokens<'a>) -> Self {
        let mut members: Vec<(&str, Self)> = Vec::new();
        let mut places: HashMap<Cow<'_, [u8]>, usize> = HashMap::new();
        while let Some(token) = tokens.next().filter(|token| *token != Token::Close) {
            let Token::String(key) = token else { continue };
            tokens.next(); // the colon
            let Some(value) = tokens.next().and_then(|token| Self::read(token, tokens)) else { break };
            match places.entry(decoded(key)) {
                Entry::Occupied(place) => members[*place.get()] = (key, value),
                Entry::Vacant(place) => {
                    place.insert(members.len());
                    members.push((key, value));
                }
            }
        }
        Self::Object(members)
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Leaf(text) => out.push_str(text),
            Self::Array(values) => {
                out.push('[');
                for (n, value) in values.iter().enumerate() {
                    out.push_str(if n > 0 { "," } else { "" });
                    value.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (n, (key, value)) in members.iter().enumerate() {
                    out.push_str(if n > 0 { "," } else { "" });
                    out.push_str(key);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}
