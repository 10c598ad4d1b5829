//! Bodies as such, the same for every path that takes one.

use super::case::{Case, POLL, RESULT, TASK, object};
use super::http::Request;

pub(super) fn cases() -> Vec<Case> {
    let posts = [("/task", object(TASK)), ("/tasks", object(POLL)), ("/tasks/response", object(RESULT))];
    let mut cases = Vec::new();
    for (path, body) in posts {
        for (name, body) in broken(&body) {
            cases.push(Case::new(format!("{path}, {name}")).post("post", path, body));
        }
    }
    for media_type in MEDIA_TYPES {
        let request = Request { content_type: Some(media_type), ..Request::post("/task", object(TASK)) };
        let case = Case::new(format!("sent as {media_type:?}"));
        cases.push(case.step("post", request).get("get", "/task/<task>"));
    }
    let request = Request { content_type: None, ..Request::post("/task", object(TASK)) };
    cases.push(Case::new("sent as nothing").step("post", request));
    let request = Request { chunked: true, ..Request::post("/task", object(TASK)) };
    cases.push(Case::new("sent in chunks").step("post", request).get("get", "/task/<task>"));
    cases.extend(encodings());
    cases.push(large());
    cases
}

fn broken(body: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = |text: &str| text.as_bytes().to_vec();
    let mut not_utf8 = bytes(body);
    let quote = body.find(": \"").unwrap_or_default() + 3;
    not_utf8.insert(quote, 0xff);
    vec![
        ("no body", Vec::new()),
        ("white space", bytes(" \r\n\t")),
        ("null", bytes("null")),
        ("true", bytes("true")),
        ("a number", bytes("1")),
        ("a string", bytes("\"task\"")),
        ("an array", bytes("[]")),
        ("an object in an array", format!("[{body}]").into_bytes()),
        ("an empty object", bytes("{}")),
        ("NaN", bytes("NaN")),
        ("half a body", bytes(&body[..body.len() / 2])),
        ("one bracket less", bytes(&body[..body.len() - 1])),
        ("one bracket more", format!("{body}}}").into_bytes()),
        ("two bodies", format!("{body}{body}").into_bytes()),
        ("a comma at the end", body.replace('}', ",}").into_bytes()),
        ("single quotes", body.replace('"', "'").into_bytes()),
        ("a comment", format!("{body} // that is all").into_bytes()),
        ("a form", bytes("task_id=1&task_type=wait")),
        ("not UTF-8", not_utf8),
        ("U+0000 at the end", format!("{body}\0").into_bytes()),
        ("100,000 brackets", vec![b'['; 100_000]),
        ("no key", bytes(r#"{"": 1}"#)),
    ]
}

const MEDIA_TYPES: [&str; 21] = [
    "application/json; charset=utf-8",
    "application/json;charset=UTF-8",
    "application/json; charset=\"utf-8\"",
    "application/json; version=1",
    "application/json;",
    "Application/JSON",
    " application/json ",
    "application/problem+json",
    "application/vnd.slamon.v1+json; charset=utf-8",
    "application/json; charset=klingon",
    "application/json; charset=",
    "application/jsonp",
    "application/x-json",
    "application/+json",
    "application/",
    "text/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/xml",
    "json",
    "",
];

/// A name with an umlaut, in several encodings.
fn encodings() -> Vec<Case> {
    let text = object(TASK).replace("5", "\"ä\"");
    let latin1 = text.chars().map(|c| c as u8).collect::<Vec<u8>>();
    let fill = |name: &str, media_type, body: Vec<u8>| {
        let request = Request { content_type: Some(media_type), ..Request::post("/task", body) };
        Case::new(name).step("post", request).get("get", "/task/<task>")
    };
    let with_bom = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    vec![
        fill("Latin-1 that says so", "application/json; charset=latin-1", latin1.clone()),
        fill("ISO 8859-1 that says so", "application/json; charset=ISO-8859-1", latin1.clone()),
        fill("Latin-1 that does not say so", "application/json", latin1),
        fill(
            "UTF-8 that says it is Latin-1",
            "application/json; charset=iso-8859-1",
            text.clone().into_bytes(),
        ),
        fill("UTF-8 with a byte order mark", "application/json", with_bom),
        fill("UTF-16", "application/json", utf16(&text, "01")),
        fill("UTF-16 that says so", "application/json; charset=utf-16le", utf16(&text, "02")),
        fill(
            "UTF-16 with a byte order mark",
            "application/json; charset=utf-16",
            utf16(&format!("\u{feff}{text}"), "03"),
        ),
    ]
}

/// Little-endian. Ids are filled in as bytes, which are none of these: so here are ids that end in `end`.
fn utf16(text: &str, end: &str) -> Vec<u8> {
    let id = format!("de305d54-75b4-431b-adb2-eb6b9e5460{end}");
    let text = text.replace("<task>", &id).replace("<test>", &id).replace("<type>", "wide");
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// One byte more than the default of MAX_CONTENT_LENGTH.
fn large() -> Case {
    let mut body = object(TASK);
    body.insert_str(1, &" ".repeat(1024 * 1024 + 1 - body.len()));
    // The ids are longer than what stands for them.
    Case::new("a body of more than 1 MiB").post("post", "/task", body).get("get", "/task/<task>")
}
