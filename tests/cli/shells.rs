//! Completions and pages of the manual.

use std::fs;

use super::commands;
use crate::support::program::{Home, Run};

#[tokio::test]
async fn completions_name_every_command_in_every_shell() {
    let home = Home::new();
    let commands = commands(&home).await;
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Run::new(&home, ["completions", shell]).finish().await.expect_code(0).stdout;
        for command in &commands {
            let name = command.split(' ').next_back().unwrap();
            assert!(script.contains(name), "{shell} does not complete {command}");
        }
    }
    Run::new(&home, ["completions", "tcsh"]).finish().await.expect_code(2);
}

#[tokio::test]
async fn bash_completes_commands_and_options() {
    let home = Home::new();
    let script = Run::new(&home, ["completions", "bash"]).finish().await.expect_code(0).stdout;
    fs::write(home.path().join("completions.bash"), script).unwrap();
    for (words, last, wanted) in [("polyarch bui", 1, "build\n"), ("polyarch build --no-pu", 2, "--no-push\n")] {
        let asked = format!(
            "source completions.bash; COMP_WORDS=({words}); COMP_CWORD={last}; \
             _polyarch polyarch \"${{COMP_WORDS[{last}]}}\" \"${{COMP_WORDS[{last}-1]}}\"; echo \"${{COMPREPLY[*]}}\""
        );
        let answered = Run::of("/bin/bash", &home, ["-c", &asked]).finish().await.expect_code(0);
        assert_eq!(answered.stdout, wanted, "{}", answered.stderr);
    }
}

#[tokio::test]
async fn man_writes_a_page_for_every_command() {
    let home = Home::new();
    Run::new(&home, ["man", "pages/man1"]).finish().await.expect_code(0);
    for command in commands(&home).await {
        let page = command.replace(' ', "-");
        let text = fs::read_to_string(home.path().join(format!("pages/man1/{page}.1"))).unwrap();
        assert!(text.contains(&format!(".TH {page} 1")), "{page}: {text}");
    }
    fs::write(home.path().join("file"), "").unwrap();
    let refused = Run::new(&home, ["man", "file/man1"]).finish().await.expect_code(70);
    assert!(refused.stderr.contains("cannot write the manual into file/man1"), "{}", refused.stderr);
}
