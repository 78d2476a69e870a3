//! What passes through a session when nothing fails.

use std::time::Duration;

use super::rig::{
    CONNECT, CONNECT_ANEW, DATE, PAGE, PARK, Rig, body, field, get, status, uncalled,
};
use crate::report::{End, Source};
use crate::session::{Input, Side};
use crate::time::Instant;

/// Runs one exchange whole and byte by byte.
#[track_caller]
fn check(request: &str, asked: &str, response: &str, received: &str) {
    check_on(Rig::new, request, asked, response, received);
}

#[track_caller]
fn check_on(rig: fn() -> Rig, request: &str, asked: &str, response: &str, received: &str) {
    for piece in [usize::MAX, 1] {
        let mut rig = rig();
        rig.piece = piece;
        rig.send(request);
        let got = uncalled(&rig.asked());
        assert_eq!(got, asked, "to the origin, pieces of {piece}");
        rig.reply(response);
        let got = uncalled(&rig.received());
        assert_eq!(got, received, "to the client, pieces of {piece}");
    }
}

#[test]
fn a_request_and_its_response_pass() {
    let mut rig = Rig::new();
    rig.send("GET /a?b HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n");
    let asked = rig.asked();
    assert!(asked.starts_with("GET /a?b HTTP/1.1\r\n"), "{asked}");
    for (name, value) in [
        ("host", "h"),
        ("accept", "*/*"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "h"),
        ("via", "1.1 retter"),
        ("x-real-ip", "192.0.2.1"),
    ] {
        assert_eq!(field(&asked, name), Some(value), "{name} in {asked}");
    }
    rig.reply("HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nX-Circuit: fake\r\n\r\nok");
    let received = rig.received();
    assert!(received.starts_with("HTTP/1.1 200 Fine\r\n"), "{received}");
    for (name, value) in [
        ("content-length", "2"),
        ("x-retter", "backend"),
        ("x-circuit", "CLOSED"),
        ("date", DATE),
        ("via", "1.1 retter"),
        ("cache-status", "retter; fwd=uri-miss; fwd-status=200"),
    ] {
        assert_eq!(field(&received, name), Some(value), "{name} in {received}");
    }
    assert_eq!(body(&received), "ok");
    assert_eq!(rig.took(), [CONNECT, PARK]);
    let report = rig.reports.pop().unwrap();
    assert_eq!(
        (report.source, report.end),
        (Source::Backend, End::Complete)
    );
    assert_eq!((report.bytes_sent, report.bytes_received), (2, 0));
}

#[test]
fn bodies_keep_their_framing_or_get_one() {
    #[track_caller]
    fn check(request: &str, response: &str, framing: (&str, &str), expected_body: &str) {
        for piece in [usize::MAX, 1, 7] {
            let mut rig = Rig::new();
            rig.piece = piece;
            rig.send(request).reply(response);
            if response.contains("until close") {
                rig.end_of(Side::Origin);
            }
            let received = rig.received();
            assert_eq!(field(&received, framing.0), Some(framing.1), "{received}");
            // Chunk boundaries follow the reads; only the content must be the same.
            if framing.1 == "chunked" {
                assert_eq!(unchunk(body(&received)), expected_body);
            } else {
                assert_eq!(body(&received), expected_body);
            }
        }
    }
    let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let old = "GET / HTTP/1.0\r\n\r\n";
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    let close = "HTTP/1.1 200 OK\r\nX: until close\r\n\r\nhello";
    check(get, length, ("content-length", "5"), "hello");
    check(get, chunked, ("transfer-encoding", "chunked"), "hello");
    check(get, close, ("transfer-encoding", "chunked"), "hello");
    check(old, length, ("content-length", "5"), "hello");
    check(old, chunked, ("connection", "close"), "hello");
    check(old, close, ("connection", "close"), "hello");
    check(
        "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        ("content-length", "5"),
        "",
    );
    check(
        get,
        "HTTP/1.1 204 No Content\r\n\r\n",
        ("x-retter", "backend"),
        "",
    );
    check(
        get,
        "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n",
        ("etag", "\"a\""),
        "",
    );
}

