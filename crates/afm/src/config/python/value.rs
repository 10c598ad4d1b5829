//! Python values and their comparison.

use std::cmp::Ordering;
use std::rc::Rc;

use super::budget::Budget;
use super::fault::{Exception, Fault};
use super::function::Function;
use super::imported_module::ImportedModule;

/// A Python value. It never changes: whatever would change one is not on the list.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) enum Value {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Rc<str>),
    Bytes(Rc<[u8]>),
    Tuple(Rc<Items>),
    List(Rc<Items>),
    Set(Rc<Items>),
    /// A dict: a key, its value, the next key, and so on.
    Dict(Rc<Items>),
    /// A `datetime.timedelta`, in microseconds.
    Timedelta(i128),
    Function(Function),
    Module(ImportedModule),
    /// `os.environ`.
    Environ,
    Ellipsis,
}

/// A value, or why there is none.
pub(super) type Outcome = Result<Value, Fault>;

/// The items of a container.
#[derive(Debug, PartialEq)]
pub(in crate::config) struct Items {
    values: Vec<Value>,
    /// How deep containers are nested, this one included.
    depth: usize,
    /// How many values there are, nested ones included.
    count: usize,
}

/// Containers may be nested this deep, which bounds recursion.
const DEEPEST: usize = 40;

/// A container may have this many values, nested ones included, since all are walked to compare and show
/// them.
const MOST: usize = 5_000;

impl Items {
    pub(super) fn new(values: Vec<Value>, budget: &mut Budget) -> Result<Rc<Self>, Fault> {
        let (mut depth, mut count) = (1, values.len());
        for value in &values {
            if let Some(items) = value.items() {
                depth = depth.max(items.depth + 1);
                count = count.saturating_add(items.count);
            }
        }
        if depth > DEEPEST || count > MOST {
            return Err(Fault::unreadable("a list, tuple, set or dict is larger here than settings need"));
        }
        budget.spend(values.len() * size_of::<Value>())?;
        Ok(Rc::new(Self { values, depth, count }))
    }

    pub(super) fn values(&self) -> &[Value] {
        &self.values
    }

    /// Iterates over the keys and values of a dict.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.values.chunks_exact(2).map(|pair| (&pair[0], &pair[1]))
    }
}

impl Value {
    pub(super) fn text(text: &str, budget: &mut Budget) -> Result<Self, Fault> {
        budget.text(text.len())?;
        Ok(Self::Str(text.into()))
    }

