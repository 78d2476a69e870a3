//! Reads `tests/corpus/identity`: what each field and each cookie of it means to copies.

use super::*;

const FIELDS: &str = include_str!("../../../../tests/corpus/identity/fields.txt");
const COOKIES: &str = include_str!("../../../../tests/corpus/identity/cookies.txt");

fn rows(text: &'static str) -> impl Iterator<Item = &'static str> {
    let is_row = |line: &&str| !line.is_empty() && !line.starts_with('#');
    text.lines().filter(is_row)
}

/// Two values of a field that should matter, where it does.
fn values(name: &str) -> [&'static str; 2] {
    match name.to_ascii_lowercase().as_str() {
        "forwarded" => ["host=a", "host=b"],
        "x-requested-with" => ["com.example.app", "XMLHttpRequest"],
        // Its classes are told apart, and not what is in them.
        "accept" => ["text/html", "text/html,*/*;q=0.1"],
        "sec-fetch-dest" => ["image", "style"],
        // Judged by its pairs.
        "cookie" => ["_ga=1", "_ga=2"],
        _ => ["1", "2"],
    }
}

#[test]
fn each_field_of_the_corpus_has_its_kind() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for row in rows(FIELDS) {
        let mut parts = row.splitn(3, ' ');
        let (kind, name) = (parts.next().unwrap(), parts.next().unwrap());
        assert!(
            parts.next().is_some_and(|source| !source.is_empty()),
            "{row} has no source"
        );
        let [one, other] = values(name).map(|value| {
            let fields = fields(&[(name, value)]);
            let request = RequestHead::new(http::Method::GET, "/", fields);
            keyer().key(&request).unwrap()
        });
        let found = match (one.partition(), other.partition()) {
            (Partition::Shared, Partition::Shared) if one == other => "harmless",
            (Partition::Shared, Partition::Shared) => "shaping",
            (one, other) if one != other => "identity",
            _ => "neither",
        };
        count += 1;
        if found != kind {
            wrong.push(format!("{row}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 600, "{count}");
}

#[test]
fn each_cookie_of_the_corpus_counts_or_does_not() {
    let mut wrong = Vec::new();
    for row in rows(COOKIES) {
        let (start, value) = row.split_once(": ").unwrap();
        let value = unescaped(value);
        let fields = Fields::from_pairs([("cookie", &value[..])]);
        let found = match keyer().partition(&fields) {
            Partition::Shared => "ignored",
            Partition::Marked(_) | Partition::Public => "counts",
            Partition::Session(_) => "session",
        };
        let verdict = start.split(' ').next();
        // Where it is not said, a session's counts as any other.
        if verdict != Some(found) && (verdict, found) != (Some("counts"), "session") {
            wrong.push(format!("{row}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The bytes of a text with the escapes `\t`, `\\` and `\xHH`.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let (byte, len) = match escape.as_bytes()[0] {
            b't' => (b'\t', 1),
            b'\\' => (b'\\', 1),
            b'x' => (u8::from_str_radix(&escape[1..3], 16).unwrap(), 3),
            other => panic!("no escape {}", char::from(other)),
        };
        bytes.push(byte);
        rest = &escape[len..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
