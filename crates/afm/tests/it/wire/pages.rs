//! Tests the pages of the dashboard: their headers, their links, and what they do with what clients have sent.

use crate::test_app::{Answer, Body, Setup, TestApp, id};

const ASSETS: [(&str, &str); 3] = [
    ("text/javascript; charset=utf-8", "/dashboard/dashboard.js"),
    ("text/css; charset=utf-8", "/dashboard/dashboard.css"),
    ("image/svg+xml", "/dashboard/icon.svg"),
];

/// Starts an AFM with a task that has ended, and returns the paths of all pages.
fn with_pages() -> (TestApp, Vec<String>) {
    let app = TestApp::start();
    app.post_task(Body::task(1).with("task_data", r#"{"a": 1}"#));
    app.poll(Body::poll(9));
    app.post("/tasks/response", Body::result(1)).is_empty();
    let pages = [
        "/dashboard".to_owned(),
        "/dashboard/post".to_owned(),
        "/dashboard/search?q=x".to_owned(),
        format!("/dashboard/tasks/{}", id(1)),
        format!("/dashboard/tasks/{}", id(404)),
    ];
    (app, pages.into())
}

/// Posts a form.
#[track_caller]
pub(super) fn send_form(
    app: &TestApp,
    path: &str,
    headers: &[(&str, &str)],
    fields: &[(&str, &str)],
) -> Answer {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
    all.extend(headers);
    let mut connection = app.connect();
    let mut head = format!("POST {path} HTTP/1.1\r\nhost: afm\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in all {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    connection.write(format!("{head}\r\n{body}"));
    connection.answer()
}

#[test]
fn a_page_may_load_and_run_only_what_is_its_own() {
    let (app, pages) = with_pages();
    let pages = pages.iter().map(|page| ("text/html; charset=utf-8", page.as_str()));
    for (media_type, path) in pages.chain(ASSETS) {
        let answer = app.get(path);
        assert_eq!(answer.header("content-type"), Some(media_type));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        let kept = if media_type.starts_with("text/html") { "no-store" } else { "no-cache" };
        assert_eq!(answer.header("cache-control"), Some(kept));
        assert_eq!(
            answer.header("content-security-policy"),
            Some(
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                 form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
            )
        );
    }
}

#[test]
fn a_page_refers_to_no_other_host_and_has_nothing_that_its_policy_would_stop() {
    let (app, pages) = with_pages();
    for path in pages.iter().map(String::as_str).chain(ASSETS.map(|(_, path)| path)) {
        // This is the name of the SVG language, which nobody loads.
        let text = app.get(path).body.replace("http://www.w3.org/2000/svg", "");
        for reference in ["http://", "https://", "=\"//", "(//", "(\"//", "@import"] {
            assert!(!text.contains(reference), "{reference} in {path}");
        }
        for inline in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!text.contains(inline), "{inline} in {path}");
        }
    }
    let script = app.get("/dashboard/dashboard.js").body;
    // What clients sent is put in as text, never as markup.
    for markup in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"]
    {
        assert!(!script.contains(markup), "{markup}");
    }
}

#[test]
fn links_hold_behind_a_prefix() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    let task = format!("/dashboard/tasks/{}", id(1));
    let with = |path: &str, prefix: &str| app.send("GET", path, &[("x-forwarded-prefix", prefix)], "");
    for (path, root) in
        [("/dashboard", "dashboard/"), ("/dashboard/", "./"), ("/dashboard/post", "./"), (&task, "../")]
    {
        let page = app.get(path).body;
        assert!(page.contains(&format!("href=\"{root}post\"")), "{path}: {page}");
        let page = with(path, "/fleet/afm/").body;
        assert!(page.contains("href=\"/fleet/afm/dashboard/post\""), "{path}: {page}");
        let page = with(path, "//evil.example").body;
        assert!(page.contains(&format!("href=\"{root}post\"")), "{path}: {page}");
        assert!(!page.contains("evil"), "{page}");
    }
}

