//! Secrets, filled in and hidden.

use std::collections::BTreeMap;

use reqwest::Url;
use serde_json::json;

use super::*;
use crate::network::test_server::{TestServer, answer};

fn secrets() -> Secrets {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "# of the shop\n\nuser = alice\npassword=a=\"b\nlong=a=\"b and more\n")
        .unwrap();
    Secrets::read(file.path()).unwrap()
}

/// The secret "x".
fn one(value: &str) -> Secrets {
    let secret = Secret { value: value.to_owned(), hosts: None };
    Secrets::new(BTreeMap::from([("x".to_owned(), secret)]))
}

fn fill_in(data: &str) -> Result<Option<String>, String> {
    let data = RawValue::from_string(data.to_owned()).unwrap();
    let filled = secrets().fill_in(&data, false).map_err(|failure| failure.to_string())?;
    Ok(filled.map(|filled| filled.data.get().to_owned()))
}

#[test]
fn secrets_are_filled_in_wherever_a_text_names_them() {
    assert_eq!(fill_in(r#"{"url": "http://x"}"#), Ok(None));
    assert_eq!(
        fill_in(r#"{"a": ["x${secret:password}y"], "b": {"c": "\u0024{secret:long}"}, "d": 1}"#),
        Ok(Some(r#"{"a": ["xa=\"by"], "b": {"c": "a=\"b and more"}, "d": 1}"#.to_owned()))
    );
    // All else is left as it is.
    assert_eq!(
        fill_in(
            r#"{"z": 1.0, "\"${secret:user}" : "\\\"${secret:user}\u0041", "a": 12345678901234567890123}"#
        ),
        Ok(Some(
            r#"{"z": 1.0, "\"${secret:user}" : "\\\" aliceA", "a": 12345678901234567890123}"#.to_owned()
        ))
    );
}

#[test]
fn a_secret_that_the_agent_does_not_have_is_named_with_its_field() {
    assert_eq!(
        fill_in(r#"{"steps": [{"body": "${secret:other}"}]}"#),
        Err("task_data.steps[0].body: this agent has no secret \"other\"".to_owned())
    );
    for text in ["${secret:}", "${secret:user", "${secret:a b}"] {
        let problem = fill_in(&format!(r#"{{"a": "{text}"}}"#)).unwrap_err();
        assert_eq!(problem, "task_data.a: a secret is named like ${secret:NAME}");
    }
}

#[test]
fn nothing_that_goes_out_has_a_secret() {
    let hidden = secrets().hiding.hide_in(Err(Failure::new("no answer to a=\"b and more, nor to a=\"b")));
    assert_eq!(hidden.unwrap_err().to_string(), "no answer to ${secret:long}, nor to ${secret:password}");
    let result = RawValue::from_string(r#"{"a=\"b": ["\u0061=\"b"]}"#.to_owned()).unwrap();
    let hidden = secrets().hiding.hide_in(Ok(result)).unwrap();
    assert_eq!(hidden.get(), r#"{"${secret:password}":["${secret:password}"]}"#);
}

#[test]
fn a_secret_is_found_however_it_is_written() {
    let secret = "a b&c\"/ü?#%<";
    let secrets = one(secret);
    let url = |text: String| String::from(Url::parse(&text).unwrap());
    for text in [
        secret.to_owned(),
        format!("expected {secret:?} in the body"),
        serde_json::json!({ "a": secret }).to_string(),
        url(format!("http://shop/?token={secret}")),
        url(format!("http://shop/{secret}")),
        "http://shop/?x=a%20b%26c%22%2F%C3%BC%3F%23%25%3C".to_owned(),
        "x=a+b%26c%22%2F%C3%BC%3F%23%25%3C&y".to_owned(),
        "http://shop/?x=a%20b%26c%22%2f%c3%bc%3f%23%25%3c".to_owned(),
        "<p>a b&amp;c&quot;/ü?#%&lt;</p>".to_owned(),
        r#"{"x": "a b&c\"/\u00fc?#%<"}"#.to_owned(),
        secret.to_uppercase().replace('Ü', "ü"),
    ] {
        let hidden = secrets.hiding.hide(&text);
        assert!(hidden.contains("${secret:x}"), "{hidden}");
        assert!(!hidden.to_lowercase().contains("b&c"), "{hidden}");
        assert!(!hidden.contains("b%26c") && !hidden.contains("b&amp;"), "{hidden}");
    }
    // Nothing is lost where a secret becomes nothing.
    let dots = one("..");
    assert_eq!(dots.hiding.hide("http://shop/"), "http://shop/");
}

#[test]
fn a_wrong_line_is_named_and_not_repeated() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for text in [
        "hunter2",
        "a b=hunter2",
        "=hunter2",
        "a=",
        "a=hunter2\na=hunter2",
        "a@=hunter2",
        "a@b/c=hunter2",
        "a@b c=hunter2",
    ] {
        std::fs::write(file.path(), text).unwrap();
        let problem = Secrets::read(file.path()).unwrap_err().to_string();
        assert!(problem.contains("line ") && !problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn a_secret_is_found_in_base64_whatever_stands_before_it() {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    let secret = "hunter2~?ÿ";
    let secrets = one(secret);
    for user in ["", "a", "ab", "abc", "abcd"] {
        let both = format!("{user}:{secret}");
        for text in [STANDARD.encode(&both), URL_SAFE_NO_PAD.encode(&both)] {
            let hidden = secrets.hiding.hide(&format!("Authorization: Basic {text}"));
            assert!(hidden.contains("${secret:x}"), "{text}: {hidden}");
        }
    }
}

#[test]
fn what_was_cut_has_no_part_of_a_secret() {
    let secrets = one("hunter2");
    for (text, expected) in [
        ("aaahunt…", "aaa${secret:x}…"),
        ("\"…nter2 bbb\"", "\"…${secret:x} bbb\""),
        ("it was aaahunter2bb… and …ter2", "it was aaa${secret:x}bb… and …${secret:x}"),
        ("aahu…r2", "aahu…r2"),
        ("hunt", "hunt"),
    ] {
        assert_eq!(secrets.hiding.hide(text), expected, "{text}");
    }
}

#[test]
fn numbers_that_are_secrets_are_hidden_and_others_stay_as_they_are() {
    let secrets = one("4839");
    let hidden = |result: &str| {
        let result = RawValue::from_string(result.to_owned()).unwrap();
        secrets.hiding.hide_in(Ok(result)).unwrap().get().to_owned()
    };
    assert_eq!(hidden(r#"{"a":[4839,48390]}"#), r#"{"a":["${secret:x}",48390]}"#);
    let untouched = r#"{"z": 12345678901234567890123, "a": 1.00}"#;
    assert_eq!(hidden(untouched), untouched);
}

#[tokio::test]
async fn a_secret_for_some_hosts_is_sent_to_no_other() {
    let server = TestServer::start(|request| {
        let port =
            request.split("127.0.0.1:").nth(1).unwrap_or_default().split("\r\n").next().unwrap_or_default();
        answer("302 Found", &[("Location", &format!("http://localhost:{port}/"))], b"")
    })
    .await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let lines = "shop@127.0.0.1,Shop.Example.=hunter2\nmail@mail.example=hunter3\nany=hunter4\n";
    std::fs::write(file.path(), lines).unwrap();
    let secrets = Arc::new(Secrets::read(file.path()).unwrap());
    let cat = super::super::Command { program: "/bin/cat".into(), ..Default::default() };
    let commands = BTreeMap::from([("cat".to_owned(), cat)]);
    let environment = Arc::new(Environment { secrets, commands, ..Environment::default() });
    let run = async |name: &str, data: Value| {
        let handler = super::super::built_in().into_iter().find(|handler| handler.name == name).unwrap();
        let outcome = handler.execute(Arc::clone(&environment), &data.to_string()).await;
        outcome.map_err(|failure| failure.to_string())
    };
    let port = server.address.port();
    let named =
        |url: String| json!({"url": url, "headers": {"X-Token": "${secret:shop}"}, "max_redirects": 0});
    run("http", named(server.url("/"))).await.unwrap();
    assert!(server.requests()[0].contains("X-Token: hunter2"), "{:?}", server.requests());
    let mut followed = named(server.url("/"));
    followed["max_redirects"] = json!(1);
    let problem = run("http", followed).await.unwrap_err();
    let expected = format!(
        "a task that names this secret may reach 127.0.0.1, shop.example alone, and not localhost (after a redirect to \
         http://localhost:{port}/)"
    );
    assert_eq!(problem, expected);
    let elsewhere = "a task that names this secret may reach 127.0.0.1, shop.example alone, and not ";
    for (name, data, host) in [
        ("http", named(format!("http://localhost:{port}/")), "localhost"),
        ("http", named("http://127.0.0.2/".to_owned()), "127.0.0.2"),
        (
            "http_steps",
            json!({"steps": [{"name": "a", "url": "http://${secret:shop}.example/"}]}),
            "${secret:shop}.example",
        ),
        ("tcp", json!({"host": "localhost", "port": port, "send": "${secret:shop}"}), "localhost"),
        ("dns", json!({"name": "${secret:shop}.example", "server": "127.0.0.3"}), "127.0.0.3"),
        ("tls_certificate", json!({"host": "localhost", "name": "${secret:shop}"}), "localhost"),
        ("smtp", json!({"host": "localhost", "expected_greeting": "${secret:shop}"}), "localhost"),
        ("ping", json!({"host": "${secret:shop}"}), "${secret:shop}"),
        ("url_http_status", json!({"url": "http://localhost/${secret:shop}"}), "localhost"),
    ] {
        let problem = run(name, data).await.unwrap_err();
        assert!(problem.ends_with(&format!("{elsewhere}{host}")), "{name}: {problem}");
    }
    let problem = run("dns", json!({"name": "${secret:shop}.example"})).await.unwrap_err();
    assert!(problem.starts_with("task_data.server: must be given"), "{problem}");
    let problem = run("process", json!({"command": "cat", "input": "${secret:shop}"})).await.unwrap_err();
    assert!(problem.starts_with("task_data.input: names a secret that is for some hosts alone"), "{problem}");
    // No host is one of both.
    let both = json!({"host": "127.0.0.1", "port": port, "send": "${secret:shop}${secret:mail}"});
    let problem = run("tcp", both).await.unwrap_err();
    assert!(problem.ends_with(" and not 127.0.0.1"), "{problem}");
    let any = json!({"host": "127.0.0.1", "port": port, "send": "${secret:shop}${secret:any}"});
    run("tcp", any).await.unwrap();
    assert_eq!(environment.network.hosts(), None);
}

#[tokio::test]
async fn a_secret_that_looks_like_a_variable_arrives_as_it_is_and_does_not_show() {
    let server = TestServer::start(|request| answer("200 OK", &[], request.as_bytes())).await;
    for secret in ["pa${x}ss", "${", "pa$", "{x}$${", "$", "${id}", "a&b=${secret:x} c"] {
        let values = BTreeMap::from([
            ("x".to_owned(), Secret { value: secret.to_owned(), hosts: None }),
            ("name".to_owned(), Secret { value: "hunter2".to_owned(), hosts: None }),
        ]);
        let secrets = Arc::new(Secrets::new(values));
        let environment = Arc::new(Environment { secrets, ..Environment::default() });
        let run = async |step: Value| {
            let data = json!({
                "variables": {"id": 7, "first": "${secret:x}"},
                "steps": [{
                    "name": "a ${secret:name}",
                    "url": server.url("/?q=${secret:x}"),
                    "method": "POST",
                    "headers": {"X-Token": "${secret:x}${id}", "X-First": "-${first}-"},
                    "body": {"whole": "${secret:x}", "part": "$-${secret:x}${id}", "literal": "$${id}"},
                    "contains": ["X-Token: ${secret:x}${id}\r\n"],
                    "variables": {"sent": {"regex": "(?s)\r\n\r\n(.*)"}, "name": {"regex": "${secret:name}|."}},
                }, step],
            });
            let handler = super::super::built_in().into_iter().find(|handler| handler.name == "http_steps");
            let outcome = handler.unwrap().execute(Arc::clone(&environment), &data.to_string()).await;
            outcome.map_err(|failure| failure.to_string())
        };
        run(json!({"name": "b", "url": server.url("/"), "method": "POST", "body": "${sent}"})).await.unwrap();
        let mut requests = server.requests();
        let (second, first) = (requests.pop().unwrap(), requests.pop().unwrap());
        let escaped = percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC);
        let part = format!("$-{secret}7");
        let body = json!({"whole": secret, "part": part, "literal": "${id}"}).to_string();
        assert!(first.starts_with(&format!("POST /?q={escaped} ")), "{first}");
        assert!(first.contains(&format!("X-Token: {secret}7\r\n")), "{first}");
        assert!(first.contains(&format!("X-First: -{secret}-\r\n")), "{first}");
        assert!(first.ends_with(&format!("\r\n\r\n{body}")), "{first}");
        assert!(second.ends_with(&format!("\r\n\r\n{body}")), "{second}");
        let problem = run(json!({
            "name": "b", "url": server.url("/"), "contains": "no ${secret:x}"
        }));
        let expected = "step \"b\" (2 of 2): ";
        let problem = problem.await.unwrap_err();
        assert!(
            problem.starts_with(expected) && problem.contains("expected \"no ${secret:x}\""),
            "{problem}"
        );
        let problem =
            run(json!({"name": "b ${secret:name}", "url": "http://127.0.0.1:1/"})).await.unwrap_err();
        assert!(problem.starts_with("step \"b ${secret:name}\" (2 of 2): could not connect"), "{problem}");
    }
}
