//! Owns the tables of the chunked coding: bodies, trailers, refusals and bounds.

use ProtocolError as E;

use super::*;
use crate::limits::{
    CHUNK_EXT_BYTES_MAX, REQUEST_FIELDS_MAX, RESPONSE_FIELDS_MAX, TRAILER_BYTES_MAX,
};

/// The body, or the reason it is refused; the same from a client and from an origin.
#[track_caller]
fn check(chunks: &str, expected: Result<&str, E>) {
    let found = read(chunks).map(|(body, _)| body);
    assert_eq!(
        found.as_deref(),
        expected.as_ref().map(|text| *text),
        "{chunks:?}"
    );
}

#[track_caller]
fn read(chunks: &str) -> Result<(String, Fields), E> {
    let [request, response] = read_both(chunks);
    assert_eq!(request, response, "both sides read the same");
    request
}

/// What a client's body and an origin's are read as.
#[track_caller]
fn read_both(chunks: &str) -> [Result<(String, Fields), E>; 2] {
    let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let request = run_requests(format!("{head}{chunks}").as_bytes(), false);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let input = format!("{head}{chunks}");
    let (_, response) = run_response(&Method::GET, false, input.as_bytes(), false);
    [body_of(request), body_of(response)]
}

fn body_of<H>(run: Run<H>) -> Result<(String, Fields), E> {
    run.end?;
    let mut body = Vec::new();
    for event in run.events {
        match event {
            Seen::Head(..) => {}
            Seen::Data(data) => body.extend(data),
            Seen::End(trailers) => return Ok((String::from_utf8(body).unwrap(), trailers)),
        }
    }
    panic!("no end");
}

#[test]
fn bodies() {
    check("0\r\n\r\n", Ok(""));
    check("3\r\nabc\r\n0\r\n\r\n", Ok("abc"));
    check("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", Ok("abcde"));
    check("a\r\n0123456789\r\n0\r\n\r\n", Ok("0123456789"));
    check("A\r\n0123456789\r\n0\r\n\r\n", Ok("0123456789"));
    check("0003\r\nabc\r\n0000\r\n\r\n", Ok("abc"));
    check(
        "0000000000000003\r\nabc\r\n0000000000000000\r\n\r\n",
        Ok("abc"),
    );
    check(
        "00000000000000003\r\nabc\r\n00000000000000000\r\n\r\n",
        Ok("abc"),
    );
    check("00000000000000003 ;a\r\nabc\r\n0\r\n\r\n", Ok("abc"));
    check("4\r\n\r\n\r\n\r\n0\r\n\r\n", Ok("\r\n\r\n"));
    check("3;a\r\nabc\r\n0;b=c\r\n\r\n", Ok("abc"));
    check("3 ;a\r\nabc\r\n0\t; b = \"c;d\"\r\n\r\n", Ok("abc"));
    check("3;\u{e9}\r\nabc\r\n0\r\n\r\n", Ok("abc"));
}

#[test]
fn refusals() {
    let (bad, bare) = (Err(E::InvalidChunk), Err(E::BareCrOrLf));
    for chunks in [
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x3\r\n",
        " 3\r\n",
        "\t3\r\n",
        "3 \r\n",
        "3 a\r\n",
        "3 3\r\n",
        "3_0\r\n",
        ";a\r\n",
        "3,a\r\n",
        "3.0\r\n",
        "10000000000000000\r\n",
        "10000000000000003\r\n",
        "000010000000000000000\r\n",
        "fffffffffffffffff\r\n",
        "00000000000000000\t\r\n",
        "3\u{0}\r\n",
        "3;\u{0}\r\n",
        "3;\u{7f}\r\n",
        "3\u{b}\r\n",
        "3\r\nabcd\r\n",
        "3\r\nabc0\r\n",
        "3\r\nabc\n",
        "3\r\nabc\r\r\n",
        "3\r\nabc\rx",
        "3\r\nabc\r\n\r\n",
    ] {
        check(chunks, bad);
    }
    for chunks in [
        "3\nabc",
        "3\rabc",
        "3;a\nabc",
        "3;a\n\nabc",
        "3;a\rb\r\n",
        "0\n\r\n",
        "0\r\n\n",
        "0\r\na: b\n\r\n",
        "0\r\na: b\r\n\n",
        "0\r\na: b\rc\r\n\r\n",
        "3\r\r\nabc",
    ] {
        check(chunks, bare);
    }
    // The largest size is a size: its data is only never complete.
    let run = run_requests(
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nab",
        false,
    );
    assert_eq!((run.events.len(), run.end), (2, Ok(Ended::NeedData)));
}

