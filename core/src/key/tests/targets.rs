//! Tests of what of a target and a host is in a key.

use super::*;

#[test]
fn targets_that_name_one_resource_share_a_key() {
    #[track_caller]
    fn check(one: (&str, &str), other: (&str, &str), equal: bool) {
        let [one, other] =
            [one, other].map(|(target, host)| keyer().key(&request(target, host)).unwrap());
        assert_eq!(one == other, equal);
        assert_eq!(one.hash() == other.hash(), equal);
    }
    check(("/a", "h"), ("/a", "h"), true);
    check(("/a", "H.Example"), ("/a", "h.example"), true);
    check(("http://H:8080/a?b", "x"), ("/a?b", "h:8080"), true);
    check(("/a", "h:80"), ("/a", "h"), false);
    check(("http://h", "x"), ("/", "h"), true);
    check(("http://h?q", "x"), ("/?q", "h"), true);
    check(("/a", "h:8080"), ("/a", "h"), false);
    check(("/a", "[::A]"), ("/a", "[::a]"), true);
    check(("/a", ""), ("/a", "h"), false);
    check(("/a", "h"), ("/A", "h"), false);
    check(("/a", "h"), ("/a/", "h"), false);
    check(("/a//b", "h"), ("/a/b", "h"), false);
    check(("/a%2Fb", "h"), ("/a/b", "h"), false);
    check(("/a%2fb", "h"), ("/a%2Fb", "h"), false);
    check(("/a?", "h"), ("/a", "h"), false);
    check(("/?x=1&y=2", "h"), ("/?y=2&x=1", "h"), false);
    check(("/?a?b", "h"), ("/?a", "h"), false);
}

#[test]
fn what_has_no_key() {
    #[track_caller]
    fn check(target: &str, has_key: bool) {
        assert_eq!(keyer().key(&request(target, "h")).is_some(), has_key);
    }
    check("/", true);
    check("*", false);
    check("", false);
    check("h:443", false);
    check("a/b", false);
    check("http://h#x", false);
    let longest = "/".repeat(KEY_BYTES_MAX - AUTHORITY_LEN_BYTES - 1);
    check(&longest, true);
    check(&format!("{longest}/"), false);
}

#[test]
fn head_uses_the_key_of_get() {
    let get = request("/a", "h");
    let head = RequestHead {
        method: http::Method::HEAD,
        ..get.clone()
    };
    assert_eq!(keyer().key(&get), keyer().key(&head));
}

#[test]
fn a_key_tells_what_it_is_the_name_of() {
    #[track_caller]
    fn check(target: &str, host: &str, expected: (&str, &str)) {
        let key = keyer().key(&request(target, host)).unwrap();
        let (authority, path_and_query) = expected;
        assert_eq!(key.authority(), authority.as_bytes());
        assert_eq!(key.path_and_query(), path_and_query.as_bytes());
        let held = AUTHORITY_LEN_BYTES + authority.len() + path_and_query.len();
        assert_eq!(key.bytes_held(), held, "all it has is what it names");
    }
    check("/a", "h", ("h", "/a"));
    check("/a?b=c", "Example.ORG:80", ("example.org:80", "/a?b=c"));
    check("http://other?q=1", "other", ("other", "/?q=1"));
}

#[test]
fn parameters_that_change_no_page_are_not_in_the_key() {
    #[track_caller]
    fn check(one: &str, other: &str, same: bool) {
        let keyer = Keyer::new(&CacheSettings::default(), 7);
        let key = |target: &str| {
            let request = RequestHead::new(http::Method::GET, target, Fields::default());
            keyer.key(&request).unwrap()
        };
        assert_eq!(key(one) == key(other), same, "{one} {other}");
        if same {
            let kept = keyer.path_and_query_of(other.as_bytes());
            assert_eq!(key(one).path_and_query(), kept);
        }
    }
    check("/a", "/a?utm_source=x", true);
    check("/a", "/a?utm_source=x&gclid&fbclid=", true);
    check("/a?b=1", "/a?utm_x=1&b=1", true);
    check("/a?b=1&c=2", "/a?b=1&utm_x=1&c=2&msclkid=3", true);
    check("/a?b=1&&c", "/a?b=1&&gclid=1&c", true);
    // As the products do, without regard to case.
    check("/a", "/a?UTM_SOURCE=x&Gclid=1", true);
    check("/a", "/a?UT_SOURCE=x", false);
    // Order and what is like a name but is none still count.
    check("/a?b=1&c=2", "/a?c=2&b=1", false);
    check("/a", "/a?gclids=x", false);
    check("/a", "/a?x=utm_source", false);
    // What `;` parts for some applications (CVE-2021-23336) is another parameter.
    check("/a", "/a?utm_source=x;q=evil", false);
    check("/a?q=1", "/a?q=1&utm_source=x;q=evil", false);
    check("/a", "/a?utm_source;q=evil", false);
    check("/a", "/a?utm%5Fsource=x", false);
    check("/a", "/a?", false);
}

#[test]
fn paths_that_an_origin_may_tell_apart_are_apart() {
    let keyer = Keyer::new(&CacheSettings::default(), 7);
    let key = |target: &str| {
        let request = RequestHead::new(http::Method::GET, target, Fields::default());
        keyer.key(&request).unwrap()
    };
    let targets = [
        "/a/b",
        "/a%2Fb",
        "/a%2fb",
        "/a//b",
        "/a/./b",
        "/a/x/../b",
        "/A/b",
        "/a/b/",
        "/a/%62",
        "/a/b?",
        "/a/b;c",
        "/a/b?c",
        "/a/b%3Fc",
        "/a+b",
        "/a%20b",
    ];
    for (at, one) in targets.iter().enumerate() {
        for other in &targets[at + 1..] {
            assert_ne!(key(one), key(other), "{one} {other}");
        }
    }
}
