//! Secrets: a task's data names them, the agent fills them in, and nothing that leaves it has them.

mod file;
mod hiding;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use super::Environment;
use crate::failure::Failure;
use crate::handler::Handler;
pub use file::SecretsError;
use hiding::Hiding;

const BEGIN: &str = "${secret:";

/// Secrets by their names.
#[derive(Default)]
pub struct Secrets {
    secrets: BTreeMap<String, Secret>,
    hiding: Hiding,
}

/// A secret.
#[derive(Default)]
struct Secret {
    value: String,
    /// The hosts that a task which names it may reach; `None`: all that the agent may.
    hosts: Option<BTreeSet<String>>,
}

/// A task's data with secrets in it.
struct Filled {
    data: Box<RawValue>,
    /// The hosts that all of the secrets are for; `None`: all that the agent may reach.
    hosts: Option<BTreeSet<String>>,
}

impl Secrets {
    fn new(secrets: BTreeMap<String, Secret>) -> Self {
        let hiding = Hiding::of(secrets.iter().map(|(name, secret)| (name.as_str(), secret.value.as_str())));
        Self { secrets, hiding }
    }

    /// The value of a secret.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.secrets.get(name).map(|secret| secret.value.as_str())
    }

    /// A text with the secrets that it names filled in.
    pub(super) fn filled_in(&self, text: &str) -> Result<String, Failure> {
        self.fill_in_text(text, "task_data", |_| {})
    }

    /// Fills in the secrets that a task's data names; `None` where it names none. They are looked for alone, where the
    /// handler fills them in itself.
    fn fill_in(&self, data: &RawValue, fills_in_itself: bool) -> Result<Option<Filled>, Failure> {
        // `$` may be written as an escape.
        let may_name = data.get().contains(BEGIN) || data.get().contains("\\u0024");
        if !may_name {
            return Ok(None);
        }
        let mut hosts = None;
        self.look_through(&serde_json::from_str(data.get())?, "task_data", &mut hosts)?;
        let data = match fills_in_itself {
            true => data.to_owned(),
            false => RawValue::from_string(self.fill_in_json(data.get())?)?,
        };
        Ok(Some(Filled { data, hosts }))
    }

    /// Finds out whether there is every secret that a value names, and which hosts they are for.
    fn look_through(
        &self,
        value: &Value,
        field: &str,
        hosts: &mut Option<BTreeSet<String>>,
    ) -> Result<(), Failure> {
        match value {
            Value::String(text) => {
                self.fill_in_text(text, field, |secret| {
                    if let Some(its) = &secret.hosts {
                        let both = hosts.take().map(|hosts| &hosts & its);
                        *hosts = Some(both.unwrap_or_else(|| its.clone()));
                    }
                })?;
            }
            Value::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    self.look_through(value, &format!("{field}[{index}]"), hosts)?;
                }
            }
            Value::Object(values) => {
                for (name, value) in values {
                    self.look_through(value, &format!("{field}.{name}"), hosts)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        Ok(())
    }

    /// Fills in the texts of a JSON text, but not the names of members. All else stays as it is: the digits of numbers, and
    /// the order of members.
    fn fill_in_json(&self, json: &str) -> Result<String, Failure> {
        let (mut filled, mut rest) = (String::with_capacity(json.len()), json);
        while let Some(begin) = rest.find('"') {
            let (before, from) = rest.split_at(begin);
            let (quoted, after) = from.split_at(end_of_text(from));
            filled.push_str(before);
            let is_name = after.trim_start().starts_with(':');
            let text: String = serde_json::from_str(quoted)?;
            match !is_name && text.contains(BEGIN) {
                true => {
                    let text = self.filled_in(&text)?;
                    filled.push_str(&Value::from(text).to_string());
                }
                false => filled.push_str(quoted),
            }
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn fill_in_text(
        &self,
        text: &str,
        field: &str,
        mut named: impl FnMut(&Secret),
    ) -> Result<String, Failure> {
        let (mut filled, mut rest) = (String::with_capacity(text.len()), text);
        while let Some((before, after)) = rest.split_once(BEGIN) {
            let whole = after.split_once('}').filter(|(name, _)| is_name(name));
            let (name, after) = whole
                .ok_or_else(|| Failure::new(format!("{field}: a secret is named like ${{secret:NAME}}")))?;
            let secret = self
                .secrets
                .get(name)
                .ok_or_else(|| Failure::new(format!("{field}: this agent has no secret {name:?}")))?;
            named(secret);
            filled.push_str(before);
            filled.push_str(&secret.value);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.secrets.keys()).finish()
    }
}

/// Where a quoted text ends that a JSON text begins with.
fn end_of_text(json: &str) -> usize {
    let mut is_escaped = false;
    let end = json.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(json.len(), |end| end + 2)
}

fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// Makes a handler that is given data with secrets filled in, and whose results have none. A task that names a secret
/// for some hosts reaches these alone. `fills_in_itself`: its data has the names of secrets, which its environment has.
pub(crate) fn filled_in(
    make: impl Fn(Arc<Environment>) -> Handler + Send + Sync + 'static,
    environment: Arc<Environment>,
    fills_in_itself: bool,
) -> Handler {
    make(Arc::clone(&environment)).around(move |data, context, execute| {
        let executing = match environment.secrets.fill_in(data, fills_in_itself) {
            Ok(None) => execute(data, context),
            Ok(Some(Filled { data, hosts: None })) => execute(&data, context),
            Ok(Some(Filled { data, hosts: Some(hosts) })) => {
                make(Arc::new(environment.for_hosts(hosts))).execute(&data, context)
            }
            Err(failure) => return Box::pin(async { Err(failure) }),
        };
        let secrets = Arc::clone(&environment.secrets);
        Box::pin(async move { secrets.hiding.hide_in(executing.await) })
    })
}
