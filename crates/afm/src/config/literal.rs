//! Python literals, as far as a configuration file needs them.
//!
//! The `py_literal` crate reads neither products, parentheses, triple quotes, raw strings nor line ends inside
//! brackets, and takes `007` for 7, which Python refuses. What it does read is the smaller half of this file.

mod number;
mod string;
#[cfg(test)]
mod tests;

use super::log_level;

/// Brackets deeper than this are refused, so that no file can exhaust the stack.
const MAX_DEPTH: usize = 50;

/// A Python value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(String),
    /// A value that no key takes, by the name of its type: only its end in the file matters.
    Other(&'static str),
}

/// Why a text cannot be read. The reason never quotes the text: it may hold a password.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) reason: &'static str,
}

/// Walks over Python source that has `\n` line ends.
pub(super) struct Reader<'a> {
    rest: &'a str,
    line: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self { rest: source, line: 1, depth: 0 }
    }

    /// The line the reader stands in, from 1.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    pub(super) fn fault<T>(&self, reason: &'static str) -> Result<T, Fault> {
        Err(Fault { line: self.line, reason })
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        self.line += usize::from(c == '\n');
        Some(c)
    }

    pub(super) fn eat(&mut self, text: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(text) else { return false };
        self.line += text.matches('\n').count();
        self.rest = rest;
        true
    }

    /// Takes characters for as long as they fit.
    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Passes over blanks, comments, joined lines and, inside brackets, line ends.
    pub(super) fn blank(&mut self) {
        loop {
            self.take_while(|c| matches!(c, ' ' | '\t' | '\x0c'));
            match self.peek() {
                Some('#') => drop(self.take_while(|c| c != '\n')),
                Some('\n') if self.depth > 0 => drop(self.bump()),
                Some('\\') if self.eat("\\\n") => {}
                _ => return,
            }
        }
    }

    /// Takes a name, dots not included.
    pub(super) fn name(&mut self) -> Option<&'a str> {
        let name_ahead = self.peek().is_some_and(|c| c.is_alphabetic() || c == '_');
        name_ahead.then(|| self.take_while(|c| c.is_alphanumeric() || c == '_'))
    }

    /// Passes over the rest of a statement, including line ends inside parentheses.
    pub(super) fn skip_statement(&mut self) {
        loop {
            self.blank();
            match self.peek() {
                Some('(') => self.depth += 1,
                Some(')') => self.depth = self.depth.saturating_sub(1),
                Some('\n' | ';') if self.depth == 0 => return,
                None => break,
                Some(_) => {}
            }
            self.bump();
        }
        self.depth = 0;
    }

    /// Reads a value: a literal, or a product of numbers.
    pub(super) fn value(&mut self) -> Result<Value, Fault> {
        let mut product = self.signed()?;
        loop {
            self.blank();
            if !self.eat("*") {
                return Ok(product);
            }
            self.blank();
            product = match (product, self.signed()?) {
                (Value::Int(a), Value::Int(b)) => match a.checked_mul(b) {
                    Some(n) => Value::Int(n),
                    None => return self.fault("the product is too large"),
                },
                (Value::Int(a), Value::Float(b)) => Value::Float(a as f64 * b),
                (Value::Float(a), Value::Int(b)) => Value::Float(a * b as f64),
                (Value::Float(a), Value::Float(b)) => Value::Float(a * b),
                _ => return self.fault("only numbers can be multiplied"),
            };
        }
    }

    fn signed(&mut self) -> Result<Value, Fault> {
        let mut sign = None;
        while let Some(c @ ('+' | '-')) = self.peek() {
            self.bump();
            self.blank();
            sign = Some(sign.unwrap_or(1) * if c == '-' { -1 } else { 1 });
        }
        match (sign, self.atom()?) {
            (None, value) => Ok(value),
            (Some(sign), Value::Int(n)) => match n.checked_mul(sign) {
                Some(n) => Ok(Value::Int(n)),
                None => self.fault("the number is too large"),
            },
            (Some(sign), Value::Float(f)) => Ok(Value::Float(f * sign as f64)),
            (Some(_), _) => self.fault("only a number can have a sign"),
        }
    }

    fn atom(&mut self) -> Result<Value, Fault> {
        if self.string_ahead() {
            return self.strings();
        }
        match self.peek() {
            Some('(') => self.tuple_or_group(),
            Some('[') => self.bracketed('[', ']', |items| {
                while items.peek() != Some(']') {
                    items.value()?;
                    items.comma_or(']')?;
                }
                Ok(Value::Other("a list"))
            }),
            Some('{') => self.bracketed('{', '}', Self::dict_or_set),
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            _ => self.word(),
        }
    }

    fn bracketed(
        &mut self,
        open: char,
        close: char,
        body: impl FnOnce(&mut Self) -> Result<Value, Fault>,
    ) -> Result<Value, Fault> {
        let start = self.line;
        if self.depth == MAX_DEPTH {
            return self.fault("brackets are nested too deeply");
        }
        self.depth += 1;
        debug_assert_eq!(self.peek(), Some(open));
        self.bump();
        self.blank();
        let value = body(self).map_err(|fault| match self.rest {
            "" => Fault { line: start, reason: "a bracket is never closed" },
            _ => fault,
        })?;
        self.depth -= 1;
        if self.bump() == Some(close) { Ok(value) } else { self.fault("expected a closing bracket") }
    }

    fn comma_or(&mut self, close: char) -> Result<(), Fault> {
        self.blank();
        if self.eat(",") {
            self.blank();
        } else if self.peek() != Some(close) {
            return self.fault("expected a comma or a closing bracket");
        }
        Ok(())
    }

    fn tuple_or_group(&mut self) -> Result<Value, Fault> {
        self.bracketed('(', ')', |items| {
            if items.peek() == Some(')') {
                return Ok(Value::Other("a tuple"));
            }
            let first = items.value()?;
            if items.peek() == Some(')') {
                return Ok(first);
            }
            items.comma_or(')')?;
            while items.peek() != Some(')') {
                items.value()?;
                items.comma_or(')')?;
            }
            Ok(Value::Other("a tuple"))
        })
    }

    fn dict_or_set(&mut self) -> Result<Value, Fault> {
        let mut kind = None;
        while self.peek() != Some('}') {
            self.value()?;
            let pair = self.eat(":");
            if pair {
                self.blank();
                self.value()?;
            }
            if *kind.get_or_insert(pair) != pair {
                return self.fault("neither a dict nor a set");
            }
            self.comma_or('}')?;
        }
        Ok(Value::Other(if kind.unwrap_or(true) { "a dict" } else { "a set" }))
    }

    fn word(&mut self) -> Result<Value, Fault> {
        let word = self.name();
        let value = match word {
            Some("None") => Some(Value::None),
            Some("True" | "true") => Some(Value::Bool(true)),
            Some("False" | "false") => Some(Value::Bool(false)),
            // Flask files set LOG_LEVEL this way. The constants of Python's logging are plain numbers.
            Some("logging") if self.eat(".") => {
                self.name().and_then(log_level::constant).map(|level| Value::Int(level.into()))
            }
            _ => None,
        };
        match value {
            Some(value) => Ok(value),
            None => self.fault("expected a literal: a number, a quoted string, True, False or None"),
        }
    }
}
