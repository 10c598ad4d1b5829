//! Regular expressions, and how long they may take.

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Hir, HirKind};

/// A regular expression has no more bytes once it is compiled.
const LARGEST: usize = 1 << 20;
/// The length of the regular expressions that a body is compared with, times its bytes, is at most this. The time of a
/// comparison grows with both, up to 50 ns (measured) for one of each: so that the worst ends within seconds.
const MOST_WORK: u64 = 1 << 27;

/// Reads a regular expression; the problem is one line.
pub(in crate::handlers) fn compile(regex: &str) -> Result<Regex, String> {
    RegexBuilder::new(regex).size_limit(LARGEST).build().map_err(|error| {
        let text = error.to_string();
        let problem = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("is no regular expression: {problem}")
    })
}

/// How many bytes a body may have that is compared with regular expressions.
pub(super) fn largest_body<'a>(regexes: impl IntoIterator<Item = &'a str>) -> u64 {
    let lengths = regexes.into_iter().filter_map(|regex| regex_syntax::parse(regex).ok());
    let length = lengths.map(|parsed| length(&parsed)).fold(0, u64::saturating_add);
    MOST_WORK / length.max(1)
}

/// How many characters a regular expression has, each as often as it may be repeated: so many places in it have to be
/// remembered at the same time, whatever the characters are.
fn length(parsed: &Hir) -> u64 {
    match parsed.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(_) => 1,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Capture(capture) => 1 + length(&capture.sub),
        HirKind::Repetition(repeated) => {
            let most = repeated.max.unwrap_or(repeated.min).max(1);
            length(&repeated.sub).saturating_mul(u64::from(most))
        }
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(length).fold(0, u64::saturating_add)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_a_regular_expression_the_shorter_the_body() {
        for (regex, expected) in [
            ("", 1),
            ("abc", 3),
            ("ü", 2),
            (r"\w+", 1),
            ("(?:[ab]|cd){2,50}", 150),
            (r"\bx{7,}", 8),
            ("(a{1,41}){1,41}", 42 * 41),
            ("(?:(?:a{1000}){1000}){1000}", 1_000_000_000),
        ] {
            assert_eq!(length(&regex_syntax::parse(regex).unwrap()), expected, "{regex}");
        }
        assert_eq!(largest_body([]), MOST_WORK);
        assert_eq!(largest_body(["a{100}", "b{28}"]), 1 << 20);
        assert_eq!(largest_body(["(?:(?:(?:(?:a{1000}){1000}){1000}){1000}){1000}"]), 0);
    }
}
