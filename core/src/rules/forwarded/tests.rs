mod agreement;

use http::Method;

use super::*;
use crate::rules::forwarding::forward_request;

/// The proxies that are believed: this machine, and a network.
fn trusted() -> TrustedProxies {
    "127.0.0.0/8,::1,10.0.0.0/8,2001:db8:1::/48"
        .parse()
        .unwrap()
}

fn get(lines: &[(&str, &str)]) -> RequestHead {
    let lines = lines.iter().map(|(name, value)| (*name, value.as_bytes()));
    RequestHead::new(Method::GET, "/", Fields::from_pairs(lines))
}

fn with_host<'a>(lines: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("Host", "app.example")], lines].concat()
}

/// What the origin gets, in the order in which it is sent, without `Host` and `Via`.
fn to_origin(request: &RequestHead, view: &View) -> Vec<(String, String)> {
    let mut sent = Vec::new();
    forward_request(request, view, "origin.example", |line| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        sent.push((text(line.name), text(line.value)));
    });
    sent.retain(|(name, _)| name != "Host" && name != "Via");
    sent
}

fn received(lines: &[(&str, &str)], peer: &str) -> (RequestHead, View) {
    let mut request = get(lines);
    let view = View::receive(&mut request, peer.parse().unwrap(), &trusted());
    (request, view)
}

#[track_caller]
fn check_client(lines: &[(&str, &str)], peer: &str, client: &str) {
    let (_, view) = received(lines, peer);
    assert_eq!(view.client().to_string(), client, "{lines:?}");
}

#[test]
fn the_client_is_the_nearest_that_is_not_trusted() {
    #[track_caller]
    fn check(chain: &str, client: &str) {
        check_client(&[("X-Forwarded-For", chain)], "127.0.0.1", client);
        let members = chain
            .split(',')
            .map(str::trim)
            .filter(|member| !member.is_empty());
        let elements = members.map(|member| format!("proto=http;For=\"{member}\""));
        let elements = elements.collect::<Vec<_>>().join(" , ");
        check_client(&[("Forwarded", &elements)], "127.0.0.1", client);
    }
    check("", "127.0.0.1");
    check(" , ,", "127.0.0.1");
    check("203.0.113.9", "203.0.113.9");
    check("203.0.113.9:1234", "203.0.113.9");
    check("[2001:db8::1]:443", "2001:db8::1");
    check("::ffff:203.0.113.9", "203.0.113.9");
    check("198.51.100.66, 203.0.113.9", "203.0.113.9");
    check("203.0.113.9, 10.1.2.3", "203.0.113.9");
    check(
        "203.0.113.9,10.1.2.3,[2001:db8:1::5]:80, 127.0.0.1",
        "203.0.113.9",
    );
    check("198.51.100.66,203.0.113.9,10.1.2.3", "203.0.113.9");
    // All are trusted: the farthest of them.
    check("10.0.0.1, 10.0.0.2", "10.0.0.1");
    // An address that cannot be read ends what is known.
    for unknown in ["unknown", "_hidden", "evil", "203.0.113", "<x>"] {
        check(&format!("198.51.100.66, {unknown}"), "127.0.0.1");
        check(&format!("198.51.100.66, {unknown}, 10.0.0.1"), "10.0.0.1");
        check(&format!("{unknown}, 203.0.113.9, 10.0.0.1"), "203.0.113.9");
    }
}

