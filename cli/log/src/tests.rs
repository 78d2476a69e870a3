use std::sync::Arc;

use http::{Method, StatusCode};
use proptest::prelude::*;
use retter_core::config::CacheSettings;
use retter_core::event::OriginReport;
use retter_core::message::{Fields, ProtocolError, ResponseHead};
use retter_core::report::CallId;
use retter_core::request_id::RequestId;
use retter_core::rules::label::Handling;
use retter_core::time::Instant;

use super::*;

fn keyer() -> Keyer {
    Keyer::new(&CacheSettings::default(), 1)
}

fn at(millis: u64) -> Instant {
    Instant::from_epoch(Duration::from_millis(millis))
}

fn report() -> Report {
    let fields = Fields::from_pairs([
        ("Host", &b"shop.example"[..]),
        ("User-Agent", b"evil\" \x1b[31m\xff\\"),
    ]);
    let answer = ResponseHead::new(
        StatusCode::BAD_GATEWAY,
        Fields::from_pairs([
            ("Cache-Control", &b"private"[..]),
            ("Cache-Control", b"max-age=\"5"),
            ("ETag", b"W/\"v1\""),
            ("Set-Cookie", b"PHPSESSID=secret"),
        ]),
    );
    Report {
        broken: None,
        call: CallId::FIRST,
        bytes_received: 0,
        bytes_sent: 12,
        circuit: State::Open,
        claims_forwarding: false,
        client: "203.0.113.9".parse().unwrap(),
        copy_age: Some(Duration::from_secs(317)),
        end: End::Complete,
        ended: at(35),
        handling: Some(Handling::CircuitOpen { ttl: -312 }),
        origin: Some(OriginReport {
            broken: None,
            bytes: 34,
            failure: None,
            head: Some((Arc::new(answer), Duration::from_millis(20))),
            is_stream: false,
            status: Some(StatusCode::BAD_GATEWAY),
            time: Duration::from_micros(30_500),
        }),
        peer: "[::ffff:192.0.2.1]:4711".parse().unwrap(),
        request: Some(Arc::new(RequestHead::new(
            Method::GET,
            "/a?b=\"&token=x",
            fields,
        ))),
        request_id: RequestId::clean(b"f3a9-1"),
        source: Source::LastKnownSuccess,
        started: at(0),
        status: Some(StatusCode::OK),
        waited: true,
    }
}

#[test]
fn a_line_is_written_so() {
    let started = UNIX_EPOCH + Duration::from_millis(1_769_862_896_789);
    let text = Line::of(&report(), &keyer(), started).to_json();
    let expected = r#"{"time":"2026-01-31T12:34:56.789Z","client":"203.0.113.9",
        "peer":"192.0.2.1:4711","host":"shop.example","request_id":"f3a9-1","method":"GET",
        "target":"/a?b=\\x22&token=...","partition":"shared","status":200,
        "source":"last-known-success",
        "cache_status":"retter; hit; ttl=-312; detail=circuit-open","copy_age_ms":317000.0,
        "waited":true,"circuit":"OPEN",
        "end":"complete","bytes_received":0,
        "bytes_sent":12,"duration_ms":35.0,"origin_status":502,"origin_failure":null,
        "origin_ms":30.5,"origin_head_ms":20.0,"origin_bytes":34,
        "origin_cache_control":"private, max-age=\\x225","origin_etag":"W/\\x22v1\\x22",
        "origin_cookies":"change-session","referer":null,
        "user_agent":"evil\\x22 \\x1B[31m\\xFF\\x5C"}"#;
    assert_eq!(text, expected.replace("\n        ", "") + "\n");
}

#[test]
fn a_trace_is_told_where_there_is_one() {
    let mut report = report();
    let fields: [(&str, &[u8]); 3] = [
        ("traceparent", b"00-0af7-b7ad-01"),
        ("tracestate", b"a=1"),
        ("tracestate", b"b=\"2"),
    ];
    let request = RequestHead::new(Method::GET, "/", Fields::from_pairs(fields));
    report.request = Some(Arc::new(request));
    let text = Line::of(&report, &keyer(), UNIX_EPOCH).to_json();
    let expected = r#","traceparent":"00-0af7-b7ad-01","tracestate":"a=1, b=\\x222"}"#;
    assert!(text.trim_end().ends_with(expected), "{text}");
}

