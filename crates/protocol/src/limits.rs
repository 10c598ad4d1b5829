//! How long the texts of clients may be, and how much of them is shown.

use std::borrow::Cow;

/// How deep arrays and objects may be nested in task data and results.
///
/// The clients parse with recursive parsers (Python gives up near 1,000 levels, Jackson at 1,000), so a
/// deeper value would break whoever gets it.
pub(crate) const MAX_DEPTH: usize = 500;

/// How long names may be, and how many capabilities one agent may have. A server can set other limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest task type, or agent name, also that of an `agent_filter`, in bytes of UTF-8.
    pub name_bytes: usize,
    /// The most capabilities of one poll.
    pub capabilities: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { name_bytes: 1_024, capabilities: 1_000 }
    }
}

/// The most characters that a message quotes of a text that somebody else wrote.
pub const EXCERPT: usize = 200;

/// Cuts a text for a message, to at most [`EXCERPT`] characters; the last is `…` where it was cut.
#[must_use]
pub fn excerpt(text: &str) -> Cow<'_, str> {
    cut(text, EXCERPT)
}

/// Cuts a text like [`excerpt`], to half as much: for messages that may quote two texts.
pub(crate) fn half_excerpt(text: &str) -> Cow<'_, str> {
    cut(text, EXCERPT / 2)
}

fn cut(text: &str, most: usize) -> Cow<'_, str> {
    // No character takes less than a byte.
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let mut ends = text.char_indices().skip(most - 1);
    match (ends.next(), ends.next()) {
        (Some((end, _)), Some(_)) => Cow::Owned(format!("{}…", &text[..end])),
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_cut_between_characters_and_says_so() {
        for character in ["a", "ä", "😀"] {
            let longest = character.repeat(EXCERPT);
            assert_eq!(excerpt(&longest), longest);
            let cut = excerpt(&character.repeat(EXCERPT + 1)).into_owned();
            assert_eq!(cut, format!("{}…", character.repeat(EXCERPT - 1)));
            assert_eq!(excerpt(&character.repeat(100_000)), cut);
        }
        assert_eq!(excerpt(""), "");
    }
}
