//! Owns the tables of requests: accepted with which framing, or refused for which reason.

use ProtocolError as E;
use http::StatusCode;

use super::*;
use crate::h1::{keep_alive, request_framing};
use crate::message::Version;

/// A request with `fields` lines, its framing or the reason it is refused.
#[track_caller]
fn check_fields(fields: &str, expected: Result<Framing, E>) {
    check(
        &format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"),
        expected,
    );
}

#[track_caller]
fn check(input: &str, expected: Result<Framing, E>) {
    check_bytes(input.as_bytes(), expected);
}

#[track_caller]
fn check_bytes(input: &[u8], expected: Result<Framing, E>) {
    let run = run_requests(input, false);
    let found = match (run.events.first(), run.end) {
        (Some(Seen::Head(head, framing)), _) => {
            assert_eq!(request_framing(head), Ok(*framing));
            Ok(*framing)
        }
        (_, Err(error)) => Err(error),
        other => panic!("neither a head nor an error: {other:?}"),
    };
    assert_eq!(found, expected, "{}", input.escape_ascii());
}

const EMPTY: Result<Framing, E> = Ok(Framing::Empty);

fn length(len: u64) -> Result<Framing, E> {
    Ok(Framing::Length(len))
}

#[test]
fn content_lengths() {
    check_fields("", EMPTY);
    check_fields("Content-Length: 0\r\n", length(0));
    check_fields("content-length:5\r\n", length(5));
    check_fields("Content-Length: \t 5 \t\r\n", length(5));
    check_fields("Content-Length: 005\r\n", length(5));
    check_fields("Content-Length: 18446744073709551615\r\n", length(u64::MAX));

    for value in [
        "",
        "+5",
        "-5",
        "5 5",
        "5, 5",
        "5,5",
        "5,",
        "0x5",
        "5.0",
        "5e1",
        "a",
        "\"5\"",
        "5;a",
        "18446744073709551616",
        "99999999999999999999999999",
    ] {
        check_fields(
            &format!("Content-Length: {value}\r\n"),
            Err(E::InvalidContentLength),
        );
    }
    let twice = "Content-Length: 5\r\nContent-Length: 5\r\n";
    check_fields(twice, Err(E::RepeatedContentLength));
    let differ = "Content-Length: 5\r\ncontent-length: 6\r\n";
    check_fields(differ, Err(E::RepeatedContentLength));
    check("POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\n", length(3));
}

#[test]
fn transfer_codings() {
    check_fields("Transfer-Encoding: chunked\r\n", Ok(Framing::Chunked));
    check_fields("transfer-encoding:CHUNKED\r\n", Ok(Framing::Chunked));
    let both = Err(E::ContentLengthAndTransferEncoding);
    check_fields("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", both);
    check_fields("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", both);
    check_fields("Transfer-Encoding: x\r\nContent-Length: x\r\n", both);

    for value in [
        "",
        "identity",
        "gzip",
        "chunked, gzip",
        "chunked, chunked",
        "chunked;q=1",
        ", chunked",
        "chunked,",
        "gzip,,chunked",
        "chunked chunked",
        "xchunked",
        "chunkedx",
        "\"chunked\"",
        "chunked\u{b}",
        "\u{b}chunked",
        "ch\u{fc}nked",
    ] {
        let expected = if value.contains('\u{b}') {
            E::InvalidField
        } else {
            E::InvalidTransferEncoding
        };
        check_fields(&format!("Transfer-Encoding: {value}\r\n"), Err(expected));
    }
    let unknown = Err(E::UnknownTransferCoding);
    check_fields("Transfer-Encoding: gzip, chunked\r\n", unknown);
    check_fields(
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        unknown,
    );
    check_fields("Transfer-Encoding: identity, chunked\r\n", unknown);
    let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n";
    check_fields(twice, Err(E::InvalidTransferEncoding));
    check(
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        Err(E::TransferEncodingInHttp10),
    );
}

