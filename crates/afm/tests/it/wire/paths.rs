//! Tests which paths there are, and which methods they take.

use crate::test_app::{Body, TestApp, id};

#[test]
fn every_path_answers_with_and_without_a_slash() {
    let app = TestApp::start();
    for (n, slash) in [(1, ""), (2, "/")] {
        app.post(&format!("/task{slash}"), Body::task(n)).is_empty();
        assert_eq!(app.get(&format!("/task/{}{slash}", id(n))).json()["task_id"], id(n));
        let polled = app.post(&format!("/tasks{slash}"), Body::poll(9)).json();
        assert_eq!(polled["tasks"][0]["task_id"], id(n));
        app.post(&format!("/tasks/response{slash}"), Body::result(n)).is_empty();
        app.get(&format!("/status{slash}")).json();
        app.get(&format!("/dashboard/status{slash}")).json();
        for page in
            ["/dashboard", "/dashboard/dashboard.css", "/dashboard/dashboard.js", "/healthz", "/readyz"]
        {
            let answer = app.get(&format!("{page}{slash}"));
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
}

#[test]
fn a_base_url_with_a_slash_at_its_end_does_no_harm() {
    let app = TestApp::start();
    app.post("//task", Body::task(1)).is_empty();
    assert_eq!(app.post("//tasks/", Body::poll(9)).json()["tasks"][0]["task_id"], id(1));
    app.post("//tasks/response", Body::result(1)).is_empty();
    app.get(&format!("//task/{}", id(1))).json();
}

#[test]
fn queries_are_passed_over() {
    let app = TestApp::start();
    app.post("/task?a=1", Body::task(1)).is_empty();
    assert_eq!(app.get(&format!("/task/{}?", id(1))).status, 200);
    app.get("/status/?%FF").json();
}

#[test]
fn a_known_path_with_the_wrong_method_is_405() {
    let app = TestApp::start();
    let task = format!("/task/{}", id(1));
    let gets =
        ["/status", "/dashboard", "/dashboard/status", "/dashboard/dashboard.js", "/healthz", "/readyz"];
    let known = gets.map(|path| (path, "GET,HEAD")).into_iter();
    let known = known.chain(["/task", "/tasks", "/tasks/response"].map(|path| (path, "POST")));
    let known = known.chain([(task.as_str(), "GET,HEAD,DELETE")]);
    for (path, allowed) in known {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            if allowed.split(',').any(|allowed| allowed == method) {
                continue;
            }
            for slash in ["", "/"] {
                let answer = app.send(method, &format!("{path}{slash}"), &[], "");
                assert_eq!(answer.status, 405, "{answer:?}");
                assert_eq!(answer.header("allow"), Some(allowed), "{answer:?}");
                if method != "HEAD" {
                    answer.is_problem(405, "the method does not go with this path; see the Allow header");
                }
            }
        }
    }
}

#[test]
fn the_root_leads_to_the_dashboard() {
    let app = TestApp::start();
    for root in ["/", "//", "/?a=1"] {
        for method in ["GET", "HEAD"] {
            let mut connection = app.connect();
            connection.write(format!("{method} {root} HTTP/1.1\r\nhost: afm\r\n\r\n"));
            let answer = connection.answer_without_body();
            assert_eq!((answer.status, answer.header("location")), (303, Some("dashboard")), "{answer:?}");
        }
        let page = app.get(root);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "{page:?}");
        app.post(root, "{}").problem(405);
    }
}

#[test]
fn methods_of_no_standard_are_405_too() {
    let app = TestApp::start();
    let mut connection = app.connect();
    connection.write("BREW /task HTTP/1.1\r\nhost: afm\r\n\r\n");
    connection.answer().problem(405);
}

#[test]
fn head_is_get_without_the_body() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    let task = format!("/task/{}", id(1));
    for path in [
        &task,
        "/status",
        "/dashboard",
        "/dashboard/status/",
        "/dashboard/dashboard.css",
        "/healthz",
        "/task/1",
    ] {
        let get = app.get(path);
        let mut connection = app.connect();
        // The second answer shows that nothing came after the head of the first.
        connection.write(format!(
            "HEAD {path} HTTP/1.1\r\nhost: afm\r\n\r\nGET /healthz HTTP/1.1\r\nhost: afm\r\n\r\n"
        ));
        let head = connection.answer_without_body();
        assert_eq!(head.status, get.status, "{head:?}");
        for name in ["content-type", "content-length"] {
            assert_eq!(head.header(name), get.header(name), "{head:?}");
        }
        assert_eq!(connection.answer().body, "ok\n");
    }
}

#[test]
fn everything_else_is_404() {
    let app = TestApp::start();
    for path in [
        "/Task",
        "/TASKS",
        "///task",
        "/tasks//",
        "/tasks/responses",
        "/tasks/response/1",
        "/status.json",
        "/statu%73/x",
        "/dashboard/index.html",
        "/dashboard/../task",
        "/dashboard/%2e%2e/%2e%2e/etc/passwd",
        "/favicon.ico",
        "/robots.txt",
        "/static/dashboard.js",
        "/\u{e9}".escape_default().to_string().as_str(),
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let answer = app.send(method, path, &[], "");
            answer.is_problem(404, "there is no such path");
        }
    }
    app.get(&format!("/task/{}/x", id(1))).is_problem(404, "there is no such path");
    app.post("/task/response", "{}").problem(405);
}
