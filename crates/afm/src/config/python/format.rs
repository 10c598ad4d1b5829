//! Formats values by format specifications, `%` and `str.format`.

use super::arguments::CallArguments;
use super::budget::{Budget, LONGEST_TEXT};
use super::fault::{Exception, Fault};
use super::numbers::{to_float, truncate};
use super::render::{repr, to_text};
use super::value::Value;

/// Evaluates `format(value, spec)`, as a replacement field of an f-string does.
pub(super) fn format_value(value: &Value, spec: &str, budget: &mut Budget) -> Result<String, Fault> {
    if spec.is_empty() {
        return to_text(value, budget);
    }
    Spec::parse(spec)?.apply(value, budget)
}

/// A format specification: `[[fill]align][sign][0][width][,][.precision][type]`.
#[derive(Debug, Default)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    zero: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

impl Spec {
    fn parse(spec: &str) -> Result<Self, Fault> {
        let mut parsed = Self::default();
        let mut rest = spec;
        let is_align = |c: char| matches!(c, '<' | '>' | '^' | '=');
        let mut chars = rest.chars();
        match (chars.next(), chars.next()) {
            (Some(fill), Some(align)) if is_align(align) => {
                (parsed.fill, parsed.align) = (Some(fill), Some(align));
                rest = chars.as_str();
            }
            (Some(align), _) if is_align(align) => {
                parsed.align = Some(align);
                rest = &rest[1..];
            }
            _ => {}
        }
        parsed.sign = take(&mut rest, |c| matches!(c, '+' | '-' | ' '));
        parsed.zero = take(&mut rest, |c| c == '0').is_some();
        parsed.width = number(&mut rest)?.unwrap_or_default();
        parsed.grouping = take(&mut rest, |c| matches!(c, ',' | '_'));
        if take(&mut rest, |c| c == '.').is_some() {
            parsed.precision = number(&mut rest)?;
        }
        parsed.kind = take(&mut rest, |c| c.is_ascii_alphabetic());
        // Python also puts separators between the zeros that fill, which is not implemented.
        if rest.is_empty() && !(parsed.zero && parsed.grouping.is_some()) {
            Ok(parsed)
        } else {
            Err(Fault::unreadable("a format that is not simple is used here"))
        }
    }

    fn apply(&self, value: &Value, budget: &mut Budget) -> Result<String, Fault> {
        // This is the most that any of these formats can add.
        budget.text(self.width.saturating_add(self.precision.unwrap_or_default()).saturating_mul(4))?;
        match (value, self.kind) {
            (Value::Str(text), None | Some('s')) if self.sign.is_none() && self.grouping.is_none() => {
                let end = text.char_indices().nth(self.precision.unwrap_or(usize::MAX));
                let shown = &text[..end.map_or(text.len(), |(end, _)| end)];
                budget.text(shown.len())?;
                if self.align == Some('=') {
                    return Err(Fault::raises(Exception::Value, "'=' aligns numbers only"));
                }
                // A zero before the width fills text, and does not change its alignment.
                Ok(self.pad("", shown, '<'))
            }
            (Value::Int(_) | Value::Bool(_), Some('d')) | (Value::Int(_), None)
                if self.precision.is_none() =>
            {
                let number = value.integer().unwrap_or_default();
                Ok(self.number(number < 0, &group(&number.unsigned_abs().to_string(), self.grouping)))
            }
            (Value::Int(number), Some(kind @ ('x' | 'X' | 'o' | 'b')))
                if self.precision.is_none() && self.grouping.is_none() =>
            {
                let size = number.unsigned_abs();
                let digits = match kind {
                    'x' => format!("{size:x}"),
                    'X' => format!("{size:X}"),
                    'o' => format!("{size:o}"),
                    _ => format!("{size:b}"),
                };
                Ok(self.number(*number < 0, &digits))
            }
            (Value::Float(_) | Value::Int(_), Some('f' | 'F')) => {
                let float = match value {
                    Value::Float(float) => *float,
                    _ => to_float(value.integer().unwrap_or_default())?,
                };
                if !float.is_finite() {
                    return Err(Fault::unreadable("a number without end is formatted here"));
                }
                let digits = format!("{:.*}", self.precision.unwrap_or(6), float.abs());
                budget.text(digits.len().saturating_mul(2))?;
                let (whole, fraction) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
                Ok(self.number(float.is_sign_negative(), &(group(whole, self.grouping) + fraction)))
            }
            _ => Err(Fault::unreadable("a format that is not simple is used here")),
        }
    }