#[test]
fn which_field_tells_the_client() {
    #[track_caller]
    fn check(lines: &[(&str, &str)], client: &str) {
        check_client(lines, "127.0.0.1", client);
        check_client(lines, "::ffff:127.0.0.1", client);
        check_client(lines, "192.0.2.1", "192.0.2.1");
    }
    let list = ("X-Forwarded-For", "203.0.113.1");
    let element = ("Forwarded", "for=203.0.113.2");
    let single = ("X-Real-IP", "203.0.113.3");
    check(&[], "127.0.0.1");
    check(&[single, element, list], "203.0.113.1");
    check(&[single, element], "203.0.113.2");
    check(&[single], "203.0.113.3");
    check(&[("X-Forwarded-For", ""), element], "203.0.113.2");
    check(&[("Forwarded", "proto=https"), single], "203.0.113.3");
    check(&[("X-Real-IP", "[2001:db8::1]:80")], "2001:db8::1");
    check(&[("X-Real-IP", "203.0.113.3, 203.0.113.4")], "127.0.0.1");
    check(&[single, ("X-Real-IP", "203.0.113.4")], "127.0.0.1");
    check(
        &[
            ("X_Forwarded_For", "203.0.113.1"),
            ("X-Client-IP", "203.0.113.1"),
        ],
        "127.0.0.1",
    );
    let lines = [
        ("X-Forwarded-For", "203.0.113.1"),
        ("X-Forwarded-For", "203.0.113.4"),
    ];
    check(&lines, "203.0.113.4");
    // RFC 7239 §4: names without case, blanks, quotes, several lines.
    check(
        &[("Forwarded", "FOR=\"203.0.113.2:_p\" ; by=10.0.0.1")],
        "203.0.113.2",
    );
    check(&[("Forwarded", "for=\"\\203.0.113.2\"")], "203.0.113.2");
    check(
        &[("Forwarded", "for=\"a, for=1.2.3.4"), element],
        "203.0.113.2",
    );
    check(
        &[element, ("Forwarded", "for=\"a, for=1.2.3.4")],
        "127.0.0.1",
    );
    check(&[("Forwarded", "for=203.0.113.2, host=x")], "127.0.0.1");
}

/// Scheme and host as the origin is told them.
#[track_caller]
fn check_told(lines: &[(&str, &str)], scheme: &str, host: &str) {
    let (request, view) = received(&with_host(lines), "127.0.0.1");
    let told = (
        view.scheme().as_str(),
        String::from_utf8_lossy(view.host(&request)),
    );
    assert_eq!(told, (scheme, host.into()), "{lines:?}");
}

#[test]
fn what_the_client_asked_for() {
    let check = check_told;
    check(&[], "http", "app.example");
    check(&[("X-Forwarded-Proto", "https")], "https", "app.example");
    check(
        &[("X-Forwarded-Proto", "HTTPS"), ("X-Forwarded-Host", "a")],
        "https",
        "a",
    );
    check(&[("X-Forwarded-Proto", "wss")], "https", "app.example");
    check(&[("X-Forwarded-Proto", "gopher")], "http", "app.example");
    check(&[("X-Forwarded-Host", "a\"b")], "http", "app.example");
    check(
        &[("Forwarded", "proto=https;host=\"a:8443\"")],
        "https",
        "a:8443",
    );
    // A proxy that knows nothing of `Forwarded` lets pass what its client says in it.
    let forged = ("Forwarded", "for=198.51.100.66;proto=https;host=evil");
    check(
        &[forged, ("X-Forwarded-For", "203.0.113.9")],
        "http",
        "app.example",
    );
    check(
        &[forged, ("X-Forwarded-Proto", "http")],
        "http",
        "app.example",
    );
    check(&[forged, ("X-Forwarded-Host", "a")], "http", "a");
    // One that continues the lists adds what it knows at their end; one that sets them, sets one.
    let chain = ("X-Forwarded-For", "198.51.100.66, 203.0.113.9");
    check(&[chain, ("X-Forwarded-Host", "evil, a")], "http", "a");
    check(
        &[
            chain,
            ("X-Forwarded-Host", "evil"),
            ("X-Forwarded-Host", "a"),
        ],
        "http",
        "a",
    );
    let chain = ("X-Forwarded-For", "203.0.113.9, 10.0.0.1");
    check(&[chain, ("X-Forwarded-Host", "a, inner")], "http", "a");
    check(
        &[chain, ("X-Forwarded-Host", "evil, a, inner")],
        "http",
        "a",
    );
    check(
        &[chain, ("X-Forwarded-Proto", "https, http")],
        "https",
        "app.example",
    );
    check(
        &[chain, ("X-Forwarded-Proto", "https")],
        "https",
        "app.example",
    );
    // The element of the proxy that heard the client itself, else the nearest that says it.
    let elements = "for=198.51.100.66;host=evil;proto=https, for=203.0.113.9;host=a, \
                    for=10.0.0.1;host=inner;proto=http";
    check(&[("Forwarded", elements)], "http", "a");
    check(
        &[("Forwarded", "for=_hidden;proto=https")],
        "https",
        "app.example",
    );
    check(
        &[("Forwarded", "for=198.51.100.66;host=evil, for=_x;host=a")],
        "http",
        "a",
    );
}

