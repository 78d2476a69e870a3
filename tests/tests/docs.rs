//! Owns the proof that README, book and the other texts name only what there is: files, headings, checks,
//! settings and commands.
//! Never judges what they say of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use retter_tests::retter_program;

/// A file of text.
struct Text {
    path: PathBuf,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> Text {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Text {
        path: path.to_owned(),
        text,
    }
}

fn book() -> Vec<Text> {
    let entries = fs::read_dir(root().join("docs/src")).expect("the book");
    let mut pages: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    pages.sort();
    pages.iter().map(|page| read(page)).collect()
}

fn texts() -> Vec<Text> {
    let others = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "fuzz/README.md",
        "tests/bench/README.md",
        "core/benches/README.md",
    ];
    let others = others.iter().map(|name| read(&root().join(name)));
    others.chain(book()).collect()
}

/// Where the links of a text lead to, those to other sites left out.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let links = text.split("](").skip(1);
    let links = links.filter_map(|rest| rest.split_once(')').map(|(link, _)| link));
    links.filter(|link| !link.contains("://"))
}

/// The names by which links reach the headings of a text.
fn headings(text: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        is_code ^= line.trim_start().starts_with("```");
        if let Some(heading) = line.strip_prefix('#').filter(|_| !is_code) {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            found.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
        }
    }
    found
}

/// The words of a text that begin so, each as long as its letters are of `allowed`.
fn words<'a>(
    text: &'a str,
    start: &'a str,
    allowed: fn(char) -> bool,
) -> impl Iterator<Item = &'a str> {
    text.match_indices(start).map(move |(at, _)| {
        let rest = &text[at + start.len()..];
        let end = rest.find(|c| !allowed(c)).unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn links_lead_somewhere() {
    for Text { path, text } in texts() {
        let folder = path.parent().expect("a folder");
        for link in links(&text) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                folder.join(file)
            };
            assert!(target.exists(), "{}: no {link}", path.display());
            if !heading.is_empty() {
                let headings = headings(&read(&target).text);
                assert!(
                    headings.contains(heading),
                    "{}: no {link}: {headings:?}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn the_summary_has_every_page_of_the_book_once() {
    let summary = read(&root().join("docs/src/SUMMARY.md")).text;
    let mut named: Vec<_> = links(&summary)
        .filter(|link| !link.starts_with(".."))
        .collect();
    named.sort_unstable();
    let pages = book();
    let pages = pages.iter().map(|page| {
        page.path
            .file_name()
            .expect("a name")
            .to_str()
            .expect("text")
    });
    let pages: Vec<_> = pages.filter(|name| *name != "SUMMARY.md").collect();
    assert_eq!(named, pages);
}

#[test]
fn checks_are_called_by_names_that_there_are() {
    let script = read(&root().join("tests/run.sh")).text;
    let is_name = |c: char| c.is_ascii_lowercase() || c == '-';
    let checks: BTreeSet<_> = words(&script, "\ncheck_", is_name).collect();
    assert!(checks.contains("lint") && checks.len() > 15, "{checks:?}");
    for Text { path, text } in texts() {
        let lines = text
            .lines()
            .filter_map(|line| line.split_once("tests/run.sh"));
        for (_, rest) in lines {
            let end = rest
                .find(|c: char| !is_name(c) && c != ' ')
                .unwrap_or(rest.len());
            // In running text the names end with the code.
            let rest = match rest[end..].starts_with('`') || end == rest.len() {
                true => &rest[..end],
                false => "",
            };
            for name in rest.split_whitespace() {
                assert!(checks.contains(name), "{}: no check {name}", path.display());
            }
        }
    }
}

#[test]
fn settings_and_variables_are_called_by_names_that_there_are() {
    let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut learn = |path: &Path| {
        let text = read(path).text;
        known.extend(words(&text, "RETTER_", is_name).map(str::to_owned));
    };
    // That the table is the program's own is tested where it is made.
    learn(&root().join("docs/src/settings.md"));
    for folder in [
        "tests",
        "tests/src",
        "tests/tests",
        "tests/bench/src",
        "tests/sim/tests",
    ] {
        let entries = fs::read_dir(root().join(folder)).expect("a folder");
        let files = entries.map(|entry| entry.expect("an entry").path());
        let is_code = |path: &PathBuf| {
            path.extension()
                .is_some_and(|end| end == "rs" || end == "sh")
        };
        files.filter(is_code).for_each(|file| learn(&file));
    }
    for name in ["browser/run.mjs", "bench/surge", "bench/compare"] {
        learn(&root().join("tests").join(name));
    }
    for Text { path, text } in texts() {
        // `RETTER_NAME` stands for any.
        let names = words(&text, "RETTER_", is_name).filter(|name| *name != "NAME");
        for name in names.filter(|name| !name.ends_with('_')) {
            assert!(known.contains(name), "{}: no RETTER_{name}", path.display());
        }
    }
}

#[test]
fn commands_are_called_by_names_that_there_are() {
    let help = Command::new(retter_program!()).arg("--help").output();
    let help = String::from_utf8(help.expect("it runs").stdout).expect("text");
    let is_command = |name: &str| help.contains(&format!("\n  {name} "));
    assert!(is_command("check") && !is_command("nonsense"), "{help}");
    let is_name = |c: char| c.is_ascii_lowercase();
    for Text { path, text } in texts() {
        for start in ["`retter ", "\nretter "] {
            for name in words(&text, start, is_name) {
                // `retter http://...`, `retter -h`, `retter settings` for whoever writes these texts.
                let is_known = ["", "http", "settings"].contains(&name) || is_command(name);
                assert!(is_known, "{}: no command {name}", path.display());
            }
        }
    }
}
