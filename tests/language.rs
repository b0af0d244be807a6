//! Text is plain English, as docs/contributing/style.md describes it.
//!
//! Text that a user sees has none of [`PATTERNS`]: the README, the book, the changelog, help, transcripts and the text
//! literals of the program. Comments have a budget for each room in [`BUDGETS`]. A budget may only fall.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use crate::layers::FILES;

/// Words that a stranger stumbles over, each with the plain ones.
const PATTERNS: [(&str, &str); 18] = [
    (r"(?i)\bwhat(?:ever)?\b", "a noun: \"the images that you built\""),
    (r"(?m)(?:^[^\w\n]*|[.!?:] )(?:What|Of|Who|Whose)\b", "a sentence that begins with its subject"),
    (r"(?i)\b(?:there\s)?(?:is|are|was|were)\s(?:no longer|no|none)\b", "\"is not a\""),
    (r"(?i)\bin clear\b", "\"unencrypted\""),
    (r"(?i)\bpass(?:es|ed)? over\b", "\"skips\""),
    (r"(?i)\bgo(?:es)? before\b", "\"takes precedence over\""),
    (r"(?i)\bof others\b", "\"third-party\""),
    (r"(?i)\b(?:told|tells?|said)\b", "\"reports\", \"specifies\""),
    (r"(?i)\bas far as\b", "\"unless\", \"only if\""),
    (r"(?i)\bmeanwhile\b", "\"at the same time\""),
    (r"(?i)\bheld against\b", "\"compared with\""),
    (r"(?i)\b(?:nobody|somebody|everybody)\b", "the name of the person or the program"),
    (r"(?i)\b(?:by|of) (?:which|whom)\b", "a second sentence"),
    (r"(?i)\bours\b", "\"polyarch's\""),
    (r"(?i)\badopt(?:s|ed|ing|ion)?\b", "\"import\""),
    (r"(?i)\b(?:is|are|was|were) (?:not )?there\b", "\"exists\", \"does not exist\""),
    (r"(?i)\bthe words of\b", "\"the spelling that X uses\""),
    (r"(?i)\bputs? (?:a|the|it|its|every|each|final|under)\b", "\"push\" for a manifest, \"move\" for a tag"),
];

/// How many times the comments of a room may have one of [`PATTERNS`]. A room that is not listed has none.
const BUDGETS: &[(&str, usize)] = &[];

/// Texts that quote other programs.
const QUOTED: &[&str] = &[];

/// A text that a person reads, and its place.
struct Passage {
    path: String,
    line: usize,
    text: String,
}

/// Each of [`PATTERNS`] in a passage, as a line for a person.
fn found(passage: &Passage) -> Vec<String> {
    static COMPILED: LazyLock<Vec<(Regex, &str)>> =
        LazyLock::new(|| PATTERNS.map(|(pattern, plain)| (Regex::new(pattern).unwrap(), plain)).into());
    let is_meant = |hit: &str| !hit.to_lowercase().starts_with("there") && !hit.ends_with("longer");
    let hits = |(pattern, plain): &(Regex, &str)| {
        let hits = pattern.find_iter(&passage.text).filter(|hit| is_meant(hit.as_str()));
        let shown = |hit: regex::Match<'_>| {
            let line = passage.line + passage.text[..hit.start()].matches('\n').count();
            let words = hit.as_str().trim_matches(|c: char| !c.is_alphabetic());
            format!("{}:{line}: \"{words}\": write {plain}", passage.path)
        };
        hits.map(shown).collect::<Vec<_>>()
    };
    COMPILED.iter().flat_map(hits).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder and of the folders in it whose names end in `end`.
fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let inside = |path: PathBuf| match path.strip_prefix(root()).unwrap().to_str() {
        Some(inside) if path.is_dir() => files(inside, end),
        Some(inside) if inside.ends_with(end) => vec![inside.into()],
        _ => Vec::new(),
    };
    entries.flat_map(inside).collect()
}

fn passage(path: &Path) -> Passage {
    Passage { path: path.display().to_string(), line: 1, text: fs::read_to_string(root().join(path)).unwrap() }
}

