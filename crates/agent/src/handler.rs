//! Handlers: what an agent can do, by the type and the version of a task.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::context::Context;
use crate::failure::Failure;

/// The result of a task as it is posted: the text of a JSON object.
pub(crate) type Outcome = Result<Box<RawValue>, Failure>;

pub(crate) type Executing = Pin<Box<dyn Future<Output = Outcome> + Send>>;

type Execute = dyn Fn(&RawValue, Context) -> Executing + Send + Sync;

/// What executes the tasks of a type, whatever their data.
#[derive(Clone)]
pub(crate) struct Handler {
    pub(crate) version: i64,
    execute: Arc<Execute>,
}

impl Handler {
    /// Makes a handler of a function from typed input to typed output.
    pub(crate) fn new<I, O, F, R>(version: i64, function: F) -> Self
    where
        I: DeserializeOwned,
        O: Serialize,
        F: Fn(I, Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, Failure>> + Send + 'static,
    {
        let execute = move |data: &RawValue, context| -> Executing {
            match read(data) {
                Ok(input) => {
                    let executing = function(input, context);
                    Box::pin(async move { write(&executing.await?) })
                }
                Err(failure) => Box::pin(async { Err(failure) }),
            }
        };
        Self { version, execute: Arc::new(execute) }
    }

    /// Makes a handler that does something before this one, after it, or in its place.
    pub(crate) fn around<F>(self, function: F) -> Self
    where
        F: Fn(&RawValue, Context, &dyn Fn(&RawValue, Context) -> Executing) -> Executing
            + Send
            + Sync
            + 'static,
    {
        let execute = self.execute;
        Self { execute: Arc::new(move |data, context| function(data, context, &*execute)), ..self }
    }

    /// Executes a task with this data.
    pub(crate) fn execute(&self, data: &RawValue, context: Context) -> Executing {
        (self.execute)(data, context)
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Handlers by the type of the tasks that they execute. An agent can name one version of each.
pub(crate) type Handlers = BTreeMap<String, Handler>;

/// Reads a task's data; a failure names the field.
fn read<I: DeserializeOwned>(data: &RawValue) -> Result<I, Failure> {
    let mut data = serde_json::Deserializer::from_str(data.get());
    serde_path_to_error::deserialize(&mut data).map_err(|error| {
        let field = match error.path().to_string().as_str() {
            "." => "task_data".to_owned(),
            path => format!("task_data.{path}"),
        };
        // Where in the text it is says nothing to whoever has posted an object.
        let problem = error.inner().to_string();
        let problem = problem.rsplit_once(" at line ").map_or(problem.as_str(), |(problem, _)| problem);
        // That is all serde_json says of a list of words that is given anything but a text.
        let problem = if problem == "expected value" { "invalid type, expected a string" } else { problem };
        Failure::new(format!("{field}: {problem}"))
    })
}

/// Writes a result, which protocol 1 wants to be an object.
fn write<O: Serialize>(output: &O) -> Outcome {
    let text = serde_json::value::to_raw_value(output)
        .map_err(|error| Failure::new(format!("could not write the result as JSON: {error}")))?;
    if text.get().starts_with('{') {
        return Ok(text);
    }
    Err(Failure::new(format!("the handler's result is no JSON object but {}", text.get())))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use tokio_util::sync::CancellationToken;
    use uuid::Uuid;

    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sum {
        terms: Vec<Term>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Term {
        value: i64,
        #[serde(default)]
        sign: Sign,
    }

    #[derive(Default, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Sign {
        #[default]
        Plus,
    }

    async fn execute(data: &str) -> Result<String, String> {
        let handler = Handler::new(1, |sum: Sum, _| async move {
            let sum: i64 = sum.terms.iter().map(|Term { value, sign: Sign::Plus }| value).sum();
            Ok(BTreeMap::from([("sum", sum)]))
        });
        let context = Context {
            task_id: Uuid::nil(),
            attempt: 1,
            deadline: None,
            cancellation: CancellationToken::new(),
        };
        let data = RawValue::from_string(data.to_owned()).unwrap();
        let outcome = handler.execute(&data, context).await;
        outcome.map(|result| result.get().to_owned()).map_err(|failure| failure.to_string())
    }

    #[tokio::test]
    async fn typed_input_becomes_typed_output() {
        assert_eq!(
            execute(r#"{"terms": [{"value": 1}, {"value": 2}]}"#).await,
            Ok(r#"{"sum":3}"#.to_owned())
        );
    }

    #[tokio::test]
    async fn data_that_does_not_fit_is_an_error_that_names_the_field() {
        let wrong = [
            ("{}", "task_data: missing field `terms`"),
            (
                r#"{"terms": [{"value": "1"}]}"#,
                r#"task_data.terms[0].value: invalid type: string "1", expected i64"#,
            ),
            (
                r#"{"terms": [{"value": 1, "unit": 2}]}"#,
                "task_data.terms[0].unit: unknown field `unit`, expected `value` or `sign`",
            ),
            (
                r#"{"terms": [{"value": 1, "sign": 2}]}"#,
                "task_data.terms[0].sign: invalid type, expected a string",
            ),
            ("[]", "task_data: invalid length 0, expected struct Sum with 1 element"),
        ];
        for (data, expected) in wrong {
            assert_eq!(execute(data).await, Err(expected.to_owned()), "{data}");
        }
    }

    #[tokio::test]
    async fn a_result_that_is_no_object_is_an_error() {
        assert_eq!(
            write(&1).map_err(|failure| failure.to_string()).unwrap_err(),
            "the handler's result is no JSON object but 1"
        );
    }
}
