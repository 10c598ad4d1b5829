//! Runs `try` and `raise`.

use ruff_python_ast::{ExceptHandler, Expr, Stmt, StmtRaise, StmtTry};
use ruff_text_size::Ranged;

use super::bound::bound;
use super::fault::{Exception, Fault, FaultKind};
use super::reader::Reader;

impl Reader<'_> {
    /// Runs a `try` statement, and the statements in it with `run`.
    pub(super) fn attempt(
        &mut self,
        whole: &Stmt,
        attempt: &StmtTry,
        run: fn(&mut Self, &[Stmt]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let doubts = self.interpreter.doubts;
        self.interpreter.trying += 1;
        let done = run(self, &attempt.body);
        self.interpreter.trying -= 1;
        let handled = match done {
            _ if self.interpreter.doubts > doubts => self.either_way(whole),
            Ok(()) => run(self, &attempt.orelse),
            Err(fault) => self.handle(whole, attempt, run, fault),
        };
        let finally = run(self, &attempt.finalbody);
        handled.and(finally)
    }

    /// Forgets what the statement binds: it is unknown whether Python would go on with a handler.
    fn either_way(&mut self, whole: &Stmt) -> Result<(), Fault> {
        let fault = Fault::unreadable("whether this statement succeeds is not known").at(whole.start());
        self.poison(bound(std::slice::from_ref(whole)), &fault);
        self.changed(whole.start());
        Ok(())
    }

    fn handle(
        &mut self,
        whole: &Stmt,
        attempt: &StmtTry,
        run: fn(&mut Self, &[Stmt]) -> Result<(), Fault>,
        fault: Fault,
    ) -> Result<(), Fault> {
        let FaultKind::Raises(exception) = fault.kind else { return Err(fault) };
        for ExceptHandler::ExceptHandler(handler) in &attempt.handlers {
            let caught = match handler.type_.as_deref() {
                None => Some(true),
                Some(Expr::Name(name)) => exception.is_caught_by(name.id.as_str()),
                Some(Expr::Tuple(tuple)) => {
                    let caught: Vec<_> = tuple
                        .elts
                        .iter()
                        .map(|class| match class {
                            Expr::Name(name) => exception.is_caught_by(name.id.as_str()),
                            _ => None,
                        })
                        .collect();
                    if caught.contains(&Some(true)) {
                        Some(true)
                    } else if caught.contains(&None) {
                        None
                    } else {
                        Some(false)
                    }
                }
                Some(_) => None,
            };
            match caught {
                None => return self.either_way(whole),
                Some(false) => {}
                Some(true) => {
                    if let Some(name) = &handler.name {
                        let fault = Fault::unreadable("an exception is no setting").at(handler.start());
                        self.poison([name.to_string()], &fault);
                    }
                    let done = run(self, &handler.body);
                    if let Some(name) = &handler.name {
                        self.interpreter.names.remove(name.as_str());
                    }
                    return done;
                }
            }
        }
        Err(fault)
    }
}

/// Returns the exception of a `raise`.
pub(super) fn raised(raise: &StmtRaise) -> Fault {
    let class = match raise.exc.as_deref() {
        Some(Expr::Call(call)) => Some(&*call.func),
        exception => exception,
    };
    let exception = match class {
        Some(Expr::Name(name)) => Exception::named(name.id.as_str()),
        _ => None,
    };
    Fault::raises(
        exception.unwrap_or(Exception::Other),
        "the file refuses its settings here, with an exception",
    )
}
