//! The page on which people read the OpenAPI document. It is made of the document alone, without a script.

use askama::Template;
use serde_json::Value;
use utoipa::openapi::OpenApi;

/// The document, as the page shows it.
#[derive(Debug, Template)]
#[template(path = "api/docs.html")]
pub(super) struct Page {
    /// What leads from the page to `/api/`.
    base: &'static str,
    title: String,
    description: String,
    version: String,
    groups: Vec<Group>,
    schemas: Vec<Schema>,
}

#[derive(Debug)]
struct Group {
    name: String,
    description: String,
    operations: Vec<Operation>,
}

#[derive(Debug)]
struct Operation {
    method: String,
    path: String,
    anchor: String,
    summary: String,
    parameters: Vec<Parameter>,
    body: Option<Kind>,
    answers: Vec<Answer>,
}

#[derive(Debug)]
struct Parameter {
    name: String,
    place: String,
    kind: String,
    required: bool,
    description: String,
}

#[derive(Debug)]
struct Answer {
    status: String,
    description: String,
    body: Option<Kind>,
}

#[derive(Debug)]
struct Schema {
    name: String,
    description: String,
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    name: String,
    kind: Kind,
    required: bool,
    description: String,
}

/// A type: one of the schemas, or a plain one in words.
#[derive(Debug)]
struct Kind {
    name: String,
    is_named: bool,
}

impl Page {
    /// Makes the page of a document, which is served at an address with or without a slash at its end.
    pub(super) fn of(document: &OpenApi, has_slash: bool) -> serde_json::Result<Self> {
        let document = serde_json::to_value(document)?;
        let operations: Vec<(String, Operation)> = members(&document["paths"])
            .flat_map(|(path, methods)| members(methods).map(move |(method, is)| (path, method, is)))
            .map(|(path, method, is)| (text(&is["tags"][0]), operation(path, method, is)))
            .collect();
        let mut groups: Vec<Group> = elements(&document["tags"])
            .map(|tag| Group {
                name: text(&tag["name"]),
                description: text(&tag["description"]),
                operations: Vec::new(),
            })
            .collect();
        for (tag, operation) in operations {
            if let Some(group) = groups.iter_mut().find(|group| group.name == tag) {
                group.operations.push(operation);
            }
        }
        let info = &document["info"];
        Ok(Self {
            base: if has_slash { "../" } else { "" },
            title: text(&info["title"]),
            description: text(&info["description"]),
            version: text(&info["version"]),
            groups,
            schemas: members(&document["components"]["schemas"]).map(schema).collect(),
        })
    }
}

fn operation(path: &str, method: &str, is: &Value) -> Operation {
    Operation {
        method: method.to_ascii_uppercase(),
        path: path.to_owned(),
        anchor: text(&is["operationId"]),
        summary: [text(&is["summary"]), text(&is["description"])].join(" "),
        parameters: elements(&is["parameters"])
            .map(|parameter| Parameter {
                name: text(&parameter["name"]),
                place: text(&parameter["in"]),
                kind: kind(&parameter["schema"]).name,
                required: parameter["required"] == true,
                description: text(&parameter["description"]),
            })
            .collect(),
        body: content(&is["requestBody"]),
        answers: members(&is["responses"])
            .map(|(status, answer)| Answer {
                status: status.to_owned(),
                description: text(&answer["description"]),
                body: content(answer),
            })
            .collect(),
    }
}

fn schema((name, is): (&str, &Value)) -> Schema {
    let required = |name: &str| elements(&is["required"]).any(|required| required == name);
    Schema {
        name: name.to_owned(),
        description: text(&is["description"]),
        fields: members(&is["properties"])
            .map(|(name, field)| Field {
                name: name.to_owned(),
                kind: kind(field),
                required: required(name),
                description: text(&field["description"]),
            })
            .collect(),
    }
}

/// The type of a body, if there is one.
fn content(of: &Value) -> Option<Kind> {
    members(&of["content"]).next().map(|(_, media)| kind(&media["schema"]))
}

fn kind(schema: &Value) -> Kind {
    let plain = |name: String| Kind { name, is_named: false };
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return Kind { name: name.to_owned(), is_named: true };
    }
    // Of a type that may also be null, the other one.
    let choices = elements(&schema["oneOf"]).chain(elements(&schema["anyOf"]));
    if let Some(choice) = choices.into_iter().find(|choice| choice["type"] != "null") {
        return kind(choice);
    }
    let name = match &schema["type"] {
        Value::Array(names) => {
            names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("any").to_owned()
        }
        name => name.as_str().unwrap_or("any").to_owned(),
    };
    if name == "array" {
        let of = kind(&schema["items"]);
        return Kind { name: of.name, is_named: of.is_named }.list();
    }
    plain(match schema["format"].as_str() {
        Some(format @ ("uuid" | "date-time")) => format.to_owned(),
        _ => name,
    })
}

impl Kind {
    /// A list of such values; the link of a named type leads to the type of an element.
    fn list(self) -> Self {
        if self.is_named { self } else { Self { name: format!("list of {}", self.name), is_named: false } }
    }
}

fn members(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    object.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn elements(array: &Value) -> impl Iterator<Item = &Value> {
    array.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