fn unchunk(mut text: &str) -> String {
    let mut content = String::new();
    loop {
        let (size, rest) = text.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return content;
        }
        content.push_str(&rest[..size]);
        text = &rest[size + 2..];
    }
}

#[test]
fn request_bodies_pass() {
    #[track_caller]
    fn check(head: &str, sent: &str, framing: (&str, &str), content: &str) {
        for piece in [usize::MAX, 1, 5] {
            let mut rig = Rig::new();
            rig.piece = piece;
            rig.send(&format!("{head}{sent}"));
            let asked = rig.asked();
            assert_eq!(field(&asked, framing.0), Some(framing.1), "{asked}");
            let got = body(&asked);
            assert_eq!(
                if framing.1 == "chunked" {
                    unchunk(got)
                } else {
                    got.to_owned()
                },
                content
            );
            assert_eq!(rig.took(), [CONNECT_ANEW], "never an idle connection");
            rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            assert_eq!(status(&rig.received()), 200);
            assert_eq!(rig.reports[0].bytes_received, content.len() as u64);
        }
    }
    let post = "POST /p HTTP/1.1\r\nHost: h\r\n";
    check(
        &format!("{post}Content-Length: 3\r\n\r\n"),
        "abc",
        ("content-length", "3"),
        "abc",
    );
    check(
        &format!("{post}Content-Length: 0\r\n\r\n"),
        "",
        ("content-length", "0"),
        "",
    );
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n");
    check(
        &chunked,
        "3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
        ("transfer-encoding", "chunked"),
        "abcd",
    );
}

#[test]
fn trailers_and_interim_responses_pass() {
    let get = "GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\n\r\n";
    for piece in [usize::MAX, 1] {
        let mut rig = Rig::new();
        rig.piece = piece;
        rig.send(get);
        let asked = rig.asked();
        assert_eq!(field(&asked, "te"), Some("trailers"));
        assert_eq!(field(&asked, "connection"), Some("te"));
        rig.reply("HTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\n");
        assert!(rig.received().starts_with("HTTP/1.1 103 Early Hints\r\n"));
        rig.reply(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n",
        );
        assert!(rig.received().ends_with("0\r\nX-Sum: 1\r\n\r\n"));
    }
    let mut rig = Rig::new();
    rig.send("GET / HTTP/1.0\r\n\r\n")
        .reply("HTTP/1.1 103 Early Hints\r\n\r\n");
    assert_eq!(
        rig.received(),
        "",
        "an HTTP/1.0 client knows no interim responses"
    );
}

