//! The arguments of a call.

use std::rc::Rc;

use super::fault::Fault;
use super::value::Value;

/// The arguments of a call.
pub(super) struct CallArguments {
    pub(super) positional: Vec<Value>,
    pub(super) keywords: Vec<(String, Value)>,
}

impl CallArguments {
    /// Returns the arguments in the order of the parameters `names`, of which the first `required` must be
    /// given.
    pub(super) fn bind<const N: usize>(
        self,
        names: [&str; N],
        required: usize,
    ) -> Result<[Option<Value>; N], Fault> {
        let wrong = || Fault::of_type("a function is called with arguments that it does not take");
        if self.positional.len() > N {
            return Err(wrong());
        }
        let mut bound = [const { None }; N];
        for (place, value) in bound.iter_mut().zip(self.positional) {
            *place = Some(value);
        }
        for (name, value) in self.keywords {
            let place = names.iter().position(|known| *known == name).ok_or_else(wrong)?;
            if bound[place].replace(value).is_some() {
                return Err(wrong());
            }
        }
        if bound[..required].iter().any(Option::is_none) { Err(wrong()) } else { Ok(bound) }
    }

    /// Returns the only argument of a function, which has no name.
    pub(super) fn one(self) -> Result<Value, Fault> {
        let [value] = self.bind([""], 1)?;
        value.ok_or_else(|| Fault::of_type("an argument is missing"))
    }

    pub(super) fn one_text(self) -> Result<Rc<str>, Fault> {
        // The parameter has a different name in each function, which nobody writes.
        match self.one()? {
            Value::Str(text) => Ok(text),
            _ => Err(Fault::of_type("a string is needed here")),
        }
    }
}