#[test]
fn forms_of_other_sites_are_refused() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    let cancel = format!("/dashboard/tasks/{}/cancel", id(1));
    for headers in [
        &[("origin", "http://evil.example")][..],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", "http://afm")],
    ] {
        let answer = send_form(&app, &cancel, headers, &[]);
        assert_eq!(answer.status, 403, "{answer:?}");
        for path in [
            "/dashboard/post",
            "/dashboard/bulk",
            "/dashboard/bulk/confirmed",
            "/dashboard/types/pause",
            "/api/v1/tasks",
            "/api/v1/tasks/cancel",
        ] {
            let answer = send_form(&app, path, headers, &[("task_type", "x")]);
            assert_eq!(answer.status, 403, "{answer:?}");
        }
        let agent = format!("/api/v1/agents/{}", id(9));
        assert_eq!(app.send("DELETE", &agent, headers, "").status, 403);
    }
    assert_eq!(app.task(1)["task_state"], "pending");
    // A page of another site may have an address of ours opened, which changes nothing.
    let page = app.send("GET", "/dashboard", &[("sec-fetch-site", "cross-site")], "");
    assert_eq!(page.status, 200);
    for (n, headers) in
        [&[][..], &[("origin", "http://afm")], &[("sec-fetch-site", "same-origin")]].into_iter().enumerate()
    {
        let n = n as u64 + 2;
        app.post_task(Body::task(n));
        let answer = send_form(&app, &format!("/dashboard/tasks/{}/cancel", id(n)), headers, &[]);
        assert_eq!(answer.status, 303, "{answer:?}");
        assert_eq!(app.task(n)["task_state"], "cancelled");
    }
}

/// Returns the value of a hidden field of a page.
#[track_caller]
fn hidden(page: &str, name: &str) -> String {
    let field = format!("name=\"{name}\" value=\"");
    let value = page.split_once(&field).unwrap_or_else(|| panic!("no {name} in {page}")).1;
    value.split('"').next().unwrap_or_default().to_owned()
}

#[test]
fn a_form_that_is_sent_twice_posts_again_once() {
    let app = TestApp::start();
    for n in [1, 2] {
        app.post_task(Body::task(n));
        app.delete(&format!("/task/{}", id(n))).json();
    }
    let waiting = || app.get("/api/v1/tasks?state=pending").json()["tasks"].as_array().map(Vec::len);
    let task = format!("/dashboard/tasks/{}", id(1));
    let new = hidden(&app.get(&task).body, "task_id");
    for _ in 0..2 {
        let answer = send_form(&app, &format!("{task}/again"), &[], &[("task_id", &new)]);
        assert_eq!(answer.status, 303, "{answer:?}");
        assert_eq!(waiting(), Some(1));
    }
    for wrong in ["x", &id(1)] {
        assert_eq!(send_form(&app, &format!("{task}/again"), &[], &[("task_id", wrong)]).status, 400);
    }
    assert_eq!(send_form(&app, &format!("{task}/again"), &[], &[]).status, 303);
    assert_eq!(waiting(), Some(2));

    let (one, two) = (id(1), id(2));
    let chosen = [("act", "again"), ("task_id", &*one), ("task_id", &*two)];
    let confirm = send_form(&app, "/dashboard/bulk", &[], &chosen).body;
    let first = hidden(&confirm, "new_task_id");
    let second = hidden(confirm.split_once(&first).expect("it is there").1, "new_task_id");
    let with_ids: Vec<_> =
        chosen.into_iter().chain([("new_task_id", &*first), ("new_task_id", &*second)]).collect();
    for _ in 0..2 {
        let answer = send_form(&app, "/dashboard/bulk/confirmed", &[], &with_ids);
        assert!(answer.body.contains("2 tasks were posted again."), "{answer:?}");
        assert_eq!(waiting(), Some(4));
    }
}

