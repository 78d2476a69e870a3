//! Owns the check that no file of the core imports what lies above it (ARCHITECTURE.md,
//! "Who imports whom").
//! Never looks into tests: they may use whatever helps.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of the core and what lies directly below it. A module may use everything that it
/// reaches from here, and nothing else: `h1` and `site` do not know each other.
const LAYERS: &[(&str, &[&str])] = &[
    ("drive", &["addresses", "session"]),
    ("fuzzing", &["session"]),
    ("session", &["client", "exchange"]),
    ("client", &["exchange", "h1", "pace"]),
    ("gateway", &["reserve", "site"]),
    ("exchange", &["gateway", "h1", "pace", "report", "rules"]),
    ("addresses", &["seldom", "time"]),
    (
        "site",
        &[
            "admission",
            "breaker",
            "canary",
            "copies",
            "key",
            "report",
            "rng",
            "rules",
            "sync",
        ],
    ),
    ("copies", &["canary", "key", "rules", "store", "sync"]),
    ("connections", &["config", "session"]),
    ("pool", &["time"]),
    ("h1", &["limits", "message"]),
    ("store", &["key", "limits", "message", "sync"]),
    (
        "admission",
        &["breaker", "config", "key", "limits", "rules", "sync"],
    ),
    ("rules", &["config", "message", "report", "time"]),
    ("key", &["canary", "config", "message", "rng", "time"]),
    ("report", &["breaker", "message"]),
    ("breaker", &["canary", "config", "rng", "time"]),
    ("canary", &[]),
    ("config", &["limits", "message"]),
    ("message", &["limits"]),
    ("limits", &[]),
    ("network", &[]),
    ("pace", &["time"]),
    ("reserve", &["limits"]),
    ("rng", &[]),
    ("seldom", &["time"]),
    ("sync", &[]),
    ("time", &[]),
];

#[test]
fn no_file_of_the_core_imports_from_above() {
    let layers: BTreeMap<_, _> = LAYERS.iter().copied().collect();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src");
    let mut violations = Vec::new();
    let mut imports_seen = 0;
    for file in rust_files(&source) {
        let inside = file.strip_prefix(&source).expect("it was found there");
        let module = module_of(inside);
        if module == "lib" || inside.ends_with("tests.rs") {
            continue;
        }
        let Some(below) = below(&module, &layers) else {
            violations.push(format!("{}: `{module}` has no layer", inside.display()));
            continue;
        };
        let text = fs::read_to_string(&file).expect("source files can be read");
        for (line, import) in imports(&text) {
            imports_seen += 1;
            if import != module && !below.contains(import.as_str()) {
                violations.push(format!(
                    "{}:{line}: `{module}` must not use `{import}`, only {below:?}",
                    inside.display()
                ));
            }
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    assert!(
        imports_seen > 200,
        "the check reads imports: {imports_seen} found"
    );
}

/// A client knows an exchange by what it says, and nothing else of it: another protocol will have
/// other clients, and the same exchanges.
#[test]
fn clients_know_nothing_of_exchanges_but_their_replies() {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src/client");
    for file in rust_files(&clients) {
        let text = fs::read_to_string(&file).expect("source files can be read");
        for (at, path) in text.match_indices("crate::exchange") {
            let rest = &text[at + path.len()..];
            assert!(rest.starts_with("::reply"), "{}", file.display());
        }
    }
}

/// What a session is made of is not spread over files again.
#[test]
fn one_file_has_all_methods_of_a_session() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src");
    let has_methods = |file: &PathBuf| {
        let text = fs::read_to_string(file).expect("source files can be read");
        text.lines().any(|line| line == "impl Session {")
    };
    let files = rust_files(&source);
    assert_eq!(files.iter().filter(|file| has_methods(file)).count(), 1);
}

#[test]
fn imports_are_found_in_every_spelling() {
    let text = "#[cfg(test)]\nmod tests;\n\
        use crate::time::Instant;\n\
        pub(crate) use crate::{limits, rng::Rng};\n\
        //! See [`crate::session`].\n\
        /// And crate::session too.\n\
        fn f() -> crate::key::Key { todo() } // not crate::session\n\
        use crate::{\n    h1::Head,\n    message::{Fields, Head as _},\n};\n\
        #[cfg(test)]\nmod tests {\n    use crate::session::Session;\n}\n";
    let found: Vec<_> = imports(text)
        .into_iter()
        .map(|(line, import)| format!("{line} {import}"))
        .collect();
    assert_eq!(
        found,
        ["3 time", "4 limits", "4 rng", "7 key", "8 h1", "8 message"]
    );
}

/// The first name after each `crate::`, or each first name in the braces after it, with the line
/// of the `crate::`. Comments, modules of tests and what else only tests have are left out.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            // A block is the last of its file; any other item ends with its statement.
            let mut item = lines
                .by_ref()
                .map_while(|line| (!line.ends_with('{')).then_some(line));
            match item.find(|line| line.ends_with(';')) {
                Some(_) => code.push_str("\n\n"),
                None => break,
            }
            continue;
        }
        code += line.split("//").next().unwrap_or_default();
        code.push('\n');
    }
    let mut found = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        let line = code[..at].lines().count().max(1);
        let line = if code[..at].ends_with('\n') {
            line + 1
        } else {
            line
        };
        let rest = &code[at + path.len()..];
        let names = match rest.strip_prefix('{') {
            Some(list) => top_level_names(list),
            None => vec![first_name(rest)],
        };
        found.extend(names.into_iter().map(|name| (line, name)));
    }
    found
}

/// The first name of each member of a brace list whose opening brace was taken off.
fn top_level_names(list: &str) -> Vec<String> {
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(first_name(&list[start..at]));
                start = at + 1;
            }
            _ => {}
        }
        if letter == '}' && depth == 0 && start == at + 1 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn first_name(path: &str) -> String {
    let name = |letter: &char| letter.is_alphanumeric() || *letter == '_';
    path.trim_start().chars().take_while(name).collect()
}

/// The top-level module that a file belongs to: `breaker/window.rs` to `breaker`.
fn module_of(file: &Path) -> String {
    let first = file
        .components()
        .next()
        .expect("the path of a file is not empty");
    let first = Path::new(first.as_os_str()).with_extension("");
    first.to_string_lossy().into_owned()
}

fn below<'a>(module: &str, layers: &BTreeMap<&'a str, &[&'a str]>) -> Option<BTreeSet<&'a str>> {
    let mut below = BTreeSet::new();
    let mut open = layers.get(module)?.to_vec();
    while let Some(next) = open.pop() {
        if below.insert(next) {
            open.extend(
                layers
                    .get(next)
                    .expect("every layer is in the table")
                    .iter(),
            );
        }
    }
    Some(below)
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("source directories can be read") {
        let path = entry.expect("source directories can be read").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}
