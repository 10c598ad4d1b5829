//! HTTP proxies on the way to the AFM.

use super::gate::{Gate, Rules, Seen};
use super::tls::Authority;
use super::{Behind, tells_none_of, wait_for_problem};

/// `agent:p@ss word` and `agent:wrong-one`, as headers have them.
const RIGHT: &str = "Basic YWdlbnQ6cEBzcyB3b3Jk";
const WRONG: &str = "Basic YWdlbnQ6d3Jvbmctb25l";
/// What may be in no log line.
const SECRETS: [&str; 5] = ["p%40ss", "p@ss", "wrong-one", "YWdlbnQ6", "Basic"];

/// Rules of a proxy that lets a user and a password in.
fn password() -> Rules {
    Rules { header: Some(("proxy-authorization", vec![RIGHT.to_owned()])), ..Rules::default() }
}

/// The URL of a proxy, with the user and a password.
fn with_password(proxy: &Gate, password: &str) -> String {
    format!("http://agent:{password}@{}", proxy.address)
}

fn are_all_let_in(seen: &[Seen]) -> bool {
    !seen.is_empty() && seen.iter().all(|seen| seen.status == 200)
}

#[test]
fn a_proxy_is_asked_for_the_whole_url_with_user_and_password() {
    let behind = Behind::start();
    let proxy = Gate::proxy(password());
    let agent = behind.agent(&behind.afm.url(), &["--proxy", &with_password(&proxy, "p%40ss%20word")], &[]);
    behind.executes_a_task();
    let result = format!("POST {}/tasks/response HTTP/1.1", behind.afm.url());
    proxy.wait_until(|seen| seen.iter().any(|seen| seen.line == result));
    assert!(are_all_let_in(&proxy.seen()), "{:?}", proxy.seen());
    tells_none_of(&agent, &SECRETS);
}

#[test]
fn a_proxy_of_an_afm_with_tls_sees_neither_requests_nor_the_token() {
    let behind = Behind::start();
    let ours = Authority::new("servers");
    let tls = ours.identity("127.0.0.1", 2100).server(None);
    let header = Some(("authorization", vec!["Bearer t0ken".to_owned()]));
    let gate = Gate::before(behind.afm.address(), Rules { tls, header, ..Rules::default() });
    let proxy = Gate::proxy(password());
    let (ca_file, token) = (behind.file("ca.pem", &ours.pem()), behind.file("token", "t0ken\n"));
    let proxy_url = with_password(&proxy, "p%40ss%20word");
    let args = ["--ca-file", &ca_file, "--token-file", &token, "--proxy", &proxy_url];
    let agent = behind.agent(&format!("https://{}", gate.address), &args, &[]);
    behind.executes_a_task();
    let seen = proxy.seen();
    assert!(are_all_let_in(&seen), "{seen:?}");
    let connect = format!("CONNECT {} HTTP/1.1", gate.address);
    assert!(
        seen.iter().all(|seen| seen.line == connect && seen.header("authorization").is_none()),
        "{seen:?}"
    );
    assert!(gate.seen().iter().all(|seen| seen.header("proxy-authorization").is_none()));
    tells_none_of(&agent, &[&SECRETS[..], &["t0ken"]].concat());
}

/// Has an agent reach an AFM by way of a proxy that refuses its password, and then lets it in.
fn wrong_password(url: &str, behind: &Behind, args: &[&str]) {
    let proxy = Gate::proxy(password());
    let proxy_url = with_password(&proxy, "wrong-one");
    let agent = behind.agent(url, &[&["--proxy", &proxy_url], args].concat(), &[]);
    let line = wait_for_problem(&agent, &["the proxy wants a user and a password"]);
    assert!(line.contains(&format!("by way of http://{}", proxy.address)), "{line}");
    proxy.change(|rules| rules.header = Some(("proxy-authorization", vec![WRONG.to_owned()])));
    behind.executes_a_task();
    tells_none_of(&agent, &SECRETS);
}

#[test]
fn a_proxy_that_refuses_the_password_is_told() {
    let behind = Behind::start();
    wrong_password(&behind.afm.url(), &behind, &[]);
}

#[test]
fn a_proxy_of_an_afm_with_tls_that_refuses_the_password_is_told() {
    let behind = Behind::start();
    let ours = Authority::new("servers");
    let tls = ours.identity("127.0.0.1", 2100).server(None);
    let gate = Gate::before(behind.afm.address(), Rules { tls, ..Rules::default() });
    let ca_file = behind.file("ca.pem", &ours.pem());
    wrong_password(&format!("https://{}", gate.address), &behind, &["--ca-file", &ca_file]);
}

#[test]
fn a_proxy_that_is_away_is_told() {
    let behind = Behind::start();
    let proxy = format!("127.0.0.1:{}", slamon_testbed::free_port());
    let proxy_url = format!("http://agent:p%40ss@{proxy}");
    let agent = behind.agent(&behind.afm.url(), &["--proxy", &proxy_url], &[]);
    let line = wait_for_problem(&agent, &["refused"]);
    assert!(line.contains(&format!("by way of http://{proxy}")), "{line}");
    tells_none_of(&agent, &SECRETS);
}

#[test]
fn the_environment_names_proxies() {
    for (upper, lower) in [("HTTP_PROXY", "http_proxy"), ("HTTPS_PROXY", "https_proxy")] {
        for name in [upper, lower] {
            let behind = Behind::start();
            let ours = Authority::new("servers");
            let is_tls = upper == "HTTPS_PROXY";
            let tls = is_tls.then(|| ours.identity("127.0.0.1", 2100).server(None)).flatten();
            let gate = Gate::before(behind.afm.address(), Rules { tls, ..Rules::default() });
            let scheme = if is_tls { "https" } else { "http" };
            let proxy = Gate::proxy(password());
            let ca_file = behind.file("ca.pem", &ours.pem());
            let proxy_url = with_password(&proxy, "p%40ss%20word");
            let url = format!("{scheme}://{}", gate.address);
            let agent = behind.agent(&url, &["--ca-file", &ca_file], &[(name, &proxy_url)]);
            behind.executes_a_task();
            assert!(are_all_let_in(&proxy.seen()), "{name}: {:?}", proxy.seen());
            tells_none_of(&agent, &SECRETS);
        }
    }
}

#[test]
fn the_environment_names_what_needs_no_proxy() {
    let behind = Behind::start();
    let proxy = Gate::proxy(Rules::default());
    let url = format!("http://{}", proxy.address);
    let env = [("HTTP_PROXY", url.as_str()), ("NO_PROXY", "afm.example, 127.0.0.0/8")];
    let _agent = behind.agent(&behind.afm.url(), &[], &env);
    behind.executes_a_task();
    assert_eq!(proxy.connections(), 0);
}

#[test]
fn the_option_counts_before_the_environment() {
    let behind = Behind::start();
    let (proxy, other) = (Gate::proxy(Rules::default()), Gate::proxy(Rules::default()));
    let [proxy_url, other_url] = [&proxy, &other].map(|proxy| format!("http://{}", proxy.address));
    let env = [("HTTP_PROXY", other_url.as_str()), ("NO_PROXY", "127.0.0.1")];
    let _agent = behind.agent(&behind.afm.url(), &["--proxy", &proxy_url], &env);
    behind.executes_a_task();
    assert!(are_all_let_in(&proxy.seen()), "{:?}", proxy.seen());
    assert_eq!(other.connections(), 0);
}
