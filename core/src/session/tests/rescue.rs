//! What a client gets when the origin fails, with and without a copy.

use std::time::Duration;

use http::StatusCode;

use super::rig::{CONNECT, PAGE, Rig, body, field, get, status};
use crate::config::{RescueMode, Settings};
use crate::copies::Purge;
use crate::report::{Failure, Source};
use crate::session::{Action, Input, Side};

/// A rig whose `/` is kept.
fn warm() -> Rig {
    let mut rig = Rig::new();
    rig.send(&get("/", "")).reply(PAGE);
    assert_eq!(status(&rig.received()), 200);
    rig.took();
    rig.asked();
    rig.reports.clear();
    rig
}

/// A name, and what the origin does.
type Failing = (&'static str, fn(&mut Rig));

/// The ways in which an origin fails a request.
const FAILURES: [Failing; 8] = [
    ("500", |rig| {
        rig.reply("HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nbad");
    }),
    ("503 chunked", |rig| {
        rig.reply("HTTP/1.1 503 Oops\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n");
    }),
    ("502 until close", |rig| {
        rig.reply("HTTP/1.1 502 Oops\r\n\r\nbad")
            .end_of(Side::Origin);
    }),
    ("reset", |rig| {
        rig.input(Input::ReadFailed(Side::Origin));
    }),
    ("close", |rig| {
        rig.end_of(Side::Origin);
    }),
    ("half a head", |rig| {
        rig.reply("HTTP/1.1 200 O").end_of(Side::Origin);
    }),
    ("garbage", |rig| {
        rig.reply("what?\r\n\r\n");
    }),
    ("silence", |rig| {
        rig.wait(Duration::from_secs(15));
    }),
];

#[test]
fn every_failure_is_rescued_by_a_copy() {
    for (name, fail) in FAILURES {
        for piece in [usize::MAX, 1] {
            let mut rig = warm();
            rig.piece = piece;
            rig.send(&get("/", ""));
            assert!(
                rig.asked().starts_with("GET / "),
                "the origin is asked first"
            );
            fail(&mut rig);
            let received = rig.received();
            assert_eq!(
                (status(&received), body(&received)),
                (200, "good"),
                "{name}: {received}"
            );
            let source = if name == "silence" {
                "last-known-success"
            } else {
                "cache"
            };
            assert_eq!(field(&received, "x-retter"), Some(source), "{name}");
            assert_eq!(field(&received, "x-circuit"), Some("CLOSED"));
            let told = field(&received, "cache-status").unwrap();
            // Silence is found before it is a failure.
            let detail = if name == "silence" {
                "detail=slow"
            } else {
                "detail=rescued"
            };
            assert!(told.starts_with("retter; fwd=stale;") && told.contains(detail));
            // The client's connection goes on.
            rig.send(&get("/next", ""));
            assert!(rig.asked().starts_with("GET /next "), "{name}");
            rig.reply(PAGE);
            assert_eq!(status(&rig.received()), 200);
        }
    }
}

#[test]
fn without_a_copy_the_truth_is_told() {
    #[track_caller]
    fn check(name: &str, expected: u16, source: &str) {
        let (_, fail) = FAILURES.iter().find(|(found, _)| *found == name).unwrap();
        let mut rig = Rig::new();
        rig.send(&get("/", ""));
        fail(&mut rig);
        let received = rig.received();
        assert_eq!(status(&received), expected, "{name}");
        assert_eq!(field(&received, "x-retter"), Some(source), "{name}");
    }
    check("500", 500, "backend");
    check("503 chunked", 503, "backend");
    check("reset", 502, "no-cache");
    check("close", 502, "no-cache");
    check("half a head", 502, "no-cache");
    check("garbage", 502, "no-cache");
    check("silence", 504, "no-cache");
}

#[test]
fn a_dead_origin_opens_the_circuit_and_copies_answer() {
    let mut rig = warm();
    for _ in 0..5 {
        rig.send(&get("/", ""));
        rig.input(Input::ReadFailed(Side::Origin));
    }
    rig.received();
    rig.asked();
    rig.wait(Duration::from_millis(100));
    rig.send(&get("/", ""));
    let received = rig.received();
    assert_eq!(rig.asked(), "", "an open circuit asks nobody");
    assert_eq!(field(&received, "x-circuit"), Some("OPEN"));
    assert_eq!(field(&received, "x-retter"), Some("cache"));
    assert_eq!(field(&received, "age"), Some("0"));
    assert_eq!(body(&received), "good");
    // HEAD and conditions are answered from the copy too.
    rig.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    let received = rig.received();
    assert_eq!(
        (field(&received, "content-length"), body(&received)),
        (Some("4"), "")
    );
    rig.send(&get("/", "If-None-Match: \"v1\"\r\n"));
    let received = rig.received();
    assert_eq!(
        (status(&received), field(&received, "etag")),
        (304, Some("\"v1\""))
    );
    // The probe goes after the open time, and closes the circuit.
    rig.wait(Duration::from_secs(3)).send(&get("/", ""));
    assert!(rig.asked().starts_with("GET / "), "one probe");
    rig.reply(PAGE);
    let received = rig.received();
    assert_eq!(field(&received, "x-retter"), Some("backend"));
    assert_eq!(field(&received, "x-circuit"), Some("HALF-OPEN"));
    rig.send(&get("/", "")).reply(PAGE);
    assert_eq!(field(&rig.received(), "x-circuit"), Some("CLOSED"));
}

#[test]
fn a_want_of_sockets_says_nothing_of_the_origin() {
    let mut rig = Rig::new();
    rig.send(&get("/", "")).reply(PAGE).received();
    rig.reports.clear();
    for n in 0..6 {
        for (request, expected) in [
            (get("/", ""), (200, Some("cache"))),
            (get(&format!("/{n}"), ""), (503, Some("no-cache"))),
            (post("/"), (503, Some("no-cache"))),
        ] {
            let room = rig.session.read_buf(Side::Client);
            room[..request.len()].copy_from_slice(request.as_bytes());
            rig.session
                .handle_read(Side::Client, request.len(), rig.now);
            assert!(matches!(
                rig.session.poll_action(),
                Some(Action::Connect { .. })
            ));
            rig.input(Input::NoSocket);
            let received = rig.received();
            let answer = (status(&received), field(&received, "x-retter"));
            assert_eq!(answer, expected, "{received}");
            assert_eq!(field(&received, "x-circuit"), Some("CLOSED"));
            let waits = (expected.0 == 503).then_some("1");
            assert_eq!(field(&received, "retry-after"), waits);
        }
    }
    assert_eq!(rig.reports.len(), 18);
    assert!(rig.reports.iter().all(|report| report.origin.is_none()));
    assert_eq!(rig.gateway.site().stats(rig.now).admission.in_flight, 0);
    rig.send(&get("/1", "")).reply(PAGE);
    assert_eq!(field(&rig.received(), "x-retter"), Some("backend"));
}

fn post(target: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
}

#[test]
fn connect_failures_refuse_reads_without_copy_and_pass_writes() {
    let mut rig = Rig::new();
    for n in 0..5 {
        // The rig answers Connect itself; here the dial fails instead.
        rig.session.read_buf(Side::Client);
        let request = get(&format!("/{n}"), "");
        let room = rig.session.read_buf(Side::Client);
        room[..request.len()].copy_from_slice(request.as_bytes());
        rig.session
            .handle_read(Side::Client, request.len(), rig.now);
        assert_eq!(rig.session.poll_action(), Some(CONNECT));
        rig.input(Input::ConnectFailed);
        assert_eq!(status(&rig.received()), 502);
    }
    rig.send(&get("/other", ""));
    let received = rig.received();
    assert_eq!(status(&received), 503);
    assert_eq!(field(&received, "x-circuit"), Some("OPEN"));
    let wait: u64 = field(&received, "retry-after").unwrap().parse().unwrap();
    assert!((1..=3).contains(&wait), "2 s, jittered, rounded up: {wait}");
    rig.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    assert!(
        rig.asked().starts_with("POST / "),
        "a write is forwarded in any case"
    );
}

#[test]
fn set_cookie_is_never_replayed_and_a_new_session_drops_the_old() {
    let mut rig = Rig::new();
    let session = "Cookie: PHPSESSID=a; lang=de; seen=0\r\n";
    let fail = |rig: &mut Rig, fields: &str| {
        rig.send(&get("/", fields))
            .reply("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
        rig.received()
    };
    rig.send(&get("/", session));
    rig.reply("HTTP/1.1 200 OK\r\nSet-Cookie: seen=0\r\nContent-Length: 4\r\n\r\ngood");
    assert_eq!(field(&rig.received(), "set-cookie"), Some("seen=0"));
    let rescued = fail(&mut rig, session);
    assert_eq!(
        (body(&rescued), field(&rescued, "set-cookie")),
        ("good", None)
    );
    // Logging out elsewhere drops everything of the session.
    rig.send(&format!(
        "POST /logout HTTP/1.1\r\nHost: h\r\n{session}Content-Length: 0\r\n\r\n"
    ));
    rig.reply("HTTP/1.1 302 Found\r\nSet-Cookie: PHPSESSID=b\r\nContent-Length: 0\r\n\r\n");
    rig.received();
    assert_eq!(status(&fail(&mut rig, session)), 500);
    // What everybody could see is not kept when it sets a cookie.
    let mut rig = Rig::new();
    rig.send(&get("/", ""));
    rig.reply("HTTP/1.1 200 OK\r\nSet-Cookie: cart=1\r\nContent-Length: 4\r\n\r\ngood");
    rig.received();
    assert_eq!(status(&fail(&mut rig, "")), 500);
}

#[test]
fn the_modes_decide_what_is_kept() {
    #[track_caller]
    fn check(mode: RescueMode, cookie: &str, control: &str, rescues: bool) {
        let mut settings = Settings::default();
        settings.site.cache.rescue = mode;
        let mut rig = Rig::with(settings);
        let request = get("/", cookie);
        rig.send(&request).reply(&format!(
            "HTTP/1.1 200 OK\r\nCache-Control: {control}\r\nContent-Length: 4\r\n\r\ngood"
        ));
        rig.received();
        rig.send(&request)
            .reply("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
        let rescued = status(&rig.received()) == 200;
        assert_eq!(rescued, rescues, "{mode:?} {cookie:?} {control}");
    }
    let session = "Cookie: JSESSIONID=x\r\n";
    for control in [
        "no-store",
        "private",
        "no-cache",
        "no-store, no-cache, must-revalidate",
    ] {
        check(RescueMode::Session, session, control, true);
        check(RescueMode::Session, "", control, false);
        check(
            RescueMode::Session,
            "Cookie: theme=dark\r\n",
            control,
            false,
        );
        check(RescueMode::Strict, session, control, false);
        check(RescueMode::All, "", control, true);
    }
    for control in ["must-revalidate", "proxy-revalidate", "s-maxage=0"] {
        check(RescueMode::Session, "", control, false);
        check(RescueMode::All, "", control, true);
    }
    check(RescueMode::Strict, "", "public", true);
}

#[test]
fn a_fresh_copy_is_served_without_asking() {
    let mut rig = Rig::new();
    rig.send(&get("/", ""));
    rig.reply("HTTP/1.1 200 OK\r\nCache-Control: max-age=10\r\nContent-Length: 4\r\n\r\ngood");
    rig.received();
    rig.asked();
    rig.wait(Duration::from_secs(4)).send(&get("/", ""));
    let received = rig.received();
    assert_eq!(rig.asked(), "");
    assert_eq!(field(&received, "cache-status"), Some("retter; hit; ttl=6"));
    assert_eq!(field(&received, "age"), Some("4"));
    rig.send(&get("/", "Cache-Control: no-cache\r\n"));
    assert!(
        rig.asked().starts_with("GET / "),
        "a reload asks the origin"
    );
    rig.reply(PAGE)
        .wait(Duration::from_secs(20))
        .send(&get("/", ""));
    assert!(rig.asked().starts_with("GET / "), "a stale copy is renewed");
}

#[test]
fn a_write_invalidates_what_it_changed() {
    let mut rig = Rig::new();
    for path in ["/list", "/item"] {
        rig.send(&get(path, "")).reply(PAGE);
    }
    rig.send("POST /list HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    rig.reply("HTTP/1.1 303 See Other\r\nLocation: http://h/item#top\r\nContent-Length: 0\r\n\r\n");
    rig.received();
    for path in ["/list", "/item"] {
        rig.send(&get(path, ""))
            .reply("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(
            status(&rig.received()),
            500,
            "{path} was changed by the write"
        );
    }
}

#[test]
fn an_answer_asked_for_before_a_change_is_not_kept_after_it() {
    const MINE: &str = "Cookie: session=a\r\n";
    const FAILED: &str = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
    let write_with = |rig: &mut Rig, path: &str, fields: &str, answer: &str| {
        let post = format!("POST {path} HTTP/1.1\r\nHost: h\r\n{MINE}{fields}");
        rig.send(&format!("{post}Content-Length: 0\r\n\r\n"));
        let reply = format!("HTTP/1.1 201 Created\r\n{answer}Content-Length: 0\r\n\r\n");
        rig.reply(&reply);
        assert_eq!(status(&rig.received()), 201);
    };
    let write = |rig: &mut Rig, path: &str, answer: &str| write_with(rig, path, "", answer);
    type Change<'a> = &'a dyn Fn(&mut Rig);
    let changes: [(&str, Change<'_>, bool); 9] = [
        ("nothing", &|_| {}, true),
        ("a write", &|rig| write(rig, "/page", ""), false),
        (
            "a write that names it",
            &|rig| write(rig, "/form", "Content-Location: /page\r\n"),
            false,
        ),
        (
            "a write of another kind",
            &|rig| write_with(rig, "/page", "X-HTTP-Method-Override: PUT\r\n", ""),
            false,
        ),
        (
            "a write by way of a proxy",
            &|rig| {
                let forwarded = "X-Forwarded-Uri: /form\r\n";
                write_with(rig, "/form", forwarded, "Location: page\r\n");
            },
            false,
        ),
        (
            "another page's write",
            &|rig| write(rig, "/other", ""),
            true,
        ),
        (
            "a new session",
            &|rig| write(rig, "/login", "Set-Cookie: session=b\r\n"),
            false,
        ),
        (
            "the session's purge",
            &|rig| {
                let cookie = "session=a".to_owned();
                rig.gateway.site().purge(&Purge::Session { cookie });
            },
            false,
        ),
        (
            "a purge",
            &|rig| {
                rig.gateway.site().purge(&Purge::All);
            },
            false,
        ),
    ];
    for (what, change, kept) in changes {
        let mut reader = Rig::behind_proxies();
        let mut other = reader.another();
        // A proxy in front says so of every request, in its words.
        let page = get("/page", &(MINE.to_owned() + "X-Forwarded-Uri: /page\r\n"));
        reader.send(&page);
        change(&mut other);
        reader.reply(PAGE);
        assert_eq!(body(&reader.received()), "good", "{what}");
        reader.send(&page).reply(FAILED);
        let expected = if kept { 200 } else { 500 };
        assert_eq!(status(&reader.received()), expected, "{what}");
    }
}

#[test]
fn a_short_response_that_breaks_off_is_rescued() {
    let broken: [fn(&mut Rig); 3] = [
        |rig| {
            rig.end_of(Side::Origin);
        },
        |rig| {
            rig.input(Input::ReadFailed(Side::Origin));
        },
        |rig| {
            rig.wait(Duration::from_secs(15));
        },
    ];
    for fail in broken {
        let mut rig = warm();
        rig.send(&get("/", ""))
            .reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
        assert_eq!(rig.received(), "", "held until complete");
        fail(&mut rig);
        assert_eq!(body(&rig.received()), "good");
        // A complete one goes out, and replaces the copy.
        rig.send(&get("/", ""))
            .reply("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nn");
        rig.reply("ew");
        assert_eq!(body(&rig.received()), "new");
        rig.send(&get("/", ""))
            .input(Input::ReadFailed(Side::Origin));
        assert_eq!(body(&rig.received()), "new");
    }
}

#[test]
fn a_truncated_response_is_not_kept_and_is_seen_as_such() {
    let mut rig = warm();
    rig.send(&get("/", ""));
    rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nhalf")
        .end_of(Side::Origin);
    let received = rig.received();
    assert_eq!(
        (field(&received, "content-length"), body(&received)),
        (Some("99999"), "half")
    );
    assert_eq!(rig.took().last(), Some(&Action::Close(Side::Client)));
    let report = rig.reports.last().unwrap();
    assert_eq!(
        report.origin.as_ref().unwrap().failure,
        Some(Failure::Truncated)
    );
    assert_eq!(report.status, Some(StatusCode::OK));
    let mut next = rig.another();
    next.send(&get("/", "")).end_of(Side::Origin);
    assert_eq!(
        body(&next.received()),
        "good",
        "the older complete one is still there"
    );
    assert_eq!(next.reports[0].source, Source::Cache);
    // A body that only the connection's end could end is reset, not closed.
    let mut old = rig.another();
    old.send("GET /x HTTP/1.0\r\nHost: h\r\n\r\n");
    old.reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
    old.end_of(Side::Origin);
    assert_eq!(old.took().last(), Some(&Action::Abort(Side::Client)));
}

#[test]
fn a_copy_holds_nothing_that_was_withheld_from_it() {
    let mut rig = Rig::new();
    rig.send(&get("/", "")).reply(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=9, no-cache=\"x-own\"\r\nX-Own: 1\r\n\
         X-All: 1\r\nContent-Length: 4\r\n\r\ngood",
    );
    let first = rig.received();
    assert_eq!(field(&first, "x-own"), Some("1"), "it is its own client's");
    rig.send(&get("/", ""));
    let copy = rig.received();
    assert_eq!(field(&copy, "x-retter"), Some("cache"));
    let fields = ["x-own", "x-all"].map(|name| field(&copy, name));
    assert_eq!(fields, [None, Some("1")]);
}
