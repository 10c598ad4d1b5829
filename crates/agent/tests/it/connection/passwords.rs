//! Tokens, and users with passwords, that something before the AFM asks for.

use super::gate::{Gate, Rules};
use super::{Behind, tells_none_of, wait_for_problem};

/// `agent:p@ss word`, as a header has it.
const USER: &str = "Basic YWdlbnQ6cEBzcyB3b3Jk";

fn wants(authorization: &str) -> Rules {
    Rules { header: Some(("authorization", vec![authorization.to_owned()])), ..Rules::default() }
}

#[test]
fn the_token_of_a_file_is_shown_with_each_request() {
    let behind = Behind::start();
    let gate = Gate::before(behind.afm.address(), wants("Bearer t0ken-of-ours"));
    let token = behind.file("token", "  t0ken-of-ours\n");
    let agent = behind.agent(&format!("http://{}", gate.address), &["--token-file", &token], &[]);
    behind.executes_a_task();
    assert!(gate.seen().iter().all(|seen| seen.status == 200), "{:?}", gate.seen());
    tells_none_of(&agent, &["t0ken-of-ours"]);
}

#[test]
fn a_token_that_is_refused_is_told() {
    let behind = Behind::start();
    let gate = Gate::before(behind.afm.address(), wants("Bearer t0ken-of-ours"));
    let token = behind.file("token", "t0ken-of-others");
    let agent = behind.agent(&format!("http://{}", gate.address), &["--token-file", &token], &[]);
    wait_for_problem(&agent, &["unauthorized"]);
    gate.change(|rules| *rules = wants("Bearer t0ken-of-others"));
    behind.executes_a_task();
    tells_none_of(&agent, &["t0ken-of-o", "Bearer"]);
}

#[test]
fn the_user_and_the_password_of_the_url_are_shown_with_each_request() {
    let behind = Behind::start();
    let gate = Gate::before(behind.afm.address(), wants(USER));
    let agent = behind.agent(&format!("http://agent:p%40ss%20word@{}", gate.address), &[], &[]);
    behind.executes_a_task();
    assert!(gate.seen().iter().all(|seen| seen.status == 200), "{:?}", gate.seen());
    tells_none_of(&agent, &["p%40ss", "p@ss", "YWdlbnQ6"]);
}

#[test]
fn a_password_that_is_refused_is_told() {
    let behind = Behind::start();
    let gate = Gate::before(behind.afm.address(), wants(USER));
    let agent = behind.agent(&format!("http://agent:wrong-one@{}/", gate.address), &[], &[]);
    let line = wait_for_problem(&agent, &["unauthorized"]);
    assert!(line.contains(&format!("http://{}", gate.address)), "{line}");
    gate.change(|rules| *rules = Rules::default());
    behind.executes_a_task();
    tells_none_of(&agent, &["wrong-one", "YWdlbnQ6"]);
}
