//! Owns the tables of responses, of interim ones, of upgrades and of reuse.

use ProtocolError as E;

use super::*;
use crate::h1::response_framing;
use crate::limits::INTERIM_MAX;

#[track_caller]
fn check(method: &str, input: &str, expected: Result<Framing, E>) {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let (_, run) = run_response(&method, false, input.as_bytes(), false);
    let found = match (run.events.first(), run.end) {
        (Some(Seen::Head(head, framing)), _) => {
            assert_eq!(response_framing(&method, head), Ok(*framing));
            Ok(*framing)
        }
        (_, Err(error)) => Err(error),
        other => panic!("neither a head nor an error: {other:?}"),
    };
    assert_eq!(found, expected, "{method} {input:?}");
}

#[test]
fn framing_rules() {
    let head = |status: &str, fields: &str| format!("HTTP/1.1 {status}\r\n{fields}\r\n");
    let (length, chunked) = ("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n");
    for (method, status, fields, framing) in [
        ("GET", "200 OK", "", Framing::UntilClose),
        ("GET", "200 OK", length, Framing::Length(5)),
        ("GET", "200 OK", chunked, Framing::Chunked),
        ("GET", "500 No", "", Framing::UntilClose),
        ("GET", "205 Reset", length, Framing::Length(5)),
        ("GET", "206 Part", length, Framing::Length(5)),
        (
            "GET",
            "404 Not Found",
            "Content-Length: 0\r\n",
            Framing::Length(0),
        ),
        ("GET", "304 Not Modified", "", Framing::Empty),
        ("GET", "304 Not Modified", length, Framing::Empty),
        ("GET", "304 Not Modified", chunked, Framing::Empty),
        ("GET", "204 No Content", "", Framing::Empty),
        ("GET", "204 No Content", length, Framing::Empty),
        ("GET", "103 Early Hints", "", Framing::Empty),
        ("HEAD", "200 OK", "", Framing::Empty),
        ("HEAD", "200 OK", length, Framing::Empty),
        ("HEAD", "200 OK", chunked, Framing::Empty),
        ("head", "200 OK", length, Framing::Length(5)),
    ] {
        check(method, &head(status, fields), Ok(framing));
    }
    let bad_length = Err(E::InvalidContentLength);
    check("GET", &head("200 OK", &length.repeat(2)), bad_length);
    check(
        "GET",
        &head("200 OK", "Content-Length: 5, 5\r\n"),
        bad_length,
    );
    check("GET", &head("200 OK", "Content-Length: -1\r\n"), bad_length);
    check("HEAD", &head("200 OK", "Content-Length: x\r\n"), bad_length);
    let both = format!("{length}{chunked}");
    for (method, status) in [("GET", "200 OK"), ("HEAD", "200 OK"), ("GET", "304 x")] {
        check(
            method,
            &head(status, &both),
            Err(E::ContentLengthAndTransferEncoding),
        );
    }
    let gzip = "Transfer-Encoding: gzip\r\n";
    check(
        "GET",
        &head("200 OK", gzip),
        Err(E::InvalidTransferEncoding),
    );
    let gzip = "Transfer-Encoding: gzip, chunked\r\n";
    check("GET", &head("200 OK", gzip), Err(E::UnknownTransferCoding));
    let old = format!("HTTP/1.0 200 OK\r\n{chunked}\r\n");
    check("GET", &old, Err(E::TransferEncodingInHttp10));
}

#[test]
fn status_lines() {
    let check_line = |line: &str, expected| check("GET", &format!("{line}\r\n\r\n"), expected);
    for line in [
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200 ",
        "HTTP/1.1 200",
        "HTTP/1.0 200 OK",
        "HTTP/1.7 200 OK",
        "HTTP/1.1 200 Not \t a\u{e9} word",
        "HTTP/1.1 999 x",
        "HTTP/1.1 200  OK",
    ] {
        check_line(line, Ok(Framing::UntilClose));
    }
    for line in [
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 abc",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1 200 O\u{0}K",
        "HTTP/1.1 200 O\u{7f}",
        "HTTP/1.1 -20",
        "http/1.1 200 OK",
        "ICY 200 OK",
        "HTTP/1 200 OK",
        "HTTP/1.10 200 OK",
        " HTTP/1.1 200 OK",
        "Hello",
    ] {
        check_line(line, Err(E::InvalidStatusLine));
    }
    check_line("HTTP/2.0 200 OK", Err(E::UnsupportedVersion));
    check_line("HTTP/0.9 200 OK", Err(E::UnsupportedVersion));
    check(
        "GET",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        Err(E::InvalidStatusLine),
    );
    check("GET", "HTTP/1.1 200 OK\n\n", Err(E::BareCrOrLf));
    check(
        "GET",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        Err(E::InvalidField),
    );
    check(
        "GET",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        Err(E::InvalidField),
    );
    let long = format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX));
    check("GET", &long, Err(E::HeadTooLarge));
    let (_, run) = run_response(&Method::GET, false, b"HTTP/1.1 200 a\xff b\r\n\r\n", false);
    let Some(Seen::Head(head, _)) = run.events.first() else {
        panic!("no head");
    };
    assert_eq!(head.reason, &b"a\xff b"[..]);
}

