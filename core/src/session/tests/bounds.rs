//! What is bounded: requests at the origin, and the time that peers have.

use std::io::IoSlice;
use std::time::Duration;

use super::rig::{PAGE, Rig, body, field, get, rest_of_upload, status, uncalled, upload};
use crate::config::Settings;
use crate::limits::IOVECS_MAX;
use crate::session::{Action, Input, Side, Standing};

#[test]
fn a_full_origin_answers_from_copies() {
    let mut settings = Settings::default();
    settings.site.admission.in_flight_max = 1;
    let mut rig = Rig::with(settings);
    rig.send(&get("/", "")).reply(PAGE);
    rig.received();
    let mut busy = rig.another();
    busy.send(&get("/slow", ""));
    rig.send(&get("/", ""));
    assert_eq!(rig.received(), "", "a place is expected at once");
    rig.wait(Duration::from_millis(50));
    let received = rig.received();
    let told = field(&received, "cache-status").unwrap();
    assert!(told.ends_with("detail=overload"), "{told}");
    // None has become free for so long: whoever comes now does not wait.
    rig.send(&get("/", ""));
    let received = rig.received();
    let told = field(&received, "cache-status").unwrap();
    assert!(told.ends_with("detail=overload"), "{told}");
    rig.send(&get("/new", ""));
    assert_eq!(rig.received(), "", "it waits");
    rig.wait(Duration::from_secs(1));
    let received = rig.received();
    assert_eq!(
        (status(&received), field(&received, "retry-after")),
        (503, Some("1"))
    );
    busy.reply(PAGE);
    rig.send(&get("/new", "")).reply(PAGE);
    assert_eq!(status(&rig.received()), 200, "the slot is free again");
}

#[test]
fn a_get_with_content_is_never_kept_and_never_answered_from_a_copy() {
    #[track_caller]
    fn check(first: &str, later: &str) {
        let mut rig = Rig::new();
        rig.send(first).reply(PAGE);
        assert_eq!(status(&rig.received()), 200);
        let mut rig = rig.another();
        rig.send(later).reply(FAILED);
        assert_eq!(status(&rig.received()), 500);
    }
    const FAILED: &str = "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n";
    let plain = get("/", "");
    let length = get("/", "Content-Length: 3\r\n") + "q=x";
    let chunked = get("/", "Transfer-Encoding: chunked\r\n") + "3\r\nq=x\r\n0\r\n\r\n";
    check(&length, &plain);
    check(&chunked, &plain);
    check(&plain, &length);
    check(&plain, &chunked);
}

