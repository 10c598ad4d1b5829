//! Completions, manual pages and the list of handlers.

use std::io::Read;
use std::process::{Command, Stdio};

#[test]
fn completions_and_manual_pages_are_generated() {
    let run = |args: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_slamon-agent")).args(args).output().expect("the program runs");
        assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let script = run(&["completions", "bash"]);
    let asked = format!(
        "{script}\nCOMP_WORDS=(slamon-agent han); COMP_CWORD=1; _slamon__agent slamon-agent han slamon-agent; echo \"${{COMPREPLY[@]}}\""
    );
    let completed = Command::new("bash").args(["-c", &asked]).output().expect("bash runs");
    assert_eq!(String::from_utf8_lossy(&completed.stdout).trim(), "handlers", "{completed:?}");
    assert!(run(&["man"]).contains(".TH slamon-agent 1"));
    let folder = tempfile::tempdir().expect("a folder");
    run(&["man", folder.path().to_str().expect("UTF-8")]);
    for name in ["slamon-agent.1", "slamon-agent-handlers.1"] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
}

#[test]
fn whoever_reads_no_more_ends_the_output_without_a_complaint() {
    for args in [&["handlers"][..], &["completions", "zsh"], &["man"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_slamon-agent"))
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        // Nobody reads at all, so that even a short output meets a closed pipe.
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("UTF-8");
        let status = child.wait().expect("it ends");
        assert!(!said.contains("panicked") && status.success(), "{args:?}: {status} {said}");
    }
}