/// The number of events, the end, and whether the connection may be used again.
#[track_caller]
fn check_end(method: Method, input: &str, eof: bool, expected: (usize, Result<Ended, E>, bool)) {
    let (conn, run) = run_response(&method, false, input.as_bytes(), eof);
    let found = (run.events.len(), run.end, conn.is_reusable());
    assert_eq!(found, expected, "{input:?}");
    assert_eq!(conn.has_started(), !input.is_empty());
    assert_eq!(conn.is_eof(), eof);
}

#[test]
fn ends_and_reuse() {
    let (more, closed, cut) = (
        Ok(Ended::NeedData),
        Ok(Ended::Closed),
        Err(E::UnexpectedEof),
    );
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n";
    for (input, eof, expected) in [
        (format!("{sized}\r\nab"), false, (3, more, true)),
        (format!("{sized}\r\nab"), true, (3, closed, false)),
        (format!("{sized}\r\na"), false, (2, more, false)),
        (format!("{sized}\r\na"), true, (2, cut, false)),
        (
            format!("{sized}Connection: close\r\n\r\nab"),
            false,
            (3, more, false),
        ),
        (
            format!("{sized}\r\nabc"),
            false,
            (3, Err(E::UnsolicitedResponse), false),
        ),
        ("HTTP/1.1 200 OK\r\n\r\nab".into(), false, (2, more, false)),
        ("HTTP/1.1 200 OK\r\n\r\nab".into(), true, (3, closed, false)),
        ("HTTP/1.1 200 OK\r\n\r\n".into(), true, (2, closed, false)),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n".into(),
            false,
            (2, more, false),
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n".into(),
            false,
            (2, more, true),
        ),
        ("HTTP/1.1 204 x\r\n\r\n".into(), false, (2, more, true)),
        (
            "HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n".into(),
            false,
            (2, more, true),
        ),
        (
            "HTTP/1.1 204 x\r\nContent-Length: 3\r\n\r\n".into(),
            false,
            (2, more, false),
        ),
        (
            "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            false,
            (2, more, false),
        ),
        (
            "HTTP/1.1 304 x\r\nContent-Length: 3\r\n\r\n".into(),
            false,
            (2, more, true),
        ),
        (
            "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 204 x\r\n\r\n".into(),
            false,
            (3, more, true),
        ),
        ("HTTP/1.1 100 C\r\n\r\n".into(), true, (1, cut, false)),
        ("HTTP/1.1 100 C\r\n\r\n".into(), false, (1, more, false)),
        (String::new(), true, (0, closed, false)),
        (String::new(), false, (0, more, false)),
        ("H".into(), true, (0, cut, false)),
    ] {
        check_end(Method::GET, &input, eof, expected);
    }
    check_end(
        Method::HEAD,
        &format!("{sized}\r\n"),
        false,
        (2, more, true),
    );
    assert!(ClientConn::new(HEAD_BYTES_MAX).is_reusable());
}

#[test]
fn interim_responses_are_bounded() {
    let input =
        |count| "HTTP/1.1 103 E\r\nLink: x\r\n\r\n".repeat(count) + "HTTP/1.1 204 x\r\n\r\n";
    let most = input(INTERIM_MAX);
    check_end(
        Method::GET,
        &most,
        false,
        (INTERIM_MAX + 2, Ok(Ended::NeedData), true),
    );
    let more = input(INTERIM_MAX + 1);
    check_end(
        Method::GET,
        &more,
        false,
        (INTERIM_MAX, Err(E::TooManyInterim), false),
    );
}

#[test]
fn upgrades() {
    let input = b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\r\n\x00raw";
    let (_, run) = run_response(&Method::GET, false, input, false);
    assert_eq!((run.events.len(), run.end), (0, Err(E::UnexpectedUpgrade)));

    let (mut conn, run) = run_response(&Method::GET, true, input, false);
    assert_eq!((run.events.len(), run.end), (1, Ok(Ended::NeedData)));
    assert_eq!(conn.take_buffered(), &b"\r\n\x00raw"[..]);
    conn.read_buf()[0] = b'x';
    conn.handle_read(1);
    conn.handle_read(0);
    assert_eq!(conn.next_event(), Ok(Event::NeedData));
    assert_eq!(conn.take_buffered(), &b"x"[..]);
    assert_eq!(conn.next_event(), Ok(Event::Closed));
    assert!(!conn.is_reusable());
}

#[test]
fn a_response_belongs_to_a_request() {
    let response = b"HTTP/1.1 204 x\r\n\r\n";
    let mut conn = ClientConn::new(HEAD_BYTES_MAX);
    conn.begin(&Method::GET, false);
    assert!(!conn.has_started() && !conn.is_reusable());
    let run_all = |conn: &mut ClientConn| run(conn, response, Cut::Whole, false);
    assert_eq!(run_all(&mut conn).events.len(), 2);
    assert!(conn.is_reusable() && conn.is_idle());
    conn.begin(&Method::GET, false);
    assert!(!conn.has_started(), "a new request begins unanswered");
    assert_eq!(run_all(&mut conn).events.len(), 2);

    // What comes before the next request is written does not answer it.
    conn.read_buf()[..response.len()].copy_from_slice(response);
    conn.handle_read(response.len());
    assert!(!conn.is_reusable());
    conn.begin(&Method::GET, false);
    assert_eq!(conn.next_event(), Err(E::UnsolicitedResponse));
}
