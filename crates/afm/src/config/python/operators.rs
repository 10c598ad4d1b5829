//! Evaluates operators: arithmetic, and `+`, `*` and `%` of strings and lists.

use ruff_python_ast::{Operator, UnaryOp};

use super::budget::Budget;
use super::fault::{Exception, Fault};
use super::format::percent;
use super::numbers::{timedelta, to_float, too_large};
use super::value::{Items, Outcome, Value};

fn mixed() -> Fault {
    Fault::of_type("values of these types do not go together here")
}

fn by_zero() -> Fault {
    Fault::raises(Exception::ZeroDivision, "a number is divided by zero")
}

pub(super) fn unary(op: UnaryOp, value: &Value) -> Outcome {
    match (op, value) {
        (UnaryOp::Not, _) => Ok(Value::Bool(!value.is_true()?)),
        (UnaryOp::USub, Value::Float(number)) => Ok(Value::Float(-number)),
        (UnaryOp::UAdd, Value::Float(_) | Value::Timedelta(_)) => Ok(value.clone()),
        (UnaryOp::USub, Value::Timedelta(micros)) => timedelta(-micros),
        _ => {
            let number = value.integer().ok_or_else(mixed)?;
            let result = match op {
                UnaryOp::USub => number.checked_neg(),
                UnaryOp::Invert => Some(!number),
                _ => Some(number),
            };
            result.map(Value::Int).ok_or_else(too_large)
        }
    }
}

pub(super) fn binary(op: Operator, a: &Value, b: &Value, budget: &mut Budget) -> Outcome {
    match (op, a, b) {
        (Operator::Add, Value::Str(a), Value::Str(b)) => {
            budget.text(a.len() + b.len())?;
            Ok(Value::Str([&**a, &**b].concat().into()))
        }
        (Operator::Add, Value::List(a), Value::List(b)) => {
            Ok(Value::List(Items::new([a.values(), b.values()].concat(), budget)?))
        }
        (Operator::Add, Value::Tuple(a), Value::Tuple(b)) => {
            Ok(Value::Tuple(Items::new([a.values(), b.values()].concat(), budget)?))
        }
        (Operator::Mult, Value::Str(text), count) | (Operator::Mult, count, Value::Str(text)) => {
            let count = usize::try_from(count.integer().ok_or_else(mixed)?.max(0)).unwrap_or(usize::MAX);
            budget.text(text.len().saturating_mul(count))?;
            Ok(Value::Str(if text.is_empty() { "".into() } else { text.repeat(count).into() }))
        }
        (Operator::Mod, Value::Str(format), values) => {
            let text = percent(format, values, budget)?;
            Value::text(&text, budget)
        }
        (_, Value::Timedelta(_), _) | (_, _, Value::Timedelta(_)) => timedeltas(op, a, b),
        (_, Value::Float(_), _) | (_, _, Value::Float(_)) => {
            let float = |value: &Value| match value {
                Value::Float(number) => Ok(*number),
                _ => to_float(value.integer().ok_or_else(mixed)?),
            };
            floats(op, float(a)?, float(b)?).map(Value::Float)
        }
        _ => match (a.integer(), b.integer()) {
            (Some(x), Some(y)) => {
                // These operators turn two truth values into one.
                let flags = matches!((a, b), (Value::Bool(_), Value::Bool(_)));
                match op {
                    Operator::BitAnd if flags => Ok(Value::Bool(x & y != 0)),
                    Operator::BitOr if flags => Ok(Value::Bool(x | y != 0)),
                    Operator::BitXor if flags => Ok(Value::Bool(x ^ y != 0)),
                    _ => integers(op, x, y),
                }
            }
            _ if matches!((a, b), (Value::Bytes(_) | Value::Set(_) | Value::Dict(_), _))
                || matches!((a, b), (Value::List(_) | Value::Tuple(_), Value::Int(_) | Value::Bool(_)))
                || matches!((a, b), (Value::Int(_), Value::List(_) | Value::Tuple(_) | Value::Bytes(_))) =>
            {
                Err(Fault::unreadable("an operator is used here that settings do not need"))
            }
            _ => Err(mixed()),
        },
    }
}