#[test]
fn field_lines() {
    let bad = Err(E::InvalidField);
    let bare = Err(E::BareCrOrLf);
    check_fields("A: b\r\n", EMPTY);
    check_fields("A:\r\n", EMPTY);
    check_fields("A: \t \r\n", EMPTY);
    check_fields("a_b: c\r\n", EMPTY);
    check_fields("!#$%&'*+-.^_`|~09Az: c\r\n", EMPTY);
    check_bytes(
        b"GET / HTTP/1.1\r\nHost: h\r\nA: \x80\xff\tx\r\n\r\n",
        EMPTY,
    );

    for line in [
        "A : b",
        " A: b",
        "\tA: b",
        "A\t: b",
        "A",
        ": b",
        "A b: c",
        "A(: b",
        "A\u{0}: b",
        "A: b\u{0}",
        "A: \u{1}",
        "A: b\u{7f}",
        "A: b\u{8}c",
        "A: b\r\n c",
        "A: b\r\n\tc",
        "A: b\r\n ",
        "{A}: b",
        "A\u{e9}: b",
        "\"A\": b",
        "A/b: c",
        "Transfer-Encoding : chunked",
        "Content-Length\t: 5",
    ] {
        check_fields(&format!("{line}\r\n"), bad);
    }
    for line in [
        "A: b\n",
        "A: b\rc\r\n",
        "A: b\r\r\n",
        "A\r: b\r\n",
        "\nA: b\r\n",
        "A: b\n\r\n",
    ] {
        check_fields(line, bare);
    }
    check("GET / HTTP/1.1\nHost: h\n\n", bare);
    check("GET / HTTP/1.1\r\nHost: h\r\n\n", bare);
    check("GET / HTTP/1.1\r\nHost: h\n\r\n", bare);
    check("GET / HTTP/1.1\rHost: h\r\n\r\n", bare);
    let long = format!("A: {}\u{1}{}\r\n", "x".repeat(70), "y".repeat(70));
    check_fields(&long, bad);
}

#[test]
fn request_lines() {
    let bad = Err(E::InvalidRequestLine);
    for line in [
        "GET /",
        "GET",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / x HTTP/1.1",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "G(T / HTTP/1.1",
        "G\u{0}T / HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1",
        "GET / HTTP/11",
        "GET / HTTP/1.10",
        "GET / HTTP/1.x",
        "GET / HTTP/+1.1",
        "GET / XTTP/1.1",
        "GET / HTTP 1.1",
        "\u{16}\u{3}\u{1}",
        "(",
    ] {
        check(&format!("{line}\r\nHost: h\r\n\r\n"), bad);
    }
    check("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", bad);
    check("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", EMPTY);
    check("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", bad);
    check("\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", bad);
    check("PURGE-it! / HTTP/1.1\r\nHost: h\r\n\r\n", EMPTY);

    check("GET / HTTP/1.0\r\n\r\n", EMPTY);
    check("GET / HTTP/1.2\r\nHost: h\r\n\r\n", EMPTY);
    check("GET / HTTP/1.9\r\n\r\n", Err(E::MissingHost));
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.1"] {
        let line = format!("GET / {version}\r\nHost: h\r\n\r\n");
        check(&line, Err(E::UnsupportedVersion));
    }
    check(
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        Err(E::UnsupportedVersion),
    );
}

