//! What is no HTTP/1.1, or breaks a limit: what the client gets, and what the report names.

use ProtocolError as E;

use super::rig::{PAGE, Rig, body, get, status};
use crate::config::Settings;
use crate::message::ProtocolError;
use crate::report::Failure;

/// A head that begins with `line`, with that many fields, of that many bytes.
fn head(line: &str, fields: usize, bytes: usize) -> String {
    let host = format!("{line}\r\nHost: h\r\n");
    let few = "a: b\r\n".repeat(fields - 2);
    let left = bytes.saturating_sub(host.len() + few.len() + "c: \r\n\r\n".len());
    format!("{host}{few}c: {}\r\n\r\n", "d".repeat(left))
}

#[track_caller]
fn check_request(settings: &Settings, request: &str, expected: Option<(u16, E)>) {
    let mut rig = Rig::with(settings.clone());
    rig.offer(crate::session::Side::Client, request.as_bytes());
    let Some((code, error)) = expected else {
        assert!(rig.asked().starts_with("GET / "), "it passes");
        return;
    };
    assert_eq!(status(&rig.received()), code, "{error:?}");
    let report = rig.reports.pop().expect("it is reported");
    assert_eq!(
        (report.broken, report.status.map(|it| it.as_u16())),
        (Some(error), Some(code))
    );
    assert!(report.origin.is_none_or(|origin| origin.broken.is_none()));
}

#[track_caller]
fn check_answer(settings: &Settings, answer: &str, expected: Option<E>) {
    let mut rig = Rig::with(settings.clone());
    rig.send(&get("/", ""));
    rig.offer(crate::session::Side::Origin, answer.as_bytes());
    let code = if expected.is_none() { 200 } else { 502 };
    let received = rig.received();
    assert_eq!(status(&received), code, "{expected:?}");
    let report = rig.reports.pop().expect("it is reported");
    let origin = report.origin.expect("it was asked");
    let failure = expected.map(|_| Failure::Protocol);
    assert_eq!(
        (origin.broken, origin.failure, report.broken),
        (expected, failure, None)
    );
    // The client is told nothing of how the application is made.
    if let (Some(failure), Some(error)) = (failure, expected) {
        assert!(body(&received).contains(&failure.to_string()), "{received}");
        assert!(!received.contains(&error.to_string()), "{received}");
    }
}

#[test]
fn a_refusal_names_what_the_client_broke() {
    let settings = Settings::default();
    let post = |rest: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{rest}");
    let chunked = |rest: &str| post(&format!("Transfer-Encoding: chunked\r\n\r\n{rest}"));
    for (request, code, error) in [
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            400,
            E::InvalidHost,
        ),
        ("GET / HTTP/1.1\r\n\r\n", 400, E::MissingHost),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n",
            400,
            E::InvalidField,
        ),
        (
            "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
            505,
            E::UnsupportedVersion,
        ),
        ("\x16\x03\x01", 400, E::InvalidRequestLine),
        (
            &post("Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
            400,
            E::RepeatedContentLength,
        ),
        (&chunked("x\r\n"), 400, E::InvalidChunk),
        (&chunked("5\r\nhello\r\nx\r\n"), 400, E::InvalidChunk),
        (
            &chunked(&format!("0\r\n{}\r\n", "a: b\r\n".repeat(101))),
            431,
            E::TooManyFields,
        ),
        (&head("GET / HTTP/1.1", 101, 0), 431, E::TooManyFields),
        (
            &head("GET / HTTP/1.1", 3, 16 * 1024 + 1),
            431,
            E::HeadTooLarge,
        ),
        (
            &head(&format!("GET /{} HTTP/1.1", "a".repeat(17_000)), 3, 0),
            414,
            E::TargetTooLong,
        ),
    ] {
        check_request(&settings, request, Some((code, error)));
    }
    // What is late is nothing broken.
    let mut rig = Rig::new();
    rig.send("GET /").wait(std::time::Duration::from_secs(20));
    assert_eq!(rig.reports[0].broken, None);
}

#[test]
fn a_bad_answer_is_reported_with_what_the_application_broke() {
    let settings = Settings::default();
    let answer = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}\r\n");
    for (answer, error) in [
        ("ICY 200 OK\r\n\r\n", E::InvalidStatusLine),
        ("HTTP/2 200 OK\r\n\r\n", E::InvalidStatusLine),
        (&answer("A b: c\r\n"), E::InvalidField),
        (
            &answer("Content-Length: 1\r\nContent-Length: 2\r\n"),
            E::RepeatedContentLength,
        ),
        (&answer("Content-Length: x\r\n"), E::InvalidContentLength),
        (&head("HTTP/1.1 200 OK", 201, 0), E::TooManyFields),
        (&head("HTTP/1.1 200 OK", 3, 60 * 1024 + 1), E::HeadTooLarge),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            E::UnexpectedUpgrade,
        ),
    ] {
        check_answer(&settings, answer, Some(error));
    }
    check_answer(&settings, PAGE, None);
}

#[test]
fn limits_of_heads_are_as_set() {
    let empty = |head: String| head.replacen("Host: h", "Content-Length: 0", 1);
    let mut settings = Settings::default();
    let (request, answer) = ("GET / HTTP/1.1", "HTTP/1.1 200 OK");
    check_request(&settings, &head(request, 100, 16 * 1024), None);
    // The length that stands for `Host` is ten bytes longer.
    check_answer(&settings, &empty(head(answer, 200, 60 * 1024 - 10)), None);
    settings.client.head_bytes_max = 2048;
    settings.client.head_fields_max = 10;
    settings.site.origin.head_bytes_max = 2048;
    settings.site.origin.head_fields_max = 11;
    check_request(&settings, &head(request, 10, 2048), None);
    check_request(
        &settings,
        &head(request, 11, 0),
        Some((431, E::TooManyFields)),
    );
    check_request(
        &settings,
        &head(request, 10, 2049),
        Some((431, E::HeadTooLarge)),
    );
    check_answer(&settings, &empty(head(answer, 11, 2038)), None);
    check_answer(&settings, &head(answer, 12, 0), Some(E::TooManyFields));
    check_answer(&settings, &head(answer, 11, 2049), Some(E::HeadTooLarge));
}