fn integers(op: Operator, a: i128, b: i128) -> Outcome {
    let result = match op {
        Operator::Add => a.checked_add(b),
        Operator::Sub => a.checked_sub(b),
        Operator::Mult => a.checked_mul(b),
        Operator::Div => return floats(op, to_float(a)?, to_float(b)?).map(Value::Float),
        Operator::FloorDiv | Operator::Mod if b == 0 => return Err(by_zero()),
        Operator::FloorDiv => floor(a, b).map(|(quotient, _)| quotient),
        Operator::Mod => floor(a, b).map(|(_, rest)| rest),
        Operator::Pow if b < 0 => return floats(op, to_float(a)?, to_float(b)?).map(Value::Float),
        Operator::Pow => match a {
            0 | 1 => Some(if b == 0 { 1 } else { a }),
            -1 => Some(if b % 2 == 0 { 1 } else { -1 }),
            _ => u32::try_from(b).ok().filter(|b| *b < 128).and_then(|b| a.checked_pow(b)),
        },
        Operator::LShift | Operator::RShift if b < 0 => {
            return Err(Fault::raises(Exception::Value, "a number is shifted by less than nothing"));
        }
        Operator::LShift if a == 0 => Some(0),
        Operator::LShift => u32::try_from(b).ok().filter(|b| *b < 127).and_then(|b| a.checked_mul(1 << b)),
        Operator::RShift => Some(a >> b.min(127)),
        Operator::BitAnd => Some(a & b),
        Operator::BitOr => Some(a | b),
        Operator::BitXor => Some(a ^ b),
        Operator::MatMult => return Err(mixed()),
    };
    result.map(Value::Int).ok_or_else(too_large)
}

/// Returns the quotient, rounded down, and the rest, which has the sign of the divisor.
fn floor(a: i128, b: i128) -> Option<(i128, i128)> {
    let (quotient, rest) = (a.checked_div(b)?, a.checked_rem(b)?);
    if rest != 0 && (rest < 0) != (b < 0) { Some((quotient - 1, rest + b)) } else { Some((quotient, rest)) }
}

fn floats(op: Operator, a: f64, b: f64) -> Result<f64, Fault> {
    Ok(match op {
        Operator::Add => a + b,
        Operator::Sub => a - b,
        Operator::Mult => a * b,
        Operator::Div | Operator::FloorDiv | Operator::Mod if b == 0.0 => return Err(by_zero()),
        Operator::Div => a / b,
        Operator::FloorDiv | Operator::Mod => {
            // As in CPython, the rest is computed first, since it is exact.
            let mut rest = a % b;
            let mut quotient = (a - rest) / b;
            if rest == 0.0 {
                rest = 0.0_f64.copysign(b);
            } else if (b < 0.0) != (rest < 0.0) {
                rest += b;
                quotient -= 1.0;
            }
            if op == Operator::Mod {
                return Ok(rest);
            }
            let whole = quotient.floor();
            match quotient {
                0.0 => 0.0_f64.copysign(a / b),
                _ if quotient - whole > 0.5 => whole + 1.0,
                _ => whole,
            }
        }
        Operator::Pow if a == 0.0 && b < 0.0 => return Err(by_zero()),
        Operator::Pow if a < 0.0 && b.fract() != 0.0 && b.is_finite() && a.is_finite() => {
            return Err(Fault::unreadable("a complex number is made here"));
        }
        Operator::Pow => {
            let power = a.powf(b);
            if power.is_infinite() && a.is_finite() && b.is_finite() {
                return Err(Fault::raises(Exception::Overflow, "a power is larger than a float can be"));
            }
            power
        }
        _ => return Err(mixed()),
    })
}

fn timedeltas(op: Operator, a: &Value, b: &Value) -> Outcome {
    match (op, a, b) {
        (Operator::Add, Value::Timedelta(a), Value::Timedelta(b)) => timedelta(a + b),
        (Operator::Sub, Value::Timedelta(a), Value::Timedelta(b)) => timedelta(a - b),
        (Operator::Div | Operator::FloorDiv | Operator::Mod, Value::Timedelta(_), Value::Timedelta(0)) => {
            Err(by_zero())
        }
        (Operator::Div, Value::Timedelta(a), Value::Timedelta(b)) => {
            floats(op, to_float(*a)?, to_float(*b)?).map(Value::Float)
        }
        (Operator::FloorDiv, Value::Timedelta(a), Value::Timedelta(b)) => integers(op, *a, *b),
        (Operator::Mod, Value::Timedelta(a), Value::Timedelta(b)) => {
            timedelta(floor(*a, *b).map(|(_, rest)| rest).ok_or_else(too_large)?)
        }
        (Operator::Mult, Value::Timedelta(micros), count)
        | (Operator::Mult, count, Value::Timedelta(micros))
            if count.integer().is_some() =>
        {
            let product = count.integer().and_then(|count| micros.checked_mul(count));
            timedelta(product.ok_or_else(too_large)?)
        }
        (Operator::FloorDiv, Value::Timedelta(micros), count) => match count.integer() {
            Some(0) => Err(by_zero()),
            Some(count) => timedelta(floor(*micros, count).ok_or_else(too_large)?.0),
            None => Err(mixed()),
        },
        (Operator::Mult | Operator::Div, _, _) => {
            Err(Fault::unreadable("a timedelta is multiplied or divided here by what is no integer"))
        }
        _ => Err(mixed()),
    }
}
