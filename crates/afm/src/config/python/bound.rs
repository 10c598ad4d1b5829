//! Finds the names that statements bind.

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Alias, Expr, ExprContext, Stmt};

/// Returns the names that statements bind, without those inside functions and classes.
pub(super) fn bound(statements: &[Stmt]) -> Vec<String> {
    #[derive(Default)]
    struct Names(Vec<String>);

    impl<'a> Visitor<'a> for Names {
        fn visit_stmt(&mut self, statement: &'a Stmt) {
            match statement {
                Stmt::FunctionDef(function) => self.0.push(function.name.to_string()),
                Stmt::ClassDef(class) => self.0.push(class.name.to_string()),
                statement => walk_stmt(self, statement),
            }
        }

        fn visit_expr(&mut self, expression: &'a Expr) {
            if let Expr::Name(name) = expression
                && matches!(name.ctx, ExprContext::Store | ExprContext::Del)
            {
                self.0.push(name.id.to_string());
            }
            walk_expr(self, expression);
        }

        fn visit_alias(&mut self, alias: &'a Alias) {
            let name = alias.asname.as_ref().map_or_else(
                || alias.name.as_str().split('.').next().unwrap_or_default(),
                |name| name.as_str(),
            );
            self.0.push(name.to_owned());
        }
    }

    let mut names = Names::default();
    statements.iter().for_each(|statement| names.visit_stmt(statement));
    names.0.sort_unstable();
    names.0.dedup();
    names.0
}