/// Checks which of the secondary fields pass.
#[track_caller]
fn check_passing(lines: &[(&str, &str)], scheme: &str, passing: &[&str]) {
    let (request, view) = received(&with_host(lines), "127.0.0.1");
    assert_eq!(view.scheme().as_str(), scheme, "{lines:?}");
    let sent = to_origin(&request, &view);
    let own = [
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
    ];
    let names = sent.iter().map(|(name, _)| name.as_str());
    let names: Vec<_> = names
        .filter(|name| !own.contains(name) && *name != "X-Real-IP")
        .collect();
    assert_eq!(names, passing, "{lines:?}");
}

const HTTP: (&str, &str) = ("X-Forwarded-Proto", "http");
const HTTPS: (&str, &str) = ("X-Forwarded-Proto", "https");

#[test]
fn secondary_fields_of_the_scheme_pass_where_they_say_nothing_else() {
    let check = check_passing;
    for (name, yes, no) in [
        (
            "CF-Visitor",
            "{\"scheme\":\"https\"}",
            "{\"scheme\":\"http\"}",
        ),
        ("Front-End-Https", "on", "off"),
        ("X-Forwarded-Protocol", "https", "http"),
        ("X-Forwarded-Scheme", "HTTPS", "http"),
        ("X-Forwarded-Ssl", "on", "off"),
        ("X-Scheme", "https", "http"),
        ("X-Url-Scheme", "https", "http"),
    ] {
        check(&[(name, yes)], "https", &[name]);
        check(&[(name, no)], "http", &[name]);
        check(&[(name, yes), HTTPS], "https", &[name]);
        check(&[(name, no), HTTPS], "https", &[]);
        check(&[(name, yes), HTTP], "http", &[]);
        if name != "CF-Visitor" {
            check(&[(name, "https, http")], "http", &[]);
        }
        check(&[("X-Forwarded-Proto", "?"), (name, yes)], "https", &[name]);
    }
}

#[test]
fn ports_and_hosts_pass_where_they_say_nothing_else() {
    let check = check_passing;
    check(
        &[HTTPS, ("X-Forwarded-Port", "443")],
        "https",
        &["X-Forwarded-Port"],
    );
    check(
        &[HTTPS, ("X-Forwarded-Port", "8443")],
        "https",
        &["X-Forwarded-Port"],
    );
    check(&[HTTPS, ("X-Forwarded-Port", "80")], "https", &[]);
    check(&[HTTP, ("X-Forwarded-Port", "443")], "http", &[]);
    check(&[HTTPS, ("X-Forwarded-Port", "443, 80")], "https", &[]);
    let host = ("X-Forwarded-Host", "a:8443");
    check(&[HTTPS, host, ("X-Forwarded-Port", "443")], "https", &[]);
    check(
        &[HTTPS, host, ("X-Forwarded-Port", "8443")],
        "https",
        &["X-Forwarded-Port"],
    );
    let host = ("X-Forwarded-Host", "[::1]");
    check(
        &[HTTPS, host, ("X-Forwarded-Port", "443")],
        "https",
        &["X-Forwarded-Port"],
    );
    check(
        &[HTTPS, ("X-Original-Host", "APP.example")],
        "https",
        &["X-Original-Host"],
    );
    check(&[HTTPS, ("X-Original-Host", "evil")], "https", &[]);
    check(
        &[HTTPS, ("X-Host", "evil"), ("X_Forwarded_Ssl", "on")],
        "https",
        &[],
    );
    for name in [
        "X-Forwarded-Prefix",
        "X-Forwarded-Server",
        "CF-Connecting-IP",
    ] {
        check(&[HTTPS, (name, "any")], "https", &[name]);
    }
}

