//! Calls, and what they hand over.

use std::rc::Rc;

use ruff_python_ast::{Expr, ExprCall};

use super::interpreter::Interpreter;
use super::{Fault, Outcome, Value};

/// What a function is called with.
pub(super) struct CallArguments {
    pub(super) positional: Vec<Value>,
    pub(super) keywords: Vec<(String, Value)>,
}

impl CallArguments {
    /// The arguments by the names of the parameters, the first of which must be given.
    pub(super) fn bind<const N: usize>(
        self,
        names: [&str; N],
        required: usize,
    ) -> Result<[Option<Value>; N], Fault> {
        let wrong = || Fault::of_type("a function is called with arguments that it does not take");
        if self.positional.len() > N {
            return Err(wrong());
        }
        let mut bound = [const { None }; N];
        for (place, value) in bound.iter_mut().zip(self.positional) {
            *place = Some(value);
        }
        for (name, value) in self.keywords {
            let place = names.iter().position(|known| *known == name).ok_or_else(wrong)?;
            if bound[place].replace(value).is_some() {
                return Err(wrong());
            }
        }
        if bound[..required].iter().any(Option::is_none) { Err(wrong()) } else { Ok(bound) }
    }

    /// The one argument that a function takes, without a name.
    pub(super) fn one(self) -> Result<Value, Fault> {
        let [value] = self.bind([""], 1)?;
        value.ok_or_else(|| Fault::of_type("an argument is missing"))
    }

    pub(super) fn one_text(self) -> Result<Rc<str>, Fault> {
        // Their parameter is called by different names, which nobody writes.
        match self.one()? {
            Value::Str(text) => Ok(text),
            _ => Err(Fault::of_type("a string is needed here")),
        }
    }
}

impl Interpreter<'_> {
    /// The value of `f(…)` or `value.method(…)`.
    pub(super) fn call_expression(&mut self, call: &ExprCall) -> Outcome {
        if let Expr::Attribute(attribute) = &*call.func {
            let value = self.expression(&attribute.value)?;
            let arguments = self.arguments(call)?;
            return self.method(&value, attribute.attr.as_str(), arguments);
        }
        match self.expression(&call.func)? {
            Value::Function(function) => {
                let arguments = self.arguments(call)?;
                self.call(function, arguments)
            }
            _ => Err(Fault::of_type("what is called here is no function")),
        }
    }

    fn arguments(&mut self, call: &ExprCall) -> Result<CallArguments, Fault> {
        let mut arguments = CallArguments { positional: Vec::new(), keywords: Vec::new() };
        for argument in &call.arguments.args {
            match argument {
                Expr::Starred(starred) => match self.expression(&starred.value)? {
                    Value::List(items) | Value::Tuple(items) => {
                        self.budget.spend(size_of_val(items.values()))?;
                        arguments.positional.extend_from_slice(items.values());
                    }
                    _ => return Err(Fault::unreadable("only a list or tuple can be handed over with *")),
                },
                argument => arguments.positional.push(self.expression(argument)?),
            }
        }
        for keyword in &call.arguments.keywords {
            let value = self.expression(&keyword.value)?;
            match (&keyword.arg, value) {
                (Some(name), value) => arguments.keywords.push((name.to_string(), value)),
                (None, Value::Dict(items)) => {
                    self.budget.spend(size_of_val(items.values()))?;
                    for (key, value) in items.pairs() {
                        let Value::Str(name) = key else {
                            return Err(Fault::of_type("names of arguments are strings"));
                        };
                        arguments.keywords.push((name.to_string(), value.clone()));
                    }
                }
                (None, _) => return Err(Fault::unreadable("only a dict can be handed over with **")),
            }
        }
        Ok(arguments)
    }
}
