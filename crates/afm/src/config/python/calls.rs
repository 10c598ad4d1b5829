//! Calls the functions that are on the list.

use std::cmp::Ordering;

use super::arguments::CallArguments;
use super::fault::{Exception, Fault};
use super::function::Function;
use super::interpreter::Interpreter;
use super::numbers::{float, int, timedelta, truncate};
use super::paths;
use super::render::to_text;
use super::value::{Items, Outcome, Value, index, whole};

impl Interpreter<'_> {
    pub(super) fn call(&mut self, function: Function, arguments: CallArguments) -> Outcome {
        let text = match function {
            Function::Abs => return absolute(&arguments.one()?),
            Function::Bool => {
                let [value] = arguments.bind([""], 0)?;
                return value.map_or(Ok(false), |value| value.is_true()).map(Value::Bool);
            }
            Function::Dict => {
                if !arguments.positional.is_empty() {
                    return Err(Fault::unreadable("a dict is copied here"));
                }
                let pairs = arguments.keywords.into_iter();
                let flat = pairs.flat_map(|(name, value)| [Value::Str(name.into()), value]).collect();
                return Ok(Value::Dict(Items::new(flat, &mut self.budget)?));
            }
            Function::Float => {
                let [value] = arguments.bind([""], 0)?;
                return float(&value.unwrap_or(Value::Float(0.0)));
            }
            Function::Int => {
                let [value, base] = arguments.bind(["", "base"], 0)?;
                if base.is_some() {
                    return Err(Fault::unreadable("a number is read in another base here"));
                }
                return int(&value.unwrap_or(Value::Int(0)));
            }
            Function::Len => return length(&arguments.one()?),
            Function::List | Function::Tuple => {
                let [value] = arguments.bind([""], 0)?;
                let values = match &value {
                    None => Vec::new(),
                    Some(Value::List(items) | Value::Tuple(items)) => items.values().to_vec(),
                    Some(_) => return Err(Fault::unreadable("a list or tuple is made of its like only")),
                };
                let items = Items::new(values, &mut self.budget)?;
                return Ok(if function == Function::List { Value::List(items) } else { Value::Tuple(items) });
            }
            Function::Max | Function::Min => return extreme(function, &arguments),
            Function::Str => {
                let [value, encoding, errors] = arguments.bind(["object", "encoding", "errors"], 0)?;
                if encoding.is_some() || errors.is_some() {
                    return Err(Fault::unreadable("bytes are made a string here"));
                }
                value.map_or(Ok(String::new()), |value| to_text(&value, &mut self.budget))?
            }
            Function::Getenv => {
                let [key, default] = arguments.bind(["key", "default"], 1)?;
                let key = key.unwrap_or(Value::None);
                return Ok(self.variable(&key)?.or(default).unwrap_or(Value::None));
            }
            Function::Timedelta => return new_timedelta(arguments),
            Function::Quote | Function::QuotePlus => {
                let [value, safe] = arguments.bind(["string", "safe"], 1)?;
                let value = value.unwrap_or(Value::None);
                if let Value::Str(text) = &value {
                    self.budget.text(text.len().saturating_mul(3))?;
                }
                let plus = function == Function::QuotePlus;
                return match safe {
                    None => paths::quote(&value, if plus { "" } else { "/" }, plus),
                    Some(Value::Str(safe)) => paths::quote(&value, &safe, plus),
                    Some(_) => Err(Fault::of_type("the safe characters are a string")),
                };
            }
            Function::Getcwd => {
                let [] = arguments.bind([], 0)?;
                paths::getcwd()?
            }
            Function::Abspath => paths::abspath(&arguments.one_text()?)?,
            Function::Basename => paths::basename(&arguments.one_text()?).to_owned(),
            Function::Dirname => paths::dirname(&arguments.one_text()?).to_owned(),
            Function::Expanduser => {
                let path = arguments.one_text()?;
                let home =
                    if path.starts_with('~') { self.variable(&Value::Str("HOME".into()))? } else { None };
                paths::expanduser(
                    &path,
                    if let Some(Value::Str(home)) = home { Some(home.to_string()) } else { None },
                )?
            }
            Function::Join => {
                if arguments.positional.is_empty() || !arguments.keywords.is_empty() {
                    return Err(Fault::of_type("a path is joined of strings"));
                }
                let lengths = arguments.positional.iter().map(|part| match part {
                    Value::Str(text) => text.len() + 1,
                    _ => 0,
                });
                self.budget.text(lengths.sum())?;
                paths::join(&arguments.positional)?
            }
            Function::Normpath => paths::normpath(&arguments.one_text()?),
            Function::Realpath => paths::realpath(&arguments.one_text()?)?,
        };
        Value::text(&text, &mut self.budget)
    }
}

