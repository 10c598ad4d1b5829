//! `http_steps`: a transaction of several requests, each with what its answers before have given.

mod template;
mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::http::{
    Answer, Content, Expected, HttpRequest, MaxBytes, MaxRedirects, Method, OneOrMany, RequestOptions,
    Statuses, examine, exchange, headers, url, yes,
};
use super::{Environment, Secrets};
use crate::context::Context;
use crate::failure::Failure;
use crate::network::connect::IpVersion;
use crate::network::http::{Client, Cookies};
use crate::network::limit::{Limit, Timeout, milliseconds};
use crate::network::tls::Verify;
use template::{Variables, filled_in, filled_in_url, filled_in_value, names_in, names_in_value};
use variables::Source;

const MOST_STEPS: usize = 100;

/// Sends several requests, one after the other, as somebody does who logs in, orders and looks up the order. Cookies
/// are kept. `${name}` in a step stands for a variable that a step before has taken from its answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    /// The steps, in their order.
    #[schemars(length(min = 1, max = 100))]
    steps: Vec<Step>,
    /// Variables that there are from the beginning.
    #[serde(default)]
    variables: BTreeMap<String, Value>,
    /// The variables that the result is to have.
    #[serde(default)]
    results: Vec<String>,
    /// Whether a certificate that is not valid is an error.
    #[serde(default = "yes")]
    verify: bool,
    /// 4 or 6: only IPv4, or only IPv6.
    ip_version: Option<IpVersion>,
    /// How many bytes of each body are read.
    #[serde(default)]
    max_bytes: MaxBytes,
    /// Whether answers may be compressed (gzip, br).
    #[serde(default)]
    compressed: bool,
    /// How many seconds it may take in all.
    #[serde(default)]
    timeout: Timeout,
}

/// A request, and what its answer has to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Step {
    /// What people know the step by.
    name: String,
    /// Where to. What is filled in after the `?` is escaped.
    url: String,
    /// The method, in capitals.
    #[serde(default)]
    method: Method,
    /// Headers of the request.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The body of the request: a string as it is, any other value as JSON. A string in it that is nothing but `${name}`
    /// becomes the variable's value, also where that is no string.
    body: Option<Value>,
    /// The body of the request as the fields of a form.
    form: Option<BTreeMap<String, String>>,
    /// The status that the answer has to have, as for `http`.
    #[serde(default)]
    expected_status: Statuses,
    /// The text, or the texts, that the body of the answer has to contain.
    #[serde(default)]
    contains: OneOrMany,
    /// A regular expression that the body of the answer has to match somewhere.
    regex: Option<String>,
    /// What the body of the answer, as JSON, has to have: values by JSON pointers.
    #[serde(default)]
    json: BTreeMap<String, Value>,
    /// Variables for the steps that follow, and where in the answer they are.
    #[serde(default)]
    variables: BTreeMap<String, Source>,
    /// How many redirects are followed; one more is an error. 0: a redirect is an answer like others.
    #[serde(default)]
    max_redirects: MaxRedirects,
}

/// The result of a task.
#[derive(Debug, Serialize)]
pub(super) struct Output {
    steps: Vec<Done>,
    total_ms: f64,
    /// The variables that were asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    results: BTreeMap<String, Value>,
}

/// A step that is done; its times are those of its last request, after all redirects.
#[derive(Debug, Serialize)]
struct Done {
    name: String,
    status: u16,
    address: String,
    dns_ms: f64,
    connect_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_ms: Option<f64>,
    first_byte_ms: f64,
    total_ms: f64,
    bytes: u64,
}

pub(super) async fn execute(
    mut data: Data,
    context: Context,
    environment: Arc<Environment>,
) -> Result<Output, Failure> {
    data.fill_in(&environment.secrets)?;
    let data = Arc::new(data);
    data.check().map_err(|problem| Failure::new(format!("task_data.{problem}")))?;
    let limit = data.timeout.limit(&context);
    let client = Client {
        policy: &environment.network,
        tls: &environment.tls,
        verify: if data.verify { Verify::Required } else { Verify::Reported },
        ip_version: data.ip_version,
        proxy: None,
    };
    let mut cookies = Cookies::default();
    let mut variables = Variables::with(Arc::clone(&environment.secrets));
    variables.add(data.variables.clone()).map_err(|problem| Failure::new(format!("task_data.{problem}")))?;
    let began = Instant::now();
    let mut steps = Vec::with_capacity(data.steps.len());
    let count = data.steps.len();
    for (index, step) in data.steps.iter().enumerate() {
        let done = execute_step(&data, index, &client, &mut cookies, &mut variables, &limit).await;
        steps.push(done.map_err(|failure| {
            Failure::new(format!("step {:?} ({} of {count}): {failure}", step.name, index + 1))
        })?);
    }
    let results = data.results.iter().filter_map(|name| Some((name.clone(), variables.remove(name)?)));
    Ok(Output { steps, total_ms: milliseconds(began.elapsed()), results: results.collect() })
}

