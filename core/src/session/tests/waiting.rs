//! Requests that wait because the origin is full.

use std::time::Duration;

use super::rig::{
    CONNECT_ANEW, PAGE, Rig, body, field, get, of_call, rest_of_upload, status, upload,
};
use crate::config::Settings;
use crate::report::{End, Source};
use crate::session::{Action, CallTimer, Input, Side};

const FAILED: &str = "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n";
const POST: &str = "POST /order HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na=b";
const DONE: &str = "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok";

/// One slot, which a request for `/busy` has; and another client.
fn full() -> (Rig, Rig) {
    let mut settings = Settings::default();
    settings.site.admission.in_flight_max = 1;
    let mut busy = Rig::with(settings);
    busy.send(&get("/busy", ""));
    let other = busy.another();
    (busy, other)
}

/// What a client has received after it was woken.
fn woken(rig: &mut Rig) -> String {
    rig.settle();
    rig.received()
}

#[test]
fn it_is_sent_on_when_there_is_room() {
    let (mut busy, mut rig) = full();
    rig.send(&get("/", ""));
    assert_eq!(rig.asked(), "");
    assert_eq!(rig.session.poll_timer(), of_call(CallTimer::OriginRoom));
    busy.reply(PAGE);
    rig.settle();
    assert!(rig.asked().starts_with("GET / HTTP/1.1\r\n"));
    rig.reply(PAGE);
    let received = rig.received();
    assert_eq!(field(&received, "x-retter"), Some("backend"));
    let told = field(&received, "cache-status").unwrap();
    assert_eq!(told, "retter; fwd=uri-miss; fwd-status=200");
    assert_eq!(rig.gateway.site().stats(rig.now).admission.in_flight, 0);
}

#[test]
fn a_write_goes_before_reads_with_its_content() {
    let (mut busy, mut read) = full();
    let mut write = busy.another();
    read.send(&get("/", ""));
    write.send(POST);
    busy.reply(PAGE);
    read.settle();
    assert_eq!(read.asked(), "");
    write.settle();
    assert!(write.asked().ends_with("\r\n\r\na=b"));
    assert!(write.took().contains(&CONNECT_ANEW));
    write.reply(DONE);
    assert_eq!(status(&write.received()), 201);
    read.settle();
    assert!(read.asked().starts_with("GET / "));
}

#[test]
fn a_client_that_leaves_frees_its_place() {
    for gone in [Side::Client, Side::Origin] {
        let (mut busy, mut first) = full();
        let mut second = busy.another();
        first.send(&get("/1", ""));
        second.send(&get("/2", ""));
        if gone == Side::Client {
            first.end_of(Side::Client);
        } else {
            // The whole session is dropped, as when it is cut off.
            drop(std::mem::replace(&mut first, busy.another()));
        }
        busy.reply(PAGE);
        second.settle();
        assert!(second.asked().starts_with("GET /2 "));
        if gone == Side::Client {
            let report = &first.reports[0];
            assert_eq!(
                (report.end, report.source),
                (End::ClientLeft, Source::NoCache)
            );
            assert!(report.origin.is_none());
            assert!(!first.actions.contains(&Action::Close(Side::Origin)));
        }
    }
}

#[test]
fn what_was_sent_ahead_is_answered_in_order_after_the_wait() {
    let (mut busy, mut rig) = full();
    rig.send(&(get("/1", "") + &get("/2", "Connection: close\r\n")));
    busy.reply(PAGE);
    rig.settle();
    rig.reply(&PAGE.replace("good", "one!"));
    rig.reply(&PAGE.replace("good", "two!"));
    let received = rig.received();
    let (one, two) = (
        received.find("one!").unwrap(),
        received.find("two!").unwrap(),
    );
    assert!(one < two);
}

#[test]
fn a_client_that_joins_a_fetch_after_a_write_does_not_get_the_page_of_before() {
    let mut settings = Settings::default();
    settings.site.admission.in_flight_max = 2;
    let mut one = Rig::with(settings);
    let [mut two, mut leader, mut writer, mut follower] = [(); 4].map(|()| one.another());
    one.send(&get("/1", ""));
    two.send(&get("/2", ""));
    leader.send(&get("/order", ""));
    writer.send(POST);
    two.reply(PAGE);
    writer.settle();
    one.reply(PAGE);
    leader.settle();
    assert!(leader.asked().starts_with("GET /order "));
    writer.reply(DONE);
    one.send(&get("/1?again", ""));
    follower.send(&get("/order", ""));
    assert_eq!(follower.asked(), "", "it waits for the fetch that runs");
    leader.reply(PAGE);
    assert_eq!(body(&leader.received()), "good");
    follower.settle();
    assert!(follower.asked().starts_with("GET /order "));
    follower.reply(&PAGE.replace("good", "new!"));
    assert_eq!(body(&follower.received()), "new!");
}

