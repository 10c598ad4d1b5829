//! The state while a file is read: its names, its environment, and what is left of its budget.

use std::collections::HashMap;
use std::rc::Rc;

use ruff_text_size::TextSize;

use super::budget::Budget;
use super::fault::{Exception, Fault};
use super::function::Function;
use super::imported_module::ImportedModule;
use super::value::{Outcome, Value};

/// What a name stands for, or why it stands for nothing.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) value: Outcome,
    /// Where it was bound last.
    pub(super) at: TextSize,
    /// Whether the value was made of an environment variable, and may be secret.
    pub(super) from_environment: bool,
    /// The number of the name, in the order in which names were first bound.
    pub(super) number: usize,
}

/// The state of an evaluation.
pub(super) struct Interpreter<'a> {
    pub(super) source: &'a str,
    pub(super) file_name: &'a str,
    /// Looks up a variable in the environment.
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
    /// The variables that the file itself has set; `None` if to an unknown value.
    pub(super) variables: HashMap<String, Option<Rc<str>>>,
    pub(super) names: HashMap<String, Binding>,
    /// How often a name was bound.
    pub(super) bound: usize,
    pub(super) budget: Budget,
    /// Whether the current statement has looked at the environment.
    pub(super) environment_seen: bool,
    /// How many `try` statements are around the current one.
    pub(super) trying: usize,
    /// Counts the places at which Python may go on in another way: a `try` around one cannot be evaluated.
    pub(super) doubts: usize,
    /// Whether `from … import *` may have bound any name.
    pub(super) any_name: bool,
}

impl Interpreter<'_> {
    /// Returns the value of a name.
    pub(super) fn name(&mut self, name: &str) -> Outcome {
        if let Some(binding) = self.names.get(name) {
            self.environment_seen |= binding.from_environment;
            return binding.value.clone();
        }
        match name {
            "__file__" => return Value::text(self.file_name, &mut self.budget),
            // Flask gives this name to the module that it makes of a file.
            "__name__" => return Ok(Value::Str("config".into())),
            // These are not Python's, but users of other formats write them.
            "true" => return Ok(Value::Bool(true)),
            "false" => return Ok(Value::Bool(false)),
            // This works without an import, too: files for slamon-afm set LOG_LEVEL this way.
            "logging" => return Ok(Value::Module(ImportedModule::Logging)),
            _ => {}
        }
        if let Some(function) = Function::builtin(name) {
            return Ok(Value::Function(function));
        }
        if self.any_name || BUILTINS.split(' ').any(|builtin| builtin == name) {
            return Err(Fault::unreadable("this name is not among what can be read"));
        }
        Err(Fault::raises(Exception::Name, "this name is not defined above; is it a string without quotes?"))
    }

    /// Returns the value of an environment variable.
    pub(super) fn variable(&mut self, name: &Value) -> Result<Option<Value>, Fault> {
        let Value::Str(name) = name else {
            return Err(Fault::of_type("the name of an environment variable is a string"));
        };
        self.environment_seen = true;
        match self.variables.get(&**name) {
            Some(Some(value)) => return Ok(Some(Value::Str(value.clone()))),
            Some(None) => return Err(Fault::unreadable("this environment variable is changed above")),
            None => {}
        }
        // A text that cannot be the name of a variable must not reach the operating system.
        if name.is_empty() || name.contains(['=', '\0']) {
            return Ok(None);
        }
        match (self.environment)(name) {
            Some(value) => Value::text(&value, &mut self.budget).map(Some),
            None => Ok(None),
        }
    }

    /// Sets an environment variable for the rest of the file, and for nobody else; `None` stands for an
    /// unknown value.
    pub(super) fn set_variable(&mut self, name: &Value, value: Option<&Value>) -> Result<(), Fault> {
        let (Value::Str(name), None | Some(Value::Str(_))) = (name, value) else {
            return Err(Fault::of_type("the name and the value of an environment variable are strings"));
        };
        let value = if let Some(Value::Str(value)) = value { Some(value.clone()) } else { None };
        self.budget.text(name.len())?;
        self.variables.insert(name.to_string(), value);
        Ok(())
    }

    /// Binds a name to a value that the current statement has made.
    pub(super) fn bind(&mut self, name: &str, value: Outcome, at: TextSize) {
        let number = self.names.get(name).map_or(self.bound, |known| known.number);
        self.bound += 1;
        let value = value.map_err(|fault| fault.at(at));
        let from_environment = self.environment_seen;
        self.names.insert(name.to_owned(), Binding { value, at, from_environment, number });
    }
}

/// The other names that need no import in Python.
const BUILTINS: &str = " \
    ArithmeticError AssertionError AttributeError BaseException BlockingIOError BrokenPipeError \
    BufferError BytesWarning ConnectionError DeprecationWarning EOFError Ellipsis EnvironmentError \
    Exception FileExistsError FileNotFoundError FutureWarning GeneratorExit IOError ImportError \
    ImportWarning IndexError InterruptedError KeyError KeyboardInterrupt LookupError MemoryError \
    ModuleNotFoundError NameError NotImplemented NotImplementedError OSError OverflowError \
    PermissionError ProcessLookupError RecursionError ReferenceError ResourceWarning RuntimeError \
    RuntimeWarning StopIteration SyntaxError SystemError SystemExit TimeoutError TypeError \
    UnicodeDecodeError UnicodeEncodeError UnicodeError UserWarning ValueError Warning ZeroDivisionError \
    __build_class__ __builtins__ __cached__ __debug__ __doc__ __import__ __loader__ __package__ __spec__ \
    all any ascii bin breakpoint bytearray bytes callable chr classmethod compile complex copyright \
    credits delattr dir divmod enumerate eval exec exit filter format frozenset getattr globals hasattr \
    hash help hex id input isinstance issubclass iter license locals map memoryview next object oct open \
    ord pow print property quit range repr reversed round set setattr slice sorted staticmethod sum \
    super type vars zip ";
