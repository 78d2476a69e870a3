//! What a client gets when the origin takes longer than it should.

use std::time::Duration;

use super::rig::{CONNECT, DETACH, PAGE, PARK, Rig, body, field, get, status};
use crate::breaker::State;
use crate::config::Settings;
use crate::report::CallId;
use crate::report::Source;
use crate::session::{Action, CallTimer, Side, Timer};

const SECOND: Duration = Duration::from_secs(1);

/// A rig with copies of these paths.
fn warm(paths: &[&str]) -> Rig {
    let mut rig = Rig::new();
    assert!(rig.refresh().is_none());
    for path in paths {
        rig.send(&get(path, "")).reply(PAGE);
    }
    rig.received();
    rig.asked();
    rig.took();
    rig.reports.clear();
    rig
}

#[test]
fn a_copy_answers_when_the_origin_is_slow_and_is_renewed_all_the_same() {
    let mut rig = warm(&["/"]);
    rig.send(&get("/", ""));
    assert_eq!(
        rig.session.poll_timer(),
        Some(Timer::Call(CallId::FIRST, CallTimer::Slow))
    );
    rig.wait(SECOND - Duration::from_millis(1));
    assert_eq!(rig.received(), "");
    rig.wait(Duration::from_millis(1));
    let received = rig.received();
    assert_eq!((status(&received), body(&received)), (200, "good"));
    let told = field(&received, "cache-status").unwrap();
    assert_eq!(told, "retter; fwd=stale; ttl=-1; detail=slow");
    assert_eq!(field(&received, "x-retter"), Some("cache"));
    assert_eq!(rig.took(), [CONNECT, DETACH]);
    let report = rig.reports.pop().unwrap();
    assert!(report.origin.is_none(), "the refresh tells of the origin");
    assert_eq!(rig.gateway.site().stats(rig.now).slow_calls, 1);

    // The client goes on at once, on the same connection; the origin's answer is the new copy.
    let mut renewal = rig.detached();
    rig.send(&get("/next", "")).reply(PAGE);
    assert_eq!(status(&rig.received()), 200);
    assert_eq!(rig.gateway.site().stats(rig.now).admission.in_flight, 1);
    renewal.reply("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew");
    assert!(renewal.session.is_done());
    assert_eq!(renewal.took(), [PARK]);
    assert_eq!(renewal.reports[0].source, Source::Refresh);
    assert_eq!(rig.gateway.site().stats(rig.now).admission.in_flight, 0);
    rig.send(&get("/", "")).end_of(Side::Origin);
    assert_eq!(body(&rig.received()), "new");
}

#[test]
fn what_cannot_renew_the_copy_is_dropped() {
    // The part is cut from the copy, but what the origin sends of it renews nothing.
    let asked = [
        ("If-None-Match: \"old\"\r\n", "good"),
        ("Range: bytes=0-1\r\n", "go"),
    ];
    for (fields, expected) in asked {
        let mut rig = warm(&["/"]);
        rig.send(&get("/", fields)).wait(SECOND);
        assert_eq!(body(&rig.received()), expected);
        assert!(rig.took().contains(&Action::Close(Side::Origin)));
        assert!(rig.detached.is_empty());
        assert_eq!(rig.gateway.site().stats(rig.now).admission.in_flight, 0);
        assert!(rig.reports[0].origin.is_some());
    }
    // Of many that wait for the same page one goes on.
    let mut rig = warm(&["/"]);
    let mut other = rig.another();
    rig.send(&get("/", "")).wait(SECOND);
    other.send(&get("/", "")).wait(SECOND);
    assert_eq!(
        (body(&rig.received()), body(&other.received())),
        ("good", "good")
    );
    assert_eq!((rig.detached.len(), other.detached.len()), (1, 0));
    // Given up, it frees its slot.
    assert_eq!(rig.gateway.site().stats(rig.now).admission.in_flight, 1);
    rig.detached.clear();
    assert_eq!(rig.gateway.site().stats(rig.now).admission.in_flight, 0);
}