#[test]
fn targets() {
    let bad = Err(E::InvalidTarget);
    let head =
        |method: &str, target: &str| format!("{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n");
    for target in [
        "/",
        "/a?b=c",
        "//a",
        "/a/../b",
        "/%00",
        "/http://x/",
        "/a\\b",
        "/\"<>",
        "/\u{e9}",
        "http://h/",
        "http://h",
        "HTTP://H/a",
        "http://h?q",
        "https://h/a",
    ] {
        check(&head("GET", target), EMPTY);
    }
    check_bytes(b"GET /\xff\x80 HTTP/1.1\r\nHost: h\r\n\r\n", EMPTY);
    for target in [
        "a",
        "*",
        "h:80",
        "?q",
        "/#f",
        "/a?b#c",
        "http://h/#f",
        "/\u{1}",
        "/\u{7f}",
        "/a\tb",
        "http:/h/",
        "http:h",
        "http:///a",
        "http://",
        "ftp://h/",
        "http://u@h/",
        "http://h:x/",
        "http://h,h/",
    ] {
        check(&head("GET", target), bad);
    }
    check(&head("OPTIONS", "*"), EMPTY);
    check(&head("OPTIONS", "**"), bad);
    check(&head("CONNECT", "h:443"), EMPTY);
    check(&head("CONNECT", "[::1]:443"), EMPTY);
    for target in ["/", "h", "h:", "*", "http://h/", "u@h:443"] {
        check(&head("CONNECT", target), bad);
    }
}

#[test]
fn hosts() {
    let bad = Err(E::InvalidHost);
    let head = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for host in [
        "h",
        "h.example:80",
        "h_x",
        "h:",
        "127.0.0.1:8080",
        "[::1]",
        "[::1]:80",
        "",
        "x%2Dy",
        "a-b.~c",
        "[::ffff:1.2.3.4]",
        "h.",
        "h:65535",
    ] {
        check(&head("/", host), EMPTY);
    }
    for host in [
        "h h",
        "a, b",
        "a,b",
        "u@h",
        "h/",
        "h/a",
        "h?",
        "h#",
        "h:x",
        "h:80:80",
        ":80",
        "h:-1",
        "h:+1",
        "h:65536",
        "h:99999999999",
        "[::1",
        "::1",
        "[]",
        "[g::]",
        "[::1]x",
        "[1]",
        "h%",
        "h%2",
        "h%zz",
        "h\u{e9}",
        "http://h",
        "h\\",
        "h\tx",
        "<h>",
    ] {
        check(&head("/", host), bad);
    }
    check("GET / HTTP/1.1\r\n\r\n", Err(E::MissingHost));
    check("GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", bad);
    check("GET / HTTP/1.1\r\nHost: h\r\nhost: g\r\n\r\n", bad);
    check("GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n", bad);
    check("GET / HTTP/1.0\r\nHost: h h\r\n\r\n", bad);
    check("GET http://h/ HTTP/1.0\r\n\r\n", EMPTY);
    check(&head("http://a/", "b"), bad);
    check(&head("http://a/", ""), bad);
    check(&head("http://a:80/", "a"), bad);
    check(&head("http://A.x:81/", "a.X:81"), EMPTY);
}

#[test]
fn limits() {
    let line = |len: usize| format!("GET /{} HTTP/1.1\r\n", "a".repeat(len - 16));
    let head = |len: usize| {
        let start = "GET / HTTP/1.1\r\nHost: h\r\nA: ";
        format!("{start}{}\r\n\r\n", "a".repeat(len - start.len() - 4))
    };
    check(&head(HEAD_BYTES_MAX), EMPTY);
    check(&head(HEAD_BYTES_MAX + 1), Err(E::HeadTooLarge));
    check(&format!("\r\n{}", head(HEAD_BYTES_MAX)), EMPTY);
    check(&line(HEAD_BYTES_MAX), Err(E::HeadTooLarge));
    check(&line(HEAD_BYTES_MAX + 1), Err(E::TargetTooLong));
    check(&"a".repeat(HEAD_BYTES_MAX), Err(E::TargetTooLong));
    let fields = |count: usize| "a:\r\n".repeat(count);
    check_fields(&fields(31), EMPTY);
    check_fields(&fields(32), EMPTY);
    check_fields(&fields(99), EMPTY);
    check_fields(&fields(100), Err(E::TooManyFields));
}

