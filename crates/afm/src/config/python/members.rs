//! The members of the modules that can be imported.

use super::fault::Fault;
use super::function::Function;
use super::imported_module::ImportedModule;
use super::value::Value;
use crate::config::log_level;

/// Returns the member of that name, if it is on the list.
pub(super) fn member(module: ImportedModule, name: &str) -> Result<Value, Fault> {
    let function = match (module, name) {
        (ImportedModule::Os, "environ") => return Ok(Value::Environ),
        (ImportedModule::Os, "path") => return Ok(Value::Module(ImportedModule::OsPath)),
        (ImportedModule::Os | ImportedModule::OsPath, "sep") => return Ok(Value::Str("/".into())),
        (ImportedModule::Os | ImportedModule::OsPath, "pardir") => return Ok(Value::Str("..".into())),
        (ImportedModule::Os | ImportedModule::OsPath, "curdir") => return Ok(Value::Str(".".into())),
        (ImportedModule::Os, "name") => return Ok(Value::Str("posix".into())),
        (ImportedModule::Urllib, "parse") => return Ok(Value::Module(ImportedModule::UrllibParse)),
        (ImportedModule::Logging, level) if log_level::constant(level).is_some() => {
            return Ok(Value::Int(log_level::constant(level).unwrap_or_default().into()));
        }
        (ImportedModule::Os, "getenv") => Function::Getenv,
        (ImportedModule::Os, "getcwd") => Function::Getcwd,
        (ImportedModule::OsPath, "join") => Function::Join,
        (ImportedModule::OsPath, "dirname") => Function::Dirname,
        (ImportedModule::OsPath, "basename") => Function::Basename,
        (ImportedModule::OsPath, "abspath") => Function::Abspath,
        (ImportedModule::OsPath, "normpath") => Function::Normpath,
        (ImportedModule::OsPath, "realpath") => Function::Realpath,
        (ImportedModule::OsPath, "expanduser") => Function::Expanduser,
        (ImportedModule::Datetime, "timedelta") => Function::Timedelta,
        (ImportedModule::UrllibParse, "quote") => Function::Quote,
        (ImportedModule::UrllibParse, "quote_plus") => Function::QuotePlus,
        _ => return Err(Fault::unreadable("this member of a module is not among what can be read")),
    };
    Ok(Value::Function(function))
}