#[test]
fn without_a_copy_it_waits_and_counts_once() {
    let mut rig = Rig::new();
    rig.send(&get("/", "")).wait(2 * SECOND);
    assert_eq!(rig.received(), "");
    assert_eq!(
        rig.session.poll_timer(),
        Some(Timer::Call(CallId::FIRST, CallTimer::OriginHead))
    );
    rig.reply(PAGE);
    assert_eq!(status(&rig.received()), 200);
    assert_eq!(rig.gateway.site().stats(rig.now).slow_calls, 1);
    // It is slow by nature: that is known now.
    rig.send(&get("/", "")).wait(7 * SECOND);
    assert_eq!(rig.received(), "");
    rig.wait(SECOND);
    assert_eq!(body(&rig.received()), "good");
}

#[test]
fn a_hanging_origin_is_found_within_a_few_requests() {
    const PATHS: [&str; 5] = ["/a", "/b", "/c", "/d", "/e"];
    let rig = warm(&PATHS);
    let mut waiting: Vec<Rig> = PATHS
        .map(|path| {
            let mut visitor = rig.another();
            visitor.send(&get(path, ""));
            visitor
        })
        .into();
    for visitor in &mut waiting {
        visitor.wait(SECOND);
        assert_eq!(body(&visitor.received()), "good");
    }
    let now = rig.now + SECOND;
    assert_eq!(rig.gateway.site().circuit(now), State::Open);
    let reason = rig.transitions().remove(0).reason.to_string();
    assert_eq!(reason, "5 slow in a row (over 1.0 s), 3 paths");
    let mut late = Rig::on(rig.gateway.clone(), now);
    late.send(&get("/a", ""));
    let received = late.received();
    assert_eq!(
        (body(&received), field(&received, "x-circuit")),
        ("good", Some("OPEN"))
    );

    // A probe that hangs is found as soon, and leaves it alone for longer.
    late.now = rig.gateway.site().poll_refresh_timeout(now).unwrap();
    let mut probe = late.refresh().unwrap();
    probe.wait(SECOND);
    assert_eq!(rig.gateway.site().circuit(probe.now), State::Open);
    let reason = rig.transitions().pop().unwrap().reason;
    assert!(
        reason
            .to_string()
            .starts_with("probe slow (over 1.0 s), next"),
        "{reason}"
    );
    probe.reply(PAGE);
    assert!(probe.session.is_done());
}

#[test]
fn probes_that_hang_do_not_keep_the_next_one_back() {
    const PATHS: [&str; 5] = ["/a", "/b", "/c", "/d", "/e"];
    let mut rig = warm(&PATHS);
    let mut waiting = Vec::new();
    for path in PATHS {
        let mut visitor = rig.another();
        visitor.send(&get(path, ""));
        waiting.push(visitor);
    }
    for visitor in &mut waiting {
        visitor.wait(SECOND);
    }
    rig.now = rig.now + SECOND;
    assert_eq!(rig.gateway.site().circuit(rig.now), State::Open);
    // More rounds than there are slots for renewals.
    for round in 0..3 {
        let mut probe = loop {
            if let Some(probe) = rig.refresh() {
                break probe;
            }
            let state = rig.gateway.site().circuit(rig.now);
            assert_eq!(state, State::Open, "round {round}: it is due");
            rig.now = rig.gateway.site().poll_refresh_timeout(rig.now).unwrap();
        };
        probe.wait(SECOND);
        rig.now = probe.now;
        waiting.push(probe);
    }
    assert!(
        rig.gateway.site().stats(rig.now).admission.in_flight >= 4,
        "all of them hang"
    );
}

