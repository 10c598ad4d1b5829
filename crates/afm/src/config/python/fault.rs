//! Faults: the reasons why there is no value.

use std::borrow::Cow;

use ruff_text_size::TextSize;

/// Why an expression has no value. The reason never quotes the file or a value, either of which may be a
/// secret.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) struct Fault {
    /// The place in the file, which the innermost expression sets.
    pub(in crate::config) at: Option<TextSize>,
    pub(in crate::config) kind: FaultKind,
    pub(in crate::config) reason: Cow<'static, str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum FaultKind {
    /// The expression is not on the list.
    Unreadable,
    /// Python raises this exception, too.
    Raises(Exception),
}

/// The exceptions that the expressions on the list raise, and [`Exception::Other`] for those of a `raise`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Exception {
    Attribute,
    Index,
    Key,
    Name,
    Overflow,
    Type,
    Value,
    ZeroDivision,
    Assertion,
    Runtime,
    Other,
}

impl Fault {
    pub(super) fn unreadable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { at: None, kind: FaultKind::Unreadable, reason: reason.into() }
    }

    pub(super) fn raises(exception: Exception, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { at: None, kind: FaultKind::Raises(exception), reason: reason.into() }
    }

    pub(super) fn of_type(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::raises(Exception::Type, reason)
    }

    /// Sets the place of the fault, unless it has one.
    pub(super) fn at(mut self, place: TextSize) -> Self {
        self.at.get_or_insert(place);
        self
    }
}

impl Exception {
    /// Returns the exception of that name, if it is known.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "AttributeError" => Self::Attribute,
            "IndexError" => Self::Index,
            "KeyError" => Self::Key,
            "NameError" => Self::Name,
            "OverflowError" => Self::Overflow,
            "TypeError" => Self::Type,
            "ValueError" => Self::Value,
            "ZeroDivisionError" => Self::ZeroDivision,
            "AssertionError" => Self::Assertion,
            "RuntimeError" => Self::Runtime,
            _ => return None,
        })
    }

    /// Says whether `except NAME` catches it; `None` if that is unknown.
    pub(super) fn is_caught_by(self, name: &str) -> Option<bool> {
        let group: &[Self] = match name {
            "Exception" | "BaseException" => return Some(true),
            "LookupError" => &[Self::Index, Self::Key],
            "ArithmeticError" => &[Self::Overflow, Self::ZeroDivision],
            "ImportError"
            | "ModuleNotFoundError"
            | "OSError"
            | "IOError"
            | "FileNotFoundError"
            | "PermissionError"
            | "UnicodeError"
            | "UnicodeDecodeError" => &[],
            _ => &[Self::named(name)?],
        };
        if self == Self::Other { None } else { Some(group.contains(&self)) }
    }
}
