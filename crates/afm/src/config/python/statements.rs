//! Reads a file statement by statement.

use std::collections::HashMap;

use ruff_python_ast::{Expr, Stmt, StmtIf};
use ruff_python_parser::{ParseErrorType, parse_module};
use ruff_text_size::{Ranged, TextSize};

use super::attempts::raised;
use super::bound::bound;
use super::budget::{BUDGET, Budget};
use super::depth::too_deep;
use super::fault::{Exception, Fault, FaultKind};
use super::imported_module::ImportedModule;
use super::interpreter::Interpreter;
use super::operators::binary;
use super::reader::{PASSED_OVER, Reader};
use super::value::{Outcome, Value};

/// The result of reading a file.
#[derive(Debug, Default)]
pub(in crate::config) struct ReadFile {
    /// The names that the file binds, in the order in which they are first bound.
    pub(in crate::config) names: Vec<BoundName>,
    /// What is passed over, where the user should know of it.
    pub(in crate::config) remarks: Vec<(TextSize, String)>,
}

/// A name that a file binds.
#[derive(Debug)]
pub(in crate::config) struct BoundName {
    pub(in crate::config) name: String,
    /// Its last value, or why it has none.
    pub(in crate::config) value: Outcome,
    /// Where it was bound last.
    pub(in crate::config) at: TextSize,
    /// Whether the value comes from the environment, and may be secret.
    pub(in crate::config) from_environment: bool,
}

/// Why a file cannot be read at all: the line and column, and the reason, which does not quote the file.
pub(in crate::config) type ReadError = (TextSize, String);

/// Reads a file that has `\n` line ends. `is_key` says which names are settings.
pub(in crate::config) fn read(
    source: &str,
    file_name: &str,
    environment: &dyn Fn(&str) -> Option<String>,
    is_key: fn(&str) -> bool,
) -> Result<ReadFile, ReadError> {
    if let Some(line) = too_deep(source) {
        let begin = source.match_indices('\n').nth(line.saturating_sub(2)).map_or(0, |(end, _)| end + 1);
        let begin = if line == 1 { 0 } else { begin };
        let begin = TextSize::try_from(begin).unwrap_or_default();
        return Err((begin, "brackets, blocks or operators are nested too deeply".to_owned()));
    }
    let parsed = parse_module(source).map_err(|error| {
        (error.location.start(), format!("this is not Python: {}", describe(&error.error)))
    })?;
    let mut reader = Reader {
        interpreter: Interpreter {
            source,
            file_name,
            environment,
            variables: HashMap::new(),
            names: HashMap::new(),
            bound: 0,
            budget: Budget(BUDGET),
            environment_seen: false,
            trying: 0,
            doubts: 0,
            any_name: false,
        },
        remarks: Vec::new(),
        is_key,
    };
    reader
        .run(&parsed.syntax().body)
        .map_err(|fault| (fault.at.unwrap_or_default(), fault.reason.into_owned()))?;
    let mut names: Vec<_> = reader.interpreter.names.into_iter().collect();
    names.sort_by_key(|(_, binding)| binding.number);
    let names = names.into_iter().map(|(name, binding)| BoundName {
        name,
        value: binding.value,
        at: binding.at,
        from_environment: binding.from_environment,
    });
    Ok(ReadFile { names: names.collect(), remarks: reader.remarks })
}