#[test]
fn persistence() {
    #[track_caller]
    fn check(version: Version, values: &[&str], expected: bool) {
        let pairs = values.iter().map(|value| ("Connection", value.as_bytes()));
        assert_eq!(keep_alive(version, &Fields::from_pairs(pairs)), expected);
    }
    check(Version::Http11, &[], true);
    check(Version::Http11, &["close"], false);
    check(Version::Http11, &["x, Close"], false);
    check(Version::Http11, &["x", "close"], false);
    check(Version::Http11, &["keep-alive, close"], false);
    check(Version::Http11, &["closed"], true);
    check(Version::Http10, &[], false);
    check(Version::Http10, &["Keep-Alive"], true);
    check(Version::Http10, &["keep-alive, close"], false);
}

#[test]
fn ends_of_the_stream() {
    #[track_caller]
    fn check(input: &str, events: usize, end: Result<Ended, E>) {
        let run = run_requests(input.as_bytes(), true);
        assert_eq!((run.events.len(), run.end), (events, end), "{input:?}");
    }
    let (closed, cut) = (Ok(Ended::Closed), Err(E::UnexpectedEof));
    check("", 0, closed);
    check("\r\n", 0, closed);
    check("\r", 0, cut);
    check("\r\n\r", 0, Err(E::InvalidRequestLine));
    check("G", 0, cut);
    check("GET / HTTP/1.1\r\nHost: h\r\n\r", 0, cut);
    let post = "POST / HTTP/1.1\r\nHost: h\r\n";
    check(&format!("{post}\r\n"), 2, closed);
    check(&format!("{post}\r\n\r\n"), 2, closed);
    check(&format!("\r\n{post}\r\n").repeat(3), 6, closed);
    check(&format!("{post}Content-Length: 3\r\n\r\n"), 1, cut);
    check(&format!("{post}Content-Length: 3\r\n\r\nab"), 2, cut);
    check(&format!("{post}Content-Length: 3\r\n\r\nabc"), 3, closed);
    check(
        &format!("{post}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
        2,
        cut,
    );
    check(
        &format!("{post}Transfer-Encoding: chunked\r\n\r\n0\r\n"),
        1,
        cut,
    );
    check(
        &format!("{post}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        2,
        closed,
    );
}

#[test]
fn pipelined_requests_wait_for_their_cycle() {
    let input = b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab\
                  GET /2 HTTP/1.1\r\nHost: h\r\n\r\n";
    let run = run_requests(input, true);
    let targets: Vec<_> = run
        .events
        .iter()
        .filter_map(|event| match event {
            Seen::Head(head, _) => Some(&head.target[..]),
            Seen::Data(_) | Seen::End(_) => None,
        })
        .collect();
    assert_eq!(targets, [b"/1", b"/2"]);

    let mut conn = ServerConn::new(HEAD_BYTES_MAX);
    conn.read_buf()[..input.len()].copy_from_slice(input);
    conn.handle_read(input.len());
    assert!(!conn.is_idle());
    assert!(matches!(conn.next_event(), Ok(Event::Head(_))));
    assert!(matches!(conn.next_event(), Ok(Event::Data(_))));
    assert!(matches!(conn.next_event(), Ok(Event::End { .. })));
    assert_eq!(conn.next_event(), Ok(Event::NeedData));
    conn.start_next_cycle();
    assert!(!conn.is_idle(), "the next head is buffered");
    assert!(matches!(conn.next_event(), Ok(Event::Head(_))));
    assert!(matches!(conn.next_event(), Ok(Event::End { .. })));
    conn.start_next_cycle();
    assert!(conn.is_idle());
}

#[test]
fn hints() {
    #[track_caller]
    fn check(error: E, status: u16) {
        assert_eq!(error.status_hint(), StatusCode::from_u16(status).unwrap());
        let message = error.to_string();
        assert!(!message.ends_with('.') && message == message.to_lowercase());
    }
    check(E::BareCrOrLf, 400);
    check(E::TargetTooLong, 414);
    check(E::HeadTooLarge, 431);
    check(E::TooManyFields, 431);
    check(E::UnknownTransferCoding, 501);
    check(E::UnsupportedVersion, 505);
}
