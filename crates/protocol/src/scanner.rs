//! Passes over the values in a JSON text, and checks them.
//!
//! Request bodies are mostly strings without escapes and integers, in objects that are not deep. These are
//! checked here, which takes about 60 % of the instructions that it takes with `serde_json`. Every other
//! value is left to that.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::value::Value;

/// The text is not JSON. Why it is not, `serde_json` can say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NotJson;

/// Objects are passed over here down to this level. The body, a field and a capability in it are three
/// levels.
const LEVELS: usize = 4;

/// A place in a text.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// How many objects and arrays it is in.
    level: usize,
}

impl<'a> Scanner<'a> {
    /// The start of a text.
    pub(crate) fn of(text: &'a str) -> Self {
        Self { text, at: 0, level: 0 }
    }

    /// Passes over a value, and checks it.
    pub(crate) fn value(&mut self) -> Result<Value<'a>, NotJson> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => match plain_integer_end(self.text.as_bytes(), start) {
                Some(end) => {
                    self.at = end;
                    Ok(Value::of(&self.text[start..end]))
                }
                None => self.any(),
            },
            Some(b'{') if self.level < LEVELS => self.object(|scanner, _| scanner.value().map(drop)),
            _ => self.any(),
        }
    }

    /// Does the same as [`Scanner::value`]. If the value is an object, `member` is given the name of each
    /// member, and passes over the value that follows.
    #[inline]
    pub(crate) fn members(
        &mut self,
        member: impl FnMut(&mut Self, Value<'a>) -> Result<(), NotJson>,
    ) -> Result<Value<'a>, NotJson> {
        if self.peek() == Some(b'{') { self.object(member) } else { self.value() }
    }

    /// Does the same as [`Scanner::value`]. If the value is an array, `element` passes over each of its
    /// elements.
    pub(crate) fn elements(
        &mut self,
        element: impl FnMut(&mut Self) -> Result<(), NotJson>,
    ) -> Result<Value<'a>, NotJson> {
        if self.peek() == Some(b'[') { self.list(b']', element) } else { self.value() }
    }

    /// Checks that nothing but white space follows.
    pub(crate) fn end(&mut self) -> Result<(), NotJson> {
        if self.peek().is_none() { Ok(()) } else { Err(NotJson) }
    }

    /// Passes over white space, and gives the byte that follows.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    #[inline]
    fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Value<'a>) -> Result<(), NotJson>,
    ) -> Result<Value<'a>, NotJson> {
        self.list(b'}', |scanner| {
            if scanner.peek() != Some(b'"') {
                return Err(NotJson);
            }
            let name = scanner.string()?;
            if scanner.peek() != Some(b':') {
                return Err(NotJson);
            }
            scanner.at += 1;
            member(scanner, name)
        })
    }

    /// Passes over an opening bracket, over items with commas between them, and over the closing bracket.
    #[inline]
    fn list(
        &mut self,
        closing: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), NotJson>,
    ) -> Result<Value<'a>, NotJson> {
        let start = self.at;
        self.at += 1;
        self.level += 1;
        if self.peek() != Some(closing) {
            loop {
                item(self)?;
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(byte) if byte == closing => break,
                    _ => return Err(NotJson),
                }
            }
        }
        self.at += 1;
        self.level -= 1;
        Ok(Value::of(&self.text[start..self.at]))
    }

    /// Passes over a string, which begins here.
    #[inline]
    fn string(&mut self) -> Result<Value<'a>, NotJson> {
        let start = self.at;
        match plain_string_end(self.text.as_bytes(), start) {
            Some(end) => {
                self.at = end;
                Ok(Value::unescaped(&self.text[start..end]))
            }
            None => self.any(),
        }
    }

    /// Passes over any value, which begins here.
    #[cold]
    fn any(&mut self) -> Result<Value<'a>, NotJson> {
        let mut deserializer = serde_json::Deserializer::from_str(&self.text[self.at..]);
        let value = <&RawValue>::deserialize(&mut deserializer).map_err(|_| NotJson)?;
        self.at += value.get().len();
        Ok(Value::of(value.get()))
    }
}

/// Finds the end of a string without escapes; `None` if it has one, or does not end.
#[inline]
fn plain_string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let within = bytes.get(start + 1..)?;
    let (eights, _) = within.as_chunks::<8>();
    let mut length = 0;
    for eight in eights {
        let not_plain = not_plain(u64::from_le_bytes(*eight));
        if not_plain != 0 {
            length += not_plain.trailing_zeros() as usize / 8;
            return (within[length] == b'"').then_some(start + length + 2);
        }
        length += 8;
    }
    length += within[length..].iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
    (within[length] == b'"').then_some(start + length + 2)
}

