//! Tokens of clients, which see what was posted by the same name.

use slamon_domain::Role;

use super::{Bearer, start_guarded};
use crate::test_app::{Body, id};

#[test]
fn a_client_sees_its_own_tasks_alone() {
    let app = start_guarded();
    let named = |name: &str| app.make_token(Role::Client, |token| token.name = name.to_owned());
    let (shop, shop_again, bank) = (named("shop"), named("shop"), named("bank"));
    let [shop, shop_again, bank] = [&shop, &shop_again, &bank].map(|token| Bearer::new(&app, token));
    let viewer = app.make_token(Role::Viewer, |_| ());
    let viewer = Bearer::new(&app, &viewer);
    shop.post("/task", Body::task(1)).is_empty();
    let many = format!("{{\"tasks\":[{},{}]}}", Body::task(2), Body::task(3));
    shop.post("/api/v1/tasks", many).json();
    for n in 1..=3 {
        let (path, in_api) = (format!("/task/{}", id(n)), format!("/api/v1/tasks/{}", id(n)));
        for reader in [&shop, &shop_again, &viewer] {
            assert_eq!(reader.get(&path).json()["task_id"], id(n));
            assert_eq!(reader.get(&in_api).json()["task_id"], id(n));
        }
        for (method, path) in [
            ("GET", path.clone()),
            ("GET", format!("{path}?wait=300")),
            ("DELETE", path),
            ("GET", in_api.clone()),
            ("POST", format!("{in_api}/cancel")),
        ] {
            bank.send(method, &path, "").is_problem(404, "task_id: no task has this id");
        }
    }
    // Nobody else's task was cancelled; one's own is, also with a new token.
    assert_eq!(viewer.get(&format!("/task/{}", id(1))).json()["task_state"], "pending");
    assert_eq!(shop_again.send("DELETE", &format!("/task/{}", id(1)), "").json()["task_state"], "cancelled");
    shop.post(&format!("/api/v1/tasks/{}/cancel", id(2)), "").json();
}

#[test]
fn a_task_of_another_client_is_another_task() {
    let app = start_guarded();
    let named = |name: &str| app.make_token(Role::Client, |token| token.name = name.to_owned());
    let (shop, bank) = (named("shop"), named("bank"));
    let [shop, bank] = [&shop, &bank].map(|token| Bearer::new(&app, token));
    shop.post("/task", Body::task(1)).is_empty();
    shop.post("/task", Body::task(1)).is_empty();
    let refused = bank.post("/task", Body::task(1));
    assert_eq!(refused.problem(400)["field"], "task_id");
}

#[test]
fn a_client_may_be_kept_to_some_types() {
    let app = start_guarded();
    let token = app.make_token(Role::Client, |token| token.types = Some(vec!["wait".into(), "ping".into()]));
    let client = Bearer::new(&app, &token);
    client.post("/task", Body::task(1)).is_empty();
    let other = Body::task(2).with("task_type", "\"run_command\"");
    let problem = "task_type: the token may not post tasks of type \"run_command\"";
    client.post("/task", &other).is_problem(403, problem);
    let many = format!("{{\"tasks\":[{other},{}]}}", Body::task(3));
    let answers = client.post("/api/v1/tasks", many).json();
    assert_eq!(answers["results"][0]["status"], 403, "{answers}");
    assert_eq!(answers["results"][0]["detail"], problem, "{answers}");
    assert_eq!(answers["results"][1]["status"], 200, "{answers}");
}
