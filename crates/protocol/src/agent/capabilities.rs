//! The field of a poll that says which tasks an agent can execute.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use crate::fields::{Field, wrong_json};
use crate::invalid::Invalid;
use crate::limits::Limits;
use crate::scanner::{NotJson, Scanner};
use crate::value::{Problem, Value, check_length};

/// A task type that an agent can execute, in one version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability {
    /// The task type.
    pub task_type: String,
    /// The version of the type.
    pub version: i64,
}

/// The members of a field that names task types, each with an object that holds its version.
///
/// An agent may have many capabilities. So they are found while the body is passed over, and read once that
/// is over.
#[derive(Default)]
pub(super) struct Offers<'a> {
    offers: Vec<Offer<'a>>,
    /// Whether the name of a member is not Unicode.
    has_wrong_name: bool,
}

/// A member of the field: one capability.
struct Offer<'a> {
    task_type: Cow<'a, str>,
    value: Value<'a>,
    /// The version, if the value is an object that has one; an error if that has a name that is not Unicode.
    version: Result<Option<Value<'a>>, NotJson>,
}

/// The names of at most so many offers are compared in pairs, which is faster than hashing them.
const FEW: usize = 8;

impl<'a> Offers<'a> {
    /// Passes over the value of the field.
    pub(super) fn pass_over(&mut self, scanner: &mut Scanner<'a>) -> Result<Value<'a>, NotJson> {
        // The field may be repeated.
        *self = Self { offers: Vec::with_capacity(4), has_wrong_name: false };
        scanner.members(|scanner, task_type| {
            let mut version = Ok(None);
            // An agent may say more of a capability than its version.
            let value = scanner.members(|scanner, name| {
                let value = scanner.value()?;
                match name.decoded() {
                    Some(name) if name == "version" => version = version.map(|_| Some(value)),
                    Some(_) => {}
                    None => version = Err(NotJson),
                }
                Ok(())
            })?;
            match task_type.decoded() {
                Some(task_type) => self.offers.push(Offer { task_type, value, version }),
                None => self.has_wrong_name = true,
            }
            Ok(())
        })
    }

    /// Reads the capabilities, now that the whole body was passed over.
    pub(super) fn read(self, field: Field<'_>, limits: &Limits) -> Result<Vec<Capability>, Invalid> {
        let object = field.require(Value::object)?;
        if self.has_wrong_name {
            return Err(field.invalid(wrong_json(object)));
        }
        let offers = last_of_each_type(self.offers);
        let (most, has) = (limits.capabilities, offers.len());
        if has > most {
            return Err(field.invalid(format!("must have at most {most} members, has {has}")));
        }
        // A version that is wrong is named only where all names and objects are right.
        let mut wrong_version = None;
        let mut capabilities = Vec::with_capacity(has);
        for Offer { task_type, value, version } in offers {
            // Only an escape can stand for U+0000.
            if matches!(&task_type, Cow::Owned(decoded) if decoded.contains('\0')) {
                return Err(field.invalid("a name must not contain U+0000"));
            }
            check_length(&task_type, limits.name_bytes)
                .map_err(|problem| field.invalid(format!("a name {problem}")))?;
            let version = value
                .object()
                .and_then(|object| version.map_err(|NotJson| wrong_json(object)))
                .map_err(|problem| field.invalid_member(&task_type, problem))?;
            match version.ok_or(Problem::Borrowed("is required")).and_then(Value::integer) {
                Ok(version) => capabilities.push(Capability { task_type: task_type.into_owned(), version }),
                Err(problem) => {
                    wrong_version.get_or_insert_with(|| {
                        field.invalid_member(&format!("{task_type}.version"), problem)
                    });
                }
            }
        }
        wrong_version.map_or(Ok(capabilities), Err)
    }
}

/// Of offers with one task type, keeps the last, in the place of the first.
fn last_of_each_type(offers: Vec<Offer<'_>>) -> Vec<Offer<'_>> {
    let is_repeated = if offers.len() <= FEW {
        let mut later = offers.iter();
        std::iter::from_fn(|| later.next().map(|offer| (offer, later.as_slice())))
            .any(|(offer, later)| later.iter().any(|other| other.task_type == offer.task_type))
    } else {
        let mut types = HashSet::with_capacity(offers.len());
        !offers.iter().all(|offer| types.insert(&offer.task_type))
    };
    if !is_repeated {
        return offers;
    }
    let mut kept: Vec<Offer<'_>> = Vec::with_capacity(offers.len());
    let mut places: HashMap<_, usize> = HashMap::with_capacity(offers.len());
    for offer in offers {
        match places.entry(offer.task_type.clone()) {
            Entry::Occupied(place) => kept[*place.get()] = offer,
            Entry::Vacant(place) => {
                place.insert(kept.len());
                kept.push(offer);
            }
        }
    }
    kept
}