#[test]
fn unknown_words_and_missing_members_are_none() {
    let line = Line::parse(b"{}").unwrap();
    assert_eq!(line, Line::default());
    let unknown = br#"{"time":"now","client":"?","partition":"crowd-1","source":"moon",
        "circuit":null,"end":"soon","later":[1],"origin_ms":-1}"#;
    let line = Line::parse(unknown).unwrap();
    let expected = Line {
        origin_ms: Some(Millis::default()),
        ..Line::default()
    };
    assert_eq!(line, expected);
    // These say that there was one, whichever.
    let unknown = br#"{"origin_failure":"new","origin_cookies":"eaten"}"#;
    let line = Line::parse(unknown).unwrap();
    assert_eq!(line.origin_failure, Some(Failure::Protocol));
    assert_eq!(line.origin_cookies, Some(SessionChange::SetsCookie));
    for bad in [
        "",
        "7",
        "{\"target\":1}",
        "{\"status\":\"200\"}",
        "{\"status\":70000}",
    ] {
        assert!(Line::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn network_text_is_escaped() {
    #[track_caller]
    fn check(bytes: &[u8], shown: &str) {
        assert_eq!(escape(bytes), shown);
        assert_eq!(unescape(shown.as_bytes()), bytes);
    }
    check(b"/plain?a=b c", "/plain?a=b c");
    check(b"\"\\", "\\x22\\x5C");
    check(b"a\r\n127.0.0.1 - -", "a\\x0D\\x0A127.0.0.1 - -");
    check(b"\x1b]0;\x07\x7f", "\\x1B]0;\\x07\\x7F");
    check("ü\u{9b}".as_bytes(), "\\xC3\\xBC\\xC2\\x9B");
}

#[test]
fn escapes_of_others_are_undone() {
    assert_eq!(unescape(br#"\"\\\n\t\v\b\r\q"#), b"\"\\\n\t\x0b\x08\rq");
    assert_eq!(unescape(br"\x4\xZZ\x41\"), br"\x4\xZZA\");
}

#[test]
fn secrets_in_urls_are_not_logged() {
    #[track_caller]
    fn check(url: &str, shown: &str) {
        assert_eq!(without_secrets(url.as_bytes()), shown.as_bytes());
    }
    check("/token", "/token");
    check("/a?b=c&d", "/a?b=c&d");
    check("/a?token=x&b=c", "/a?token=...&b=c");
    check("/a?b=c&Access_Token=x=y", "/a?b=c&Access_Token=...");
    check("/a?token&b", "/a?token&b");
    check(
        "http://h/?password=x&signature=y#z",
        "http://h/?password=...&signature=...",
    );
}

fn times() -> impl Strategy<Value = Duration> {
    // A month; beyond it hundredths of a millisecond get lost.
    (0..30 * 86_400_u64, 0..1_000_000_000_u32).prop_map(|(s, n)| Duration::new(s, n))
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        "[ -~]{0,40}".prop_map(String::into_bytes),
        "/[a-z]{0,8}\\?token=[a-z]{1,8}&[a-z\\\\x2]{1,8}".prop_map(String::into_bytes),
    ]
}

fn fields(names: &'static [&'static str]) -> impl Strategy<Value = Fields> {
    proptest::collection::vec((proptest::sample::select(names), bytes()), 0..8)
        .prop_map(|lines| Fields::from_pairs(lines.iter().map(|(name, value)| (*name, &value[..]))))
}

fn requests() -> impl Strategy<Value = RequestHead> {
    let names = &[
        "host",
        "cookie",
        "authorization",
        "referer",
        "traceparent",
        "tracestate",
        "user-agent",
        "x-unknown",
    ];
    let method = prop_oneof![Just(Method::GET), Just(Method::HEAD), Just(Method::POST)];
    (method, bytes(), fields(names)).prop_map(|(method, target, fields)| {
        let mut head = RequestHead::new(method, "/", fields);
        head.target = target.into();
        head
    })
}

fn statuses() -> impl Strategy<Value = StatusCode> {
    (100..1000_u16).prop_map(|code| StatusCode::from_u16(code).expect("three digits"))
}

fn origins() -> impl Strategy<Value = OriginReport> {
    let names = &[
        "cache-control",
        "cdn-cache-control",
        "content-type",
        "etag",
        "last-modified",
        "set-cookie",
        "vary",
    ];
    let failures = [
        Failure::Connect,
        Failure::Protocol,
        Failure::Reset,
        Failure::Timeout,
        Failure::Truncated,
    ];
    let head = (statuses(), fields(names), times())
        .prop_map(|(status, fields, time)| (Arc::new(ResponseHead::new(status, fields)), time));
    (
        any::<u64>(),
        proptest::option::of(proptest::sample::select(failures.to_vec())),
        proptest::option::of(head),
        proptest::option::of(statuses()),
        times(),
    )
        .prop_map(|(bytes, failure, head, status, time)| OriginReport {
            broken: None,
            bytes,
            failure,
            head,
            is_stream: false,
            status,
            time,
        })
}

fn reports() -> impl Strategy<Value = Report> {
    let sources = [Source::ALL.as_slice(), &[Source::Refresh]].concat();
    let ends = [End::ClientLeft, End::Complete, End::Truncated, End::Tunnel];
    let states = [State::Closed, State::HalfOpen, State::Open];
    (
        (
            any::<u64>(),
            any::<u64>(),
            any::<IpAddr>(),
            any::<SocketAddr>(),
            times(),
            times(),
            any::<Option<i64>>(),
            any::<bool>(),
        ),
        proptest::sample::select(sources),
        proptest::sample::select(ends.to_vec()),
        proptest::sample::select(states.to_vec()),
        proptest::option::of(requests()),
        proptest::option::of(origins()),
        proptest::option::of(statuses()),
    )
        .prop_map(|(numbers, source, end, circuit, request, origin, status)| {
            let (bytes_received, bytes_sent, client, peer, start, took, ttl, breaks) = numbers;
            let broken = breaks.then_some(ProtocolError::MissingHost);
            let handling = ttl.map(|ttl| Handling::Overload { ttl });
            Report {
                broken,
                call: CallId::FIRST,
                bytes_received,
                bytes_sent,
                circuit,
                claims_forwarding: false,
                client,
                copy_age: ttl.map(|ttl| Duration::from_millis(ttl.unsigned_abs() % 2_592_000_000)),
                end,
                ended: Instant::from_epoch(start + took),
                handling,
                origin,
                peer,
                request: request.map(Arc::new),
                request_id: RequestId::clean(&bytes_sent.to_le_bytes()),
                source,
                started: Instant::from_epoch(start),
                status,
                waited: breaks,
            }
        })
}

proptest! {
    #[test]
    fn every_line_is_read_back_to_the_same_values(report in reports(), since in times()) {
        let keyer = keyer();
        let line = Line::of(&report, &keyer, UNIX_EPOCH + since);
        let text = line.to_json();
        let body = text.strip_suffix('\n').expect("it has an end");
        // Nobody forges a line or steers a terminal.
        prop_assert!(body.bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{}", body);
        let read = Line::parse(body.as_bytes()).expect("it was written here");
        prop_assert_eq!(&read, &line);
        // And these are the values of the exchange.
        prop_assert_eq!(read.source, Some(report.source));
        prop_assert_eq!(read.circuit, Some(report.circuit));
        prop_assert_eq!(
            read.client_broke.as_deref().map(<[u8]>::to_vec),
            report.broken.map(|error| error.to_string().into_bytes())
        );
        prop_assert_eq!(
            read.cache_status.as_deref().map(<[u8]>::to_vec),
            report.handling.map(|handling| handling.cache_status().to_vec())
        );
        prop_assert_eq!(
            read.request_id.as_deref().map(<[u8]>::to_vec),
            report.request_id.as_ref().map(|id| id.to_string().into_bytes())
        );
        prop_assert_eq!((read.waited, read.copy_age_ms.is_some()), (report.waited, report.copy_age.is_some()));
        prop_assert_eq!(read.end, Some(report.end));
        prop_assert_eq!(read.client, Some(report.client));
        prop_assert_eq!(read.status, report.status.map(|status| status.as_u16()));
        prop_assert_eq!((read.bytes_received, read.bytes_sent), (report.bytes_received, report.bytes_sent));
        let took = report.ended.saturating_since(report.started);
        prop_assert!(took.abs_diff(read.duration_ms.0) <= Duration::from_micros(5));
        let (head, origin) = (report.request.as_deref(), report.origin.as_ref());
        prop_assert_eq!(
            read.target.map(|target| target.to_vec()),
            head.map(|head| without_secrets(&head.target).into_owned())
        );
        prop_assert_eq!(read.partition, head.map(|head| keyer.partition(&head.fields).into()));
        prop_assert_eq!(read.origin_failure, origin.and_then(|origin| origin.failure));
        prop_assert_eq!(read.origin_bytes, origin.map(|origin| origin.bytes));
        let etags: Vec<_> = origin
            .and_then(|origin| origin.head.as_ref())
            .map(|(head, _)| head.fields.get_all("etag").collect())
            .unwrap_or_default();
        prop_assert_eq!(read.origin_etag.as_deref().unwrap_or_default(), etags.join(&b", "[..]));
    }
}
