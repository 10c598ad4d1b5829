//! Takes secrets out of what leaves the agent.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use serde_json::Value;

use super::BEGIN;
use crate::failure::Failure;
use crate::handler::Outcome;

/// What `encodeURIComponent` and its like leave as it is.
const UNRESERVED_STAYS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Where handlers have cut a text, so that there may be a part of a secret.
const CUT: char = '…';
/// A shorter part of a secret says too little to look for it: it would be found everywhere.
const SHORTEST_PART: usize = 3;

/// What is not to leave the agent.
#[derive(Default)]
pub(super) struct Hiding {
    /// Secrets, and what stands for each.
    names: BTreeMap<String, String>,
    /// How they may be written, and what stands for each.
    spellings: Vec<(String, String)>,
    /// Finds the spellings in their order; `None`: there are no secrets.
    finder: Option<AhoCorasick>,
}

impl Hiding {
    /// Hides secrets, given by name and value.
    pub(super) fn of<'a>(secrets: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let (mut names, mut spellings) = (BTreeMap::new(), Vec::new());
        for (name, value) in secrets {
            let name = format!("{BEGIN}{name}}}");
            spellings.extend(self::spellings(value).into_iter().map(|spelling| (spelling, name.clone())));
            names.insert(value.to_owned(), name);
        }
        let finder = AhoCorasick::builder()
            // One may be part of another.
            .match_kind(MatchKind::LeftmostLongest)
            .ascii_case_insensitive(true)
            .build(spellings.iter().map(|(spelling, _)| spelling));
        // It fails only where there are more secrets than fit into memory.
        let finder = finder.ok().filter(|_| !spellings.is_empty());
        Self { names, spellings, finder }
    }

    /// Replaces the secrets in a result, or in an error, by their names.
    pub(super) fn hide_in(&self, outcome: Outcome) -> Outcome {
        if self.finder.is_none() {
            return outcome;
        }
        match outcome {
            Ok(result) => {
                let value: Value = serde_json::from_str(result.get())?;
                let hidden = self.hide_value(value.clone());
                // Where there is none, it is left as it is: also the digits of its numbers.
                if hidden == value { Ok(result) } else { Ok(serde_json::value::to_raw_value(&hidden)?) }
            }
            Err(failure) => Err(Failure::new(self.hide(&failure.to_string()))),
        }
    }

    /// Replaces the secrets in all texts of a result, also in the names of its members, and numbers that are secrets.
    fn hide_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.hide(&text)),
            Value::Array(values) => values.into_iter().map(|value| self.hide_value(value)).collect(),
            Value::Object(values) => {
                values.into_iter().map(|(name, value)| (self.hide(&name), self.hide_value(value))).collect()
            }
            Value::Number(number) => match self.names.get(&number.to_string()) {
                Some(name) => Value::String(name.clone()),
                None => Value::Number(number),
            },
            Value::Null | Value::Bool(_) => value,
        }
    }

    /// Replaces the secrets in a text by their names.
    pub(super) fn hide(&self, text: &str) -> String {
        let Some(finder) = &self.finder else { return text.to_owned() };
        let mut hidden = String::with_capacity(text.len());
        finder.replace_all_with(text, &mut hidden, |found, _, hidden| {
            hidden.push_str(&self.spellings[found.pattern().as_usize()].1);
            true
        });
        if hidden.contains(CUT) { self.hide_parts(&hidden) } else { hidden }
    }

    /// Replaces what a text has of a secret before and after it was cut.
    fn hide_parts(&self, text: &str) -> String {
        let pieces: Vec<&str> = text.split(CUT).collect();
        let last = pieces.len() - 1;
        let mut hidden = Vec::with_capacity(pieces.len());
        for (index, piece) in pieces.into_iter().enumerate() {
            let (mut piece, mut before, mut after) = (piece, "", "");
            if index > 0
                && let Some((length, name)) = self.part(piece, |piece, part| piece.starts_with(part), false)
            {
                (piece, before) = (&piece[length..], name);
            }
            if index < last
                && let Some((length, name)) = self.part(piece, |piece, part| piece.ends_with(part), true)
            {
                (piece, after) = (&piece[..piece.len() - length], name);
            }
            hidden.push([before, piece, after].concat());
        }
        hidden.join(&CUT.to_string())
    }

    /// The longest part of a secret that a piece has: the beginning of the secret, or its end.
    fn part(
        &self,
        piece: &str,
        has: impl Fn(&str, &str) -> bool,
        is_beginning: bool,
    ) -> Option<(usize, &str)> {
        let parts = self.spellings.iter().filter_map(|(spelling, name)| {
            let mut cuts: Vec<usize> = spelling.char_indices().map(|(index, _)| index).skip(1).collect();
            let lengths = |cut: &usize| if is_beginning { *cut } else { spelling.len() - cut };
            cuts.sort_by_key(|cut| std::cmp::Reverse(lengths(cut)));
            let part = |cut: &usize| if is_beginning { &spelling[..*cut] } else { &spelling[*cut..] };
            let cut = cuts.into_iter().find(|cut| has(piece, part(cut)))?;
            let length = part(&cut).len();
            (length >= SHORTEST_PART).then_some((length, name.as_str()))
        });
        parts.max_by_key(|(length, _)| *length)
    }
}

