//! Completions in real shells, and pages of the manual.

use std::fs;

use super::commands;
use crate::support::program::{Home, Run};
use crate::support::terminal::Terminal;

const PLAN: &str = "\
version: 1
defaults: { tags: [a], platforms: [linux/amd64, linux/riscv64] }
images:
  web: { platforms: { linux/arm64: } }
  worker: {}
";

/// A home with a plan, the completions of a shell, and polyarch on the PATH.
async fn home(shell: &str, file: &str) -> Home {
    let home = Home::new();
    fs::write(home.path().join("build.yaml"), PLAN).unwrap();
    fs::write(home.path().join("other.yaml"), PLAN.replace("worker", "database")).unwrap();
    let script = Run::new(&home, ["completions", shell]).finish().await.expect_code(0).stdout;
    fs::write(home.path().join(file), script).unwrap();
    fs::create_dir(home.path().join("bin")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_polyarch"), home.path().join("bin/polyarch")).unwrap();
    home
}

/// A script of a shell of Debian.
async fn answer(home: &Home, shell: &str, script: &str) -> String {
    let program = format!("/usr/bin/{shell}");
    assert!(fs::exists(&program).unwrap(), "{program} does not exist: `make parts` installs it");
    let path = format!("{}:/usr/bin:/bin", home.path().join("bin").display());
    let run = Run::of(&program, home, ["-c", script]).env("PATH", path).env("TERM", "xterm");
    run.finish().await.expect_code(0).stdout
}

/// What is typed, and all of its candidates.
const TYPED: [(&str, &[&str]); 7] = [
    ("polyarch bui", &["build"]),
    ("polyarch doctor e", &["ecr"]),
    ("polyarch build --no-pu", &["--no-push"]),
    ("polyarch build w", &["web", "worker"]),
    ("polyarch build -f other.yaml ", &["database", "web"]),
    ("polyarch verify wo", &["worker"]),
    ("polyarch build --platform linux/", &["linux/amd64", "linux/arm64", "linux/riscv64"]),
];

#[tokio::test]
async fn bash_completes_commands_options_and_images() {
    let home = home("bash", "completions.bash").await;
    for (typed, wanted) in TYPED {
        // As readline does it: the function is named by `complete -p`.
        let script = format!(
            "source completions.bash
             COMP_LINE={typed:?} COMP_POINT=${{#COMP_LINE}} COMP_TYPE=9
             read -ra COMP_WORDS <<<\"$COMP_LINE\"; [[ $COMP_LINE != *' ' ]] || COMP_WORDS+=('')
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
             [[ $(complete -p polyarch) =~ -F\\ ([^ ]+) ]]
             ${{BASH_REMATCH[1]}} polyarch \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let said = answer(&home, "bash", &script).await;
        let mut found: Vec<_> =
            said.lines().map(str::trim).filter(|word| !word.starts_with('-') || typed.contains('-')).collect();
        found.retain(|word| !typed.ends_with(' ') || !word.starts_with('-'));
        assert_eq!(found, wanted, "{typed}: {said}");
    }
}

#[tokio::test]
async fn fish_completes_commands_options_and_images() {
    let home = home("fish", "completions.fish").await;
    for (typed, wanted) in TYPED {
        let script = format!("source completions.fish; complete --do-complete={typed:?}");
        let said = answer(&home, "fish", &script).await;
        let mut found: Vec<_> = said.lines().map(|line| line.split('\t').next().unwrap()).collect();
        found.retain(|word| !typed.ends_with(' ') || !word.starts_with('-'));
        found.sort_unstable();
        assert_eq!(found, wanted, "{typed}: {said}");
    }
}

/// zsh completes only in a terminal. It finds the file in `$fpath`, as a package installs it.
#[tokio::test]
async fn zsh_completes_commands_options_and_images() {
    let home = home("zsh", "_polyarch").await;
    let settings =
        format!("fpath=({} $fpath)\nautoload -Uz compinit\ncompinit -u -D\nPS1='> '\n", home.path().display());
    fs::write(home.path().join(".zshrc"), settings).unwrap();
    let path = format!("{}:/usr/bin:/bin", home.path().join("bin").display());
    for (typed, wanted) in TYPED {
        let shell = Run::of("/usr/bin/zsh", &home, ["-d", "-i"]).env("PATH", &path);
        let terminal = Terminal::start(&shell, 120);
        terminal.until(|rows| rows == [">"]).await;
        terminal.types(typed);
        terminal.types("Tab");
        let before = typed.rsplit_once(' ').unwrap().0;
        let completed = |rows: &[String]| match wanted {
            [one] => rows[0] == format!("> {before} {one}"),
            many => {
                let listed: Vec<_> = rows[1..].iter().flat_map(|row| row.split_whitespace()).collect();
                many.iter().all(|one| listed.contains(one))
            }
        };
        terminal.until(completed).await;
    }
}

#[tokio::test]
async fn completions_exist_for_five_shells() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Run::new(&home, ["completions", shell]).finish().await.expect_code(0).stdout;
        assert!(script.contains("POLYARCH_COMPLETE") && script.contains(shell), "{shell}: {script}");
    }
    Run::new(&home, ["completions", "tcsh"]).finish().await.expect_code(2);
    let unknown =
        Run::new(&home, ["--", "polyarch", "b"]).env("POLYARCH_COMPLETE", "tcsh").finish().await.expect_code(2);
    assert!(unknown.stderr.contains("tcsh"), "{}", unknown.stderr);
}

#[tokio::test]
async fn man_writes_a_page_for_every_command() {
    let home = Home::new();
    Run::new(&home, ["man", "pages/man1"]).finish().await.expect_code(0);
    for command in commands(&home).await {
        let page = command.replace(' ', "-");
        let text = fs::read_to_string(home.path().join(format!("pages/man1/{page}.1"))).unwrap();
        assert!(text.contains(&format!(".TH {page} 1")), "{page}: {text}");
        // `man` renders a page with groff.
        let render = format!("groff -Kutf8 -ww -mandoc -Tutf8 -P-cbou pages/man1/{page}.1");
        let shown = Run::of("/bin/sh", &home, ["-c", &render]).finish().await.expect_code(0);
        assert_eq!(shown.stderr, "", "{page}");
        for words in ["NAME", "SYNOPSIS", "OPTIONS", &command] {
            assert!(shown.stdout.contains(words), "{page} has no {words}: {}", shown.stdout);
        }
    }
    fs::write(home.path().join("file"), "").unwrap();
    let refused = Run::new(&home, ["man", "file/man1"]).finish().await.expect_code(70);
    assert!(refused.stderr.contains("cannot write the manual into file/man1"), "{}", refused.stderr);
}
