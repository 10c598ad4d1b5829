//! Calls the methods that are on the list.

use std::rc::Rc;

use super::arguments::CallArguments;
use super::fault::{Exception, Fault};
use super::format::braces;
use super::interpreter::Interpreter;
use super::members::member;
use super::numbers::{is_space, to_float};
use super::value::{Items, Outcome, Value};

fn unknown() -> Fault {
    Fault::unreadable("this method is not among what can be read")
}

impl Interpreter<'_> {
    /// Evaluates `value.name(arguments)`.
    pub(super) fn method(&mut self, value: &Value, name: &str, arguments: CallArguments) -> Outcome {
        match value {
            Value::Str(text) => self.text_method(text, name, arguments),
            Value::Environ => self.environ_method(name, arguments),
            Value::Dict(items) if name == "get" => {
                let [key, default] = arguments.bind(["", ""], 1)?;
                let found = Value::look_up(items, &key.unwrap_or(Value::None), &mut self.budget)?;
                Ok(found.or(default).unwrap_or(Value::None))
            }
            Value::Timedelta(micros) if name == "total_seconds" => {
                let [] = arguments.bind([], 0)?;
                Ok(Value::Float(to_float(*micros)? / 1e6))
            }
            Value::Module(module) => match member(*module, name)? {
                Value::Function(function) => self.call(function, arguments),
                _ => Err(Fault::of_type("what is called here is no function")),
            },
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                Err(Fault::raises(Exception::Attribute, "None, a truth value or a number has no such method"))
            }
            _ => Err(unknown()),
        }
    }

    fn environ_method(&mut self, name: &str, arguments: CallArguments) -> Outcome {
        match name {
            "get" => {
                let [key, default] = arguments.bind(["key", "default"], 1)?;
                let found = self.variable(&key.unwrap_or(Value::None))?;
                Ok(found.or(default).unwrap_or(Value::None))
            }
            "setdefault" => {
                let [key, default] = arguments.bind(["key", "value"], 2)?;
                let key = key.unwrap_or(Value::None);
                if let Some(known) = self.variable(&key)? {
                    return Ok(known);
                }
                let default = default.unwrap_or(Value::None);
                self.set_variable(&key, Some(&default))?;
                Ok(default)
            }
            _ => Err(unknown()),
        }
    }

    fn text_method(&mut self, text: &Rc<str>, name: &str, arguments: CallArguments) -> Outcome {
        let changed = match name {
            "format" => braces(text, &arguments, &mut self.budget)?,
            "join" => {
                let [parts] = arguments.bind([""], 1)?;
                let Some(Value::List(items) | Value::Tuple(items)) = &parts else {
                    return Err(Fault::unreadable("only strings of a list or tuple can be joined"));
                };
                let strings = items.values().iter().map(as_text).collect::<Result<Vec<_>, _>>()?;
                let length: usize = strings.iter().map(|part| part.len() + text.len()).sum();
                self.budget.text(length)?;
                strings.join(&**text)
            }
            "lower" | "upper" => {
                let [] = arguments.bind([], 0)?;
                self.budget.text(text.len())?;
                if name == "lower" { text.to_lowercase() } else { text.to_uppercase() }
            }
            "strip" | "lstrip" | "rstrip" => {
                let [set] = arguments.bind([""], 0)?;
                let set = match set {
                    None | Some(Value::None) => None,
                    Some(set) => Some(as_text(&set)?.to_owned()),
                };
                let fits = |c: char| set.as_ref().map_or_else(|| is_space(c), |set| set.contains(c));
                let mut stripped = &**text;
                if name != "rstrip" {
                    stripped = stripped.trim_start_matches(fits);
                }
                if name != "lstrip" {
                    stripped = stripped.trim_end_matches(fits);
                }
                stripped.to_owned()
            }
            "replace" => self.replace(text, arguments)?,
            "removeprefix" | "removesuffix" => {
                let [part] = arguments.bind([""], 1)?;
                let part = part.unwrap_or(Value::None);
                let part = as_text(&part)?;
                let rest =
                    if name == "removeprefix" { text.strip_prefix(part) } else { text.strip_suffix(part) };
                rest.unwrap_or(text).to_owned()
            }
            "startswith" | "endswith" => {
                let [parts] = arguments.bind([""], 1)?;
                let fits = |part: &Value| {
                    let part = as_text(part)?;
                    Ok(if name == "startswith" { text.starts_with(part) } else { text.ends_with(part) })
                };
                return match &parts {
                    Some(Value::Tuple(parts)) => {
                        let fitting =
                            parts.values().iter().map(fits).collect::<Result<Vec<bool>, Fault>>()?;
                        Ok(Value::Bool(fitting.contains(&true)))
                    }
                    part => Ok(Value::Bool(fits(part.as_ref().unwrap_or(&Value::None))?)),
                };
            }
            "isdigit" if text.is_ascii() => {
                let [] = arguments.bind([], 0)?;
                let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                return Ok(Value::Bool(digits));
            }
            "split" => return self.split(text, arguments),
            _ => return Err(unknown()),
        };
        Value::text(&changed, &mut self.budget)
    }

    fn replace(&mut self, text: &str, arguments: CallArguments) -> Result<String, Fault> {
        let [old, new, count] = arguments.bind(["", "", "count"], 2)?;
        let (old, new) = (old.unwrap_or(Value::None), new.unwrap_or(Value::None));
        let (old, new) = (as_text(&old)?, as_text(&new)?);
        let most = match count {
            None => usize::MAX,
            Some(count) => {
                let count = count.integer().ok_or_else(|| Fault::of_type("a count is an integer"))?;
                usize::try_from(count).unwrap_or(usize::MAX)
            }
        };
        let found = text.matches(old).count().min(most);
        self.budget.text(text.len().saturating_add(found.saturating_mul(new.len())))?;
        Ok(text.replacen(old, new, most))
    }

    fn split(&mut self, text: &str, arguments: CallArguments) -> Outcome {
        let [separator, most] = arguments.bind(["sep", "maxsplit"], 0)?;
        let most = match most {
            None => usize::MAX,
            Some(most) => {
                let most = most.integer().ok_or_else(|| Fault::of_type("a count is an integer"))?;
                usize::try_from(most).unwrap_or(usize::MAX)
            }
        };
        let parts: Vec<&str> = match &separator {
            None | Some(Value::None) if most == usize::MAX => {
                text.split(is_space).filter(|part| !part.is_empty()).collect()
            }
            None | Some(Value::None) => return Err(unknown()),
            Some(separator) => {
                let separator = as_text(separator)?;
                if separator.is_empty() {
                    return Err(Fault::raises(Exception::Value, "a string is split at nothing"));
                }
                text.splitn(most.saturating_add(1), separator).collect()
            }
        };
        self.budget.spend(parts.len().saturating_mul(64))?;
        let parts = parts.into_iter().map(|part| Value::text(part, &mut self.budget));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        Ok(Value::List(Items::new(parts, &mut self.budget)?))
    }
}

fn as_text(value: &Value) -> Result<&str, Fault> {
    match value {
        Value::Str(text) => Ok(text),
        _ => Err(Fault::of_type("a string is needed here")),
    }
}