#[test]
fn a_variant_chosen_without_a_field_is_not_kept_for_who_sends_it() {
    #[track_caller]
    fn check(connection: &str, expected: u16) {
        let mut rig = Rig::new();
        let german = "Accept-Language: de\r\n";
        let fields = format!("{german}Connection: {connection}\r\n");
        let varies = PAGE.replace("\r\nETag", "\r\nVary: Accept-Language\r\nETag");
        rig.send(&get("/", &fields)).reply(&varies);
        assert_eq!(status(&rig.received()), 200);
        let mut rig = rig.another();
        rig.send(&get("/", german));
        rig.reply("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(status(&rig.received()), expected);
    }
    check("keep-alive", 200);
    check("x-other", 200);
    check("Accept-Language", 500);
}

#[test]
fn keys_and_tokens_keep_users_apart() {
    const FAILED: &str = "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n";
    for name in [
        "X-API-Key",
        "x-auth-token",
        "X-Forwarded-User",
        "Private-Token",
    ] {
        let mut rig = Rig::behind_proxies();
        rig.send(&get("/me", &format!("{name}: alice\r\n")))
            .reply(PAGE);
        assert_eq!(status(&rig.received()), 200);
        for (fields, expected) in [("", 500), ("bob", 500), ("alice", 200)] {
            let fields = match fields {
                "" => String::new(),
                user => format!("{name}: {user}\r\n"),
            };
            let mut rig = rig.another();
            rig.send(&get("/me", &fields)).reply(FAILED);
            assert_eq!(status(&rig.received()), expected, "{name} {fields}");
        }
    }
}

#[test]
fn what_only_a_proxy_may_say_is_neither_passed_on_nor_part_of_a_key() {
    const FAILED: &str = "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n";
    let forged = [
        "X-Forwarded-User: alice\r\n",
        "X_Forwarded_User: alice\r\n",
        "X-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\n",
        "Forwarded: for=1.2.3.4;host=evil;proto=https\r\n",
        "X-Real-IP: 127.0.0.1\r\nX-Original-Host: evil\r\n",
    ];
    let mut rig = Rig::new();
    rig.send(&get("/", "")).reply(PAGE);
    let asked = uncalled(&rig.asked());
    for fields in forged {
        let mut rig = rig.another();
        rig.send(&get("/", fields));
        let own = uncalled(&rig.asked()).replace("If-None-Match: \"v1\"\r\n", "");
        assert_eq!(own, asked, "{fields}");
        rig.reply(FAILED);
        assert_eq!(status(&rig.received()), 200, "one copy for all: {fields}");
        assert!(rig.reports.pop().unwrap().claims_forwarding);
    }
    // Of a trusted proxy each of them is another page, or another visitor.
    let mut rig = Rig::behind_proxies();
    rig.send(&get("/", "")).reply(PAGE);
    for (fields, expected) in forged.into_iter().zip([500, 200, 500, 500, 200]) {
        let mut rig = rig.another();
        rig.send(&get("/", fields)).reply(FAILED);
        assert_eq!(status(&rig.received()), expected, "{fields}");
    }
}

/// What a peer that moves one byte every `every` gets: how long until the session acts.
fn trickle(rig: &mut Rig, every: Duration, mut step: impl FnMut(&mut Rig) -> bool) -> u64 {
    let start = rig.now;
    while step(rig) {
        rig.wait(every);
        let waited = rig.now.saturating_since(start);
        assert!(
            waited < Duration::from_secs(3600),
            "a trickle goes on for ever"
        );
    }
    rig.now.saturating_since(start).as_secs()
}

#[test]
fn a_trickle_of_a_request_head_or_body_ends() {
    let every = Duration::from_secs(5);
    let mut rig = Rig::new();
    rig.send("GET / HTTP/1.1\r\nHost: h\r\nX: ");
    let secs = trickle(&mut rig, every, |rig| {
        rig.offer(Side::Client, b"x");
        rig.client.is_empty()
    });
    assert_eq!((secs, status(&rig.received())), (15, 408));

    for framing in ["Content-Length: 9999", "Transfer-Encoding: chunked"] {
        let mut rig = Rig::new();
        rig.send(&format!("POST / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n"));
        let chunked = framing.contains("chunked");
        let secs = trickle(&mut rig, every, |rig| {
            rig.offer(Side::Client, if chunked { b"1\r\nx\r\n" } else { b"x" });
            rig.client.is_empty()
        });
        let expected = (20, 408);
        assert_eq!(
            (secs, status(&rig.received())),
            expected,
            "{framing}: 15 s and what the bytes earned"
        );
    }
}

#[test]
fn the_origin_hears_of_content_that_is_here() {
    #[track_caller]
    fn check(head: &str, content: &str) {
        for piece in [usize::MAX, 1, 7] {
            let mut rig = Rig::new();
            rig.piece = piece;
            let (some, last) = content.split_at(content.len() - 1);
            rig.send(&format!("POST / HTTP/1.1\r\nHost: h\r\n{head}\r\n\r\n"));
            rig.send(some).wait(Duration::from_secs(9));
            let since = rig.now - Duration::from_secs(9);
            assert_eq!(rig.session.standing(), Standing::Reading(since));
            assert_eq!((rig.asked(), rig.took()), (String::new(), Vec::new()));
            rig.send(last);
            let asked = rig.asked();
            assert!(
                asked.starts_with("POST / ") && asked.ends_with(content),
                "{asked}"
            );
            rig.reply(PAGE);
            assert_eq!(status(&rig.received()), 200, "{head}");
        }
    }
    check("Content-Length: 5", "hello");
    check("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n");
    check(
        "Transfer-Encoding: chunked",
        "5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n",
    );
}

#[test]
fn content_that_does_not_come_is_nothing_to_the_origin() {
    const HALF: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel";
    /// What it is called, how it ends, and what the client gets.
    type Ending = (&'static str, fn(&mut Rig), u16);
    let ends: [Ending; 4] = [
        (
            "late",
            |rig| drop(rig.wait(Duration::from_secs(16)).took()),
            408,
        ),
        ("left", |rig| drop(rig.end_of(Side::Client).took()), 0),
        (
            "gone",
            |rig| drop(rig.input(Input::ReadFailed(Side::Client)).took()),
            0,
        ),
        (
            "pushed out",
            |rig| drop(rig.input(Input::GiveWay).took()),
            0,
        ),
    ];
    for (what, end, expected) in ends {
        let mut rig = Rig::new();
        rig.send(HALF);
        end(&mut rig);
        assert_eq!(rig.asked(), "", "{what}");
        assert_eq!(status(&rig.received()), expected, "{what}");
        let last = rig.reports.pop().expect("it is reported");
        assert!(last.request.is_some() && last.origin.is_none(), "{what}");
        rig.wait(Duration::from_secs(2));
        assert!(rig.session.is_done(), "{what}");
    }
}

#[test]
fn a_client_that_waits_for_a_100_gets_it_from_the_origin() {
    let mut rig = Rig::new();
    rig.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert!(rig.asked().contains("100-continue"));
    rig.reply("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(status(&rig.received()), 100);
}

#[test]
fn a_slow_honest_upload_arrives() {
    let mut rig = Rig::new();
    rig.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
    for _ in 0..100 {
        rig.wait(Duration::from_secs(4));
        rig.feed(Side::Client, &[b'x'; 1000]);
    }
    rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(status(&rig.received()), 200);
}

#[test]
fn a_client_that_takes_its_answer_in_drops_is_cut_off() {
    let mut rig = Rig::new();
    rig.client_reads = false;
    rig.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n");
    rig.feed(Side::Origin, &[b'x'; 9999]);
    let secs = trickle(&mut rig, Duration::from_secs(5), |rig| {
        if !rig.session.is_done() {
            rig.session.handle_written(Side::Client, 1, rig.now);
            rig.settle();
        }
        !rig.session.is_done()
    });
    assert_eq!(secs, 20, "15 s, and what the bytes earned");
}

#[test]
fn an_origin_that_trickles_is_given_up() {
    let every = Duration::from_secs(5);
    let mut rig = Rig::new();
    rig.send(&get("/", ""));
    rig.reply("HTTP/1.1 200 OK\r\nX: ");
    let secs = trickle(&mut rig, every, |rig| {
        rig.offer(Side::Origin, b"x");
        rig.client.is_empty()
    });
    assert_eq!(
        (secs, status(&rig.received())),
        (15, 504),
        "inside its head"
    );

    let mut rig = Rig::new();
    rig.send(&get("/", ""));
    rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n");
    let secs = trickle(&mut rig, every, |rig| {
        rig.offer(Side::Origin, b"x");
        !rig.session.is_done()
    });
    assert_eq!(
        secs, 65,
        "inside a body of known length: 60 s and what the bytes earned"
    );

    let mut rig = Rig::new();
    rig.send(&get("/", "")).reply(PAGE);
    rig.received();
    rig.send(&get("/", ""));
    rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n");
    let secs = trickle(&mut rig, every, |rig| {
        rig.offer(Side::Origin, b"x");
        rig.client.is_empty()
    });
    assert!(secs <= 15, "inside a held one: {secs}");
    assert_eq!(body(&rig.received()), "good");
}

#[test]
fn live_streams_may_be_slow() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    ] {
        let mut rig = Rig::new();
        rig.send(&get("/", "")).reply(head);
        for _ in 0..100 {
            rig.wait(Duration::from_secs(50)).reply("1\r\nx\r\n");
        }
        assert!(!rig.session.is_done(), "{head}");
    }
}

#[test]
fn a_client_that_runs_no_request_gives_way() {
    let mut rig = Rig::new();
    assert_eq!(rig.session.standing(), Standing::Reading(rig.now));
    rig.input(Input::GiveWay);
    assert!(rig.session.is_done(), "a silent one");

    let mut rig = Rig::new();
    rig.send(&get("/", "")).reply(PAGE);
    assert_eq!(rig.session.standing(), Standing::Idle(rig.now));
    rig.input(Input::GiveWay);
    assert!(rig.session.is_done(), "an idle one");

    let mut rig = Rig::new();
    rig.send("GET / HT");
    assert_eq!(rig.session.standing(), Standing::Reading(rig.now));
    rig.input(Input::GiveWay);
    assert!(rig.session.is_done(), "one inside a head");

    let mut rig = Rig::new();
    rig.send(&get("/", ""));
    assert_eq!(rig.session.standing(), Standing::Busy);
    rig.input(Input::GiveWay);
    rig.reply(PAGE);
    let received = rig.received();
    assert_eq!((status(&received), body(&received)), (200, "good"));
    assert_eq!(field(&received, "connection"), Some("close"));
    assert!(rig.is_closing(), "behind its answer");
}

/// How long a client may be slow until it is called so.
const SLOW: Duration = Duration::from_millis(7_500);

/// The client takes as many bytes in each second.
fn takes(rig: &mut Rig, bytes: usize, seconds: u32) {
    for _ in 0..seconds {
        rig.wait(Duration::from_secs(1));
        let mut slices = [IoSlice::new(&[]); IOVECS_MAX];
        let count = rig.session.write_slices(Side::Client, &mut slices);
        let ready: usize = slices[..count].iter().map(|slice| slice.len()).sum();
        rig.session
            .handle_written(Side::Client, bytes.min(ready), rig.now);
    }
}

#[test]
fn a_slow_client_gives_way_and_one_that_moves_does_not() {
    let large = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{}",
        "x".repeat(1_000_000)
    );
    for (bytes, gives_way) in [(0, true), (600, true), (4_000, true), (40_000, false)] {
        let mut rig = Rig::new();
        rig.client_reads = false;
        rig.send(&get("/", "")).reply(&large);
        assert_eq!(rig.session.standing(), Standing::Owing(rig.now + SLOW));
        takes(&mut rig, bytes, 14);
        rig.input(Input::GiveWay);
        assert_eq!(rig.session.is_done(), gives_way, "{bytes} bytes a second");
        let is_reset = rig.took().contains(&Action::Abort(Side::Client));
        assert_eq!(is_reset, gives_way);
        let reports = rig.reports.len();
        assert_eq!(reports, usize::from(gives_way), "it is reported once");
    }
}