#[test]
fn expect_continue_goes_end_to_end() {
    let mut rig = Rig::new();
    rig.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(field(&rig.asked(), "expect"), Some("100-continue"));
    rig.reply("HTTP/1.1 100 Continue\r\n\r\n");
    assert!(rig.received().starts_with("HTTP/1.1 100 Continue\r\n"));
    rig.send("x");
    assert_eq!(rig.asked(), "x");
    rig.reply("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(status(&rig.received()), 201);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    for piece in [usize::MAX, 1] {
        let mut rig = Rig::new();
        rig.piece = piece;
        let request = |n: u8| format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n");
        rig.send(&(request(1) + &request(2) + &request(3)));
        for n in 1..=3 {
            assert!(
                rig.asked().starts_with(&format!("GET /{n} ")),
                "one at a time"
            );
            rig.reply(&format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{n}"));
            assert_eq!(body(&rig.received()), n.to_string());
        }
    }
}

#[test]
fn a_request_without_content_is_whole_however_that_is_said() {
    for fields in [
        "Connection: close\r\n",
        "Content-Length: 0\r\nConnection: close\r\n",
    ] {
        let mut settings = crate::config::Settings::default();
        settings.site.admission.in_flight_max = 1;
        settings.site.admission.in_flight_start = 1;
        let mut rig = Rig::with(settings);
        let mut busy = rig.another();
        busy.send(&get("/busy", ""));
        rig.send(&format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
        rig.end_of(Side::Client);
        busy.reply(PAGE);
        rig.settle();
        rig.reply(PAGE);
        assert_eq!(body(&rig.received()), "good", "{fields}");
    }
}

#[test]
fn a_request_that_breaks_off_takes_no_earlier_answer_with_it() {
    #[track_caller]
    fn check(half: &str, expected: &[End]) {
        for is_answered_before in [false, true] {
            let mut rig = Rig::new();
            rig.client_reads = false;
            rig.send(&(get("/", "") + half));
            if is_answered_before {
                rig.reply(PAGE).end_of(Side::Client);
            } else {
                rig.end_of(Side::Client).reply(PAGE);
            }
            rig.client_reads = true;
            rig.settle();
            assert_eq!(body(&rig.received()), "good", "{half}");
            assert!(rig.session.is_done(), "{half}");
            let ends: Vec<_> = rig.reports.iter().map(|report| report.end).collect();
            assert_eq!(ends, expected, "{half}");
        }
    }
    let post = |fields: &str, content: &str| {
        format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}Content-Length: 99999\r\n\r\n{content}")
    };
    let two = [End::Complete, End::ClientLeft];
    check("GET / HT", &[End::Complete]);
    check(&post("", ""), &two);
    check(&post("", "half"), &two);
    check(&post("Expect: 100-continue\r\n", ""), &two);
    check(&post("Connection: close\r\n", "half"), &two);
}

#[test]
fn keep_alive_follows_the_versions() {
    #[track_caller]
    fn check(request: &str, connection: Option<&str>, closes: bool) {
        let mut rig = Rig::new();
        rig.send(request)
            .reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let received = rig.received();
        assert_eq!(field(&received, "connection"), connection, "{received}");
        assert_eq!(rig.is_closing(), closes);
    }
    check("GET / HTTP/1.1\r\nHost: h\r\n\r\n", None, false);
    check(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        Some("close"),
        true,
    );
    check("GET / HTTP/1.0\r\n\r\n", Some("close"), true);
    check(
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        Some("keep-alive"),
        false,
    );
}

#[test]
fn paths_and_prefixes() {
    #[track_caller]
    fn check(prefix: &str, request_line: &str, expected: &str) {
        let mut settings = crate::config::Settings::default();
        settings.site.origin.path_prefix = prefix.to_owned();
        let mut rig = Rig::with(settings);
        rig.send(&format!("{request_line} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let asked = rig.asked();
        assert_eq!(
            asked.split("\r\n").next(),
            Some(&*format!("{expected} HTTP/1.1"))
        );
    }
    check("", "GET /a%2Fb//c?d", "GET /a%2Fb//c?d");
    check("/app", "GET /a", "GET /app/a");
    check("/app", "GET http://h/a?b", "GET /app/a?b");
    check("/app", "GET http://h?b", "GET /app/?b");
    check("", "GET http://h", "GET /");
    check("", "OPTIONS *", "OPTIONS *");
    check("/app", "OPTIONS http://h", "OPTIONS *");
    check("", "OPTIONS http://h/", "OPTIONS /");
}

#[test]
fn drain_lets_a_running_exchange_finish() {
    let mut rig = Rig::new();
    rig.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .input(Input::Drain);
    assert!(!rig.session.is_done());
    rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let received = rig.received();
    assert_eq!(
        (field(&received, "connection"), body(&received)),
        (Some("close"), "ok")
    );
    assert!(rig.is_closing());
    let mut idle = Rig::new();
    idle.input(Input::Drain);
    assert!(idle.session.is_done());
}

#[test]
fn an_idle_connection_is_closed_in_time() {
    let mut rig = Rig::new();
    rig.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    rig.wait(Duration::from_secs(59));
    assert!(!rig.session.is_done());
    rig.wait(Duration::from_secs(1));
    assert!(rig.session.is_done());
}

#[test]
fn gzip_for_who_accepts_it() {
    let page = "<p>hello</p>".repeat(100);
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: \"a\"\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    );
    let mut rig = Rig::new();
    rig.send("GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n")
        .reply(&response);
    let bytes = std::mem::take(&mut rig.client);
    let split = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..split + 4].to_vec()).unwrap();
    assert_eq!(field(&head, "content-encoding"), Some("gzip"));
    assert_eq!(field(&head, "transfer-encoding"), Some("chunked"));
    assert_eq!(field(&head, "etag"), Some("\"a-retter-gzip\""));
    assert_eq!(field(&head, "vary"), Some("Accept-Encoding"));
    assert!(bytes.len() < page.len());
    let mut short = Rig::new();
    short.send("HEAD / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n");
    short.reply("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 300\r\n\r\n");
    assert_eq!(
        field(&short.received(), "content-length"),
        Some("300"),
        "as a GET would get it"
    );
    let mut plain = Rig::new();
    plain
        .send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .reply(&response);
    let received = plain.received();
    assert_eq!(
        (body(&received), field(&received, "vary")),
        (&*page, Some("Accept-Encoding"))
    );
}

#[test]
fn whole_and_byte_by_byte_are_the_same() {
    let request = "GET /x HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\n\
        Forwarded: for=1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: o\r\n\
        X-Real-IP: 1.1.1.1\r\nConnection: x-gone\r\nX-Gone: 1\r\nVia: 1.0 before\r\n\r\n";
    let response =
        "HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\nDate: now\r\nKeep-Alive: x\r\n\r\nx";
    let received = "HTTP/1.1 404 Not Found\r\nDate: now\r\nVia: 1.1 retter\r\nX-Retter: backend\r\n\
        X-Circuit: CLOSED\r\nCache-Status: retter; fwd=uri-miss; fwd-status=404\r\n\
        content-length: 1\r\n\r\nx";
    check(
        request,
        "GET /x HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.1\r\n\
         Forwarded: for=192.0.2.1;host=h;proto=http\r\nX-Forwarded-Proto: http\r\n\
         X-Forwarded-Host: h\r\nX-Real-IP: 192.0.2.1\r\nVia: 1.0 before, 1.1 retter\r\n\r\n",
        response,
        received,
    );
    check_on(
        Rig::behind_proxies,
        request,
        "GET /x HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1, 192.0.2.1\r\n\
         Forwarded: for=1.1.1.1;host=o;proto=https, for=192.0.2.1;host=o;proto=https\r\n\
         X-Forwarded-Proto: https\r\nX-Forwarded-Host: o\r\nX-Real-IP: 1.1.1.1\r\n\
         Via: 1.0 before, 1.1 retter\r\n\r\n",
        response,
        received,
    );
}

#[test]
fn a_validated_copy_tells_once_of_the_way_here() {
    let mut rig = Rig::new();
    rig.send(&get("/", "")).reply(
        "HTTP/1.1 200 OK\r\nVia: 1.0 old\r\nETag: \"1\"\r\nCache-Control: no-cache\r\n\
         Content-Length: 2\r\n\r\nhi",
    );
    rig.received();
    for _ in 0..2 {
        rig.send(&get("/", ""))
            .reply("HTTP/1.1 304 Not Modified\r\nVia: 1.0 new\r\nETag: \"1\"\r\n\r\n");
        let received = rig.received();
        let told = field(&received, "cache-status").unwrap();
        assert!(told.contains("fwd-status=304"), "{told}");
        assert_eq!(field(&received, "via"), Some("1.0 new, 1.1 retter"));
    }
}

#[test]
fn a_date_of_ours_is_that_of_now_however_the_seconds_of_the_clocks_lie() {
    let (noon, nano) = (Duration::from_secs(1_709_208_000), Duration::from_nanos(1));
    let second = Duration::from_secs(1);
    // How far into a second the clock was told, and the monotonic one was.
    for (told, mono) in [(0, 0), (999, 1), (900, 700), (1, 999), (500, 500)] {
        let mut rig = Rig::new();
        let told = Duration::from_millis(told);
        rig.now = Instant::ZERO + Duration::from_millis(mono);
        rig.gateway.site().set_wall_clock(noon + told, rig.now);
        let before = second - told - nano;
        for (wait, expected) in [(before, DATE), (nano, "Thu, 29 Feb 2024 12:00:01 GMT")] {
            rig.now = rig.now + wait;
            let mut client = rig.another();
            client
                .send(&get("/", ""))
                .reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            assert_eq!(
                field(&client.received(), "date"),
                Some(expected),
                "{told:?}"
            );
            let mut client = rig.another();
            client.send("no request\r\n\r\n");
            assert_eq!(
                field(&client.received(), "date"),
                Some(expected),
                "{told:?}"
            );
        }
    }
}
