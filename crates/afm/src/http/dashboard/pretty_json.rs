//! Writes the JSON of clients with line breaks, and says nothing else than they said.

/// Characters that turn the direction of a text around, or that nobody sees. Within a JSON string an escape
/// says the same.
pub(crate) fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// JSON text, written for people.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pretty {
    pub(super) text: String,
    /// Whether it was cut at its end.
    pub(super) is_cut: bool,
}

/// Writes a JSON text on several lines, and cuts it after `most` bytes. Numbers and strings stay as they are
/// written.
pub(super) fn pretty(json: &str, most: usize) -> Pretty {
    let mut out = String::with_capacity(json.len().min(most) * 2);
    let mut depth = 0_usize;
    let mut characters = json.chars().peekable();
    let mut in_string = false;
    while let Some(c) = characters.next() {
        if out.len() >= most {
            return Pretty { text: out, is_cut: true };
        }
        if in_string {
            match c {
                '\\' => {
                    out.push(c);
                    out.extend(characters.next());
                }
                '"' => {
                    in_string = false;
                    out.push(c);
                }
                c if is_unseen(c) => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => out.push(c),
            }
            continue;
        }
        match c {
            '"' => {
                in_string = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                while characters.next_if(|c| c.is_whitespace()).is_some() {}
                if let Some(end) = characters.next_if(|c| matches!(c, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_whitespace() => {}
            c => out.push(c),
        }
    }
    Pretty { text: out, is_cut: false }
}

/// Very deep values are indented no further, since their lines would have nothing else on them.
const MOST_INDENTED: usize = 40;

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    for _ in 0..depth.min(MOST_INDENTED) {
        out.push_str("  ");
    }
}

/// Reads a JSON string for people; any other text stays as it is.
pub(super) fn plain(json: &str) -> String {
    serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_the_same() {
        let json = r#"{"a":1.50,"b": [ 1,{"c":"x\"y, {z}\\"},[] , {}],"n":123456789012345678901234567890}"#;
        let expected = "{\n  \"a\": 1.50,\n  \"b\": [\n    1,\n    {\n      \"c\": \"x\\\"y, {z}\\\\\"\n    },\n    \
                        [],\n    {}\n  ],\n  \"n\": 123456789012345678901234567890\n}";
        assert_eq!(pretty(json, 10_000), Pretty { text: expected.to_owned(), is_cut: false });
    }

    #[test]
    fn what_nobody_sees_is_escaped() {
        let json = "{\"a\":\"x\u{202e}y\u{200b}\u{e0041}\"}";
        assert_eq!(pretty(json, 100).text, "{\n  \"a\": \"x\\u202ey\\u200b\\udb40\\udc41\"\n}");
    }

    #[test]
    fn it_is_bounded() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        assert!(pretty(&deep, usize::MAX).text.len() < 100_000);
        let cut = pretty(&format!("{{\"a\":\"{}\"}}", "😀".repeat(1_000)), 100);
        assert!(cut.is_cut && cut.text.len() < 110);
    }
}