    pub(super) fn items(&self) -> Option<&Items> {
        match self {
            Self::Tuple(items) | Self::List(items) | Self::Set(items) | Self::Dict(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the kind of a value, for people.
    pub(in crate::config) fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "True or False",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Str(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Set(_) => "a set",
            Self::Dict(_) => "a dict",
            Self::Timedelta(_) => "a timedelta",
            Self::Function(_) => "a function",
            Self::Module(_) => "a module",
            Self::Environ => "os.environ",
            Self::Ellipsis => "...",
        }
    }

    /// Says whether `if` takes the value for true.
    pub(super) fn is_true(&self) -> Result<bool, Fault> {
        Ok(match self {
            Self::None => false,
            Self::Bool(flag) => *flag,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::Bytes(bytes) => !bytes.is_empty(),
            Self::Timedelta(micros) => *micros != 0,
            Self::Function(_) | Self::Module(_) | Self::Ellipsis => true,
            Self::Environ => return Err(Fault::unreadable("the whole environment is looked at here")),
            Self::Tuple(items) | Self::List(items) | Self::Set(items) | Self::Dict(items) => {
                !items.values.is_empty()
            }
        })
    }

    /// Returns the value as an integer for arithmetic, with True as 1.
    pub(super) fn integer(&self) -> Option<i128> {
        match self {
            Self::Bool(flag) => Some((*flag).into()),
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// Evaluates Python's `==`.
    pub(super) fn equals(&self, other: &Self, budget: &mut Budget) -> Result<bool, Fault> {
        budget.spend(1)?;
        Ok(match (self, other) {
            (Self::Tuple(a), Self::Tuple(b)) | (Self::List(a), Self::List(b)) => {
                if a.values.len() != b.values.len() {
                    return Ok(false);
                }
                for (a, b) in a.values.iter().zip(&b.values) {
                    if !a.equals(b, budget)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Self::Set(_), Self::Set(_)) | (Self::Dict(_), Self::Dict(_)) => {
                return Err(Fault::unreadable("sets or dicts are compared here"));
            }
            (Self::Environ, _) | (_, Self::Environ) => {
                return Err(Fault::unreadable("the whole environment is looked at here"));
            }
            _ => match self.order(other) {
                Some(order) => order == Some(Ordering::Equal),
                None => self == other,
            },
        })
    }

    /// Returns the order of numbers, strings, bytes and timedeltas; `None` if there is none, `Some(None)` for
    /// NaN.
    pub(super) fn order(&self, other: &Self) -> Option<Option<Ordering>> {
        Some(match (self, other) {
            (Self::Str(a), Self::Str(b)) => Some(a.cmp(b)),
            (Self::Bytes(a), Self::Bytes(b)) => Some(a.cmp(b)),
            (Self::Timedelta(a), Self::Timedelta(b)) => Some(a.cmp(b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b),
            (Self::Float(a), b) => compare(b.integer()?, *a).map(Ordering::reverse),
            (a, Self::Float(b)) => compare(a.integer()?, *b),
            (a, b) => Some(a.integer()?.cmp(&b.integer()?)),
        })
    }

    /// Fails unless the value can be in a set, or be a key of a dict.
    pub(super) fn check_hashable(&self) -> Result<(), Fault> {
        match self {
            Self::List(_) | Self::Set(_) | Self::Dict(_) | Self::Environ => {
                Err(Fault::of_type("a list, set or dict is no key of a dict and no member of a set"))
            }
            Self::Tuple(items) => items.values.iter().try_for_each(Self::check_hashable),
            _ => Ok(()),
        }
    }

    /// Returns the value of a key of a dict.
    pub(super) fn look_up(items: &Items, key: &Self, budget: &mut Budget) -> Result<Option<Self>, Fault> {
        key.check_hashable()?;
        for (known, value) in items.pairs() {
            if known.equals(key, budget)? {
                return Ok(Some(value.clone()));
            }
        }
        Ok(None)
    }
}

/// Compares an integer with a float, without rounding either.
fn compare(integer: i128, float: f64) -> Option<Ordering> {
    /// 2 to the power of 127, which is beyond every integer here.
    const BEYOND: f64 = 1.701_411_834_604_692_3e38;
    if float.is_nan() {
        return None;
    }
    if float >= BEYOND {
        return Some(Ordering::Less);
    }
    if float < -BEYOND {
        return Some(Ordering::Greater);
    }
    let order = integer.cmp(&whole(float.floor()));
    Some(if order == Ordering::Equal && float > float.floor() { Ordering::Less } else { order })
}

/// Returns a float without its fraction. The caller has checked its range.
#[cfg_attr(
    not(test),
    expect(clippy::cast_possible_truncation, reason = "the fraction is to go, and the range was looked at")
)]
pub(super) fn whole(float: f64) -> i128 {
    float as i128
}

/// Returns the position of an index, which counts from the end if it is negative.
pub(super) fn index(index: &Value, length: usize) -> Result<usize, Fault> {
    let Some(number) = index.integer() else {
        return Err(Fault::of_type("an index is an integer"));
    };
    let from_end = if number < 0 { number + length as i128 } else { number };
    usize::try_from(from_end)
        .ok()
        .filter(|index| *index < length)
        .ok_or_else(|| Fault::raises(Exception::Index, "the index is out of range"))
}
