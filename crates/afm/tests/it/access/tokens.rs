//! How tokens are known: from the database, soon after they were made or revoked.

use std::time::Duration;

use jiff::Timestamp;
use slamon_domain::Role;

use super::{Bearer, start_guarded};
use crate::test_app::{Setup, id};

#[test]
fn a_token_that_was_just_made_elsewhere_is_known_at_once() {
    let app = start_guarded();
    let token = app.make_unread_token(Role::Viewer, |_| ());
    Bearer::new(&app, &token).get("/status").json();
}

#[test]
fn while_tokens_cannot_be_read_nobody_is_called_unknown() {
    let mut setup = Setup::default();
    setup.settings.access.required = true;
    let (app, gate) = setup.start_gated();
    let token = app.make_unread_token(Role::Viewer, |_| ());
    gate.take_database_away();
    Bearer::new(&app, &token).get("/status").is_try_again();
    gate.open();
    app.read_tokens();
    Bearer::new(&app, &token).get("/status").json();
    // Those that are known are good also while the database is away.
    gate.take_database_away();
    let path = format!("/task/{}", id(1));
    Bearer::new(&app, &token).get(&path).is_try_again();
    let stranger = slamon_afm::access::token_text::make().expect("there are random numbers");
    Bearer::new(&app, &stranger).get(&path).is_problem(401, "there is no such token");
}

#[test]
fn it_is_saved_when_a_token_was_used_last() {
    let app = start_guarded();
    let used = app.make_token(Role::Viewer, |token| token.name = "used".to_owned());
    app.make_token(Role::Viewer, |token| token.name = "idle".to_owned());
    let uses = |app: &crate::test_app::TestApp| {
        let mut uses = app.token_uses();
        uses.sort();
        uses
    };
    assert_eq!(uses(&app), [("idle".to_owned(), None), ("used".to_owned(), None)]);
    Bearer::new(&app, &used).get("/status").json();
    let first = app.clock.clock().now();
    let [idle, (_, last)] = &uses(&app)[..] else { panic!("there are two") };
    assert_eq!(idle, &("idle".to_owned(), None));
    assert_eq!(last.map(Timestamp::as_second), Some(first.as_second()));
    app.clock.advance(Duration::from_secs(60));
    // A refused request is a use, too; one without a good token is none.
    Bearer::new(&app, &used).post("/api/v1/tasks/cancel", "{}").problem(403);
    let [_, (_, last)] = &uses(&app)[..] else { panic!("there are two") };
    assert_eq!(last.map(Timestamp::as_second), Some(first.as_second() + 60));
}