    fn number(&self, negative: bool, digits: &str) -> String {
        let sign = match (negative, self.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            (false, _) => "",
        };
        self.pad(sign, digits, '>')
    }

    /// Fills up to the width. With `=`, or with a zero for numbers, it fills between the sign and the digits.
    fn pad(&self, sign: &str, text: &str, usual: char) -> String {
        let missing = self.width.saturating_sub(sign.len() + text.chars().count());
        let is_number = usual == '>';
        let fill = self.fill.unwrap_or(if self.zero { '0' } else { ' ' });
        let align = self.align.unwrap_or(if self.zero && is_number { '=' } else { usual });
        let fill = |count: usize| fill.to_string().repeat(count);
        match align {
            '<' => format!("{sign}{text}{}", fill(missing)),
            '^' => format!("{}{sign}{text}{}", fill(missing / 2), fill(missing - missing / 2)),
            '=' => format!("{sign}{}{text}", fill(missing)),
            _ => format!("{}{sign}{text}", fill(missing)),
        }
    }
}

/// Returns digits with a separator between each three.
fn group(digits: &str, separator: Option<char>) -> String {
    let Some(separator) = separator else { return digits.to_owned() };
    let mut grouped = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            grouped.push(separator);
        }
        grouped.push(digit);
    }
    grouped
}

fn take(rest: &mut &str, fits: impl Fn(char) -> bool) -> Option<char> {
    let c = rest.chars().next().filter(|c| fits(*c))?;
    *rest = &rest[c.len_utf8()..];
    Some(c)
}

fn number(rest: &mut &str) -> Result<Option<usize>, Fault> {
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    *rest = after;
    if digits.is_empty() {
        return Ok(None);
    }
    match digits.parse::<usize>() {
        Ok(number) if number <= LONGEST_TEXT => Ok(Some(number)),
        _ => Err(Fault::unreadable("a format is wider here than settings need")),
    }
}

/// Evaluates `format % values`.
pub(super) fn percent(format: &str, values: &Value, budget: &mut Budget) -> Result<String, Fault> {
    let single = [values.clone()];
    let list: &[Value] = if let Value::Tuple(items) = values { items.values() } else { &single };
    let mut next = list.iter();
    let mut out = String::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        rest = after;
        if take(&mut rest, |c| c == '%').is_some() {
            out.push('%');
            continue;
        }
        let key = match rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            Some((key, after)) => {
                rest = after;
                Some(key)
            }
            None => None,
        };
        let mut spec = Spec { align: Some('>'), ..Spec::default() };
        while let Some(flag) = take(&mut rest, |c| matches!(c, '-' | '0' | '+' | ' ')) {
            match flag {
                '-' => spec.align = Some('<'),
                '0' => spec.zero = true,
                sign => spec.sign = Some(sign),
            }
        }
        spec.width = number(&mut rest)?.unwrap_or_default();
        if take(&mut rest, |c| c == '.').is_some() {
            spec.precision = Some(number(&mut rest)?.unwrap_or_default());
        }
        let kind = take(&mut rest, |c| matches!(c, 's' | 'r' | 'd' | 'i' | 'f' | 'F' | 'x' | 'X'));
        let value = match (key, values) {
            (Some(key), Value::Dict(items)) => Value::look_up(items, &Value::text(key, budget)?, budget)?
                .ok_or_else(|| Fault::raises(Exception::Key, "the dict has no such key"))?,
            (Some(_), _) => return Err(Fault::of_type("a format with names takes a dict")),
            (None, _) => next
                .next()
                .cloned()
                .ok_or_else(|| Fault::of_type("there are fewer values than the format has places"))?,
        };
        out.push_str(&percent_value(spec, kind, &value, budget)?);
        budget.text(out.len())?;
    }
    out.push_str(rest);
    budget.text(out.len())?;
    // Python does not check that all values are used if they could be looked up by name.
    let may_be_left = matches!(values, Value::Dict(_) | Value::List(_) | Value::Bytes(_));
    if next.next().is_some() && !may_be_left {
        return Err(Fault::of_type("there are more values than the format has places"));
    }
    Ok(out)
}

