use http::StatusCode;
use proptest::prelude::*;

use super::*;
use crate::config::TrustedProxies;

fn fields(lines: &[(&str, &str)]) -> Fields {
    Fields::from_pairs(lines.iter().map(|(name, value)| (*name, value.as_bytes())))
}

fn get(lines: &[(&str, &str)]) -> RequestHead {
    RequestHead::new(Method::GET, "/", fields(lines))
}

fn to_origin(request: &RequestHead, peer: &str) -> Fields {
    let mut lines = Vec::new();
    // As long as it is not said otherwise, the peer is no proxy that is believed.
    let view = View::of(request, peer.parse().unwrap(), &TrustedProxies::default());
    forward_request(request, &view, "origin.example:8088", |line| {
        lines.push((
            String::from_utf8(line.name.to_vec()).unwrap(),
            line.value.to_vec(),
        ));
    });
    Fields::from_pairs(
        lines
            .iter()
            .map(|(name, value)| (name.as_str(), &value[..])),
    )
}

fn to_client(response: &ResponseHead) -> Fields {
    let mut lines = Vec::new();
    forward_response(response, |line| {
        lines.push((
            String::from_utf8(line.name.to_vec()).unwrap(),
            line.value.to_vec(),
        ));
    });
    Fields::from_pairs(
        lines
            .iter()
            .map(|(name, value)| (name.as_str(), &value[..])),
    )
}

#[test]
fn hop_by_hop() {
    #[track_caller]
    fn check(connection: &str, name: &str, kept: bool) {
        let fields = fields(&[("Connection", connection)]);
        assert_eq!(HopByHop::of(&fields).keeps(name.as_bytes()), kept, "{name}");
    }
    for name in [
        "Connection",
        "keep-alive",
        "Proxy-Connection",
        "TE",
        "Transfer-Encoding",
    ] {
        check("", name, false);
    }
    for name in [
        "Upgrade",
        "HTTP2-Settings",
        "Proxy-Authorization",
        "Proxy-Authenticate",
    ] {
        check("", name, false);
    }
    for name in [
        "Trailer",
        "Authorization",
        "WWW-Authenticate",
        "X-Any",
        "Content-Length",
    ] {
        check("", name, true);
    }
    check("X-Any, close", "x-any", false);
    check("close", "X-Any", true);
    check("close", "Close", true);
    // RFC 9110 §7.6.1: never appropriate as a connection option.
    for name in [
        "Host",
        "Cache-Control",
        "Authorization",
        "Content-Length",
        "X-Forwarded-For",
    ] {
        check(name, name, true);
        check(&name.to_ascii_lowercase(), name, true);
    }
}

