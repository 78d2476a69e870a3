//! What `Cache-Status` says in every case that docs/src/answers.md names, to the letter.

use std::time::Duration;

use super::rig::{CONNECT, PAGE, Rig, field, get};
use crate::config::Settings;
use crate::session::{Input, Side};

const OOPS: &str = "HTTP/1.1 503 Oops\r\nContent-Length: 0\r\n\r\n";

/// A row of its table, what of the value is in it, the value, and how it comes about.
type Case = (&'static str, &'static str, &'static str, fn() -> Rig);

const ANSWER: &str = "the application's answer";
const HELD: &str = "the same, held back and kept before it was sent";
const BELOW: &str = "copy, the application failed below HTTP";
const PUBLIC: &str = "no copy of one's own, but one of what a stranger was sent";
const REFUSED: &str = "refused, no copy";
const SHARED: &str = "shared a fetch with the first to ask, no copy";

const CASES: &[Case] = &[
    (
        PUBLIC,
        "retter; hit; ttl=-312; detail=public",
        "retter; hit; ttl=-312; detail=public",
        || {
            let rig = later(sent_to_a_stranger(), 312);
            open_circuit(&rig);
            ask_after(rig, 0, "")
        },
    ),
    (
        PUBLIC,
        "retter; fwd=stale; fwd-status=503; ttl=-3; detail=public",
        "retter; fwd=stale; fwd-status=503; ttl=-3; detail=public",
        || {
            let mut rig = ask_after(sent_to_a_stranger(), 3, "");
            rig.reply(OOPS);
            rig
        },
    ),
    (
        "fresh copy",
        "retter; hit; ttl=12",
        "retter; hit; ttl=12",
        || ask_after(fresh("max-age=12"), 0, ""),
    ),
    (
        "stale copy, fetched again behind the answer (`stale-while-revalidate`)",
        "retter; hit; ttl=-5; detail=stale-while-revalidate",
        "retter; hit; ttl=-5; detail=stale-while-revalidate",
        || {
            let rig = fresh("max-age=10, stale-while-revalidate=60");
            assert!(rig.gateway.site().poll_refresh(rig.now).is_none());
            ask_after(rig, 15, "")
        },
    ),
    (
        "stale copy, because the client takes one",
        "retter; hit; ttl=-5; detail=max-stale",
        "retter; hit; ttl=-5; detail=max-stale",
        || ask_after(fresh("max-age=10"), 15, "Cache-Control: max-stale\r\n"),
    ),
    (
        "stale copy, found valid by the application",
        "retter; fwd=stale; fwd-status=304; ttl=60",
        "retter; fwd=stale; fwd-status=304; ttl=60",
        || {
            let mut rig = ask_after(fresh("max-age=60"), 61, "");
            rig.reply("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n");
            rig
        },
    ),
    (
        "copy, the circuit is open",
        "retter; hit; ttl=-312; detail=circuit-open",
        "retter; hit; ttl=-312; detail=circuit-open",
        || {
            let rig = later(page(), 312);
            open_circuit(&rig);
            ask_after(rig, 0, "")
        },
    ),
    (
        "copy, the application is full",
        "retter; hit; ttl=0; detail=overload",
        "retter; hit; ttl=0; detail=overload",
        || {
            let busy = full(&page_of(one_slot()));
            let mut rig = ask_after(busy.another(), 0, "");
            rig.wait(Duration::from_millis(50));
            rig
        },
    ),
    (
        "copy, the application answered with a failure",
        "retter; fwd=stale; fwd-status=503; ttl=-312; detail=rescued",
        "retter; fwd=stale; fwd-status=503; ttl=-312; detail=rescued",
        || {
            let mut rig = ask_after(page(), 312, "");
            rig.reply(OOPS);
            rig
        },
    ),
    (
        "copy, the application answered with an error page and status 200",
        "retter; fwd=stale; fwd-status=200; ttl=-2; detail=rescued-soft",
        "retter; fwd=stale; fwd-status=200; ttl=-2; detail=rescued-soft",
        || {
            let text = "a page of some length, ".repeat(50);
            let length = text.len();
            let page = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{text}");
            let mut rig = ask_after(answered_before(Rig::new(), &page), 2, "");
            rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            rig
        },
    ),
    (
        "copy, the application takes too long to begin",
        "retter; fwd=stale; ttl=-1; detail=slow",
        "retter; fwd=stale; ttl=-1; detail=slow",
        || {
            let mut rig = ask_after(page(), 0, "");
            rig.wait(Duration::from_secs(1));
            rig
        },
    ),
    (
        BELOW,
        "retter; fwd=stale; ttl=-3; detail=rescued-timeout",
        "retter; fwd=stale; ttl=-3; detail=rescued-timeout",
        || {
            let mut rig = ask_after(page_of(never_slow()), 0, "");
            rig.wait(Duration::from_secs(3));
            rig
        },
    ),
    (
        BELOW,
        "-connect",
        "retter; fwd=stale; ttl=-3; detail=rescued-connect",
        || {
            let mut rig = later(page(), 3);
            unreachable(&mut rig, "/");
            rig
        },
    ),
    (
        BELOW,
        "-reset",
        "retter; fwd=stale; ttl=-3; detail=rescued-reset",
        || {
            let mut rig = ask_after(page(), 3, "");
            rig.input(Input::ReadFailed(Side::Origin));
            rig
        },
    ),
    (
        BELOW,
        "-truncated",
        "retter; fwd=stale; ttl=-3; detail=rescued-truncated",
        || {
            let mut rig = ask_after(page(), 3, "");
            rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
                .end_of(Side::Origin);
            rig
        },
    ),
    (
        BELOW,
        "-protocol",
        "retter; fwd=stale; ttl=-3; detail=rescued-protocol",
        || {
            let mut rig = ask_after(page(), 3, "");
            rig.reply("what?\r\n\r\n");
            rig
        },
    ),
    (
        ANSWER,
        "retter; fwd=uri-miss; fwd-status=200",
        "retter; fwd=uri-miss; fwd-status=200",
        || answered(Rig::new(), &get("/", "")),
    ),
    (
        ANSWER,
        "vary-miss",
        "retter; fwd=vary-miss; fwd-status=200",
        || {
            let mut rig = Rig::new();
            rig.send(&get("/", "Accept-Language: de\r\n"))
                .reply("HTTP/1.1 200 OK\r\nVary: Accept-Language\r\nContent-Length: 0\r\n\r\n");
            rig.received();
            answered(rig, &get("/", "Accept-Language: en\r\n"))
        },
    ),
    (ANSWER, "stale", "retter; fwd=stale; fwd-status=404", || {
        let mut rig = page();
        rig.send(&get("/", ""))
            .reply("HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno");
        rig
    }),
    (
        HELD,
        "retter; fwd=stale; fwd-status=200; stored",
        "retter; fwd=stale; fwd-status=200; stored",
        || answered(page(), &get("/", "")),
    ),
    (
        HELD,
        "request",
        "retter; fwd=request; fwd-status=200; stored",
        || {
            let asks = get("/", "Cache-Control: no-cache\r\n");
            answered(fresh("max-age=9"), &asks)
        },
    ),
    (
        ANSWER,
        "method",
        "retter; fwd=method; fwd-status=200",
        || answered(Rig::new(), "OPTIONS / HTTP/1.1\r\nHost: h\r\n\r\n"),
    ),
    (
        ANSWER,
        "bypass",
        "retter; fwd=bypass; fwd-status=200",
        || {
            let upgrade = get("/", "Connection: upgrade\r\nUpgrade: websocket\r\n");
            answered(Rig::new(), &upgrade)
        },
    ),
    (
        "failure below HTTP, no copy",
        "retter; fwd=uri-miss; detail=timeout",
        "retter; fwd=uri-miss; detail=timeout",
        || {
            let mut rig = ask_after(Rig::new(), 0, "");
            rig.wait(Duration::from_secs(15));
            rig
        },
    ),
    (
        REFUSED,
        "retter; fwd=uri-miss; detail=circuit-open-no-copy",
        "retter; fwd=uri-miss; detail=circuit-open-no-copy",
        || {
            let rig = Rig::new();
            open_circuit(&rig);
            ask_after(rig, 0, "")
        },
    ),
    (
        REFUSED,
        "overload-no-copy",
        "retter; fwd=uri-miss; detail=overload-no-copy",
        || {
            let busy = full(&Rig::with(one_slot()));
            let mut rig = ask_after(busy.another(), 0, "");
            rig.wait(Duration::from_secs(1));
            rig
        },
    ),
    (
        REFUSED,
        "only-if-cached",
        "retter; fwd=uri-miss; detail=only-if-cached",
        || ask_after(Rig::new(), 0, "Cache-Control: only-if-cached\r\n"),
    ),
    (
        "in the waiting room: the application is full, and others were here before",
        "retter; fwd=uri-miss; detail=waiting-room",
        "retter; fwd=uri-miss; detail=waiting-room",
        || {
            let busy = full(&Rig::with(one_slot()));
            let mut rig = ask_after(busy.another(), 0, "Accept: text/html\r\n");
            rig.wait(Duration::from_secs(1));
            rig
        },
    ),
    (
        SHARED,
        "retter; fwd=uri-miss; fwd-status=200; collapsed",
        "retter; fwd=uri-miss; fwd-status=200; collapsed",
        || {
            shared(|lead| {
                lead.reply(PAGE);
            })
        },
    ),
    (
        SHARED,
        "fwd-status=503",
        "retter; fwd=uri-miss; fwd-status=503; collapsed",
        || {
            shared(|lead| {
                lead.reply(OOPS);
            })
        },
    ),
    (
        SHARED,
        "detail=reset",
        "retter; fwd=uri-miss; collapsed; detail=reset",
        || {
            shared(|lead| {
                lead.input(Input::ReadFailed(Side::Origin));
            })
        },
    ),
];

#[test]
fn every_case_of_the_book_is_told_to_the_letter() {
    let page = include_str!("../../../../docs/src/answers.md");
    let (_, table) = page.split_once("| case | value |\n|---|---|\n").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap_or((table, ""));
    let mut rows: Vec<&str> = table.lines().collect();
    for (case, shown, value, story) in CASES {
        let mut rig = story();
        let received = rig.received();
        let told = field(&received, "cache-status");
        assert_eq!(told, Some(*value), "{case}: {received}");
        let start = format!("| {case} | ");
        let row = table.lines().find(|row| row.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("no row `{case}` in docs/src/answers.md"));
        assert!(row.contains(&format!("`{shown}`")), "{shown} in {row}");
        rows.retain(|row| !row.starts_with(&start));
    }
    assert!(rows.is_empty(), "nobody has seen this: {rows:?}");
}

/// RFC 9211 §2.6: `stored` says that it was, so nothing says it whose end is not here yet.
#[test]
fn nothing_is_called_stored_that_is_not() {
    let told = |rig: &mut Rig| {
        let received = rig.received();
        let told = field(&received, "cache-status").unwrap_or_default();
        told.to_owned()
    };
    // It begins to be sent before its end is here, and may break off.
    let mut rig = Rig::new();
    let (begin, rest) = PAGE.split_at(PAGE.len() - 2);
    rig.send(&get("/", "")).reply(begin);
    assert_eq!(told(&mut rig), "retter; fwd=uri-miss; fwd-status=200");
    rig.reply(rest);
    assert_eq!(rig.gateway.site().stats(rig.now).copies, 1);
    // It is held back, and kept or not.
    for (overtaken, expected) in [
        (false, "retter; fwd=stale; fwd-status=200; stored"),
        (true, "retter; fwd=stale; fwd-status=200"),
    ] {
        let mut rig = page();
        rig.send(&get("/", "")).reply(begin);
        assert_eq!(rig.received(), "");
        if overtaken {
            let mut writer = rig.another();
            writer
                .send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
                .reply("HTTP/1.1 204 No Content\r\n\r\n");
        }
        rig.reply(rest);
        assert_eq!(told(&mut rig), expected);
        assert_eq!(
            rig.gateway.site().stats(rig.now).copies,
            usize::from(!overtaken)
        );
    }
}

/// A client whose page is kept, which nothing is said about.
fn page() -> Rig {
    page_of(Settings::default())
}

/// A client without a copy of its own, of whose page a stranger was sent one.
fn sent_to_a_stranger() -> Rig {
    let private = PAGE.replace("ETag", "Cache-Control: private\r\nETag");
    let rig = Rig::new();
    assert!(rig.refresh().is_none());
    rig.another().send(&get("/", "")).reply(&private);
    rig.refresh().expect("it is wanted").reply(&private);
    rig
}

fn page_of(settings: Settings) -> Rig {
    answered_before(Rig::with(settings), PAGE)
}

/// A client whose page is kept with this `Cache-Control`.
fn fresh(cache_control: &str) -> Rig {
    let fields = format!("ETag: \"v1\"\r\nCache-Control: {cache_control}\r\nContent-Length: 4");
    let page = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\ngood");
    answered_before(Rig::new(), &page)
}

fn answered_before(mut rig: Rig, page: &str) -> Rig {
    rig.send(&get("/", "")).reply(page);
    rig.received();
    rig
}

/// The client asks, and the application answers.
fn answered(mut rig: Rig, request: &str) -> Rig {
    rig.send(request).reply(PAGE);
    rig
}

/// Another client, that many seconds later.
fn later(mut rig: Rig, seconds: u64) -> Rig {
    rig.now = rig.now + Duration::from_secs(seconds);
    rig.another()
}

/// Another client asks, that many seconds later.
fn ask_after(rig: Rig, seconds: u64, fields: &str) -> Rig {
    let mut rig = later(rig, seconds);
    rig.send(&get("/", fields));
    rig
}

fn one_slot() -> Settings {
    let mut settings = Settings::default();
    settings.site.admission.in_flight_max = 1;
    settings
}

/// A time-out that comes before anything else is noticed.
fn never_slow() -> Settings {
    let mut settings = Settings::default();
    settings.site.breaker.slow_rate = None;
    settings.site.origin.head_timeout = Duration::from_secs(3);
    settings
}

/// Another client has the only slot.
fn full(rig: &Rig) -> Rig {
    let mut busy = rig.another();
    busy.send(&get("/busy", ""));
    busy
}

/// Three ask for one page while the application is full, and each that asks is answered so; the answer
/// is the last one's.
fn shared(answer: fn(&mut Rig)) -> Rig {
    let mut busy = full(&Rig::with(one_slot()));
    let [mut lead, mut next, mut other] = [busy.another(), busy.another(), busy.another()];
    for rig in [&mut lead, &mut next, &mut other] {
        rig.send(&get("/", ""));
    }
    busy.reply(PAGE);
    for rig in [&mut lead, &mut next] {
        rig.settle();
        if rig.asked().is_empty() {
            break;
        }
        answer(rig);
    }
    other.settle();
    other
}

/// The client asks, and no connection can be made; the rig by itself would make one.
fn unreachable(rig: &mut Rig, path: &str) {
    let request = get(path, "");
    let room = rig.session.read_buf(Side::Client);
    room[..request.len()].copy_from_slice(request.as_bytes());
    rig.session
        .handle_read(Side::Client, request.len(), rig.now);
    let connect = CONNECT;
    assert_eq!(rig.session.poll_action(), Some(connect));
    rig.input(Input::ConnectFailed);
}

fn open_circuit(rig: &Rig) {
    for _ in 0..5 {
        let mut other = rig.another();
        unreachable(&mut other, "/none");
    }
}
