//! Files and URLs that cannot be used end the agent at the start.

use slamon_testbed::Process;

use super::tls::Authority;
use crate::fleet::PATIENCE;

#[test]
fn what_cannot_be_used_is_named_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_string_lossy().into_owned()
    };
    let missing = folder.path().join("missing").to_string_lossy().into_owned();
    let (one, other) = (Authority::new("one").identity("a", 2100), Authority::new("two").identity("b", 2100));
    let (certificate, key) =
        (file("one.pem", &one.certificate.pem()), file("one.key", &one.key.serialize_pem()));
    let (other_key, text) = (file("other.key", &other.key.serialize_pem()), file("text", "hunter2\n"));
    let (empty, lines) = (file("empty", " \n"), file("lines", "hunter2\nhunter2"));
    for (args, named) in [
        (vec!["--token-file", &missing], vec!["token-file: ", &missing]),
        (vec!["--token-file", &empty], vec!["token-file: ", &empty, "is empty"]),
        (vec!["--token-file", &lines], vec!["token: "]),
        (vec!["--ca-file", &missing], vec!["ca-file: ", &missing]),
        (vec!["--ca-file", &text], vec!["ca-file: ", &text]),
        (vec!["--certificate", &certificate], vec!["certificate and key: "]),
        (vec!["--certificate", &text, "--key", &key], vec!["certificate: ", &text]),
        (vec!["--certificate", &certificate, "--key", &text], vec!["key: ", &text]),
        (vec!["--certificate", &certificate, "--key", &other_key], vec!["certificate and key: "]),
        (vec!["--proxy", "socks5://agent:hunter2@127.0.0.1"], vec!["proxy: "]),
        (vec!["--proxy", "agent:hunter2"], vec!["proxy: "]),
        (vec!["--url", "https://agent:hunter2@"], vec!["url: "]),
    ] {
        let state = folder.path().join("state").to_string_lossy().into_owned();
        let given = ["--url", "https://127.0.0.1:1", "--state-folder", &state, "-v", "-v"];
        let all: Vec<&str> = given.iter().chain(&args).copied().collect();
        let agent = Process::start(env!("CARGO_BIN_EXE_slamon-agent").as_ref(), &all, &[]).unwrap();
        assert_eq!(agent.wait_exit(PATIENCE).code(), Some(1), "{args:?}");
        let said = agent.log_lines().join("\n");
        assert!(named.iter().all(|part| said.contains(part)), "{args:?}: {said}");
        assert!(!said.contains("hunter2"), "{args:?}: {said}");
    }
}
