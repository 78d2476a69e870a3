//! Tests of keys, partitions and session changes: field lines in, equality out.

mod corpus;
mod sessions;
mod targets;

use proptest::prelude::*;

use std::hash::Hasher as _;

use super::*;
use crate::message::FieldsBuilder;

fn keyer() -> Keyer {
    Keyer::new(&CacheSettings::default(), 7)
}

fn fields(lines: &[(&str, &str)]) -> Fields {
    Fields::from_pairs(lines.iter().map(|(name, value)| (*name, value.as_bytes())))
}

fn with_cookies(line: &str) -> Fields {
    fields(&[("Cookie", line)])
}

fn request(target: &str, host: &str) -> RequestHead {
    RequestHead::new(http::Method::GET, target, fields(&[("Host", host)]))
}

fn hash_of(partition: Partition) -> Option<u128> {
    match partition {
        Partition::Public | Partition::Shared => None,
        Partition::Marked(hash) | Partition::Session(hash) => Some(hash),
    }
}

#[test]
fn well_known_cookies_get_their_partition() {
    #[derive(Debug, PartialEq)]
    enum Kind {
        Marked,
        Session,
        Shared,
    }
    #[track_caller]
    fn check(lines: &[(&str, &str)], expected: Kind) {
        let kind = match keyer().partition(&fields(lines)) {
            Partition::Shared => Kind::Shared,
            Partition::Marked(_) => Kind::Marked,
            Partition::Public => panic!("no request has it"),
            Partition::Session(_) => Kind::Session,
        };
        assert_eq!(kind, expected);
    }
    check(&[], Kind::Shared);
    check(&[("Cookie", "")], Kind::Shared);
    check(&[("Cookie", " ; ;")], Kind::Shared);
    check(
        &[("Cookie", "_ga=GA1.2.3; _ga_ABC=4; _fbp=fb.1; _pk_id.1.2=x")],
        Kind::Shared,
    );
    check(&[("Cookie", "theme=dark")], Kind::Marked);
    check(&[("Cookie", "_ga=1; theme=dark")], Kind::Marked);
    check(&[("Cookie", "nameless")], Kind::Marked);
    check(&[("Cookie", "=value")], Kind::Marked);
    check(&[("Cookie", "phpsessid=1")], Kind::Marked);
    check(&[("Cookie", "PHPSESSID=")], Kind::Marked);
    check(&[("Cookie", "PHPSESSID=abc")], Kind::Session);
    check(&[("Cookie", "theme=dark;JSESSIONID=1.node")], Kind::Session);
    check(
        &[("Cookie", "a=1"), ("cookie", "ci_session=x")],
        Kind::Session,
    );
    check(
        &[("Cookie", "wordpress_logged_in_0af=bob%7C1")],
        Kind::Session,
    );
    check(
        &[("Cookie", "laravel_session=eyJ=; XSRF-TOKEN=eyK=")],
        Kind::Session,
    );
    check(&[("Cookie", "connect.sid=s%3Ax")], Kind::Session);
    check(&[("Cookie", "sessionid=1; csrftoken=2")], Kind::Session);
    check(&[("Cookie", "ASP.NET_SessionId=z")], Kind::Session);
    check(&[("Cookie", "SSESS0123=q")], Kind::Session);
    check(&[("Authorization", "Bearer x")], Kind::Session);
    check(&[("authorization", "bearer x")], Kind::Session);
    for many in ["", "Bearer", "Bearer ", "Basic eA==", "x"] {
        check(
            &[("Cookie", "_ga=1"), ("Authorization", many)],
            Kind::Marked,
        );
    }
    check(&[("X-Api-Key", "x")], Kind::Marked);
    check(
        &[("X-Api-Key", "x"), ("Cookie", "PHPSESSID=1")],
        Kind::Session,
    );
}

#[test]
fn settings_choose_what_counts() {
    let settings = CacheSettings {
        detect_session: false,
        detect_query: false,
        ..CacheSettings::default()
    };
    let keyer = Keyer::new(&settings, 7);
    assert_eq!(
        keyer.partition(&with_cookies("PHPSESSID=1")),
        Partition::Shared
    );
    let credentials = fields(&[("Cookie", "PHPSESSID=1"), ("Authorization", "x")]);
    let same = fields(&[("Cookie", "PHPSESSID=2"), ("Authorization", "x")]);
    assert!(matches!(
        keyer.partition(&credentials),
        Partition::Marked(_)
    ));
    assert_eq!(keyer.partition(&credentials), keyer.partition(&same));
    assert_eq!(
        keyer.key(&request("/a?b", "h")),
        keyer.key(&request("/a", "h"))
    );

    let settings = CacheSettings {
        ignored_cookies: "PHPSESSID,theme".parse().unwrap(),
        ..CacheSettings::default()
    };
    let keyer = Keyer::new(&settings, 7);
    assert_eq!(
        keyer.partition(&with_cookies("theme=dark")),
        Partition::Shared
    );
    let session = keyer.partition(&with_cookies("PHPSESSID=1"));
    assert!(
        matches!(session, Partition::Session(_)),
        "a session wins over the ignore list"
    );
}

