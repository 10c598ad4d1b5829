//! Makes numbers and timedeltas, and bounds their size.

use super::fault::{Exception, Fault};
use super::value::{Outcome, Value, whole};

/// Integers beyond this may change when they become floats.
const EXACT: u128 = 1 << 53;

/// The largest timedelta, in microseconds.
const MAX_TIMEDELTA: u128 = 1_000_000_000 * 86_400 * 1_000_000;

pub(super) fn too_large() -> Fault {
    Fault::unreadable("a number is larger here than settings need")
}

/// Returns an integer as a float, if that is the same number.
pub(super) fn to_float(number: i128) -> Result<f64, Fault> {
    if number.unsigned_abs() <= EXACT { Ok(number as f64) } else { Err(too_large()) }
}

pub(super) fn timedelta(micros: i128) -> Outcome {
    if micros.unsigned_abs() < MAX_TIMEDELTA {
        Ok(Value::Timedelta(micros))
    } else {
        Err(Fault::raises(Exception::Overflow, "a timedelta is longer than Python has them"))
    }
}

/// Says whether Python strips this character around a number or a word.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

pub(super) fn int(value: &Value) -> Outcome {
    match value {
        Value::Float(number) => truncate(*number),
        Value::Str(text) => {
            let wrong = || Fault::raises(Exception::Value, "a string that is made an integer is none");
            let text = text.trim_matches(is_space);
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            let whole = ungroup(digits).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
            if !text.is_ascii() {
                return Err(Fault::unreadable("digits of another script are made a number here"));
            }
            let whole = whole.filter(|digits| !digits.is_empty()).ok_or_else(wrong)?;
            let sign = if text.starts_with('-') { "-" } else { "" };
            let number = format!("{sign}{whole}").parse().map(Value::Int);
            number.map_err(|_| Fault::unreadable("a number is larger here than settings need"))
        }
        Value::Bytes(_) => Err(Fault::unreadable("bytes are made a number here")),
        _ => value.integer().map(Value::Int).ok_or_else(|| Fault::of_type("this is made no integer")),
    }
}

/// Returns a float without its fraction.
pub(super) fn truncate(number: f64) -> Outcome {
    if number.is_nan() {
        return Err(Fault::raises(Exception::Value, "what is not a number is made an integer"));
    }
    if number.is_infinite() {
        return Err(Fault::raises(Exception::Overflow, "infinity is made an integer"));
    }
    if number.abs() >= 1e38 {
        return Err(Fault::unreadable("a number is larger here than settings need"));
    }
    Ok(Value::Int(whole(number)))
}

pub(super) fn float(value: &Value) -> Outcome {
    match value {
        Value::Float(_) => Ok(value.clone()),
        Value::Str(text) => {
            let wrong = || Fault::raises(Exception::Value, "a string that is made a number is none");
            let text = text.trim_matches(is_space);
            if !text.is_ascii() {
                return Err(Fault::unreadable("digits of another script are made a number here"));
            }
            ungroup(text).and_then(|text| text.parse().ok()).map(Value::Float).ok_or_else(wrong)
        }
        Value::Bytes(_) => Err(Fault::unreadable("bytes are made a number here")),
        _ => {
            let number = value.integer().ok_or_else(|| Fault::of_type("this is made no number"))?;
            to_float(number).map(Value::Float)
        }
    }
}

/// Removes the underscores, each of which must be between two digits.
fn ungroup(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let is_digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let mut underscores = text.match_indices('_').map(|(at, _)| at);
    underscores
        .all(|at| is_digit(at.checked_sub(1)) && is_digit(at.checked_add(1)))
        .then(|| text.replace('_', ""))
}
