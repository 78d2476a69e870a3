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
        (
            "GET",
            "200 OK",
            "Content-Length : 5\r\n",
            Framing::Length(5),
        ),
        (
            "GET",
            "200 OK",
            "Transfer-Encoding\t : chunked\r\n",
            Framing::Chunked,
        ),
    ] {
        check(method, &head(status, fields), Ok(framing));
    }
}

#[test]
fn framing_that_cannot_be_trusted() {
    let head = |status: &str, fields: &str| format!("HTTP/1.1 {status}\r\n{fields}\r\n");
    let (length, chunked) = ("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n");
    let bad_length = Err(E::InvalidContentLength);
    let repeated = Err(E::RepeatedContentLength);
    check("GET", &head("200 OK", &length.repeat(2)), repeated);
    check(
        "GET",
        &head("200 OK", &format!("{length}Content-Length: x\r\n")),
        repeated,
    );
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

const MORE: Result<Ended, E> = Ok(Ended::NeedData);
const CLOSED: Result<Ended, E> = Ok(Ended::Closed);
const CUT: Result<Ended, E> = Err(E::UnexpectedEof);

/// The number of events, the end, and whether the connection may be used again.
#[track_caller]
fn check_open(input: &str, expected: (usize, Result<Ended, E>, bool)) {
    check_end(&Method::GET, input, false, expected);
}

/// The same when the origin closes behind `input`: never to be used again.
#[track_caller]
fn check_closed(input: &str, events: usize, end: Result<Ended, E>) {
    check_end(&Method::GET, input, true, (events, end, false));
}

#[track_caller]
fn check_end(method: &Method, input: &str, eof: bool, expected: (usize, Result<Ended, E>, bool)) {
    let (conn, run) = run_response(method, false, input.as_bytes(), eof);
    let found = (run.events.len(), run.end, conn.is_reusable());
    assert_eq!(found, expected, "{input:?}");
    assert_eq!(conn.has_started(), !input.is_empty());
    assert_eq!(conn.is_eof(), eof);
}

#[test]
fn ends() {
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    check_closed(&format!("{sized}ab"), 3, CLOSED);
    check_closed(&format!("{sized}a"), 2, CUT);
    check_closed(sized, 1, CUT);
    check_closed("HTTP/1.1 200 OK\r\n\r\nab", 3, CLOSED);
    check_closed("HTTP/1.1 200 OK\r\n\r\n", 2, CLOSED);
    check_closed("HTTP/1.1 100 C\r\n\r\n", 1, CUT);
    check_closed("HTTP/1.1 200 OK\r\n", 0, CUT);
    check_closed("H", 0, CUT);
    check_closed("", 0, CLOSED);
}

#[test]
fn reuse() {
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n";
    check_open("", (0, MORE, false));
    // What cannot become a response is told at its first byte.
    check_open("H", (0, MORE, false));
    check_open("S", (0, Err(E::InvalidStatusLine), false));
    check_open(&format!("{sized}\r\nab"), (3, MORE, true));
    check_open(&format!("{sized}\r\na"), (2, MORE, false));
    check_open(
        &format!("{sized}Connection: close\r\n\r\nab"),
        (3, MORE, false),
    );
    check_open(
        &format!("{sized}\r\nabc"),
        (3, Err(E::UnsolicitedResponse), false),
    );
    check_open("HTTP/1.1 200 OK\r\n\r\nab", (2, MORE, false));
    let old = "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n";
    check_open(&format!("{old}\r\n"), (2, MORE, false));
    check_open(
        &format!("{old}Connection: keep-alive\r\n\r\n"),
        (2, MORE, true),
    );
    let bodiless = |status: &str, field: &str| format!("HTTP/1.1 {status} x\r\n{field}\r\n");
    let (length, chunked) = ("Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n");
    check_open(&bodiless("204", ""), (2, MORE, true));
    check_open(&bodiless("204", "Content-Length: 0\r\n"), (2, MORE, true));
    check_open(&bodiless("204", length), (2, MORE, false));
    check_open(&bodiless("204", chunked), (2, MORE, false));
    check_open(&bodiless("304", ""), (2, MORE, true));
    check_open(&bodiless("304", "Content-Length: 0\r\n"), (2, MORE, true));
    check_open(&bodiless("304", length), (2, MORE, false));
    check_open(&bodiless("304", chunked), (2, MORE, false));
    let interim = |field| bodiless("100", field) + &bodiless("204", "");
    check_open(&interim(""), (3, MORE, true));
    check_open(&interim(length), (3, MORE, false));
    check_open(&bodiless("100", ""), (1, MORE, false));
    // Whatever its head says: the content that an origin sends all the same may come later.
    for head in [
        &*bodiless("200", length),
        &bodiless("200", "Content-Length: 0\r\n"),
    ] {
        check_end(&Method::HEAD, head, false, (2, MORE, false));
        let unsolicited = (2, Err(E::UnsolicitedResponse), false);
        check_end(&Method::HEAD, &format!("{head}ab"), false, unsolicited);
    }
    check_end(&Method::HEAD, &bodiless("304", ""), false, (2, MORE, false));
    assert!(ClientConn::new(HEAD_BYTES_MAX).is_reusable());
}

#[test]
fn interim_responses_are_bounded() {
    let interim = "HTTP/1.1 103 E\r\nLink: x\r\n\r\n";
    let input = |count| interim.repeat(count) + "HTTP/1.1 204 x\r\n\r\n";
    check_open(&input(INTERIM_MAX), (INTERIM_MAX + 2, MORE, true));
    let mut conn = ClientConn::new(HEAD_BYTES_MAX);
    for _ in 0..2 {
        conn.begin(&Method::GET, false);
        let run = run(&mut conn, input(INTERIM_MAX).as_bytes(), Cut::Whole, false);
        assert_eq!(run.end, MORE, "each request has its own count");
    }
    let too_many = Err(E::TooManyInterim);
    check_open(&input(INTERIM_MAX + 1), (INTERIM_MAX, too_many, false));
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
    assert!(conn.is_reusable());
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

#[test]
fn an_error_stays_what_it_was() {
    let mut conn = ClientConn::new(HEAD_BYTES_MAX);
    conn.begin(&Method::GET, false);
    let run = run(&mut conn, b"SSH-2.0", Cut::Whole, false);
    assert_eq!(run.end, Err(E::InvalidStatusLine));
    conn.begin(&Method::GET, false);
    assert_eq!(conn.next_event(), Err(E::InvalidStatusLine));
    assert!(conn.read_buf().is_empty() && !conn.is_reusable());
}