#[test]
fn partitions_depend_on_the_seed() {
    let lines = with_cookies("PHPSESSID=1");
    let other = Keyer::new(&CacheSettings::default(), 8);
    assert_eq!(keyer().partition(&lines), keyer().partition(&lines));
    assert_ne!(keyer().partition(&lines), other.partition(&lines));
}

#[test]
fn cookie_lists_that_look_alike_differ() {
    let lists = [
        vec![("Cookie", "a=b")],
        vec![("Cookie", "a=b; a=b")],
        vec![("Cookie", "a=b; c")],
        vec![("Cookie", "a=b; c=")],
        vec![("Cookie", "a=b; =c")],
        vec![("Cookie", "a==b")],
        vec![("Cookie", "ab")],
        vec![("Cookie", "=ab")],
        vec![("Cookie", "a=\"b\"")],
        vec![("Cookie", "a=1; a=2")],
        vec![("Cookie", "a=2; a=1")],
        vec![("Cookie", "a=b"), ("Authorization", "")],
        vec![("Authorization", "a=b")],
        vec![("Authorization", "a=b"), ("Authorization", "")],
        vec![("Authorization", ""), ("Authorization", "a=b")],
    ];
    let mut hashes: Vec<_> = lists
        .iter()
        .map(|lines| hash_of(keyer().partition(&fields(lines))).unwrap())
        .collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), lists.len());
}

#[test]
fn debug_shows_no_secret() {
    let lines = [
        ("Host", "h"),
        ("Cookie", "PHPSESSID=topsecret"),
        ("Authorization", "topsecret"),
    ];
    let request = RequestHead::new(http::Method::GET, "/reset?token=topsecret", fields(&lines));
    let key = keyer().key(&request).unwrap();
    let shown = format!("{key:?} {:?}", keyer());
    assert!(
        shown.contains("/reset") && shown.contains("query_bytes: Some(15)"),
        "{shown}"
    );
    assert!(shown.contains("detect_session: true"), "{shown}");
    assert!(!shown.contains("topsecret"), "{shown}");
}

#[test]
fn the_hash_alone_never_decides() {
    let a = keyer().key(&request("/a", "h")).unwrap();
    let collides = |other: CacheKey| CacheKey {
        hash: a.hash,
        ..other
    };
    let page = collides(keyer().key(&request("/b", "h")).unwrap());
    let partition = Partition::Session(1);
    let user = collides(
        keyer()
            .key_of(&request("/a", "h"), b"/a", partition)
            .unwrap(),
    );
    assert!(a != page && a != user && a == a.clone());
    // It is what a table of the standard library sorts by, too: one that has ten thousand keys in
    // one bucket is found out by nobody but the processor.
    let mut tables = [&a, &keyer().key(&request("/b", "h")).unwrap()].map(|key| {
        let mut hasher = std::hash::DefaultHasher::new();
        std::hash::Hash::hash(key, &mut hasher);
        hasher.finish()
    });
    tables.sort_unstable();
    assert_ne!(tables[0], tables[1]);
}

fn authority() -> impl Strategy<Value = String> {
    "[a-c.:/?]{0,4}(:8|:81)?"
}

fn path() -> impl Strategy<Value = String> {
    "/[ab/%.:]{0,4}"
}

fn query() -> impl Strategy<Value = Option<String>> {
    prop::option::of("[ab?/&=]{0,3}")
}

fn partition() -> impl Strategy<Value = Partition> {
    prop_oneof![
        Just(Partition::Shared),
        (0..3_u128).prop_map(Partition::Marked),
        (0..3_u128).prop_map(Partition::Session),
    ]
}

/// Cookies of which none is ignored, each name once.
fn jar() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::btree_map("[a-c]{1,2}|PHPSESSID", "[a-c=\"]{0,3}", 0..5)
        .prop_map(|jar| jar.into_iter().collect())
}

fn cookie_line(jar: &[(String, String)]) -> String {
    let pairs: Vec<_> = jar
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("; ")
}