impl Data {
    /// Fills in secrets where no variables are; where variables are, they are filled in with these.
    fn fill_in(&mut self, secrets: &Secrets) -> Result<(), Failure> {
        for value in self.variables.values_mut() {
            fill_in_value(value, secrets)?;
        }
        for step in &mut self.steps {
            let texts = [&mut step.name].into_iter().chain(&mut step.regex);
            for text in texts.chain(step.variables.values_mut().map(Source::text)) {
                *text = secrets.filled_in(text)?;
            }
        }
        Ok(())
    }

    /// What cannot be right whatever the answers are; the problem begins with the name of the member.
    fn check(&self) -> Result<(), String> {
        if self.steps.is_empty() || self.steps.len() > MOST_STEPS {
            return Err(format!("steps: must be from 1 to {MOST_STEPS}, and are {}", self.steps.len()));
        }
        let mut known: BTreeSet<&str> = BTreeSet::new();
        for name in self.variables.keys() {
            is_name(name).map_err(|problem| format!("variables: {problem}"))?;
            known.insert(name);
        }
        let mut names = BTreeSet::new();
        for (index, step) in self.steps.iter().enumerate() {
            let place = |problem: String| format!("steps[{index}].{problem}");
            if !names.insert(&step.name) {
                return Err(place(format!("name: {:?} is the name of a step before", step.name)));
            }
            step.check(&known).map_err(place)?;
            if step.is_parsed() {
                self.max_bytes.for_parsing(step.regexes())?;
            }
            known.extend(step.variables.keys().map(String::as_str));
        }
        match self.results.iter().find(|name| !known.contains(name.as_str())) {
            Some(unknown) => Err(format!("results: there is no variable {unknown:?}")),
            None => Ok(()),
        }
    }
}

/// Sends the request of a step, checks its answer, and takes its variables.
async fn execute_step(
    data: &Arc<Data>,
    index: usize,
    client: &Client<'_>,
    cookies: &mut Cookies,
    variables: &mut Variables,
    limit: &Limit,
) -> Result<Done, Failure> {
    let step = &data.steps[index];
    let names = step.names().map_err(Failure::new)?;
    variables.fit(names.into_iter().flat_map(|(_, names)| names)).map_err(Failure::new)?;
    let request = step.request(variables).map_err(Failure::new)?;
    let expected = step.expected(variables).map_err(Failure::new)?;
    let options = RequestOptions {
        max_redirects: step.max_redirects,
        max_bytes: data.max_bytes,
        compressed: data.compressed,
    };
    let mut answer = exchange(client, request, options, Some(&mut *cookies), limit).await?;
    let wrong = |answer: &Answer, problem: String| Failure::new(format!("{}: {problem}", answer.shown_url()));
    expected.check_status(&answer).map_err(|problem| wrong(&answer, problem))?;
    if expected.has_body() || !step.variables.is_empty() {
        let (data, kept) = (Arc::clone(data), cookies.clone());
        let find = move |content: &Content<'_>| {
            expected.check(content)?;
            data.steps[index].take_variables(content, &kept)
        };
        let has_regex = step.regexes().next().is_some();
        let (examined, found) = examine(answer, limit, has_regex, find).await?;
        answer = examined;
        variables.add(found).map_err(|problem| wrong(&answer, problem))?;
    }
    Ok(step.done(&answer))
}

impl Step {
    /// The variables that an answer has for the steps that follow; no more than there is room for.
    fn take_variables(&self, content: &Content<'_>, cookies: &Cookies) -> Result<Variables, String> {
        let mut taken = Variables::default();
        for (name, source) in &self.variables {
            let value = source
                .take(content, cookies)
                .map_err(|problem| format!("could not take the variable {name:?}: {problem}"))?;
            taken.add([(name.clone(), value)])?;
        }
        Ok(taken)
    }