/// The text without blocks and spans of code. Lines keep their numbers.
fn prose(text: &str) -> String {
    static CODE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?ms)^ *```.*?^ *```|<!--.*?-->|`[^`\n]*`").unwrap());
    CODE.replace_all(text, |code: &regex::Captures<'_>| format!("X{}", "\n".repeat(code[0].matches('\n').count())))
        .into_owned()
}

/// A JSON Schema with its descriptions alone. Lines keep their numbers.
fn described(Passage { path, line, text }: Passage) -> Passage {
    let lines = text.lines().map(|line| if line.contains("\"description\"") { line } else { "" });
    Passage { path, line, text: prose(&lines.collect::<Vec<_>>().join("\n")) }
}

/// The README, the changelog and the pages of the book. The style guide quotes the words that it forbids.
fn pages() -> Vec<Passage> {
    let own = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(PathBuf::from);
    let pages = files("docs", ".md").into_iter().filter(|path| !path.ends_with("contributing/style.md"));
    own.into_iter().chain(pages).map(|path| Passage { text: prose(&passage(&path).text), ..passage(&path) }).collect()
}

/// Text literals of several words outside of test code.
fn literals() -> impl Iterator<Item = Passage> {
    FILES.iter().flat_map(|source| {
        let texts = source.literals.iter().filter(|literal| literal.text.contains(' '));
        texts.map(|literal| Passage { path: source.path.clone(), line: literal.line, text: prose(&literal.text) })
    })
}

#[test]
fn text_that_a_user_sees_is_plain_english() {
    let transcripts = files("tests/cli", ".txt").iter().map(|path| passage(path)).collect::<Vec<_>>();
    let schemas = files("src", ".json").into_iter().map(|path| described(passage(&path))).collect();
    let all = [pages(), transcripts, schemas].into_iter().flatten().chain(literals());
    let mut wrong: Vec<_> = all.flat_map(|passage| found(&passage)).collect();
    wrong.retain(|line| !QUOTED.iter().any(|quoted| line.contains(quoted)));
    assert!(wrong.is_empty(), "{} places:\n{}", wrong.len(), wrong.join("\n"));
}

/// The room of a file: the folder under `src`, or the file at its root.
fn room(path: &str) -> &str {
    path.split('/').nth(1).unwrap_or(path)
}

#[test]
fn comments_keep_the_budget_of_their_room() {
    let mut hits = BTreeMap::<String, Vec<String>>::new();
    for source in FILES.iter() {
        let mut lines = vec![String::new(); source.comments.last().map_or(0, |last| last.line)];
        for comment in &source.comments {
            lines[comment.line - 1] = comment.text.trim_start_matches(['/', '!', ' ']).to_owned();
        }
        let text = prose(&lines.join("\n"));
        let path = source.path.clone();
        hits.entry(room(&path).to_owned()).or_default().extend(found(&Passage { path, line: 1, text }));
    }
    for (room, hits) in hits {
        let budget = BUDGETS.iter().find(|(name, _)| *name == room).map_or(0, |(_, budget)| *budget);
        assert_eq!(hits.len(), budget, "{room}: BUDGETS has another number, which may only fall:\n{}", hits.join("\n"));
    }
}

/// How a text reads: words, and how many of them are "what", "you" or "your", and commas.
struct Measure {
    words: f64,
    what: f64,
    you: f64,
    commas: f64,
}

#[expect(clippy::cast_precision_loss, reason = "a book has fewer words than a float counts exactly")]
fn measure(text: &str) -> Measure {
    let count = |pattern: &str| Regex::new(pattern).unwrap().find_iter(text).count() as f64;
    Measure { words: count(r"[\w'-]+"), what: count(r"(?i)\bwhat\b"), you: count(r"(?i)\byour?\b"), commas: count(",") }
}

/// Sentences of paragraphs and list items. A row of a table and a heading are no sentences.
fn sentences(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open = (1, String::new());
    let item = Regex::new(r"^\s*(?:[-*]|\d+\.) ").unwrap();
    let mut end = |open: &mut (usize, String), line: usize| {
        let whole = std::mem::replace(open, (line, String::new()));
        found.extend(whole.1.split_inclusive(['.', '!', '?', ':', ';']).map(|sentence| (whole.0, sentence.to_owned())));
    };
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with(['#', '|', '[', '!']) || item.is_match(line) {
            end(&mut open, at + 1);
        }
        if !line.starts_with(['#', '|', '[', '!']) {
            open.1.push_str(&item.replace(line, ""));
            open.1.push(' ');
        }
    }
    end(&mut open, 0);
    found
}

const LONGEST_SENTENCE: usize = 20;

#[test]
fn sentences_of_the_book_are_short_and_address_the_reader() {
    let pages = pages();
    let mut long = Vec::new();
    for page in pages.iter().filter(|page| page.path != "docs/SUMMARY.md") {
        for (line, sentence) in sentences(&page.text) {
            let words = sentence.split_whitespace().count();
            if words > LONGEST_SENTENCE {
                long.push(format!("{}:{line}: {words} words: {}", page.path, sentence.trim()));
            }
        }
    }
    assert!(long.is_empty(), "{} sentences have more than {LONGEST_SENTENCE} words:\n{}", long.len(), long.join("\n"));
    let book = pages.iter().filter(|page| page.path == "README.md" || page.path.starts_with("docs/"));
    let Measure { words, what, you, commas } = measure(&book.map(|page| page.text.as_str()).collect::<String>());
    println!(
        "of {words} words: what {:.1} and you {:.1} in 1,000; commas {:.1} in 100",
        what / words * 1e3,
        you / words * 1e3,
        commas / words * 1e2
    );
    assert!(what / words < 0.002 && you / words > 0.010 && commas / words < 0.06);
}

#[test]
fn each_pattern_finds_a_sentence() {
    for (text, expected) in [
        ("polyarch keeps what is there.", 2),
        ("Of an index, all. Who knows", 2),
        ("this is no image; there is no image; it is no longer an image", 1),
        ("as told in clear by somebody of which others adopted ours meanwhile", 7),
        ("it puts the tag, as far as the words of docker go before", 4),
        ("what it passes over is held against images of others", 4),
        ("polyarch builds your image", 0),
    ] {
        let hits = found(&Passage { path: String::new(), line: 1, text: text.to_owned() });
        assert_eq!(hits.len(), expected, "{text}: {hits:#?}");
    }
}