#[test]
fn fields_that_shape_a_page_are_part_of_its_key() {
    #[track_caller]
    fn check(line: (&str, &str), other: (&str, &str), is_same: bool) {
        let key = |line| {
            let fields = fields(&[("Host", "h"), line]);
            keyer()
                .key(&RequestHead::new(http::Method::GET, "/", fields))
                .unwrap()
        };
        assert_eq!(key(line) == key(other), is_same, "{line:?} {other:?}");
    }
    let nothing = ("Accept", "*/*");
    check(nothing, ("X-Forwarded-Host", "evil.example"), false);
    check(
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Proto", "http"),
        false,
    );
    check(("X-Forwarded-Host", "a"), ("X-Host", "a"), false);
    check(nothing, ("X_Forwarded_Host", "evil.example"), false);
    check(nothing, ("X-HTTP-Method-Override", "HEAD"), false);
    check(nothing, ("X-Forwarded-For", "192.0.2.1"), true);
    check(nothing, ("Forwarded", "for=192.0.2.1;by=_x, FOR=_y"), true);
    check(
        nothing,
        ("Forwarded", "for=192.0.2.1;host=evil.example"),
        false,
    );
}

proptest! {
    #[test]
    fn keys_are_equal_exactly_when_their_parts_are(
        one in (authority(), path(), query(), partition()),
        other in (authority(), path(), query(), partition()),
        mix in prop::array::uniform4(any::<bool>()),
    ) {
        // Parts are taken over from `one` at random, or pairs would hardly ever be close.
        let other = (
            if mix[0] { one.0.clone() } else { other.0 },
            if mix[1] { one.1.clone() } else { other.1 },
            if mix[2] { one.2.clone() } else { other.2 },
            if mix[3] { one.3 } else { other.3 },
        );
        let key = |(authority, path, query, partition): &(String, String, Option<String>, _)| {
            let query = query.as_ref().map_or_else(String::new, |query| format!("?{query}"));
            keyer().key_of(&request("/", authority), format!("{path}{query}").as_bytes(), *partition)
        };
        let (one_key, other_key) = (key(&one).unwrap(), key(&other).unwrap());
        prop_assert_eq!(one_key == other_key, one == other);
        prop_assert!(one != other || one_key.hash() == other_key.hash());
    }

    #[test]
    fn partitions_differ_exactly_when_relevant_cookies_do(
        one in jar(),
        other in jar(),
        credentials in prop::array::uniform2(prop::option::of("[ab]{0,2}")),
    ) {
        let build = |jar: &[(String, String)], credentials: &Option<String>| {
            let mut fields = FieldsBuilder::default();
            fields.push("Cookie", cookie_line(jar).as_bytes());
            if let Some(credentials) = credentials {
                fields.push("Authorization", credentials.as_bytes());
            }
            keyer().partition(&fields.build())
        };
        let equal = build(&one, &credentials[0]) == build(&other, &credentials[1]);
        prop_assert_eq!(equal, one == other && credentials[0] == credentials[1]);
    }

    #[test]
    fn ignored_cookies_and_order_change_nothing(
        jar in jar(),
        shuffled in any::<prop::sample::Index>(),
        ignored in "[a-c]{0,3}",
    ) {
        let plain = keyer().partition(&with_cookies(&cookie_line(&jar)));
        let mut other = jar;
        if !other.is_empty() {
            let by = shuffled.index(other.len());
            other.rotate_left(by);
        }
        other.insert(other.len() / 2, ("_ga".to_owned(), ignored));
        let split = other.len() / 2;
        let (first, second) = (cookie_line(&other[..split]), cookie_line(&other[split..]));
        let lines = fields(&[("Cookie", &first), ("DNT", "1"), ("cookie", &second)]);
        prop_assert_eq!(plain, keyer().partition(&lines));
    }

    #[test]
    fn no_input_panics(
        target in prop::collection::vec(any::<u8>(), 0..40),
        host in "\\PC{0,10}",
        cookie in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let fields = Fields::from_pairs([
            ("Host", host.as_bytes()),
            ("Cookie", &cookie[..]),
            ("Set-Cookie", &cookie[..]),
        ]);
        let mut request = RequestHead::new(http::Method::GET, "/", fields.clone());
        request.target = target.into();
        if let Some(key) = keyer().key(&request) {
            let shown = format!("{key:?}");
            prop_assert!(shown.contains("partition"));
        }
        let change = keyer().session_change(&fields, &fields);
        prop_assert!(change >= SessionChange::None);
    }
}
