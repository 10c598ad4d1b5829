//! The handlers that the agent comes with.

mod dns;
mod environment;
mod http;
mod http_steps;
mod mail;
mod ping;
mod process;
mod python;
mod secrets;
mod tcp;
mod tls_certificate;
mod url_http_status;
mod wait;

use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::handler::Handler;

pub use environment::{Command, Environment};
pub use secrets::{Secrets, SecretsError};

/// A handler that the agent comes with.
pub struct BuiltIn {
    /// The type of the tasks that it executes.
    pub name: &'static str,
    /// Their version.
    pub version: i64,
    /// What their data has to be.
    pub schema: Schema,
    make: Box<dyn Fn(Arc<Environment>) -> Handler>,
}

impl BuiltIn {
    fn new<I, O, F, R>(name: &'static str, version: i64, function: F) -> Self
    where
        I: DeserializeOwned + JsonSchema,
        O: Serialize,
        F: Fn(I, Context, Arc<Environment>) -> R + Copy + Send + Sync + 'static,
        R: Future<Output = Result<O, Failure>> + Send + 'static,
    {
        let plain = move |environment: Arc<Environment>| {
            let handler = Handler::new(version, move |data: I, context| {
                function(data, context, Arc::clone(&environment))
            });
            // A command is asked to end first, and is seen to its end.
            if name == "process" { handler } else { dropped_when_cancelled(handler) }
        };
        // What is filled in is not to be taken for the variables of its steps.
        let fills_in_itself = name == "http_steps";
        let make = move |environment| secrets::filled_in(plain, environment, fills_in_itself);
        let mut schema = schemars::schema_for!(I);
        // What it is made from is the name of a type of this program.
        schema.insert("title".to_owned(), name.into());
        Self { name, version, schema, make: Box::new(make) }
    }

    pub(crate) fn handler(&self, environment: Arc<Environment>) -> Handler {
        (self.make)(environment)
    }

    /// Executes one task without an AFM, with its data and with its result as JSON: to try out a task.
    ///
    /// # Errors
    /// What the AFM would be told.
    pub async fn execute(&self, environment: Arc<Environment>, data: &str) -> Result<String, Failure> {
        let data: &RawValue = serde_json::from_str(data)?;
        let result = self.handler(environment).execute(data, Context::alone()).await?;
        Ok(result.get().to_owned())
    }
}

/// Makes a handler that ends at once when its task is cancelled or late: it has nothing to tidy up.
fn dropped_when_cancelled(handler: Handler) -> Handler {
    handler.around(|data, context, execute| {
        let executing = execute(data, context.clone());
        Box::pin(async move {
            tokio::select! {
                outcome = executing => outcome,
                () = context.cancelled() => Err(Failure::new("the task was cancelled")),
            }
        })
    })
}

impl fmt::Debug for BuiltIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuiltIn")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// All handlers that the agent comes with, by name.
#[must_use]
pub fn built_in() -> Vec<BuiltIn> {
    vec![
        BuiltIn::new("dns", 1, dns::execute),
        BuiltIn::new("http", 1, http::execute),
        BuiltIn::new("http_steps", 1, http_steps::execute),
        BuiltIn::new("imap", 1, mail::execute_imap),
        BuiltIn::new("ping", 1, ping::execute),
        BuiltIn::new("process", 1, process::execute),
        BuiltIn::new("smtp", 1, mail::execute_smtp),
        BuiltIn::new("tcp", 1, tcp::execute),
        BuiltIn::new("tls_certificate", 1, tls_certificate::execute),
        BuiltIn::new("url_http_status", 1, url_http_status::execute),
        BuiltIn::new("wait", 1, wait::execute),
    ]
}

/// What the data of a task has to be, by the name of each handler that the agent comes with: its version, and the JSON
/// Schema of its data.
#[must_use]
pub fn schemas() -> Value {
    let schema = |handler: BuiltIn| {
        (handler.name.to_owned(), json!({"version": handler.version, "data": handler.schema}))
    };
    Value::Object(built_in().into_iter().map(schema).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_handler_has_a_schema_that_describes_each_member_of_its_data() {
        let schemas = schemas();
        for handler in built_in() {
            let schema = &schemas[handler.name];
            assert_eq!(schema["version"], handler.version);
            assert_eq!(schema["data"]["title"], handler.name);
            let members = schema["data"]["properties"].as_object().unwrap();
            assert!(!members.is_empty(), "{}", handler.name);
            for (name, member) in members {
                assert!(member["description"].is_string(), "{}: {name} has no description", handler.name);
            }
        }
    }

    #[tokio::test]
    async fn a_handler_ends_at_once_when_its_task_is_cancelled() {
        // Nobody ever answers.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}/");
        for (name, data) in [
            ("wait", json!({"time": 300})),
            ("http", json!({"url": url})),
            ("url_http_status", json!({"url": url})),
            ("tcp", json!({"host": "127.0.0.1", "port": port, "expected": "x"})),
        ] {
            let handler = built_in().into_iter().find(|handler| handler.name == name).unwrap();
            let context = Context::alone();
            context.cancellation.cancel();
            let data = serde_json::value::to_raw_value(&data).unwrap();
            let outcome = handler.handler(Arc::default()).execute(&data, context).await;
            assert_eq!(outcome.unwrap_err().to_string(), "the task was cancelled", "{name}");
        }
    }

    #[test]
    fn the_documentation_has_every_member_of_a_handlers_data() {
        let text = include_str!("../../../docs/agent.md");
        let sections: Vec<(&str, &str)> =
            text.split("\n## ").skip(1).filter_map(|section| section.split_once('\n')).collect();
        let (_, general) = sections.iter().find(|(heading, _)| *heading == "Handlers").unwrap();
        for handler in built_in() {
            let is_its = |heading: &str| heading.split(" and ").any(|name| name == handler.name);
            let section = sections.iter().find(|(heading, _)| is_its(heading));
            let (_, section) = section.unwrap_or_else(|| panic!("{} has no section", handler.name));
            for name in handler.schema.get("properties").unwrap().as_object().unwrap().keys() {
                let named = format!("`{name}`");
                let is_there = section.contains(&named) || general.contains(&named);
                assert!(is_there, "the section of {} does not have {name}", handler.name);
            }
        }
    }
}