#[test]
fn a_drain_lets_it_wait_and_then_closes() {
    let (mut busy, mut rig) = full();
    rig.send(&get("/", "")).input(Input::Drain);
    busy.reply(PAGE);
    rig.settle();
    rig.reply(PAGE);
    assert_eq!(field(&rig.received(), "connection"), Some("close"));
    assert!(rig.is_closing());
}

#[test]
fn a_refusal_after_the_wait_says_when_to_come_again() {
    let (_busy, mut rig) = full();
    rig.send(&get("/", "")).wait(Duration::from_millis(999));
    assert_eq!(rig.received(), "");
    rig.wait(Duration::from_millis(1));
    let received = rig.received();
    assert_eq!(status(&received), 503);
    assert!(field(&received, "retry-after").is_some());
    let told = field(&received, "cache-status").unwrap();
    assert!(told.ends_with("detail=overload-no-copy"), "{told}");
    // The connection is good for more.
    assert_eq!(field(&received, "connection"), None);
}

#[test]
fn one_fetch_is_for_all_who_wait_for_the_page() {
    let (mut busy, mut lead) = full();
    lead.send(&get("/", ""));
    let mut others: Vec<Rig> = (0..5).map(|_| busy.another()).collect();
    for other in &mut others {
        other.send(&get("/", "Accept-Encoding: gzip\r\n"));
    }
    busy.reply(PAGE);
    lead.settle();
    lead.reply(PAGE);
    assert_eq!(body(&lead.received()), "good");
    for other in &mut others {
        let received = woken(other);
        assert_eq!(body(&received), "good");
        assert_eq!(other.asked(), "", "it was not asked again");
        assert_eq!(field(&received, "x-retter"), Some("backend"));
        assert_eq!(
            field(&received, "cache-status"),
            Some("retter; fwd=uri-miss; fwd-status=200; collapsed")
        );
    }
}

#[test]
fn a_fetch_that_fails_for_two_fails_for_all_without_another_try() {
    let (mut busy, mut lead) = full();
    let [mut next, mut other] = [busy.another(), busy.another()];
    for rig in [&mut lead, &mut next, &mut other] {
        rig.send(&get("/", ""));
    }
    busy.reply(PAGE);
    for rig in [&mut lead, &mut next] {
        rig.settle();
        assert!(
            rig.asked().starts_with("GET / "),
            "what one asks with may be why"
        );
        rig.reply(FAILED);
        assert_eq!(status(&rig.received()), 500);
    }
    let received = woken(&mut other);
    assert_eq!(status(&received), 500);
    assert_eq!(field(&received, "x-retter"), Some("no-cache"));
    assert_eq!(field(&received, "retry-after"), None);
    assert_eq!(other.asked(), "");
    // Below HTTP.
    let (mut busy, mut lead) = full();
    let [mut next, mut other] = [busy.another(), busy.another()];
    for rig in [&mut lead, &mut next, &mut other] {
        rig.send(&get("/", ""));
    }
    busy.reply(PAGE);
    for rig in [&mut lead, &mut next] {
        rig.settle();
        rig.wait(Duration::from_millis(10))
            .input(Input::ReadFailed(Side::Origin));
        assert_eq!(status(&rig.received()), 502);
    }
    assert_eq!(status(&woken(&mut other)), 502);
}

#[test]
fn an_answer_for_nobody_else_is_fetched_by_each() {
    for reply in [
        PAGE.replace("\r\nETag", "\r\nCache-Control: no-store\r\nETag"),
        PAGE.replace("\r\nETag", "\r\nSet-Cookie: theme=dark\r\nETag"),
        "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngood".to_owned(),
    ] {
        let (mut busy, mut lead) = full();
        let mut other = busy.another();
        lead.send(&get("/", ""));
        other.send(&get("/", ""));
        busy.reply(PAGE);
        lead.settle();
        lead.reply(&reply);
        other.settle();
        assert!(other.asked().starts_with("GET / "), "{reply}");
        other.reply(&reply);
        assert_eq!(body(&other.received()), "good");
    }
}

#[test]
fn another_variant_is_fetched_by_who_wants_it() {
    let (mut busy, mut lead) = full();
    let mut other = busy.another();
    lead.send(&get("/", "Accept-Language: de\r\n"));
    other.send(&get("/", "Accept-Language: en\r\n"));
    busy.reply(PAGE);
    lead.settle();
    lead.reply(&PAGE.replace("\r\nETag", "\r\nVary: Accept-Language\r\nETag"));
    other.settle();
    assert!(other.asked().contains("Accept-Language: en"));
}