#[test]
fn trailers() {
    let (body, trailers) = read("1\r\na\r\n0\r\nX-Sum: 1\r\nx-more:2 \r\n\r\n").unwrap();
    assert_eq!((body.as_str(), trailers.len()), ("a", 2));
    assert_eq!(trailers.get("x-sum"), Some(&b"1"[..]));
    assert_eq!(trailers.get("X-More"), Some(&b"2"[..]));
    for line in [
        " a: b",
        "a b: c",
        "a",
        "a ",
        "a: b\r\n c",
        "a: \u{0}",
        ": b",
    ] {
        check(&format!("0\r\n{line}\r\n\r\n"), Err(E::InvalidField));
    }
    // RFC 9112 §5.1: refused of a client, taken off of an origin.
    let [request, response] = read_both("0\r\nX-Sum : 1\r\n\r\n");
    assert_eq!(request, Err(E::InvalidField));
    assert_eq!(
        response.unwrap().1,
        Fields::from_pairs([("x-sum", &b"1"[..])])
    );
    let many = |count: usize| format!("0\r\n{}\r\n", "a:\r\n".repeat(count));
    check(&many(REQUEST_FIELDS_MAX), Ok(""));
    for (count, is_taken) in [
        (REQUEST_FIELDS_MAX + 1, [false, true]),
        (RESPONSE_FIELDS_MAX, [false, true]),
        (RESPONSE_FIELDS_MAX + 1, [false, false]),
    ] {
        for (read, is_taken) in read_both(&many(count)).into_iter().zip(is_taken) {
            let expected = if is_taken {
                Ok(count)
            } else {
                Err(E::TooManyFields)
            };
            assert_eq!(
                read.map(|(_, trailers)| trailers.len()),
                expected,
                "{count}"
            );
        }
    }
    let section = |len: usize| format!("0\r\na:{}\r\n\r\n", "b".repeat(len - 6));
    check(&section(TRAILER_BYTES_MAX), Ok(""));
    check(&section(TRAILER_BYTES_MAX + 1), Err(E::TrailersTooLarge));
}

#[test]
fn extensions_are_bounded_over_the_message() {
    let chunk = |len: usize| format!("1;{}\r\na\r\n", "e".repeat(len - 1));
    let half = CHUNK_EXT_BYTES_MAX / 2;
    check(
        &format!("{}{}0\r\n\r\n", chunk(half), chunk(half)),
        Ok("aa"),
    );
    let more = format!("{}{}0\r\n\r\n", chunk(half), chunk(half + 1));
    check(&more, Err(E::ChunkExtTooLong));
    let space = format!("1{};\r\na\r\n", " ".repeat(CHUNK_EXT_BYTES_MAX));
    check(&space, Err(E::ChunkExtTooLong));
    // So do zeros that make no size, but none of those with which a size is filled up to 16 digits.
    let zeros = format!("{}1\r\na\r\n", "0".repeat(CHUNK_EXT_BYTES_MAX + 15));
    check(&format!("{zeros}0\r\n\r\n"), Ok("a"));
    check(
        &format!("{zeros}{}\r\n\r\n", "0".repeat(17)),
        Err(E::ChunkExtTooLong),
    );
    check(&format!("0{zeros}"), Err(E::ChunkExtTooLong));
    let filled = "0000000000000001\r\na\r\n".repeat(CHUNK_EXT_BYTES_MAX / 15 + 1);
    assert!(read(&format!("{filled}0\r\n\r\n")).is_ok());
}
