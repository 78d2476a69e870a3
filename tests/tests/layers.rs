//! Owns the check that no file of the core uses what lies above it, or one that uses it in turn
//! (ARCHITECTURE.md, "Who imports whom").
//! Never looks into tests: they may use whatever helps.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use retter_tests::source::{Module, Source};

/// Each module of the core and what lies directly below it. A module may use everything that it
/// reaches from here, and nothing else: `h1` and `site` do not know each other.
const LAYERS: &[(&str, &[&str])] = &[
    ("drive", &["addresses", "session"]),
    ("session", &["client", "exchange"]),
    ("client", &["exchange", "h1", "pace"]),
    ("gateway", &["request_id", "reserve", "site"]),
    (
        "exchange",
        &["event", "gateway", "h1", "pace", "report", "rules"],
    ),
    ("addresses", &["seldom", "time"]),
    (
        "site",
        &[
            "admission",
            "breaker",
            "canary",
            "copies",
            "event",
            "key",
            "network",
            "report",
            "rng",
            "rules",
            "sync",
            "waiting",
        ],
    ),
    (
        "waiting",
        &[
            "canary", "limits", "network", "report", "rules", "sync", "time",
        ],
    ),
    ("copies", &["canary", "key", "rules", "store", "sync"]),
    ("connections", &["config", "network", "session"]),
    ("pool", &["time"]),
    ("h1", &["limits", "message"]),
    ("store", &["key", "limits", "message", "sync"]),
    (
        "admission",
        &[
            "breaker", "config", "key", "limits", "network", "rules", "sync",
        ],
    ),
    ("rules", &["config", "message", "report", "time"]),
    ("key", &["canary", "config", "message", "rng", "time"]),
    (
        "event",
        &[
            "breaker",
            "message",
            "report",
            "request_id",
            "rules",
            "time",
        ],
    ),
    ("report", &["breaker"]),
    ("breaker", &["canary", "config", "rng", "time"]),
    ("canary", &[]),
    ("config", &["limits", "message"]),
    ("message", &["limits"]),
    ("limits", &[]),
    ("network", &[]),
    ("pace", &["time"]),
    ("request_id", &["message", "sync"]),
    ("reserve", &["limits"]),
    ("rng", &[]),
    ("seldom", &["time"]),
    ("sync", &[]),
    ("time", &[]),
];

/// Methods that stand apart from their type: what they speak (the `http` crate), or check for tests, is
/// not its business.
const APART: &[(&str, &str)] = &[
    ("Passing", "site::interop"),
    ("Refusal", "site::interop"),
    ("Served", "site::interop"),
    ("Validators", "site::interop"),
    ("Shard", "store::check"),
];

static CORE: LazyLock<Source> =
    LazyLock::new(|| Source::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src")));

#[test]
fn no_file_uses_what_lies_above_it() {
    let layers: BTreeMap<_, _> = LAYERS.iter().copied().collect();
    let mut violations = Vec::new();
    let mut uses_seen = 0;
    for module in CORE.modules().filter(|module| !module.is_empty()) {
        let top = module[0].as_str();
        let Some(below) = below(top, &layers) else {
            violations.push(format!("{}: `{top}` has no layer", shown(module)));
            continue;
        };
        for used in CORE.uses(module) {
            uses_seen += 1;
            let other = used.first().map_or("the root", String::as_str);
            if other != top && !below.contains(other) {
                violations.push(format!(
                    "{} must not use {}: `{top}` uses only {below:?}",
                    shown(module),
                    shown(&used)
                ));
            }
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    assert!(uses_seen > 400, "the check reads uses: {uses_seen} found");
}

#[test]
fn no_files_use_each_other() {
    let circle = CORE.circle().unwrap_or_default();
    let circle: Vec<_> = circle.iter().map(shown).collect();
    assert!(circle.is_empty(), "{}", circle.join(" -> "));
}

/// A client knows an exchange by what it says, and nothing else of it: another protocol will have
/// other clients, and the same exchanges.
#[test]
fn clients_know_nothing_of_exchanges_but_their_replies() {
    for module in CORE
        .modules()
        .filter(|module| module.first().is_some_and(|top| top == "client"))
    {
        for used in CORE.uses(module) {
            let is_other = used.first().is_some_and(|top| top != "exchange");
            assert!(
                is_other || used == ["exchange", "reply"],
                "{} uses {}",
                shown(module),
                shown(&used)
            );
        }
    }
}

/// What a type does is read in one place.
#[test]
fn the_methods_of_a_type_are_in_its_file() {
    let scattered: Vec<_> = CORE
        .scattered()
        .into_iter()
        .map(|(name, module)| (name, module.join("::")))
        .filter(|(name, module)| !APART.contains(&(name, module)))
        .collect();
    assert!(scattered.is_empty(), "{scattered:#?}");
}

/// Settings have names, and operators are told what to do, outside of the core.
#[test]
fn the_core_says_nothing_to_operators() {
    const ADVICE: [&str; 5] = ["RETTER_", "ulimit", "systemctl", "docker", "retter check"];
    /// What visitors read, and what applications say.
    const OTHERS: [&str; 2] = ["exchange/words", "rules/soft/texts"];
    let mut strings_seen = 0;
    for module in CORE.modules() {
        let module_name = shown(module);
        for text in CORE.strings(module) {
            strings_seen += 1;
            let is_advice = ADVICE.iter().any(|word| text.contains(word));
            let is_sentence = text.starts_with(char::is_uppercase)
                && text.ends_with('.')
                && text.split(' ').count() > 2
                && !OTHERS.contains(&module_name.as_str());
            assert!(!is_advice && !is_sentence, "{module_name}: {text:?}");
        }
    }
    assert!(
        strings_seen > 800,
        "the check reads strings: {strings_seen} found"
    );
}

#[test]
fn time_is_the_last_argument() {
    let early: Vec<_> = CORE
        .modules()
        .flat_map(|module| CORE.early(module).iter().map(|name| (shown(module), name)))
        .collect();
    assert!(early.is_empty(), "{early:?}");
}

/// The root has what each embedder needs; the rest is found in its module.
#[test]
fn the_root_names_little() {
    let names: Vec<_> = CORE.exports(&Module::new()).collect();
    assert!((20..=25).contains(&names.len()), "{names:?}");
}

fn shown(module: &Module) -> String {
    match module.is_empty() {
        true => "lib".to_owned(),
        false => module.join("/"),
    }
}

fn below<'a>(module: &str, layers: &BTreeMap<&'a str, &[&'a str]>) -> Option<BTreeSet<&'a str>> {
    let mut below = BTreeSet::new();
    let mut open = layers.get(module)?.to_vec();
    while let Some(next) = open.pop() {
        if below.insert(next) {
            let further = layers.get(next).expect("every layer is in the table");
            open.extend(further.iter());
        }
    }
    Some(below)
}
