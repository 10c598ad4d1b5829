//! Strings and bytes.

use super::{Fault, Reader, Value};

impl Reader<'_> {
    /// Whether a string literal, with or without a prefix, comes next.
    pub(in crate::config) fn string_ahead(&self) -> bool {
        let prefix =
            self.rest.find(['"', '\'']).filter(|length| *length <= 2).map(|length| &self.rest[..length]);
        prefix.is_some_and(|prefix| {
            ["", "u", "r", "b", "br", "rb"].iter().any(|known| prefix.eq_ignore_ascii_case(known))
        })
    }

    /// Reads a string, and those that stand next to it, as one.
    pub(in crate::config) fn strings(&mut self) -> Result<Value, Fault> {
        let (mut whole, bytes) = self.string()?;
        loop {
            self.blank();
            if !self.string_ahead() {
                return Ok(if bytes { Value::Other("bytes") } else { Value::Str(whole) });
            }
            let (more, more_bytes) = self.string()?;
            if bytes != more_bytes {
                return self.fault("bytes and text cannot be joined");
            }
            whole.push_str(&more);
        }
    }

    /// Reads one string literal; true stands for bytes, whose escapes are left as they are, since no key takes bytes.
    fn string(&mut self) -> Result<(String, bool), Fault> {
        let start = self.line;
        let unfinished = || Fault { line: start, reason: "a string is never closed" };
        let prefix = self.take_while(|c| c.is_ascii_alphabetic()).to_ascii_lowercase();
        let bytes = prefix.contains('b');
        let raw = bytes || prefix.contains('r');
        let quote = if self.eat("\"") {
            "\""
        } else {
            self.bump();
            "'"
        };
        let triple = quote.repeat(3);
        let (long, end) = if self.eat(&triple[1..]) { (true, &*triple) } else { (false, quote) };

        let mut text = String::new();
        while !self.eat(end) {
            match self.bump() {
                None => return Err(unfinished()),
                Some('\n') if !long => return Err(unfinished()),
                Some('\\') if raw => {
                    text.push('\\');
                    text.push(self.bump().ok_or_else(unfinished)?);
                }
                Some('\\') => self.escape(&mut text)?,
                Some(c) => text.push(c),
            }
        }
        if bytes && !text.is_ascii() {
            return self.fault("bytes can only hold ASCII characters");
        }
        Ok((text, bytes))
    }

    /// Reads what follows a backslash.
    fn escape(&mut self, text: &mut String) -> Result<(), Fault> {
        let c = match self.bump() {
            None => return self.fault("a string is never closed"),
            Some('\n') => return Ok(()),
            Some(c @ ('\\' | '\'' | '"')) => c,
            Some('a') => '\x07',
            Some('b') => '\x08',
            Some('f') => '\x0c',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\x0b',
            Some('x') => self.code_point(2)?,
            Some('u') => self.code_point(4)?,
            Some('U') => self.code_point(8)?,
            Some('N') => return self.fault("\\N{...} is not supported: write the character itself"),
            Some(first @ '0'..='7') => {
                let mut code = first as u32 - '0' as u32;
                for _ in 0..2 {
                    let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else { break };
                    code = code * 8 + digit;
                    self.bump();
                }
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            Some(other) => {
                // Python keeps a backslash that means nothing.
                text.push('\\');
                other
            }
        };
        text.push(c);
        Ok(())
    }

    fn code_point(&mut self, digits: usize) -> Result<char, Fault> {
        let code = self.rest.get(..digits).filter(|code| code.bytes().all(|c| c.is_ascii_hexdigit()));
        let found = code.and_then(|code| char::from_u32(u32::from_str_radix(code, 16).ok()?));
        match found {
            Some(c) => {
                self.rest = &self.rest[digits..];
                Ok(c)
            }
            None => self.fault("an escape in a string names no character"),
        }
    }
}
