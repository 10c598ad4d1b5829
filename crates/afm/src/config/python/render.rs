//! Turns values into text, as `str()` and `repr()` do.

use std::fmt::Write;

use super::budget::Budget;
use super::fault::Fault;
use super::value::Value;

/// Evaluates `str(value)`.
pub(super) fn to_text(value: &Value, budget: &mut Budget) -> Result<String, Fault> {
    match value {
        Value::Str(text) => {
            budget.text(text.len())?;
            Ok(text.to_string())
        }
        _ => repr(value, budget),
    }
}

/// Evaluates `repr(value)`.
pub(super) fn repr(value: &Value, budget: &mut Budget) -> Result<String, Fault> {
    let mut text = String::new();
    write_repr(value, &mut text, budget)?;
    Ok(text)
}

fn write_repr(value: &Value, out: &mut String, budget: &mut Budget) -> Result<(), Fault> {
    match value {
        Value::None => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Float(number) => out.push_str(&float(*number)),
        Value::Str(text) => quote(text, out)?,
        Value::List(items) => list(items.values(), ("[", "]"), out, budget)?,
        Value::Tuple(items) => {
            let end = if items.values().len() == 1 { ",)" } else { ")" };
            list(items.values(), ("(", end), out, budget)?;
        }
        Value::Dict(items) => {
            out.push('{');
            for (n, (key, value)) in items.pairs().enumerate() {
                out.push_str(if n == 0 { "" } else { ", " });
                write_repr(key, out, budget)?;
                out.push_str(": ");
                write_repr(value, out, budget)?;
            }
            out.push('}');
        }
        _ => return Err(Fault::unreadable(format!("{} is made a string here", value.kind()))),
    }
    // What it contains has been paid for already and is paid for again; the sum is bounded all the same.
    budget.text(out.len())
}

fn list(
    values: &[Value],
    (begin, end): (&str, &str),
    out: &mut String,
    budget: &mut Budget,
) -> Result<(), Fault> {
    out.push_str(begin);
    for (n, value) in values.iter().enumerate() {
        out.push_str(if n == 0 { "" } else { ", " });
        write_repr(value, out, budget)?;
    }
    out.push_str(end);
    Ok(())
}

/// Writes a string between quotes.
fn quote(text: &str, out: &mut String) -> Result<(), Fault> {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_ascii_control() => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if c.is_ascii() || c.is_alphanumeric() => out.push(c),
            // Whether Python shows it as it is depends on its table of characters.
            _ => return Err(Fault::unreadable("a string of special characters is shown in quotes here")),
        }
    }
    out.push(quote);
    Ok(())
}

/// Returns the shortest text that stands for this float, in Python's form.
pub(super) fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    // Rust and Python find the same digits. Python writes an exponent below 1e-4 and from 1e16 on.
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if number != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = number.to_string();
    if plain.contains('.') { plain } else { plain + ".0" }
}