#[test]
fn what_the_origin_is_told() {
    #[track_caller]
    fn check(lines: &[(&str, &str)], peer: &str, expected: [&str; 5]) {
        let (request, view) = received(&with_host(lines), peer);
        let sent = to_origin(&request, &view);
        let names = [
            "X-Forwarded-For",
            "Forwarded",
            "X-Forwarded-Proto",
            "X-Forwarded-Host",
            "X-Real-IP",
        ];
        let expected = names.into_iter().zip(expected);
        let expected: Vec<_> = expected
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .collect();
        assert_eq!(sent, expected, "{lines:?}");
    }
    // nginx with `X-Forwarded-Proto`, and Rack behind: no redirect for ever.
    check(
        &[("X-Forwarded-Proto", "https")],
        "127.0.0.1",
        [
            "127.0.0.1",
            "for=127.0.0.1;host=app.example;proto=https",
            "https",
            "app.example",
            "127.0.0.1",
        ],
    );
    check(
        &[
            (
                "X-Forwarded-For",
                "2001:db8::1, unknown, \"_x\", 203.0.113.9:80",
            ),
            ("X-Forwarded-Host", "a"),
        ],
        "::1",
        [
            "2001:db8::1, unknown, _x, 203.0.113.9, ::1",
            "for=\"[2001:db8::1]\";host=a;proto=http, for=unknown;host=a;proto=http, \
             for=_x;host=a;proto=http, for=203.0.113.9;host=a;proto=http, \
             for=\"[::1]\";host=a;proto=http",
            "http",
            "a",
            "203.0.113.9",
        ],
    );
    check(
        &[(
            "Forwarded",
            "for=203.0.113.9;by=10.0.0.1;secret=x;proto=https;host=\"a:8443\"",
        )],
        "10.0.0.2",
        [
            "203.0.113.9, 10.0.0.2",
            "for=203.0.113.9;host=\"a:8443\";proto=https, for=10.0.0.2;host=\"a:8443\";proto=https",
            "https",
            "a:8443",
            "203.0.113.9",
        ],
    );
    let own = [
        "192.0.2.1",
        "for=192.0.2.1;host=app.example;proto=http",
        "http",
        "app.example",
        "192.0.2.1",
    ];
    check(&[], "::ffff:192.0.2.1", own);
    check(&FORGED, "192.0.2.1", own);
}

