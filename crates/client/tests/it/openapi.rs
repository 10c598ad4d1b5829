//! The client beside docs/openapi.json: each operation has a method, and each member of its answers a place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use slamon_client::{
    AgentFilter, AgentListFilter, Change, Client, ClientError, Event, EventFilter, NewTask, Order, Outcome,
    TaskFilter,
};
use tokio::net::TcpListener;
use uuid::{Uuid, uuid};

use crate::afm::PATIENCE;

const ID: Uuid = uuid!("de305d54-75b4-431b-adb2-eb6b9e546013");
const TIME: &str = "2026-11-22T19:23:01.621614+00:00";

/// What a client that posts and manages tasks has no method for.
const OF_OTHERS: [(&str, &str); 5] = [
    ("POST", "/tasks"),           // agents
    ("POST", "/tasks/response"),  // agents
    ("GET", "/dashboard/status"), // the dashboard of the original
    ("GET", "/healthz"),          // supervisors
    ("GET", "/metrics"),          // Prometheus
];

/// The document.
struct Document(Value);

impl Document {
    fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        let text = std::fs::read_to_string(path).expect("docs/openapi.json is there");
        Self(serde_json::from_str(&text).expect("it is JSON"))
    }

    /// All operations: the method, the path and what is said of it.
    fn operations(&self) -> impl Iterator<Item = (String, &str, &Value)> {
        self.0["paths"].as_object().expect("paths").iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods");
            methods.iter().map(move |(method, operation)| (method.to_uppercase(), path.as_str(), operation))
        })
    }

    /// The path of the document that a path is one of, which is the one with the fewest variables.
    fn template(&self, method: &str, path: &str) -> &str {
        let fits = |template: &str| {
            let (parts, of_template) = (path.split('/'), template.split('/'));
            parts.clone().count() == of_template.clone().count()
                && parts.zip(of_template).all(|(part, of)| part == of || of.starts_with('{'))
        };
        self.operations()
            .filter(|(other, template, _)| other == method && fits(template))
            .map(|(_, template, _)| template)
            .min_by_key(|template| template.matches('{').count())
            .unwrap_or_else(|| panic!("{method} {path} is in no path of the document"))
    }

    fn schema(&self, name: &str) -> &Value {
        &self.0["components"]["schemas"][name]
    }

    /// The members of a schema, with those of what it refers to, and which of them have to be there.
    fn members<'a>(&'a self, schema: &'a Value) -> (BTreeMap<&'a str, &'a Value>, BTreeSet<&'a str>) {
        if let Some(name) = schema["$ref"].as_str() {
            return self.members(self.schema(name.rsplit('/').next().unwrap_or_default()));
        }
        let (mut members, mut required) = (BTreeMap::new(), BTreeSet::new());
        for part in schema["allOf"].as_array().into_iter().chain(schema["oneOf"].as_array()).flatten() {
            let (more, needed) = self.members(part);
            members.extend(more);
            required.extend(needed);
        }
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            members.insert(name, member);
        }
        required.extend(schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str));
        (members, required)
    }

    /// A value that fits: with all members, or with those that have to be there.
    fn sample(&self, schema: &Value, is_full: bool) -> Value {
        if let Some(name) = schema["$ref"].as_str() {
            return self.sample(self.schema(name.rsplit('/').next().unwrap_or_default()), is_full);
        }
        if let Some(choices) = schema["oneOf"].as_array() {
            let choice = choices.iter().find(|choice| choice["type"] != "null").expect("a choice");
            return self.sample(choice, is_full);
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().find(|kind| **kind != "null").expect("a type"),
            kind => kind,
        };
        match kind.as_str() {
            Some("string") if schema["format"] == "uuid" => json!(ID),
            Some("string") => json!(TIME),
            Some("integer") => json!(7),
            Some("number") => json!(0.5),
            Some("boolean") => json!(true),
            Some("array") if is_full => json!([self.sample(&schema["items"], is_full)]),
            Some("array") => json!([]),
            _ => {
                let (members, required) = self.members(schema);
                let mut object: Map<String, Value> = members
                    .iter()
                    .filter(|(name, _)| is_full || required.contains(**name))
                    .map(|(name, member)| ((*name).to_owned(), self.sample(member, is_full)))
                    .collect();
                let of_any_name = &schema["additionalProperties"];
                if is_full && of_any_name.as_object().is_some_and(|of| !of.is_empty()) {
                    object.insert("name".to_owned(), self.sample(of_any_name, is_full));
                }
                Value::Object(object)
            }
        }
    }
}