#[test]
fn what_was_fast_buys_a_client_no_slow_minute() {
    let large = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n{}",
        "x".repeat(4_000_000)
    );
    let mut rig = Rig::new();
    rig.client_reads = false;
    rig.send(&get("/", "")).reply(&large);
    takes(&mut rig, 3_000_000, 1);
    takes(&mut rig, 600, 8);
    rig.input(Input::GiveWay);
    assert!(rig.session.is_done());
}

#[test]
fn a_slow_sender_gives_way_until_all_is_here() {
    let mut rig = Rig::new();
    rig.send(&upload());
    assert!(rig.asked().starts_with("POST / "));
    assert!(matches!(rig.session.standing(), Standing::Owing(_)));
    rig.wait(SLOW - Duration::from_secs(1))
        .input(Input::GiveWay);
    rig.send(&rest_of_upload());
    assert_eq!(rig.session.standing(), Standing::Busy, "the origin works");
    rig.wait(SLOW).reply(PAGE);
    assert_eq!(status(&rig.received()), 200, "told too early");

    let mut rig = Rig::new();
    rig.send(&upload()).wait(SLOW).input(Input::GiveWay);
    assert!(rig.session.is_done());
}

#[test]
fn an_idle_connection_holds_little() {
    let mut rig = Rig::new();
    let first = rig.session.read_buf(Side::Client).len();
    assert!(first <= 2048, "{first}");
    rig.send(&format!(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999\r\n\r\n{}",
        "x".repeat(9999)
    ));
    assert!(
        rig.session.read_buf(Side::Client).len() > 2048,
        "and more when more comes"
    );
    rig.feed(Side::Client, &vec![b'x'; 90_000]);
    rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let again = rig.session.read_buf(Side::Client).len();
    assert!(again <= 2048, "{again}");
}

#[test]
fn a_slow_honest_download_is_not_cut_by_the_steps_of_the_kernel() {
    let mut rig = Rig::new();
    rig.client_reads = false;
    rig.send(&get("/", ""));
    rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n");
    for _ in 0..20 {
        // A step of half a megabyte shows after 25 s at 20 kB a second.
        let mut step = 500_000;
        while step > 0 {
            let room = rig.session.read_buf(Side::Origin).len();
            rig.session.handle_read(Side::Origin, room, rig.now);
            let mut slices = [IoSlice::new(&[]); 8];
            let count = rig.session.write_slices(Side::Client, &mut slices);
            let queued: usize = slices[..count].iter().map(|slice| slice.len()).sum();
            let len = queued.min(step);
            rig.session.handle_written(Side::Client, len, rig.now);
            step -= len;
        }
        rig.wait(Duration::from_secs(25));
        assert!(!rig.session.is_done());
    }
    rig.wait(Duration::from_secs(61));
    assert!(rig.session.is_done(), "silence ends it all the same");
}