fn absolute(value: &Value) -> Outcome {
    match value {
        Value::Float(number) => Ok(Value::Float(number.abs())),
        Value::Timedelta(micros) => timedelta(micros.abs()),
        _ => {
            let number =
                value.integer().ok_or_else(|| Fault::of_type("only a number has an absolute value"))?;
            let number = number.checked_abs().map(Value::Int);
            number.ok_or_else(|| Fault::unreadable("a number is larger here than settings need"))
        }
    }
}

fn length(value: &Value) -> Outcome {
    let length = match value {
        Value::Str(text) => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Dict(items) => items.values().len() / 2,
        Value::Tuple(items) | Value::List(items) | Value::Set(items) => items.values().len(),
        Value::Environ => return Err(Fault::unreadable("the whole environment is looked at here")),
        _ => return Err(Fault::of_type("this has no length")),
    };
    Ok(Value::Int(length as i128))
}

fn extreme(function: Function, arguments: &CallArguments) -> Outcome {
    if !arguments.keywords.is_empty() {
        return Err(Fault::unreadable("max and min are called with more than values here"));
    }
    let values = match arguments.positional.as_slice() {
        [Value::List(items) | Value::Tuple(items)] => items.values(),
        [_] => return Err(Fault::unreadable("max and min take numbers here")),
        values => values,
    };
    let Some((first, rest)) = values.split_first() else {
        return Err(Fault::raises(Exception::Value, "max or min of nothing"));
    };
    let mut found = first;
    for value in rest {
        let order = value.order(found).ok_or_else(|| Fault::of_type("these have no order"))?;
        // Of equal values, and of values compared with NaN, the first one is kept.
        let better = if function == Function::Max {
            order.is_some_and(Ordering::is_gt)
        } else {
            order.is_some_and(Ordering::is_lt)
        };
        if better {
            found = value;
        }
    }
    Ok(found.clone())
}

fn new_timedelta(arguments: CallArguments) -> Outcome {
    const SECOND: i128 = 1_000_000;
    const UNITS: [i128; 7] =
        [86_400 * SECOND, SECOND, 1, 1_000, 60 * SECOND, 3_600 * SECOND, 7 * 86_400 * SECOND];
    let names = ["days", "seconds", "microseconds", "milliseconds", "minutes", "hours", "weeks"];
    let too_long = || Fault::raises(Exception::Overflow, "a timedelta is longer than Python has them");
    let (mut sum, mut left) = (0_i128, 0.0_f64);
    for (value, unit) in arguments.bind(names, 0)?.into_iter().zip(UNITS) {
        let part = match &value {
            None => continue,
            Some(Value::Float(number)) => {
                // As in CPython, the fraction is carried on as a float, and rounded once, at the end.
                let fraction = number.fract() * unit as f64;
                left += fraction.fract();
                let Value::Int(number) = truncate(*number)? else { continue };
                number.checked_mul(unit).and_then(|micros| micros.checked_add(whole(fraction)))
            }
            Some(value) => {
                let number = value.integer();
                number.ok_or_else(|| Fault::of_type("a timedelta is made of numbers"))?.checked_mul(unit)
            }
        };
        sum = part.and_then(|part| sum.checked_add(part)).ok_or_else(too_long)?;
    }
    // A half is rounded to the even sum.
    let odd = if sum % 2 == 0 { 0.0 } else { 1.0 };
    let left = (left + odd).round_ties_even() - odd;
    timedelta(sum + whole(left))
}

/// Evaluates `value[key]`.
pub(super) fn subscript(value: &Value, key: &Value, interpreter: &mut Interpreter<'_>) -> Outcome {
    match value {
        Value::Environ => interpreter.variable(key)?.ok_or_else(|| match key {
            Value::Str(name) if is_name(name) => {
                Fault::raises(Exception::Key, format!("the environment variable {name} is not set"))
            }
            _ => Fault::raises(Exception::Key, "the environment variable is not set"),
        }),
        Value::Dict(items) => Value::look_up(items, key, &mut interpreter.budget)?
            .ok_or_else(|| Fault::raises(Exception::Key, "the dict has no such key")),
        Value::List(items) | Value::Tuple(items) => {
            Ok(items.values()[index(key, items.values().len())?].clone())
        }
        Value::Str(text) => {
            let at = index(key, text.chars().count())?;
            let c = text.chars().nth(at).map(String::from).unwrap_or_default();
            Value::text(&c, &mut interpreter.budget)
        }
        Value::Bytes(_) => Err(Fault::unreadable("a part of bytes is asked for here")),
        _ => Err(Fault::of_type("this has no parts to be asked for")),
    }
}

/// Says whether a text looks like the name of an environment variable, and may be shown.
fn is_name(text: &str) -> bool {
    text.len() <= 100 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}
