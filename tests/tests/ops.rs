//! Owns that what is in `ops/` asks for exists.
//! Never checks expressions: `tests/run.sh ops` does, with Prometheus' own tool.

use std::collections::BTreeSet;

use retter_tests::origin::Origin;
use retter_tests::reply::Reply;
use retter_tests::retter::Retter;
use retter_tests::retter_program;

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let is_part = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    let words = text.split(|letter: char| !is_part(letter));
    words.filter(|word| word.starts_with("retter_")).collect()
}

#[test]
fn every_metric_that_rules_and_board_ask_for_exists() {
    let origin = Origin::start(|_| Reply::text("page"));
    // Messages are counted where somebody gets any.
    let settings = [("RETTER_NOTIFY_URL", "http://127.0.0.1:1/")];
    let retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    let metrics = retter.admin("/metrics").text();
    let exist = names(&metrics);
    for file in ["prometheus/retter.rules.yml", "grafana/retter.json"] {
        let path = format!("{}/../ops/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).expect("it is there");
        let wanted = names(&text);
        assert!(wanted.len() > 5, "{file}");
        let missing: Vec<_> = wanted.difference(&exist).collect();
        assert!(missing.is_empty(), "{file}: {missing:?}");
    }
}
