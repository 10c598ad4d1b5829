//! Evaluates expressions.

use ruff_python_ast::{
    BoolOp, CmpOp, ConversionFlag, Expr, ExprCall, ExprCompare, FStringPart, InterpolatedStringElement,
    Number,
};
use ruff_text_size::Ranged;

use super::arguments::CallArguments;
use super::calls::subscript;
use super::fault::Fault;
use super::format::format_value;
use super::interpreter::Interpreter;
use super::members;
use super::operators::{binary, unary};
use super::render::{repr, to_text};
use super::value::{Items, Outcome, Value};

impl Interpreter<'_> {
    /// Evaluates an expression. A fault says where it is.
    pub(super) fn expression(&mut self, expression: &Expr) -> Outcome {
        self.evaluate(expression).map_err(|fault| fault.at(expression.start()))
    }

    fn evaluate(&mut self, expression: &Expr) -> Outcome {
        self.budget.spend(1)?;
        match expression {
            Expr::NoneLiteral(_) => Ok(Value::None),
            Expr::BooleanLiteral(literal) => Ok(Value::Bool(literal.value)),
            Expr::EllipsisLiteral(_) => Ok(Value::Ellipsis),
            Expr::NumberLiteral(literal) => number(&literal.value),
            Expr::StringLiteral(literal) => {
                let text = literal.value.to_str();
                self.check_surrogates(text, expression)?;
                // A literal is no longer than the file.
                self.budget.spend(text.len())?;
                Ok(Value::Str(text.into()))
            }
            Expr::BytesLiteral(literal) => Ok(Value::Bytes(literal.value.bytes().collect())),
            Expr::FString(literal) => self.f_string(literal.value.as_slice(), expression),
            Expr::Name(name) => self.name(name.id.as_str()),
            Expr::Named(named) => {
                let value = self.expression(&named.value)?;
                if let Expr::Name(name) = &*named.target {
                    self.bind(name.id.as_str(), Ok(value.clone()), named.target.start());
                }
                Ok(value)
            }
            Expr::Tuple(tuple) => {
                let values = self.all(&tuple.elts)?;
                Ok(Value::Tuple(Items::new(values, &mut self.budget)?))
            }
            Expr::List(list) => {
                let values = self.all(&list.elts)?;
                Ok(Value::List(Items::new(values, &mut self.budget)?))
            }
            Expr::Set(set) => {
                let values = self.all(&set.elts)?;
                values.iter().try_for_each(Value::check_hashable)?;
                Ok(Value::Set(Items::new(values, &mut self.budget)?))
            }
            Expr::Dict(dict) => {
                let mut flat: Vec<Value> = Vec::new();
                for item in &dict.items {
                    let Some(key) = &item.key else {
                        return Err(Fault::unreadable("a dict is copied into another here"));
                    };
                    let (key, value) = (self.expression(key)?, self.expression(&item.value)?);
                    key.check_hashable()?;
                    self.put(&mut flat, key, value)?;
                }
                Ok(Value::Dict(Items::new(flat, &mut self.budget)?))
            }
            Expr::BoolOp(operation) => {
                let mut result = Value::None;
                for value in &operation.values {
                    result = self.expression(value)?;
                    if result.is_true()? == (operation.op == BoolOp::Or) {
                        break;
                    }
                }
                Ok(result)
            }
            Expr::UnaryOp(operation) => {
                let value = self.expression(&operation.operand)?;
                unary(operation.op, &value)
            }
            Expr::BinOp(operation) => {
                let (left, right) = (self.expression(&operation.left)?, self.expression(&operation.right)?);
                binary(operation.op, &left, &right, &mut self.budget)
            }
            Expr::If(choice) => {
                let chosen =
                    if self.expression(&choice.test)?.is_true()? { &choice.body } else { &choice.orelse };
                self.expression(chosen)
            }
            Expr::Compare(comparison) => self.compare(comparison),
            Expr::Call(call) => self.call_expression(call),
            Expr::Attribute(attribute) => match (self.expression(&attribute.value)?, attribute.attr.as_str())
            {
                (Value::Module(module), member) => members::member(module, member),
                (Value::Timedelta(micros), "days") => Ok(Value::Int(micros.div_euclid(86_400_000_000))),
                (Value::Timedelta(micros), "seconds") => {
                    Ok(Value::Int(micros.rem_euclid(86_400_000_000) / 1_000_000))
                }
                (Value::Timedelta(micros), "microseconds") => Ok(Value::Int(micros.rem_euclid(1_000_000))),
                _ => Err(Fault::unreadable("this attribute is not among what can be read")),
            },
            Expr::Subscript(part) => {
                if matches!(&*part.slice, Expr::Slice(_)) {
                    return Err(Fault::unreadable("a slice is not among what can be read"));
                }
                let (value, key) = (self.expression(&part.value)?, self.expression(&part.slice)?);
                subscript(&value, &key, self)
            }
            Expr::Lambda(_)
            | Expr::ListComp(_)
            | Expr::SetComp(_)
            | Expr::DictComp(_)
            | Expr::Generator(_)
            | Expr::Await(_)
            | Expr::Yield(_)
            | Expr::YieldFrom(_)
            | Expr::TString(_)
            | Expr::Starred(_)
            | Expr::Slice(_)
            | Expr::IpyEscapeCommand(_) => {
                Err(Fault::unreadable("this kind of expression is not among what can be read"))
            }
        }
    }

    /// Evaluates `f(…)` or `value.method(…)`.
    fn call_expression(&mut self, call: &ExprCall) -> Outcome {
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

    fn all(&mut self, expressions: &[Expr]) -> Result<Vec<Value>, Fault> {
        expressions.iter().map(|expression| self.expression(expression)).collect()
    }

    /// Puts a value into the pairs of a dict, under a key that may be there.
    fn put(&mut self, pairs: &mut Vec<Value>, key: Value, value: Value) -> Result<(), Fault> {
        for at in (0..pairs.len()).step_by(2) {
            if pairs[at].equals(&key, &mut self.budget)? {
                pairs[at + 1] = value;
                return Ok(());
            }
        }
        pairs.extend([key, value]);
        Ok(())
    }

    /// Refuses half a surrogate pair: the parser turns it into U+FFFD, while Python keeps it, and no setting
    /// needs it.
    fn check_surrogates(&self, text: &str, expression: &Expr) -> Result<(), Fault> {
        if text.contains('\u{fffd}') && !self.source[expression.range()].contains('\u{fffd}') {
            return Err(Fault::unreadable("an escape in a string names no character"));
        }
        Ok(())
    }

    fn f_string(&mut self, parts: &[FStringPart], expression: &Expr) -> Outcome {
        let mut text = String::new();
        for part in parts {
            match part {
                FStringPart::Literal(literal) => text.push_str(literal.as_str()),
                FStringPart::FString(string) => self.elements(&string.elements, &mut text)?,
            }
        }
        self.check_surrogates(&text, expression)?;
        Value::text(&text, &mut self.budget)
    }

    fn elements<'e>(
        &mut self,
        elements: impl IntoIterator<Item = &'e InterpolatedStringElement>,
        text: &mut String,
    ) -> Result<(), Fault> {
        for element in elements {
            let field = match element {
                InterpolatedStringElement::Literal(literal) => {
                    text.push_str(&literal.value);
                    continue;
                }
                InterpolatedStringElement::Interpolation(field) => field,
            };
            if field.debug_text.is_some() {
                return Err(Fault::unreadable("a field with = is not among what can be read"));
            }
            let mut value = self.expression(&field.expression)?;
            let converted = match field.conversion {
                ConversionFlag::None => None,
                ConversionFlag::Str => Some(to_text(&value, &mut self.budget)?),
                ConversionFlag::Repr => Some(repr(&value, &mut self.budget)?),
                ConversionFlag::Ascii => {
                    return Err(Fault::unreadable("a field with !a is not among what can be read"));
                }
            };
            if let Some(converted) = converted {
                value = Value::text(&converted, &mut self.budget)?;
            }
            let mut spec = String::new();
            if let Some(given) = &field.format_spec {
                self.elements(&given.elements, &mut spec)?;
            }
            text.push_str(&format_value(&value, &spec, &mut self.budget)?);
            self.budget.text(text.len())?;
        }
        Ok(())
    }

    fn compare(&mut self, comparison: &ExprCompare) -> Outcome {
        let mut left = self.expression(&comparison.left)?;
        for (op, right) in comparison.ops.iter().zip(&comparison.comparators) {
            let right = self.expression(right)?;
            if !self.holds(*op, &left, &right)? {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    fn holds(&mut self, op: CmpOp, left: &Value, right: &Value) -> Result<bool, Fault> {
        let is_one = |value: &Value| matches!(value, Value::None | Value::Bool(_) | Value::Ellipsis);
        match op {
            CmpOp::Eq => left.equals(right, &mut self.budget),
            CmpOp::NotEq => Ok(!left.equals(right, &mut self.budget)?),
            CmpOp::Is | CmpOp::IsNot if is_one(left) || is_one(right) => {
                Ok((left == right) == (op == CmpOp::Is))
            }
            CmpOp::Is | CmpOp::IsNot => {
                Err(Fault::unreadable("what is one object is not known here: use =="))
            }
            CmpOp::In => self.contains(left, right),
            CmpOp::NotIn => Ok(!self.contains(left, right)?),
            CmpOp::Lt | CmpOp::LtE | CmpOp::Gt | CmpOp::GtE => {
                if left.items().is_some() && right.items().is_some() {
                    return Err(Fault::unreadable("lists, tuples, sets or dicts are ordered here"));
                }
                let order = left.order(right).ok_or_else(|| {
                    Fault::of_type("values of these types have no order; a string is no number")
                })?;
                Ok(order.is_some_and(|order| match op {
                    CmpOp::Lt => order.is_lt(),
                    CmpOp::LtE => order.is_le(),
                    CmpOp::Gt => order.is_gt(),
                    _ => order.is_ge(),
                }))
            }
        }
    }

    fn contains(&mut self, member: &Value, container: &Value) -> Result<bool, Fault> {
        match (container, member) {
            (Value::Environ, name) => Ok(self.variable(name)?.is_some()),
            (Value::Str(text), Value::Str(part)) => Ok(text.contains(&**part)),
            (Value::Str(_), _) => Err(Fault::of_type("only a string is in a string")),
            (Value::Dict(items), key) => Ok(Value::look_up(items, key, &mut self.budget)?.is_some()),
            (Value::List(items) | Value::Tuple(items) | Value::Set(items), member) => {
                if matches!(container, Value::Set(_)) {
                    member.check_hashable()?;
                }
                for known in items.values() {
                    // An object is always in a list that holds it, also NaN.
                    if known.equals(member, &mut self.budget)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            (Value::Bytes(_), _) => Err(Fault::unreadable("a part of bytes is looked for here")),
            _ => Err(Fault::of_type("nothing can be in this")),
        }
    }
}

fn number(number: &Number) -> Outcome {
    match number {
        Number::Int(integer) => match integer.as_u64() {
            Some(integer) => Ok(Value::Int(integer.into())),
            None => {
                let text = integer.to_string().replace('_', "").to_ascii_lowercase();
                let radix = [("0x", 16), ("0o", 8), ("0b", 2)];
                let radix =
                    radix.iter().find_map(|(prefix, radix)| Some((text.strip_prefix(prefix)?, *radix)));
                let (digits, radix) = radix.unwrap_or((&text, 10));
                let integer = i128::from_str_radix(digits, radix).map(Value::Int);
                integer.map_err(|_| Fault::unreadable("a number is larger here than settings need"))
            }
        },
        Number::Float(float) => Ok(Value::Float(*float)),
        Number::Complex { .. } => Err(Fault::unreadable("a complex number is no setting")),
    }
}