fn percent_value(
    mut spec: Spec,
    kind: Option<char>,
    value: &Value,
    budget: &mut Budget,
) -> Result<String, Fault> {
    let simple = || Fault::unreadable("a format that is not simple is used here");
    let is_left = spec.align == Some('<');
    match kind.ok_or_else(simple)? {
        kind @ ('s' | 'r') => {
            spec.zero = false;
            spec.sign = None;
            let text = if kind == 's' { to_text(value, budget)? } else { repr(value, budget)? };
            spec.apply(&Value::text(&text, budget)?, budget)
        }
        kind => {
            // Zeros are put between the sign and the digits, and nowhere else.
            spec.align = if is_left { Some('<') } else { None };
            spec.zero &= !is_left;
            spec.kind = Some(if kind == 'i' { 'd' } else { kind });
            let value = match (kind, value) {
                ('d' | 'i', Value::Float(float)) => truncate(*float)?,
                (_, Value::Bool(flag)) => Value::Int((*flag).into()),
                (_, Value::Int(_) | Value::Float(_)) => value.clone(),
                _ => return Err(Fault::of_type("a number is needed in a place of the format")),
            };
            if matches!(kind, 'd' | 'i' | 'x' | 'X') && spec.precision.is_some() {
                return Err(simple());
            }
            spec.apply(&value, budget)
        }
    }
}

/// Evaluates `format.format(…)`.
pub(super) fn braces(format: &str, arguments: &CallArguments, budget: &mut Budget) -> Result<String, Fault> {
    let wrong = |reason: &'static str| Fault::raises(Exception::Value, reason);
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let mut automatic = 0..;
    while let Some(c) = chars.next() {
        match c {
            '{' | '}' if chars.peek() == Some(&c) => {
                chars.next();
                out.push(c);
            }
            '}' => return Err(wrong("a format has a closing brace too many")),
            '{' => {
                let mut field = String::new();
                loop {
                    match chars.next() {
                        Some('}') => break,
                        Some('{') => {
                            return Err(Fault::unreadable("a format that is not simple is used here"));
                        }
                        Some(c) => field.push(c),
                        None => return Err(wrong("a brace of a format is never closed")),
                    }
                }
                let (field, spec) = field.split_once(':').unwrap_or((&field, ""));
                let (name, conversion) = field.split_once('!').unwrap_or((field, ""));
                let value = argument(name, arguments, &mut automatic)?;
                let shown = match conversion {
                    "" => format_value(value, spec, budget)?,
                    "s" | "r" => {
                        let text =
                            if conversion == "s" { to_text(value, budget) } else { repr(value, budget) };
                        format_value(&Value::text(&text?, budget)?, spec, budget)?
                    }
                    _ => return Err(Fault::unreadable("a format that is not simple is used here")),
                };
                out.push_str(&shown);
                budget.text(out.len())?;
            }
            c => out.push(c),
        }
    }
    budget.text(out.len())?;
    Ok(out)
}

fn argument<'a>(
    name: &str,
    arguments: &'a CallArguments,
    automatic: &mut impl Iterator<Item = usize>,
) -> Result<&'a Value, Fault> {
    if name.contains(['.', '[']) {
        return Err(Fault::unreadable("a format that is not simple is used here"));
    }
    let number = if name.is_empty() { automatic.next() } else { name.parse().ok() };
    match number {
        Some(number) => {
            let value = arguments.positional.get(number);
            value.ok_or_else(|| Fault::raises(Exception::Index, "a format has more places than values"))
        }
        None => {
            let named = arguments.keywords.iter().find(|(known, _)| known == name);
            let missing =
                || Fault::raises(Exception::Key, "a format has a place for which there is no value");
            named.map(|(_, value)| value).ok_or_else(missing)
        }
    }
}