/// What was asked at a path: the parameters and the members of the bodies.
#[derive(Default)]
struct Asked {
    parameters: BTreeSet<String>,
    members: BTreeSet<String>,
}

/// An AFM that answers everything by the document, and keeps what it was asked.
struct Recorder {
    document: Document,
    is_full: bool,
    asked: Mutex<BTreeMap<(String, String), Asked>>,
    /// What was answered last.
    answered: Mutex<Value>,
}

impl Recorder {
    async fn start(is_full: bool) -> (Arc<Self>, Client) {
        let recorder = Arc::new(Self {
            document: Document::read(),
            is_full,
            asked: Mutex::default(),
            answered: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let afm = Router::new().fallback(answer).with_state(Arc::clone(&recorder));
        tokio::spawn(axum::serve(listener, afm).into_future());
        (recorder, Client::new(&url).expect("a client"))
    }

    /// What is answered to a request.
    fn answer(&self, method: &str, template: &str, body: &Value) -> Value {
        let operation = &self.document.0["paths"][template][method.to_lowercase()];
        let content = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        let name = content["$ref"].as_str().and_then(|name| name.rsplit('/').next());
        let of = |name| self.document.sample(self.document.schema(name), self.is_full);
        let several = |one: Value, count: usize| {
            let mut one = one;
            one["status"] = json!(200);
            json!({"results": vec![one; count]})
        };
        let count = |member: &str| body[member].as_array().map_or(0, Vec::len);
        match name {
            None => Value::Null,
            Some("TaskAnswers") => several(of("TaskAnswer"), count("tasks")),
            Some("TasksChanged") if body["task_ids"].is_array() => {
                several(of("ChangedTask"), count("task_ids"))
            }
            Some("TasksChanged") if body["token"].is_null() => of("Counted"),
            Some("TasksChanged") => {
                let mut done = of("Done");
                // Once more, and then it is done.
                if body["token"] != json!(Uuid::nil()) && self.is_full {
                    done["token"] = json!(Uuid::nil());
                } else {
                    done["token"] = Value::Null;
                }
                done
            }
            Some(name) => of(name),
        }
    }

    fn events(&self) -> String {
        let changed = self.document.sample(self.document.schema("TaskChanged"), self.is_full);
        format!(
            "retry: 1\nid: 8c-0\n\n: a comment\n\nevent: later\ndata: {{}}\n\nevent: task\nid: 8c-1\ndata: \
             {changed}\n\nevent: missed\nid: 8c-2\ndata: {{\"missed\":null}}\n\nevent: changes\nid: \
             8c-3\ndata: {{\"changes\":12}}\n\n"
        )
    }

    /// Checks that a method has read all that was answered.
    #[track_caller]
    fn has_read<T: Serialize>(&self, read: Result<T, ClientError>) {
        let mut read = serde_json::to_value(read.expect("it is read")).expect("it is JSON");
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !self.is_full {
            // What may be missing is read as null.
            without_nulls(&mut read);
            without_nulls(&mut answered);
        }
        assert_eq!(read, answered);
    }
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null() && *member != json!([]));
            members.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

async fn answer(State(recorder): State<Arc<Recorder>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body: Bytes = to_bytes(body, usize::MAX).await.expect("a body");
    let (method, path) = (head.method.as_str(), head.uri.path());
    let template = recorder.document.template(method, path);
    let body: Value = match body.is_empty() {
        true => Value::Null,
        false => {
            assert_eq!(head.headers[header::CONTENT_TYPE], "application/json");
            serde_json::from_slice(&body).expect("it is JSON")
        }
    };
    {
        let mut asked = recorder.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = asked.entry((method.to_owned(), template.to_owned())).or_default();
        let query = head.uri.query().unwrap_or_default();
        let names =
            query.split('&').filter_map(|pair| pair.split('=').next()).filter(|name| !name.is_empty());
        asked.parameters.extend(names.map(str::to_owned));
        asked.parameters.extend(head.headers.get("last-event-id").map(|_| "Last-Event-ID".to_owned()));
        asked.members.extend(body.as_object().into_iter().flatten().map(|(name, _)| name.clone()));
    }
    if template == "/api/v1/events" {
        return ([(header::CONTENT_TYPE, "text/event-stream")], recorder.events()).into_response();
    }
    if template == "/readyz" {
        return "ok\n".into_response();
    }
    let answer = recorder.answer(method, template, &body);
    *recorder.answered.lock().unwrap_or_else(PoisonError::into_inner) = answer.clone();
    match answer {
        Value::Null => StatusCode::OK.into_response(),
        answer => axum::Json(answer).into_response(),
    }
}

fn filter() -> TaskFilter {
    TaskFilter {
        state: Some("failed".to_owned()),
        task_type: Some("a".to_owned()),
        task_version: Some(1),
        test_id: Some(ID),
        task_id: Some(ID),
        agent_id: Some(ID),
        country: Some("FI".to_owned()),
        from: Some(TIME.to_owned()),
        to: Some(TIME.to_owned()),
        q: Some("x".to_owned()),
    }
}

fn new_task() -> NewTask {
    NewTask {
        task_data: NewTask::new("a", 1).data(&json!({})).expect("JSON").task_data,
        task_delay: Some(1.0),
        task_ttl: Some(1.0),
        task_timeout: Some(1.0),
        task_max_attempts: Some(2),
        task_retry_errors: Some(true),
        task_retry_delay: Some(1.0),
        task_priority: Some(1),
        agent_filter: Some(AgentFilter {
            agent_id: Some(ID),
            agent_name: Some("a".to_owned()),
            country: Some("FI".to_owned()),
            region: Some("18".to_owned()),
        }),
        ..NewTask::new("a", 1)
    }
}

/// Calls every method, with all that can be said.
async fn call_everything(recorder: &Recorder, client: &Client) {
    client.post_task(&new_task()).await.expect("it is posted");
    let answers = client.post_tasks(&[new_task(), new_task()]).await.expect("they are posted");
    recorder.has_read(Ok(json!({ "results": answers })));
    recorder.has_read(client.task(ID).await);
    recorder.has_read(client.delete(ID).await);
    recorder.has_read(client.status().await);
    client.ready().await.expect("it is ready");

    recorder.has_read(client.tasks(&filter(), Order::Oldest, 1, Some("c")).await);
    recorder.has_read(client.whole_task(ID).await);
    recorder.has_read(client.cancel(ID).await);
    assert_eq!(client.retry(ID).await.expect("it is posted again"), ID);
    for change in [Change::Cancel, Change::Retry] {
        let answers = client.change_tasks(change, &[ID, ID]).await.expect("they are changed");
        recorder.has_read(Ok(json!({ "results": answers })));
        let counted = client.count_all(change, &filter()).await.expect("they are counted");
        assert_eq!((counted.count, counted.more), (7, true));
        let steps = if recorder.is_full { 2 } else { 1 };
        let changed = client.change_counted(counted).await.expect("they are changed");
        assert_eq!((changed.changed, changed.refused), (7 * steps, 7 * steps));
    }
    recorder.has_read(client.test(ID, 1, Some("c")).await);

    let agents = AgentListFilter {
        state: Some("lost".to_owned()),
        task_type: Some("a".to_owned()),
        task_version: Some(1),
        country: Some("FI".to_owned()),
        region: Some("18".to_owned()),
        q: Some("x".to_owned()),
    };
    recorder.has_read(client.agents(&agents, 1, Some("c")).await);
    recorder.has_read(client.agent(ID).await);
    recorder.has_read(client.pause_agent(ID).await);
    recorder.has_read(client.resume_agent(ID).await);
    recorder.has_read(client.forget_agent(ID).await);
    recorder.has_read(client.types(1, Some("c")).await);
    recorder.has_read(client.task_type("a", 1).await);
    for version in [None, Some(1)] {
        recorder.has_read(client.pause_type("a", version).await);
        recorder.has_read(client.resume_type("a", version).await);
    }
    recorder.has_read(client.overview().await);
    recorder.has_read(client.locations().await);

    let of_all = EventFilter {
        task_id: Some(ID),
        test_id: Some(ID),
        task_type: Some("a".to_owned()),
        agent_id: Some(ID),
        every: Some(1),
    };
    let mut events = client.events(&of_all, Some("8c-0"));
    match events.next().await.expect("an event") {
        Event::Changed(changed) => {
            let mut read = serde_json::to_value(&changed).expect("JSON");
            without_nulls(&mut read);
            let schema = recorder.document.schema("TaskChanged");
            assert_eq!(read, recorder.document.sample(schema, recorder.is_full));
        }
        event => panic!("{event:?}"),
    }
    assert_eq!(events.last_id(), Some("8c-1"));
    assert_eq!(events.next().await.expect("an event"), Event::Missed(None));
    assert_eq!(events.next().await.expect("an event"), Event::Changes(Some(12)));
    assert_eq!(events.last_id(), Some("8c-3"));
}

#[tokio::test]
async fn each_operation_has_a_method_and_each_member_of_its_answers_a_place() {
    for is_full in [true, false] {
        let (recorder, client) = Recorder::start(is_full).await;
        call_everything(&recorder, &client).await;
        if is_full {
            // `wait` is said by waiting, which ends with a task that has ended.
            match client.run(&new_task(), PATIENCE).await.expect("it has ended") {
                Outcome::Completed(result) => assert_eq!(result.get(), "{}"),
                Outcome::Failed(error) => panic!("{error}"),
            }
        }
        let asked = recorder.asked.lock().unwrap_or_else(PoisonError::into_inner);
        for (method, path, operation) in recorder.document.operations() {
            if OF_OTHERS.contains(&(method.as_str(), path)) {
                continue;
            }
            let asked = asked.get(&(method.clone(), path.to_owned()));
            let asked = asked.unwrap_or_else(|| panic!("no method asks {method} {path}"));
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let expected: BTreeSet<String> = parameters
                .filter(|parameter| parameter["in"] != "path" && (is_full || parameter["name"] != "wait"))
                .filter_map(|parameter| parameter["name"].as_str().map(str::to_owned))
                .collect();
            assert_eq!(asked.parameters, expected, "{method} {path}");
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            let (members, _) = recorder.document.members(body);
            // The schema is that of retry, too.
            let of_retry = |name: &str| name == "new_task_ids" && path.ends_with("/cancel");
            let expected: BTreeSet<String> =
                members.into_keys().filter(|name| !of_retry(name)).map(str::to_owned).collect();
            assert_eq!(asked.members, expected, "{method} {path}");
        }
    }
}

#[test]
fn what_is_of_others_is_in_the_document() {
    let document = Document::read();
    for (method, path) in OF_OTHERS {
        assert!(document.0["paths"][path][method.to_lowercase()].is_object(), "{method} {path}");
    }
}
