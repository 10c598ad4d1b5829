//! The modules that are known, and what is in them.

use ruff_python_ast::Alias;
use ruff_text_size::Ranged;

use super::calls::Function;
use super::statements::Reader;
use super::{Fault, Value};
use crate::config::log_level;

/// A module of Python's library of which some is on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum ImportedModule {
    Os,
    OsPath,
    Datetime,
    Logging,
    Urllib,
    UrllibParse,
}

impl ImportedModule {
    /// The module of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "os" => Self::Os,
            "os.path" | "posixpath" => Self::OsPath,
            "datetime" => Self::Datetime,
            "logging" => Self::Logging,
            "urllib" => Self::Urllib,
            "urllib.parse" => Self::UrllibParse,
            _ => return None,
        })
    }

    /// What the module calls by that name, as far as it is on the list.
    pub(super) fn member(self, name: &str) -> Result<Value, Fault> {
        let function = match (self, name) {
            (Self::Os, "environ") => return Ok(Value::Environ),
            (Self::Os, "path") => return Ok(Value::Module(Self::OsPath)),
            (Self::Os | Self::OsPath, "sep") => return Ok(Value::Str("/".into())),
            (Self::Os | Self::OsPath, "pardir") => return Ok(Value::Str("..".into())),
            (Self::Os | Self::OsPath, "curdir") => return Ok(Value::Str(".".into())),
            (Self::Os, "name") => return Ok(Value::Str("posix".into())),
            (Self::Urllib, "parse") => return Ok(Value::Module(Self::UrllibParse)),
            (Self::Logging, level) if log_level::constant(level).is_some() => {
                return Ok(Value::Int(log_level::constant(level).unwrap_or_default().into()));
            }
            (Self::Os, "getenv") => Function::Getenv,
            (Self::Os, "getcwd") => Function::Getcwd,
            (Self::OsPath, "join") => Function::Join,
            (Self::OsPath, "dirname") => Function::Dirname,
            (Self::OsPath, "basename") => Function::Basename,
            (Self::OsPath, "abspath") => Function::Abspath,
            (Self::OsPath, "normpath") => Function::Normpath,
            (Self::OsPath, "realpath") => Function::Realpath,
            (Self::OsPath, "expanduser") => Function::Expanduser,
            (Self::Datetime, "timedelta") => Function::Timedelta,
            (Self::UrllibParse, "quote") => Function::Quote,
            (Self::UrllibParse, "quote_plus") => Function::QuotePlus,
            _ => return Err(Fault::unreadable("this member of a module is not among what can be read")),
        };
        Ok(Value::Function(function))
    }
}

impl Reader<'_> {
    /// `import NAME`.
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

    /// `from … import NAME`, of a module that is known or not.
    pub(super) fn import_member(&mut self, module: Option<ImportedModule>, alias: &Alias) {
        let member = alias.name.as_str();
        if member == "*" {
            self.interpreter.any_name = true;
            return;
        }
        let name = alias.asname.as_ref().map_or(member, |name| name.as_str());
        let value = module.ok_or_else(not_read).and_then(|module| module.member(member));
        self.interpreter.bind(name, value, alias.start());
    }
}

fn not_read() -> Fault {
    Fault::unreadable("what is imported here is not among what can be read")
}