#[test]
fn users_never_share_a_fetch() {
    let (mut busy, mut anna) = full();
    let mut bert = busy.another();
    anna.send(&get("/me", "Cookie: PHPSESSID=anna\r\n"));
    bert.send(&get("/me", "Cookie: PHPSESSID=bert\r\n"));
    busy.reply(PAGE);
    anna.settle();
    anna.reply(&PAGE.replace("good", "anna"));
    bert.settle();
    assert!(bert.asked().contains("PHPSESSID=bert"));
    bert.reply(&PAGE.replace("good", "bert"));
    assert_eq!(body(&bert.received()), "bert");
}

#[test]
fn a_copy_that_came_meanwhile_is_the_answer() {
    let (mut busy, mut rig) = full();
    rig.send(&get("/busy", ""));
    busy.reply(PAGE);
    let received = woken(&mut rig);
    assert_eq!((body(&received), rig.asked().as_str()), ("good", ""));
    assert_eq!(rig.gateway.site().stats(rig.now).admission.in_flight, 0);
}

#[test]
fn a_client_that_waits_holds_no_probe_back() {
    let mut settings = Settings::default();
    settings.site.admission.in_flight_max = 1;
    settings.site.breaker.jitter = 0.0;
    let mut rig = Rig::with(settings);
    for _ in 0..5 {
        rig.send(&get("/", "")).reply(FAILED);
    }
    // The page's circuit is open; a write has the only slot when a probe is due.
    let mut busy = rig.another();
    busy.now = rig.now + Duration::from_secs(3);
    busy.send(POST);
    let mut first = busy.another();
    let mut second = busy.another();
    first.send(&get("/", ""));
    second.send(&get("/?other", ""));
    busy.reply(DONE);
    second.settle();
    first.settle();
    let asked = first.asked() + &second.asked();
    assert!(asked.starts_with("GET /"), "one of them is the probe");
    first.reply(PAGE);
    assert_eq!(status(&first.received()), 200);
}

#[test]
fn a_client_that_sends_nothing_keeps_nobody_out() {
    let mut settings = Settings::default();
    settings.site.admission.in_flight_max = 1;
    // Little content is waited for without the origin, much of it keeps its place for a second.
    let mut slower = Rig::with(settings.clone());
    slower.send("POST /order HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n");
    let mut rig = slower.another();
    rig.send(&get("/", ""));
    assert!(rig.asked().starts_with("GET / "));

    let mut slow = Rig::with(settings);
    slow.send(&upload());
    let mut rig = slow.another();
    rig.send(&get("/", ""));
    assert_eq!(rig.asked(), "");
    slow.wait(Duration::from_millis(999));
    rig.settle();
    assert_eq!(rig.asked(), "");
    slow.wait(Duration::from_millis(1));
    rig.now = slow.now;
    rig.settle();
    assert!(rig.asked().starts_with("GET / "));
    // It is answered all the same.
    slow.send(&rest_of_upload()).reply(DONE);
    assert_eq!(status(&slow.received()), 201);
}

#[test]
fn what_is_no_work_for_the_origin_holds_no_slot() {
    // A client that does not read, and a large download.
    let (mut busy, mut rig) = full();
    busy.client_reads = false;
    busy.reply("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n");
    while !busy.session.read_buf(Side::Origin).is_empty() {
        let len = busy.session.read_buf(Side::Origin).len();
        busy.session.handle_read(Side::Origin, len, busy.now);
    }
    rig.send(&get("/", ""));
    assert!(rig.asked().starts_with("GET / "));
    rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n");
    let piece = "x".repeat(64 << 10);
    for _ in 0..17 {
        rig.reply(&piece);
    }
    assert_eq!(rig.gateway.site().stats(rig.now).admission.in_flight, 0);
}

#[test]
fn a_copy_from_before_is_not_what_is_waited_for() {
    let mut settings = Settings::default();
    settings.site.admission.in_flight_max = 1;
    let mut busy = Rig::with(settings);
    // It is fresh, but rescues nobody: a client that wants the origin has to wait for it.
    let gone = "HTTP/1.1 404 Gone\r\nCache-Control: max-age=60\r\nContent-Length: 0\r\n\r\n";
    busy.send(&get("/gone", "")).reply(gone);
    busy.now = busy.now + Duration::from_secs(1);
    busy.send(&get("/busy", ""));
    let mut rig = busy.another();
    rig.send(&get("/gone", "Cache-Control: no-cache\r\n"));
    assert_eq!(rig.session.poll_timer(), of_call(CallTimer::OriginRoom));
    busy.reply(PAGE);
    assert_eq!(woken(&mut rig), "");
    assert!(rig.asked().starts_with("GET /gone HTTP/1.1\r\n"));
}