#[test]
fn a_form_posts_every_field() {
    let app = TestApp::start();
    let fields = [
        ("task_id", id(1)),
        ("test_id", id(0)),
        ("task_type", "wait".to_owned()),
        ("task_version", "7".to_owned()),
        ("task_data", "{\r\n \"a\": 1.50}".to_owned()),
        ("task_ttl", "600".to_owned()),
        ("task_timeout", "60.5".to_owned()),
        ("task_max_attempts", "3".to_owned()),
        ("task_retry_errors", "true".to_owned()),
        ("task_retry_delay", "5".to_owned()),
        ("task_priority", "-10".to_owned()),
        ("task_delay", "0".to_owned()),
        ("agent_filter.country", "FI".to_owned()),
        ("agent_filter.region", "18".to_owned()),
        ("agent_filter.agent_name", "Helsinki 3".to_owned()),
        ("agent_filter.agent_id", id(9)),
    ];
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    let answer = send_form(&app, "/dashboard/post", &[], &fields);
    assert_eq!(answer.status, 303, "{answer:?}");
    assert_eq!(answer.header("location"), Some(format!("./tasks/{}", id(1)).as_str()));
    // The same task by protocol 1 is a repeat only if every field arrived.
    app.post_task(
        Body::task(1)
            .with("task_version", "7")
            .with("task_data", r#"{"a":1.50}"#)
            .with("task_ttl", "600")
            .with("task_timeout", "60.5")
            .with("task_max_attempts", "3")
            .with("task_retry_errors", "true")
            .with("task_retry_delay", "5")
            .with("task_priority", "-10")
            .with(
                "agent_filter",
                format!(
                    r#"{{"country":"FI","region":"18","agent_id":"{}","agent_name":"Helsinki 3"}}"#,
                    id(9)
                ),
            ),
    );
    // The form for another one has all of them but its id.
    let page = app.get(&format!("/dashboard/post?from={}", id(1))).body;
    for value in ["wait", "7", "600", "60.5", "3", "5", "-10", "FI", "18", "Helsinki 3", &id(9), &id(0)] {
        assert!(page.contains(&format!("value=\"{value}\"")), "{value}: {page}");
    }
    assert!(!page.contains(&format!("value=\"{}\"", id(1))), "{page}");
}

#[test]
fn what_is_wrong_is_said_at_its_field() {
    let app = TestApp::start();
    let id = id(1);
    for (field, value, problem) in [
        ("task_type", "", "is required"),
        ("task_version", "one", "must be an integer, is &#34;one&#34;"),
        ("task_version", "", "is required"),
        ("task_version", "1,\"task_type\":\"x\"", "must be an integer"),
        ("task_data", "[1]", "must be an object, is an array"),
        ("task_data", "{} , \"task_type\": \"x\"", "is not valid JSON"),
        ("task_id", "1", "must be a UUID"),
        ("task_priority", "101", "must be an integer from -100 to 100"),
        ("task_ttl", "-1", "must be a number of seconds"),
        ("agent_filter.agent_id", "<script>", "must be a UUID"),
    ] {
        let mut fields =
            vec![("task_id", id.as_str()), ("test_id", &id), ("task_type", "wait"), ("task_version", "1")];
        fields.retain(|(name, _)| *name != field);
        fields.push((field, value));
        let page = send_form(&app, "/dashboard/post", &[], &fields).body;
        let (_, at_field) =
            page.split_once(&format!("id=\"{field}-error\"")).unwrap_or_else(|| panic!("{page}"));
        assert!(at_field[..200.min(at_field.len())].contains(problem), "{field} {value}: {at_field}");
        assert!(!page.contains("<script>"), "{page}");
    }
    app.get(&format!("/task/{id}")).problem(404);
}

#[test]
fn texts_of_clients_never_become_markup() {
    const HOSTILE: &str = "</title><script>alert(1)</script><img src=x onerror=alert(2)>\u{202e}&amp;\"'";
    let app = TestApp::start();
    let text = serde_json::Value::from(HOSTILE).to_string();
    let capabilities = format!("{{{text}: {{\"version\": 1}}}}");
    app.post_task(
        Body::task(1)
            .with("task_type", text.as_str())
            .with("task_max_attempts", "2")
            .with("task_retry_errors", "true")
            .with("task_data", format!("{{{text}: {text}}}")),
    );
    app.post_task(Body::task(2).with("task_type", text.as_str()).with("task_delay", "60"));
    let poll = Body::poll(9).with("agent_name", text.as_str()).with("agent_capabilities", capabilities);
    app.poll(poll.clone());
    app.post("/tasks/response", Body::failure(1, &text)).is_empty();
    app.post_task(Body::task(3).with("task_type", text.as_str()));
    let alias = app.poll(poll).remove(0);
    let error = Body::failure(1, &text).with("task_id", format!("\"{alias}\""));
    app.post("/tasks/response", error).is_empty();
    let query = form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect::<String>();
    for path in [
        "/dashboard".to_owned(),
        format!("/dashboard/tasks/{}", id(1)),
        format!("/dashboard/tasks/{}", id(2)),
        format!("/dashboard/post?from={}", id(1)),
        "/dashboard/tasks".to_owned(),
        format!("/dashboard/tasks?q={query}&task_type={query}&from={query}"),
        format!("/dashboard/tests/{}", id(0)),
        "/dashboard/agents".to_owned(),
        format!("/dashboard/agents?name={query}&task_type={query}&country={query}&region={query}"),
        "/dashboard/agents/places".to_owned(),
        format!("/dashboard/agents/{}", id(9)),
        "/dashboard/types".to_owned(),
        format!("/dashboard/types/{query}/1"),
        format!("/dashboard/types/one?task_type={query}&task_version=1"),
        format!("/dashboard/search?q={query}"),
        format!("/dashboard/post?task_type={query}"),
        format!("/dashboard/tasks/{query}"),
    ] {
        let page = app.get(&path);
        assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{page:?}");
        assert!(!page.body.contains("<script>alert") && !page.body.contains("<img"), "{page:?}");
    }
    let page = app.get(&format!("/dashboard/tasks/{}", id(1))).body;
    assert!(page.contains("&#60;script&#62;alert(1)"), "{page}");
}

#[test]
fn large_texts_are_cut_and_all_of_them_is_linked() {
    let app = TestApp::start();
    let text = "x".repeat(900_000);
    app.post_task(Body::task(1).with("task_data", format!("{{\"in\":\"{text}\"}}")));
    app.poll(Body::poll(9));
    app.post("/tasks/response", Body::result(1).with("task_data", format!("{{\"out\":\"{text}\"}}")))
        .is_empty();
    let path = format!("/dashboard/tasks/{}", id(1));
    let page = app.get(&path).body;
    assert!(page.len() < 100_000, "{} bytes", page.len());
    for part in ["data", "result"] {
        assert!(page.contains(&format!("{}/{part}\">all of it", id(1))), "{page}");
        let raw = app.get(&format!("{path}/{part}"));
        assert_eq!(raw.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(
            raw.json().as_object().and_then(|it| it.values().next()?.as_str().map(str::len)),
            Some(900_000)
        );
    }
    assert_eq!(app.get(&format!("{path}/error")).status, 404);
}

#[test]
fn without_a_database_the_overview_says_so() {
    let (app, gate) = Setup::default().start_gated();
    gate.take_database_away();
    let page = app.get("/dashboard");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("The database is not available."), "{page:?}");
    let page = app.get(&format!("/dashboard/tasks/{}", id(1)));
    assert_eq!((page.status, page.header("retry-after")), (503, Some("1")), "{page:?}");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "{page:?}");
    gate.open();
}