#[test]
fn a_request_as_the_origin_gets_it() {
    let request = get(&[
        ("User-Agent", "test"),
        ("Host", "www.example"),
        ("Connection", "keep-alive, X-Hop"),
        ("X-Hop", "1"),
        ("Content-Length", "3"),
        ("TE", "gzip, trailers"),
        ("Cookie", "a=b"),
        ("Expect", "100-continue"),
    ]);
    let expected = fields(&[
        ("Host", "www.example"),
        ("User-Agent", "test"),
        ("Cookie", "a=b"),
        ("Expect", "100-continue"),
        ("TE", "trailers"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("Forwarded", "for=192.0.2.1;host=www.example;proto=http"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "www.example"),
        ("X-Real-IP", "192.0.2.1"),
        ("Via", "1.1 retter"),
    ]);
    assert_eq!(to_origin(&request, "192.0.2.1"), expected);
}

#[test]
fn a_chain_of_proxies_is_continued_in_one_line() {
    let told = [
        ("Host", "www.example"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("x-forwarded-for", ""),
        ("X-FORWARDED-FOR", "198.51.100.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "public.example"),
        ("X-Real-IP", "203.0.113.9"),
        ("Forwarded", "for=203.0.113.9"),
        ("Via", "2 edge"),
    ];
    let expected = fields(&[
        ("Host", "www.example"),
        ("X-Forwarded-For", "203.0.113.9, 198.51.100.1, 127.0.0.1"),
        (
            "Forwarded",
            "for=203.0.113.9;host=public.example;proto=https, \
             for=198.51.100.1;host=public.example;proto=https, \
             for=127.0.0.1;host=public.example;proto=https",
        ),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "public.example"),
        ("X-Real-IP", "198.51.100.1"),
        ("Via", "2 edge, 1.1 retter"),
    ]);
    assert_eq!(to_origin(&get(&told), "127.0.0.1"), expected);
    // Of a peer that is no such proxy only `Via` is continued: nobody is believed by it.
    let expected = fields(&[
        ("Host", "www.example"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("Forwarded", "for=192.0.2.1;host=www.example;proto=http"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "www.example"),
        ("X-Real-IP", "192.0.2.1"),
        ("Via", "2 edge, 1.1 retter"),
    ]);
    assert_eq!(to_origin(&get(&told), "192.0.2.1"), expected);
}

#[test]
fn peers_and_hosts_in_forwarded() {
    #[track_caller]
    fn check(peer: &str, host: &str, expected: &str) {
        let sent = to_origin(&get(&[("Host", host)]), peer);
        assert_eq!(sent.get_str("forwarded"), Some(expected));
    }
    check("::ffff:192.0.2.1", "h", "for=192.0.2.1;host=h;proto=http");
    check(
        "2001:db8::1",
        "h",
        "for=\"[2001:db8::1]\";host=h;proto=http",
    );
    check(
        "192.0.2.1",
        "h:80",
        "for=192.0.2.1;host=\"h:80\";proto=http",
    );
    check(
        "192.0.2.1",
        "[::1]:80",
        "for=192.0.2.1;host=\"[::1]:80\";proto=http",
    );
    check(
        "192.0.2.1",
        "h\";for=x\\",
        "for=192.0.2.1;host=\"h\\\";for=x\\\\\";proto=http",
    );
    check("192.0.2.1", "a b", "for=192.0.2.1;proto=http");
    check("192.0.2.1", "", "for=192.0.2.1;proto=http");
}

#[test]
fn hosts() {
    let sent = to_origin(&get(&[]), "2001:db8::1");
    assert_eq!(sent.get_str("host"), Some("origin.example:8088"));
    assert!(!sent.contains("x-forwarded-host"));
    assert_eq!(sent.get_str("x-real-ip"), Some("2001:db8::1"));
    // RFC 9112 §3.2.2
    let mut absolute = get(&[("Host", "other.example")]);
    absolute.target = "http://www.example/a".into();
    absolute.version = Version::Http10;
    let sent = to_origin(&absolute, "192.0.2.1");
    assert_eq!(sent.get_all("host").collect::<Vec<_>>(), [b"www.example"]);
    assert_eq!(sent.get_str("via"), Some("1.0 retter"));
}

#[test]
fn a_response_as_the_client_gets_it() {
    let lines = [
        ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("Server", "test"),
        ("Connection", "X-Hop"),
        ("X-Hop", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Content-Length", "3"),
        ("Keep-Alive", "timeout=5"),
        ("X-Retter", "cache"),
        ("X-Circuit", "OPEN"),
        ("Retter-Cache-Control", "max-age=1"),
        ("CDN-Cache-Control", "max-age=1"),
        ("Cache-Status", "inner; hit"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("Via", "1.1 inner"),
    ];
    let expected = fields(&[
        ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("Server", "test"),
        ("CDN-Cache-Control", "max-age=1"),
        ("Cache-Status", "inner; hit"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("Via", "1.1 inner, 1.1 retter"),
    ]);
    let response = ResponseHead::new(StatusCode::OK, fields(&lines));
    assert_eq!(to_client(&response), expected);
}

#[test]
fn upgrades() {
    #[track_caller]
    fn check(lines: &[(&str, &str)], expected: Option<&str>) {
        assert_eq!(upgrade(&get(lines)), expected.map(str::as_bytes));
    }
    let connection = ("Connection", "keep-alive, Upgrade");
    check(&[connection, ("Upgrade", "websocket")], Some("websocket"));
    check(&[connection, ("Upgrade", "a/1, b")], Some("a/1, b"));
    check(
        &[
            connection,
            ("Upgrade", "websocket"),
            ("Content-Length", "0"),
        ],
        Some("websocket"),
    );
    check(&[("Upgrade", "websocket")], None);
    check(&[connection], None);
    check(&[connection, ("Upgrade", "")], None);
    check(&[connection, ("Upgrade", "h2c")], None);
    check(&[connection, ("Upgrade", "H2C, websocket")], None);
    check(&[connection, ("Upgrade", "HTTP/2.0")], None);
    check(&[connection, ("Upgrade", "web socket")], None);
    check(&[connection, ("Upgrade", "a"), ("Upgrade", "b")], None);
    check(
        &[
            connection,
            ("Upgrade", "websocket"),
            ("Content-Length", "1"),
        ],
        None,
    );
    check(
        &[
            connection,
            ("Upgrade", "websocket"),
            ("Transfer-Encoding", "chunked"),
        ],
        None,
    );
    let mut post = get(&[connection, ("Upgrade", "websocket")]);
    post.method = Method::POST;
    assert_eq!(upgrade(&post), None);
    let mut old = get(&[connection, ("Upgrade", "websocket")]);
    old.version = Version::Http10;
    assert_eq!(upgrade(&old), None);
}

proptest! {
    #[test]
    fn no_nomination_changes_what_the_origin_relies_on(
        lines in prop::collection::vec(
            (
                prop::sample::select(vec![
                    "Connection",
                    "connection",
                    "Content-Length",
                    "Forwarded",
                    "Host",
                    "Keep-Alive",
                    "TE",
                    "Transfer-Encoding",
                    "Upgrade",
                    "Via",
                    "X-Any",
                    "X-Forwarded-For",
                    "X-Real-IP",
                ]),
                "(x-any|host|via|close|x-forwarded-for|content-length|x-real-ip|,){0,3}",
            ),
            0..12,
        ),
    ) {
        let lines: Vec<_> = lines.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let sent = to_origin(&get(&lines), "192.0.2.1");
        for once in ["Host", "Forwarded", "Via", "X-Forwarded-For"] {
            prop_assert_eq!(sent.get_all(once).count(), 1);
        }
        let never = ["Connection", "Content-Length", "Transfer-Encoding", "Upgrade", "Keep-Alive"];
        prop_assert!(!never.iter().any(|name| sent.contains(name)));
        prop_assert!(sent.contains("X-Real-IP"));
        prop_assert!(sent.get("X-Forwarded-For").is_some_and(|list| list.ends_with(b"192.0.2.1")));
    }
}

#[test]
fn a_clients_look_alike_of_what_a_proxy_says_does_not_pass() {
    for name in [
        "X_WEBAUTH_USER",
        "x_auth_request_email",
        "Remote_User",
        "Cf_Access_Jwt_Assertion",
        "X_Real_IP",
    ] {
        let passed = to_origin(
            &get(&[("X-Webauth-User", "anna"), (name, "root")]),
            "127.0.0.1",
        );
        assert!(!passed.contains(name), "{name}");
        assert_eq!(passed.get("x-webauth-user"), Some(&b"anna"[..]));
    }
    // Names of an application's own pass as they are.
    assert!(to_origin(&get(&[("api_key", "1")]), "192.0.2.1").contains("api_key"));
}