#[test]
fn what_lasts_by_nature_is_not_slow() {
    let slow = |act: fn(&mut Rig)| {
        let mut rig = warm(&["/"]);
        act(&mut rig);
        rig.gateway.site().stats(rig.now).slow_calls
    };
    let never: [fn(&mut Rig); 5] = [
        |rig| {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
            rig.send(&get("/events", "")).reply(head).wait(60 * SECOND);
        },
        |rig| {
            let head = "HTTP/1.1 101 Switching\r\nUpgrade: ws\r\nConnection: upgrade\r\n\r\n";
            rig.send(&get("/ws", "Connection: upgrade\r\nUpgrade: ws\r\n"));
            rig.reply(head).wait(60 * SECOND);
        },
        |rig| {
            // A client that sends slowly.
            rig.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n");
            rig.wait(5 * SECOND)
                .send("half")
                .wait(5 * SECOND)
                .send("a bit");
            rig.reply(PAGE);
        },
        |rig| {
            // A large body, which takes its time.
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n";
            rig.send(&get("/large", "")).reply(head).wait(5 * SECOND);
        },
        |rig| {
            rig.send(
                "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
            );
            rig.wait(5 * SECOND);
        },
    ];
    for act in never {
        assert_eq!(slow(act), 0);
    }
    let late = slow(|rig| {
        rig.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
        rig.wait(SECOND);
    });
    assert_eq!(late, 1);
}

#[test]
fn slowness_can_be_switched_off() {
    let mut settings = Settings::default();
    settings.site.breaker.slow_rate = None;
    let mut rig = Rig::with(settings);
    rig.send(&get("/", "")).reply(PAGE);
    rig.received();
    rig.send(&get("/", "")).wait(14 * SECOND);
    assert_eq!(rig.received(), "");
    rig.wait(SECOND);
    assert_eq!(body(&rig.received()), "good");
}

#[test]
fn a_short_body_that_does_not_come_is_rescued_too() {
    let mut rig = warm(&["/"]);
    rig.send(&get("/", ""))
        .reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    rig.wait(SECOND);
    assert_eq!(body(&rig.received()), "good");
    let mut renewal = rig.detached();
    renewal.reply(" done").wait(SECOND);
    assert!(renewal.session.is_done());
    rig.send(&get("/", "")).end_of(Side::Origin);
    assert_eq!(body(&rig.received()), "half done");
}

#[test]
fn a_copy_that_may_not_be_used_stale_answers_for_nobody_slow() {
    let mut rig = Rig::new();
    let page = "HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\nETag: \"1\"\r\n\
                Content-Length: 4\r\n\r\ngood";
    rig.send(&get("/", "")).reply(page);
    rig.received();
    rig.send(&get("/", "")).wait(2 * SECOND);
    assert_eq!(rig.received(), "");
    rig.reply("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n");
    assert_eq!(body(&rig.received()), "good");
}

#[test]
fn a_slow_origin_is_waited_for_where_the_visitor_has_written_since_the_copy() {
    let cart = |what: &str| {
        let length = what.len();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{what}")
    };
    // Whether the write says by its answer which pages it changed or not: all may have.
    for write in [cart("added"), cart("").replace("200 OK", "204 No Content")] {
        for (page, written) in [("/cart", "/cart"), ("/cart", "/add"), ("/", "/cart?add=7")] {
            let mut rig = Rig::new();
            let visitor = "Cookie: PHPSESSID=a\r\n";
            rig.send(&get(page, visitor)).reply(&cart("one pear"));
            let post =
                format!("POST {written} HTTP/1.1\r\nHost: h\r\n{visitor}Content-Length: 0\r\n\r\n");
            rig.send(&post).reply(&write);
            rig.received();
            rig.send(&get(page, visitor)).wait(2 * SECOND);
            assert_eq!(rig.received(), "", "{page} after {written}");
            let mut other = rig.another();
            rig.reply(&cart("two pears"));
            assert_eq!(body(&rig.received()), "two pears");
            // Where the origin fails, what there was before is better than nothing.
            other.now = rig.now;
            other.send(&post).reply(&write);
            other.received();
            if page != written {
                other.send(&get(page, visitor)).end_of(Side::Origin);
                other.end_of(Side::Origin);
                assert_eq!(
                    body(&other.received()),
                    "two pears",
                    "{page} after {written}"
                );
            }
        }
    }
}