/// What a client may make up.
const FORGED: [(&str, &str); 40] = [
    ("CF-Connecting-IP", "203.0.113.66"),
    ("CF-Connecting-IPv6", "2001:db8::66"),
    ("Client-IP", "203.0.113.66"),
    ("DO-Connecting-IP", "203.0.113.66"),
    ("Fastly-Client-IP", "203.0.113.66"),
    ("Fly-Client-IP", "203.0.113.66"),
    ("Forwarded", "for=203.0.113.66;host=forged;proto=https"),
    ("Forwarded-For", "203.0.113.66"),
    ("Front-End-Https", "on"),
    ("Proxy-Client-IP", "203.0.113.66"),
    ("True-Client-IP", "203.0.113.66"),
    ("WL-Proxy-Client-IP", "203.0.113.66"),
    ("X-AppEngine-User-IP", "203.0.113.66"),
    ("X-Azure-ClientIP", "203.0.113.66"),
    ("X-Azure-SocketIP", "203.0.113.66"),
    ("X-Client-IP", "203.0.113.66"),
    ("X-Cluster-Client-IP", "203.0.113.66"),
    ("X-Envoy-External-Address", "203.0.113.66"),
    ("X-Forwarded", "203.0.113.66"),
    ("X-Forwarded-Anything", "forged"),
    ("X-Forwarded-For", "203.0.113.66"),
    ("X-Forwarded-Host", "forged"),
    ("X-Forwarded-Port", "66"),
    ("X-Forwarded-Prefix", "/forged"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Protocol", "https"),
    ("X-Forwarded-Ssl", "on"),
    ("X-Host", "forged"),
    ("X-NF-Client-Connection-IP", "203.0.113.66"),
    ("X-Original-Forwarded-For", "203.0.113.66"),
    ("X-Original-Host", "forged"),
    ("X-Originating-IP", "203.0.113.66"),
    ("X-ProxyUser-Ip", "203.0.113.66"),
    ("X-Real-IP", "203.0.113.66"),
    ("X-Remote-Addr", "203.0.113.66"),
    ("X-Remote-IP", "203.0.113.66"),
    ("X-Scheme", "https"),
    ("X-Url-Scheme", "https"),
    ("X-Vercel-Forwarded-For", "203.0.113.66"),
    ("X_Forwarded-Host", "forged"),
];

#[test]
fn nothing_forged_is_kept_or_passed_on() {
    for (name, value) in FORGED {
        for name in [name.to_owned(), name.to_uppercase(), name.replace('-', "_")] {
            let (request, view) = received(&with_host(&[(&name, value)]), "192.0.2.1");
            assert_eq!(request, get(&with_host(&[])), "{name}");
            assert!(view.claims_forwarding() && !view.is_trusted());
            // Nor is it where the head was not received.
            let unread = get(&with_host(&[(&name, value)]));
            assert_eq!(
                to_origin(&unread, &view),
                to_origin(&request, &view),
                "{name}"
            );
        }
    }
    let (_, view) = received(&with_host(&[("Via", "1.1 edge")]), "192.0.2.1");
    assert!(view.claims_forwarding());
    let (_, view) = received(
        &with_host(&[("Cookie", "a=b"), ("X-Own", "1")]),
        "192.0.2.1",
    );
    assert!(!view.claims_forwarding());
    let (_, view) = received(&with_host(&FORGED), "127.0.0.1");
    assert!(!view.claims_forwarding() && view.is_trusted());
}

#[test]
fn what_is_said_in_many_ways_is_one_for_a_key() {
    let plain = [
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-Proto", "https"),
    ];
    let (expected, _) = received(&with_host(&plain), "127.0.0.1");
    assert_eq!(expected, get(&with_host(&plain)), "it stays as it came");
    for more in [
        ("Forwarded", "host=evil"),
        ("X-Forwarded-Ssl", "off"),
        ("X-Host", "evil"),
    ] {
        let lines = [plain[0], plain[1], more];
        let (request, _) = received(&with_host(&lines), "127.0.0.1");
        assert_eq!(request, expected, "{more:?}");
    }
    let (request, _) = received(
        &with_host(&[("Forwarded", "for=203.0.113.9;proto=https;x=1, for=_secret")]),
        "127.0.0.1",
    );
    let told = [
        ("X-Forwarded-For", "203.0.113.9, _secret"),
        ("X-Forwarded-Proto", "https"),
    ];
    // Of the last element, which the peer has added, nothing is known.
    assert_eq!(
        request,
        get(&with_host(&[told[0], ("X-Forwarded-Proto", "http")]))
    );
}

#[test]
fn only_the_nearest_members_of_a_long_chain_are_told() {
    let list = "1,".repeat(8000) + "203.0.113.9, 10.0.0.1";
    let elements = "for=1,".repeat(2000) + "for=203.0.113.9;host=a, for=10.0.0.1";
    for (name, value) in [("X-Forwarded-For", list), ("Forwarded", elements)] {
        let (request, view) = received(&with_host(&[(name, &value)]), "127.0.0.1");
        assert_eq!(view.client().to_string(), "203.0.113.9");
        let sent = to_origin(&request, &view);
        let bytes: usize = sent.iter().map(|(_, value)| value.len()).sum();
        assert!(bytes < 2500, "{bytes}");
    }
}

#[test]
fn a_head_that_is_as_long_as_it_may_be_loses_nothing() {
    let mut lines = with_host(&[
        ("Forwarded", "host=a;proto=https;for=203.0.113.9"),
        ("X-Scheme", "http"),
    ]);
    let long = "x".repeat(crate::limits::HEAD_BYTES_CEILING - 110);
    lines.push(("X-Long", &long));
    let (request, view) = received(&lines, "127.0.0.1");
    assert!(!request.fields.is_cut() && request.fields.contains("x-long"));
    assert!(!request.fields.contains("x-scheme"));
    assert_eq!(
        View::of(&request, [127, 0, 0, 1].into(), &trusted()).client(),
        view.client()
    );
}