/// Marks, by their highest bits, those of eight bytes that do not stand for themselves in a string: quotes,
/// backslashes and control characters. Above the lowest mark there may be wrong ones, since the subtractions
/// borrow.
#[inline]
fn not_plain(eight: u64) -> u64 {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    let less_than = |bytes: u64, limit: u8| bytes.wrapping_sub(EACH * u64::from(limit)) & !bytes;
    let equal_to = |byte: u8| less_than(eight ^ (EACH * u64::from(byte)), 1);
    (less_than(eight, 0x20) | equal_to(b'"') | equal_to(b'\\')) & (EACH << 7)
}

/// Finds the end of an integer; `None` if it is another number, or none.
fn plain_integer_end(bytes: &[u8], start: usize) -> Option<usize> {
    let first = start + usize::from(bytes[start] == b'-');
    let mut end = first;
    while bytes.get(end).is_some_and(u8::is_ascii_digit) {
        end += 1;
    }
    let is_whole = match (end - first, bytes.get(end)) {
        (0, _) | (_, Some(b'.' | b'e' | b'E')) => false,
        (1, _) => true,
        _ => bytes[first] != b'0',
    };
    is_whole.then_some(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What may stand side by side in JSON, and much that may not.
    const PIECES: [&str; 40] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\n",
        "\t",
        "\u{c}",
        "\"",
        "\\",
        "\"a\"",
        "\"version\"",
        "\"é😀\"",
        "\"a\\nb\"",
        "\"\\u00e4\"",
        "\"\\ud800\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\u{1}\"",
        "0",
        "1",
        "-",
        "-0",
        "01",
        "7.5",
        "1.",
        "1e5",
        "1E+2",
        "1e",
        "+",
        "true",
        "false",
        "null",
        "nul",
        "{}",
        "[]",
        "{\"a\":1}",
        "\"a\":1",
    ];

    /// A value of which each part may be white space, plain or not.
    fn json() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec![
            "0",
            "-1",
            "12",
            "-0",
            "1.5",
            "1e-3",
            "true",
            "null",
            "\"\"",
            "\"wait\"",
            "\"a\\\\\"",
            "\"\\ud83d\\ude00\"",
            " 1 ",
            "\n\"é\"\t",
        ]);
        leaf.prop_map(str::to_owned).prop_recursive(8, 60, 6, |inner| {
            let name = prop::sample::select(vec!["\"a\"", "\"version\" ", " \"\\u0061\"", "\"\\ud800\""]);
            let member = (name, inner.clone()).prop_map(|(name, value)| format!("{name}:{value}"));
            prop_oneof![
                prop::collection::vec(inner, 0..6).prop_map(|values| format!("[{}]", values.join(","))),
                prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(", "))),
            ]
        })
    }

    /// Whether the text is JSON; asserts that `serde_json` judges it likewise.
    fn is_json(text: &str) -> bool {
        let known = serde_json::from_str::<&RawValue>(text).map(RawValue::get).ok();
        let mut scanner = Scanner::of(text);
        let value = scanner.value().and_then(|value| scanner.end().map(|()| value.text()));
        assert_eq!(value.ok(), known, "{text}");
        known.is_some()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

        #[test]
        fn what_is_json_is_passed_over_to_its_end(text in json()) {
            prop_assert!(is_json(&text));
        }

        #[test]
        fn what_is_json_but_for_a_piece_is_judged_as_serde_does(
            text in json(),
            piece in prop::sample::select(PIECES.to_vec()),
            at in any::<prop::sample::Index>(),
            is_put_in in any::<bool>(),
        ) {
            let (at, next) = match text.char_indices().nth(at.index(text.chars().count())) {
                Some((at, c)) => (at, at + c.len_utf8()),
                None => (text.len(), text.len()),
            };
            is_json(&format!("{}{piece}{}", &text[..at], &text[if is_put_in { at } else { next }..]));
            is_json(&text[..at]);
        }

        #[test]
        fn any_pieces_are_judged_as_serde_does(
            pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..8),
        ) {
            is_json(&pieces.concat());
        }
    }

    #[test]
    fn what_is_not_plain_is_seen_at_every_place_of_a_string() {
        for odd in
            ["\"", "\\", "\\n", "\u{0}", "\u{1f}", " ", "!", "#", "[", "]", "\u{7f}", "\u{80}", "é", "😀"]
        {
            for before in 0..20 {
                for after in 0..20 {
                    is_json(&format!("\"{}{odd}{}\"", "a".repeat(before), "ÿ".repeat(after)));
                }
            }
        }
    }

    #[test]
    fn nesting_has_no_end() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let text = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
            assert!(is_json(&text));
            assert!(!is_json(&text[..text.len() - 1]));
        }
    }
}
