//! What is said of wrong arguments.

use std::process::Command;

/// Runs an agent that ends at once, and returns its exit status and what it says.
fn said(args: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_slamon-agent"))
        .args(args)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .expect("the program runs");
    (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
}

#[test]
fn an_argument_that_is_wrong_is_named_with_what_it_has_to_be() {
    let address = "must be ADDRESS:PORT, such as 127.0.0.1:9110";
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().to_str().expect("UTF-8");
    for (args, name, words) in [
        (&["-x", "two"][..], "--executors <N>", "must be a whole number from 1 to 10000"),
        (&["-x", "0"], "--executors <N>", "must be a whole number from 1 to 10000"),
        (&["--default-wait", "1.5"], "--default-wait <SECONDS>", "must be a whole number from 1 to"),
        (&["--longest-poll", "301"], "--longest-poll <SECONDS>", "must be a whole number from 0 to 300"),
        (&["--shutdown-limit", "x"], "--shutdown-limit <SECONDS>", "must be a whole number from 0 to"),
        (&["--latitude", "north"], "--latitude <DEGREES>", "must be a number of degrees"),
        (&["--longitude", "east"], "--longitude <DEGREES>", "must be a number of degrees"),
        (&["health", "--listen", "9110"], "--listen <ADDRESS>", address),
        (&["--url", "http://afm", "--state-folder", folder, "--listen", "9110"], "listen: ", address),
        (&["--url", "afm:8080", "--state-folder", folder], "url: ", "must begin with http:// or https://"),
        (
            &["--url", "http://afm", "--state-folder", folder, "--proxy", "proxy:3128"],
            "proxy: ",
            "must begin with http:// or https://",
        ),
    ] {
        let (status, said) = said(args, &[]);
        assert!(status.is_some_and(|status| status > 0), "{args:?}: {said}");
        assert!(said.contains(name) && said.contains(words), "{args:?}: {said}");
    }
    let (_, said) = said(&[], &[("SLAMON_AGENT_VERBOSE", "much")]);
    assert!(said.contains("must be a whole number from 0 to 255"), "{said}");
}

#[test]
fn the_usage_does_not_require_what_the_environment_says() {
    let (status, said) =
        said(&["--nonsense"], &[("SLAMON_AGENT_URL", "http://afm"), ("SLAMON_AGENT_NAME", "n")]);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("Usage: slamon-agent") && !said.contains("<URL>"), "{said}");
}
