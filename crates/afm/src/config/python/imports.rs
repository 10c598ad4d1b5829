//! Runs imports.

use ruff_python_ast::Alias;
use ruff_text_size::Ranged;

use super::fault::Fault;
use super::imported_module::ImportedModule;
use super::members::member;
use super::reader::Reader;
use super::value::Value;

impl Reader<'_> {
    /// Runs `import NAME`.
    pub(super) fn import(&mut self, alias: &Alias) {
        let module = alias.name.as_str();
        let top = module.split('.').next().unwrap_or_default();
        let (name, known) = match &alias.asname {
            Some(name) => (name.as_str(), ImportedModule::named(module)),
            None => (top, ImportedModule::named(top)),
        };
        if known.is_none() {
            self.pass_over(alias.start(), "an import");
        }
        let value = known.map(Value::Module).ok_or_else(not_read);
        self.interpreter.bind(name, value, alias.start());
    }

    /// Runs `from … import NAME`; `module` is `None` if it is not a known one.
    pub(super) fn import_member(&mut self, module: Option<ImportedModule>, alias: &Alias) {
        let member_name = alias.name.as_str();
        if member_name == "*" {
            self.interpreter.any_name = true;
            return;
        }
        let name = alias.asname.as_ref().map_or(member_name, |name| name.as_str());
        let value = module.ok_or_else(not_read).and_then(|module| member(module, member_name));
        self.interpreter.bind(name, value, alias.start());
    }
}

fn not_read() -> Fault {
    Fault::unreadable("what is imported here is not among what can be read")
}