#[test]
fn a_type_is_listed_when_an_agent_offers_it() {
    let app = TestApp::start();
    app.poll(Body::poll(9).with("agent_capabilities", r#"{"offered": {"version": 3}}"#));
    let page = app.get("/dashboard/types").body;
    assert!(page.contains("href=\"./types/offered/3\""), "{page}");
}

#[test]
fn a_page_weighs_little() {
    let (app, pages) = with_pages();
    let assets: usize = ASSETS.iter().map(|(_, path)| app.get(path).body.len()).sum();
    for page in pages {
        // They are not even compressed.
        let bytes = assets + app.get(&page).body.len();
        assert!(bytes < 100_000, "{page}: {bytes} bytes");
    }
}

#[test]
fn full_lists_weigh_little() {
    let app = TestApp::start();
    let named = |n: u64, what: &str| format!("\"{what} {n} {}\"", "long \\\"name\\\" ".repeat(5));
    let poll = |n: u64| {
        let offers = format!("{{{}:{{\"version\":1}},\"wait\":{{\"version\":1}}}}", named(n, "type"));
        let poll = Body::poll(n).with("agent_name", named(n, "agent"));
        app.poll(poll.with("agent_capabilities", offers).with("max_tasks", "1"));
    };
    for n in 1..=120 {
        poll(n);
    }
    let error = format!("\"{}\"", "a <long> & winding \\\"error\\\" ".repeat(50));
    let data = format!("{{\"text\":\"{}\"}}", "\\\"'<&>".repeat(2_000));
    for n in 1..=130 {
        app.post_task(Body::task(n).with("task_data", data.as_str()));
        poll(n % 120 + 1);
        app.post("/tasks/response", Body::failure(n, &error)).is_empty();
    }
    let assets: usize = ASSETS.iter().map(|(_, path)| app.get(path).body.len()).sum();
    for (page, has) in [
        ("/dashboard".to_owned(), "Newest failures"),
        ("/dashboard/tasks".to_owned(), "rel=\"next\""),
        (format!("/dashboard/tests/{}", id(0)), "These are the first 120 tasks"),
        ("/dashboard/agents".to_owned(), "rel=\"next\""),
        ("/dashboard/types".to_owned(), "rel=\"next\""),
        ("/dashboard/types/wait/1".to_owned(), "Newest tasks"),
        (format!("/dashboard/agents/{}", id(2)), "Its newest tasks"),
        (format!("/dashboard/tasks/{}", id(1)), "Timeline"),
    ] {
        let page_text = app.get(&page).body;
        assert!(page_text.contains(has), "{page}: {page_text}");
        let bytes = assets + page_text.len();
        assert!(bytes < 200_000, "{page}: {bytes} bytes");
    }
}

#[test]
fn types_are_on_several_pages_and_what_is_paused_is_on_one() {
    let app = TestApp::start();
    app.count_tasks();
    app.poll(Body::poll(9).with("agent_capabilities", r#"{"offered": {"version": 3}}"#));
    for n in 1..=230 {
        app.post_task(Body::task(n).with("task_type", format!("\"type-{n:03}\"")));
    }
    for path in ["type-007/1", "nobody/7", "<everything>"] {
        app.post(&format!("/api/v1/types/{path}/pause").replace('<', "%3C").replace('>', "%3E"), "").json();
    }
    let mut pages = Vec::new();
    let mut address = "/dashboard/types".to_owned();
    loop {
        let page = app.get(&address).body;
        let next = page.split("rel=\"next\" href=\"./").nth(1).and_then(|rest| rest.split('"').next());
        let next = next.map(|next| format!("/dashboard/{}", next.replace("&#38;", "&")));
        assert_eq!(page.contains(">First page<"), !pages.is_empty());
        pages.push(page);
        assert!(pages.len() < 10, "the list does not end");
        match next {
            Some(next) => address = next,
            None => break,
        }
    }
    assert!(pages.len() > 2, "{}", pages.len());
    let all = pages.concat();
    let times = |link: &str| all.matches(&format!("href=\"./types/{link}\"")).count();
    assert_eq!((times("offered/3"), times("nobody/7")), (1, 1));
    for n in 1..=230 {
        assert_eq!(times(&format!("type-{n:03}/1")), 1, "{n}");
    }
    // A type that is paused in all versions has no agents and no tasks, and can be resumed.
    assert!(all.contains("&#60;everything&#62;</bdi></a> <span class=\"note\">all versions"), "{all}");
    let resume = [("task_type", "<everything>"), ("all", "true")];
    let answer = send_form(&app, "/dashboard/types/resume", &[], &resume);
    assert_eq!(answer.header("location"), Some("../types?said=resumed"), "{answer:?}");
    let listed = app.get("/api/v1/types?limit=1000").body;
    assert!(listed.contains("nobody") && !listed.contains("everything"), "{listed}");
    assert_eq!(app.get("/dashboard/types?cursor=6f.0").status, 400);
}

#[test]
fn a_form_offers_the_data_posted_last() {
    let app = TestApp::start();
    app.post_task(Body::task(1).with("task_version", "4").with("task_data", r#"{"url":"http://a"}"#));
    let fill = [("task_type", "wait"), ("task_version", "1"), ("fill", "last")];
    let page = send_form(&app, "/dashboard/post", &[], &fill).body;
    assert!(page.contains("&#34;url&#34;: &#34;http://a&#34;") && page.contains("value=\"4\""), "{page}");
    let page = send_form(&app, "/dashboard/post", &[], &[("task_type", "other"), ("fill", "last")]).body;
    assert!(page.contains("no task of this type is stored"), "{page}");
}

#[test]
fn types_that_are_no_parts_of_paths_have_pages() {
    let app = TestApp::start();
    for (n, task_type) in ["", ".", "..", "a/b", "a\\b", "ä b?c#d%2F", "\u{202e}x"].into_iter().enumerate() {
        let name = serde_json::Value::from(task_type).to_string();
        let n = n as u64 + 1;
        app.post_task(Body::task(n).with("task_type", name));
        let page = app.get(&format!("/dashboard/tasks/{}", id(n))).body;
        let link =
            page.split("href=\"../types/").nth(1).and_then(|rest| rest.split('"').next()).expect("a link");
        let link = link.replace("&#38;", "&");
        let page = app.get(&format!("/dashboard/types/{link}"));
        assert_eq!(page.status, 200, "{page:?}");
        assert!(page.body.contains(&id(n)), "{page:?}");
    }
}
