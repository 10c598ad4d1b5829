//! Tests completions and manual pages.

use std::process::Command;

use super::super::{folder, run};

#[test]
fn shells_get_completions_that_they_can_read() {
    for (shell, word) in [
        ("bash", "complete"),
        ("zsh", "#compdef"),
        ("fish", "complete -c slamon-afm"),
        ("elvish", "edit"),
        ("powershell", "Register"),
    ] {
        let ended = run(folder().path(), &["completions", shell], &[]);
        assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
        assert!(ended.stdout.contains(word) && ended.stdout.contains("retry-errors"), "{shell}");
        if shell == "bash" {
            let script = format!(
                "{}\nCOMP_WORDS=(slamon-afm task ca); COMP_CWORD=2; _slamon__afm slamon-afm ca task; echo \"${{COMPREPLY[@]}}\"",
                ended.stdout
            );
            let completed = Command::new("bash").args(["-c", &script]).output().expect("bash runs");
            assert_eq!(String::from_utf8_lossy(&completed.stdout).trim(), "cancel", "{completed:?}");
        }
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = folder();
    let page = run(folder.path(), &["man"], &[]);
    assert_eq!((page.status, page.stderr.as_str()), (Some(0), ""), "{page:?}");
    assert!(page.stdout.contains(".TH slamon-afm 1"), "{}", page.stdout);
    assert_eq!(run(folder.path(), &["man", "pages/man1"], &[]).status, Some(0));
    for name in
        ["slamon-afm", "slamon-afm-run", "slamon-afm-task-post", "slamon-afm-types-pause", "slamon-afm-top"]
    {
        let file = folder.path().join(format!("pages/man1/{name}.1"));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.contains(".SH NAME"), "{text}");
    }
    let post =
        std::fs::read_to_string(folder.path().join("pages/man1/slamon-afm-task-post.1")).expect("a page");
    assert!(post.contains("Exit status"), "{post}");
    let ended = run(folder.path(), &["man", "/dev/null/x"], &[]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
}

#[test]
fn help_tells_the_exit_status() {
    for command in [&["task", "wait"][..], &["status"], &["types", "pause"], &["agents"]] {
        let ended = run(folder().path(), &[command, &["--help"]].concat(), &[]);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        for text in ["Exit status:", "5  the task has not ended in time", "SLAMON_AFM_URL", "--ca-file"] {
            assert!(ended.stdout.contains(text), "{text}: {}", ended.stdout);
        }
    }
}