/// Describes an error of the parser, whose text never quotes more of the file than a keyword or a character.
fn describe(error: &ParseErrorType) -> String {
    let text = error.to_string();
    let mut chars = text.trim_end_matches('.').chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

impl Reader<'_> {
    /// Runs statements; a fault is an exception that nothing has caught.
    fn run(&mut self, statements: &[Stmt]) -> Result<(), Fault> {
        statements.iter().try_for_each(|statement| {
            self.interpreter.environment_seen = false;
            self.statement(statement).map_err(|fault| fault.at(statement.start()))
        })
    }

    fn statement(&mut self, statement: &Stmt) -> Result<(), Fault> {
        match statement {
            Stmt::Pass(_) | Stmt::Global(_) | Stmt::Nonlocal(_) => Ok(()),
            Stmt::Assign(assign) => {
                let value = self.interpreter.expression(&assign.value);
                assign.targets.iter().try_for_each(|target| self.assign(target, value.clone()))
            }
            Stmt::AnnAssign(assign) => match &assign.value {
                Some(value) => {
                    let value = self.interpreter.expression(value);
                    self.assign(&assign.target, value)
                }
                None => Ok(()),
            },
            Stmt::AugAssign(assign) => {
                let old = self.interpreter.expression(&assign.target);
                // On a list, this changes the list itself, which may have another name, too.
                if old.as_ref().is_ok_and(|old| !matches!(old, Value::Tuple(_)) && old.items().is_some()) {
                    self.changed(assign.start());
                    return Ok(());
                }
                let value = old.and_then(|old| {
                    let new = self.interpreter.expression(&assign.value)?;
                    binary(assign.op, &old, &new, &mut self.interpreter.budget)
                });
                self.assign(&assign.target, value.map_err(|fault| fault.at(assign.start())))
            }
            Stmt::Expr(expression) => self.lone_expression(&expression.value),
            Stmt::If(choice) => self.choose(statement, choice),
            Stmt::Try(attempt) => self.attempt(statement, attempt, Self::run),
            Stmt::Import(import) => {
                import.names.iter().for_each(|alias| self.import(alias));
                Ok(())
            }
            Stmt::ImportFrom(import) => {
                let module = import.module.as_ref().map_or("", |module| module.as_str());
                if module == "__future__" {
                    return Ok(());
                }
                let known = if import.level == 0 { ImportedModule::named(module) } else { None };
                if known.is_none() {
                    self.pass_over(import.start(), "an import");
                }
                import.names.iter().for_each(|alias| self.import_member(known, alias));
                Ok(())
            }
            Stmt::Delete(delete) => {
                for target in &delete.targets {
                    match target {
                        Expr::Name(name) if self.interpreter.names.contains_key(name.id.as_str()) => {
                            self.interpreter.names.remove(name.id.as_str());
                        }
                        Expr::Name(_) => {
                            return Err(Fault::raises(Exception::Name, "this name is not defined above"));
                        }
                        Expr::Subscript(part)
                            if matches!(self.interpreter.expression(&part.value), Ok(Value::Environ)) =>
                        {
                            let name = self.interpreter.expression(&part.slice)?;
                            self.interpreter.set_variable(&name, None)?;
                        }
                        target => self.changed(target.start()),
                    }
                }
                Ok(())
            }
            Stmt::Raise(raise) => Err(raised(raise)),
            Stmt::Assert(assert) => match self.interpreter.expression(&assert.test) {
                Ok(value) if value.is_true()? => Ok(()),
                Ok(_) => Err(Fault::raises(Exception::Assertion, "this assertion does not hold")),
                Err(fault) => self.doubt(fault).map(drop),
            },
            Stmt::ClassDef(class) => {
                let keys = bound(&class.body).into_iter().filter(|name| (self.is_key)(name));
                let keys: Vec<String> = keys.collect();
                if !keys.is_empty() {
                    self.remarks.push((
                        class.start(),
                        format!(
                            "{} in a class {PASSED_OVER}, and settings stand outside of classes, as for \
                             Flask's from_pyfile",
                            keys.join(", ")
                        ),
                    ));
                }
                self.poison(
                    [class.name.to_string()],
                    &Fault::unreadable("a class is not run").at(class.start()),
                );
                Ok(())
            }
            Stmt::FunctionDef(function) => {
                let fault = Fault::unreadable("a function of this file is not run").at(function.start());
                self.poison([function.name.to_string()], &fault);
                Ok(())
            }
            Stmt::TypeAlias(_)
            | Stmt::For(_)
            | Stmt::While(_)
            | Stmt::With(_)
            | Stmt::Match(_)
            | Stmt::Return(_)
            | Stmt::Break(_)
            | Stmt::Continue(_)
            | Stmt::IpyEscapeCommand(_) => {
                self.pass_over(statement.start(), "this statement");
                let fault = Fault::unreadable("this statement is not run");
                self.poison(bound(std::slice::from_ref(statement)), &fault.at(statement.start()));
                self.changed(statement.start());
                Ok(())
            }
        }
    }

    /// Runs an expression whose value nobody uses.
    fn lone_expression(&mut self, expression: &Expr) -> Result<(), Fault> {
        let prints = matches!(expression, Expr::Call(call)
            if matches!(&*call.func, Expr::Name(name) if name.id.as_str() == "print"));
        if prints && !self.interpreter.names.contains_key("print") {
            return Ok(());
        }
        match self.interpreter.expression(expression) {
            Ok(_) => Ok(()),
            Err(fault) if fault.kind == FaultKind::Unreadable => {
                self.doubt(fault)?;
                self.pass_over(expression.start(), "this statement");
                self.changed(expression.start());
                Ok(())
            }
            Err(fault) => Err(fault),
        }
    }

    fn choose(&mut self, whole: &Stmt, choice: &StmtIf) -> Result<(), Fault> {
        let elses = choice.elif_else_clauses.iter().map(|clause| (clause.test.as_ref(), &clause.body));
        for (test, body) in std::iter::once((Some(&*choice.test), &choice.body)).chain(elses) {
            let Some(test) = test else { return self.run(body) };
            let holds = self.interpreter.expression(test).and_then(|value| value.is_true());
            match holds {
                Ok(true) => return self.run(body),
                Ok(false) => {}
                Err(fault) => {
                    let fault = self.doubt(fault.at(test.start()))?;
                    self.poison(bound(std::slice::from_ref(whole)), &fault);
                    self.changed(whole.start());
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