/// How a secret may be written: as it is, with escapes as in a quoted text, with those of URLs, of HTML, and in base64. In
/// which case, does not count.
fn spellings(secret: &str) -> BTreeSet<String> {
    let quoted = Value::from(secret).to_string();
    let quoted = &quoted[1..quoted.len() - 1];
    let in_ascii = |text: &str| {
        let mut units = [0; 2];
        let escaped = |letter: char| match letter.is_ascii() {
            true => letter.to_string(),
            false => letter.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        };
        text.chars().map(escaped).collect::<String>()
    };
    let in_html = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut spellings = BTreeSet::from([
        secret.to_owned(),
        quoted.to_owned(),
        in_ascii(quoted),
        secret.escape_debug().to_string(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        utf8_percent_encode(secret, UNRESERVED_STAYS).to_string(),
        form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        in_html.replace('"', "&quot;").replace('\'', "&#39;"),
        in_html.replace('"', "&#34;").replace('\'', "&#39;"),
        in_html.replace('"', "&quot;").replace('\'', "&#x27;"),
        in_html,
    ]);
    spellings.extend(in_base64(secret.as_bytes()));
    // In a path and in a query other characters are left as they are.
    for before in ["http://h/", "http://h/?"] {
        let url = Url::parse(&format!("{before}{secret}")).map(String::from).unwrap_or_default();
        // Where it is taken for something else, such as `..`, there may be too little left to look for.
        if let Some(spelling) = url.strip_prefix(before).filter(|spelling| spelling.len() >= secret.len()) {
            spellings.insert(spelling.to_owned());
        }
    }
    spellings
}

/// What base64 makes of a secret alone, wherever it stands, as after `user:`; the letters at both ends, which also say
/// something else, are left out.
fn in_base64(secret: &[u8]) -> impl Iterator<Item = String> {
    let standing = (0..3).map(move |before| {
        let whole = [&[0; 2][..before], secret].concat();
        (before * 8).div_ceil(6)..whole.len() * 8 / 6
    });
    let written: Vec<String> = standing
        .enumerate()
        .flat_map(|(before, letters)| {
            let whole = [&[0; 2][..before], secret].concat();
            [STANDARD.encode(&whole), URL_SAFE.encode(&whole)]
                .map(|text| text.get(letters.clone()).map(str::to_owned))
        })
        .flatten()
        .collect();
    // Less than four letters are found everywhere.
    written.into_iter().filter(|text| text.len() >= 4)
}
