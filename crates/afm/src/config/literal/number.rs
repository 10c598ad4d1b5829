//! Numbers.

use super::{Fault, Reader, Value};

impl Reader<'_> {
    pub(super) fn number(&mut self) -> Result<Value, Fault> {
        let start = self.rest;
        let mut before = ' ';
        while let Some(c) = self.peek() {
            let exponent_sign = matches!(c, '+' | '-') && matches!(before, 'e' | 'E');
            if !(c.is_alphanumeric() || matches!(c, '_' | '.') || exponent_sign) {
                break;
            }
            before = c;
            self.bump();
        }
        match number(&start[..start.len() - self.rest.len()]) {
            Some(value) => Ok(value),
            None => self.fault("this is not a number Python reads, or it is too large"),
        }
    }
}

fn number(text: &str) -> Option<Value> {
    let text = text.to_ascii_lowercase();
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let digits = digits.strip_prefix('_').unwrap_or(digits);
            return i128::from_str_radix(&ungroup(digits, radix)?, radix).ok().map(Value::Int);
        }
    }
    let text = ungroup(&text, 10)?;
    if text.bytes().all(|c| c.is_ascii_digit()) {
        let old_octal = text.starts_with('0') && text.bytes().any(|c| c != b'0');
        return if old_octal { None } else { text.parse().ok().map(Value::Int) };
    }
    text.parse().ok().map(Value::Float)
}

/// Takes out the underscores, each of which must stand between two digits.
fn ungroup(text: &str, radix: u32) -> Option<String> {
    let digits = |part: Option<char>| part.is_some_and(|c| c.is_digit(radix));
    let mut parts = text.split('_').peekable();
    while let Some(part) = parts.next() {
        if let Some(next) = parts.peek()
            && !(digits(part.chars().next_back()) && digits(next.chars().next()))
        {
            return None;
        }
    }
    Some(text.replace('_', ""))
}
