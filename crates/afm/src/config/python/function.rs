//! The functions that can be called.

/// A function of Python, or of one of its modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Function {
    Abs,
    Bool,
    Dict,
    Float,
    Int,
    Len,
    List,
    Max,
    Min,
    Str,
    Tuple,
    Getcwd,
    Getenv,
    Abspath,
    Basename,
    Dirname,
    Expanduser,
    Join,
    Normpath,
    Realpath,
    Timedelta,
    Quote,
    QuotePlus,
}

impl Function {
    /// Returns the function of that name that needs no import.
    pub(super) fn builtin(name: &str) -> Option<Self> {
        Some(match name {
            "abs" => Self::Abs,
            "bool" => Self::Bool,
            "dict" => Self::Dict,
            "float" => Self::Float,
            "int" => Self::Int,
            "len" => Self::Len,
            "list" => Self::List,
            "max" => Self::Max,
            "min" => Self::Min,
            "str" => Self::Str,
            "tuple" => Self::Tuple,
            _ => return None,
        })
    }
}
