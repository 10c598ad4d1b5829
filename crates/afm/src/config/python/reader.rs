//! The state that statements work on, and what they do to names.

use ruff_python_ast::Expr;
use ruff_text_size::{Ranged, TextSize};

use super::fault::{Exception, Fault, FaultKind};
use super::interpreter::Interpreter;
use super::value::{Outcome, Value};

pub(super) const PASSED_OVER: &str = "is passed over: this file is read, not run";

/// Runs the statements that are on the list.
pub(super) struct Reader<'a> {
    pub(super) interpreter: Interpreter<'a>,
    pub(super) remarks: Vec<(TextSize, String)>,
    pub(super) is_key: fn(&str) -> bool,
}

impl Reader<'_> {
    /// Takes a fault that does not concern a setting yet.
    ///
    /// # Errors
    /// Inside `try`, returns an exception to its handlers.
    pub(super) fn doubt(&mut self, fault: Fault) -> Result<Fault, Fault> {
        match fault.kind {
            FaultKind::Raises(_) if self.interpreter.trying > 0 => Err(fault),
            FaultKind::Raises(_) => Ok(fault),
            FaultKind::Unreadable => {
                self.interpreter.doubts += 1;
                Ok(fault)
            }
        }
    }

    pub(super) fn assign(&mut self, target: &Expr, value: Outcome) -> Result<(), Fault> {
        let value = match value {
            Ok(value) => Ok(value),
            Err(fault) => Err(self.doubt(fault)?),
        };
        match target {
            Expr::Name(name) => {
                self.interpreter.bind(name.id.as_str(), value, target.start());
                Ok(())
            }
            Expr::Tuple(_) | Expr::List(_) => self.unpack(target, value),
            Expr::Subscript(part) => {
                if let Ok(Value::Environ) = self.interpreter.expression(&part.value) {
                    let name = self.interpreter.expression(&part.slice)?;
                    return self.interpreter.set_variable(&name, value.as_ref().ok());
                }
                self.changed(target.start());
                Ok(())
            }
            _ => {
                self.changed(target.start());
                Ok(())
            }
        }
    }

    fn unpack(&mut self, target: &Expr, value: Outcome) -> Result<(), Fault> {
        let (Expr::Tuple(ruff_python_ast::ExprTuple { elts, .. })
        | Expr::List(ruff_python_ast::ExprList { elts, .. })) = target
        else {
            return Ok(());
        };
        let values = match value {
            Ok(Value::Tuple(items) | Value::List(items)) if items.values().len() == elts.len() => {
                items.values().iter().cloned().map(Ok).collect()
            }
            Ok(Value::Tuple(_) | Value::List(_)) if !elts.iter().any(Expr::is_starred_expr) => {
                let fault = Fault::raises(Exception::Value, "there are more or fewer values than names");
                let fault = self.doubt(fault.at(target.start()))?;
                vec![Err(fault); elts.len()]
            }
            Ok(_) => {
                let fault = Fault::unreadable("only a list or tuple can be taken apart").at(target.start());
                let fault = self.doubt(fault)?;
                vec![Err(fault); elts.len()]
            }
            Err(fault) => vec![Err(fault); elts.len()],
        };
        elts.iter().zip(values).try_for_each(|(target, value): (&Expr, Outcome)| match target {
            Expr::Starred(starred) => {
                let fault = Fault::unreadable("what * takes is not among what can be read");
                self.assign(&starred.value, Err(fault.at(target.start())))
            }
            target => self.assign(target, value),
        })
    }

    pub(super) fn pass_over(&mut self, at: TextSize, what: &str) {
        self.interpreter.doubts += 1;
        self.remarks.push((at, format!("{what} {PASSED_OVER}")));
    }

    /// Removes the values of names that Python may have bound otherwise.
    pub(super) fn poison(&mut self, names: impl IntoIterator<Item = String>, fault: &Fault) {
        for name in names {
            self.interpreter.bind(&name, Err(fault.clone()), fault.at.unwrap_or_default());
        }
    }

    /// Removes the values of all lists, sets and dicts: something that was not run may have changed one of
    /// them.
    pub(super) fn changed(&mut self, at: TextSize) {
        self.interpreter.doubts += 1;
        for binding in self.interpreter.names.values_mut() {
            if let Ok(value) = &binding.value
                && value.items().is_some()
            {
                binding.value =
                    Err(Fault::unreadable("a list, set or dict may have been changed here").at(at));
            }
        }
    }
}