    fn check(&self, known: &BTreeSet<&str>) -> Result<(), String> {
        if self.body.is_some() && self.form.is_some() {
            return Err("form: a request has either a form or another body".to_owned());
        }
        for (member, names) in self.names()? {
            let is_known = |name: &str| known.contains(name) || template::is_secret(name);
            if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
                return Err(format!("{member}: no step before has a variable {unknown:?}"));
            }
        }
        for (name, source) in &self.variables {
            is_name(name).map_err(|problem| format!("variables: {problem}"))?;
            source.check().map_err(|problem| format!("variables.{name}: {problem}"))?;
        }
        // Those that name no variable can be checked as they are.
        if names_in(&self.url)?.is_empty() {
            url(&self.url)?;
        }
        let regex = self.regex.as_deref();
        Expected::new(self.expected_status.clone(), self.contains.clone(), regex, self.json.clone())?;
        headers(&self.headers.keys().map(|name| (name.clone(), String::new())).collect()).map(|_| ())
    }

    /// Whether the body of the answer is compared with a regular expression, or read as JSON.
    fn is_parsed(&self) -> bool {
        let has_source = self.variables.values().any(Source::is_parsed);
        self.regex.is_some() || !self.json.is_empty() || has_source
    }

    /// All regular expressions that the body of the answer is compared with.
    fn regexes(&self) -> impl Iterator<Item = &str> {
        self.regex.as_deref().into_iter().chain(self.variables.values().filter_map(Source::regex))
    }

    /// The variables that each member names, as often as it does.
    fn names(&self) -> Result<Vec<(&str, Vec<&str>)>, String> {
        let texts = [("url", &self.url)].into_iter();
        let texts = texts.chain(self.headers.values().map(|value| ("headers", value)));
        let texts = texts.chain(self.form.iter().flatten().map(|(_, value)| ("form", value)));
        let mut used: Vec<(&str, Vec<&str>)> = Vec::new();
        for (member, text) in texts {
            used.push((member, names_in(text).map_err(|problem| format!("{member}: {problem}"))?));
        }
        for (member, value) in
            self.body.iter().map(|body| ("body", body)).chain(self.json.values().map(|value| ("json", value)))
        {
            used.push((member, names_in_value(value).map_err(|problem| format!("{member}: {problem}"))?));
        }
        for text in self.contains.texts() {
            used.push(("contains", names_in(text).map_err(|problem| format!("contains: {problem}"))?));
        }
        Ok(used)
    }

    /// The request, with variables filled in.
    fn request(&self, variables: &Variables) -> Result<HttpRequest, String> {
        let url = url(&filled_in_url(&self.url, variables)?)?;
        let mut given = BTreeMap::new();
        for (name, value) in &self.headers {
            given.insert(name.clone(), filled_in(value, variables)?);
        }
        let mut body = self.body.as_ref().map(|body| filled_in_value(body, variables)).transpose()?;
        let has_type = given.keys().any(|name| name.eq_ignore_ascii_case("content-type"));
        if let Some(form) = &self.form {
            let mut fields = form_urlencoded::Serializer::new(String::new());
            for (name, value) in form {
                fields.append_pair(name, &filled_in(value, variables)?);
            }
            body = Some(Value::String(fields.finish()));
            if !has_type {
                given.insert("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned());
            }
        }
        Ok(HttpRequest::new(self.method.clone(), url, headers(&given)?, body.as_ref()))
    }

    fn expected(&self, variables: &Variables) -> Result<Expected, String> {
        let contains = self.contains.texts().iter().map(|text| filled_in(text, variables));
        let contains = contains.collect::<Result<Vec<_>, _>>()?;
        let mut json = BTreeMap::new();
        for (pointer, value) in &self.json {
            json.insert(pointer.clone(), filled_in_value(value, variables)?);
        }
        Expected::new(self.expected_status.clone(), OneOrMany::of(contains), self.regex.as_deref(), json)
    }

    fn done(&self, answer: &Answer) -> Done {
        Done {
            name: self.name.clone(),
            status: answer.status.as_u16(),
            address: answer.address.ip().to_string(),
            dns_ms: milliseconds(answer.times.dns),
            connect_ms: milliseconds(answer.times.connect),
            tls_ms: answer.peer.as_ref().map(|_| milliseconds(answer.times.tls)),
            first_byte_ms: milliseconds(answer.times.first_byte),
            total_ms: milliseconds(answer.total),
            bytes: answer.body.received,
        }
    }
}

fn fill_in_value(value: &mut Value, secrets: &Secrets) -> Result<(), Failure> {
    match value {
        Value::String(text) => *text = secrets.filled_in(text)?,
        Value::Array(values) => values.iter_mut().try_for_each(|value| fill_in_value(value, secrets))?,
        Value::Object(values) => values.values_mut().try_for_each(|value| fill_in_value(value, secrets))?,
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// Whether a variable can have a name.
fn is_name(name: &str) -> Result<(), String> {
    match template::is_name(name) {
        true => Ok(()),
        false => {
            Err(format!("{name:?} is no name: it has letters, digits and '_', and begins with no digit"))
        }
    }
}

#[cfg(test)]
mod tests;
