//! What is bounded: queues, copies in the making, requests at the origin.

use std::time::Duration;

use super::rig::{PAGE, Rig, body, field, get, status};
use crate::config::Settings;
use crate::limits::SEND_HIGH_WATER;
use crate::session::{Input, Side};

#[test]
fn a_full_queue_pauses_the_other_side() {
    let mut rig = Rig::new();
    rig.client_reads = false;
    rig.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n");
    let mut held = 0;
    while !rig.session.read_buf(Side::Origin).is_empty() {
        let len = rig.session.read_buf(Side::Origin).len();
        held += len;
        assert!(
            held < SEND_HIGH_WATER + 4 * 64 * 1024,
            "the origin must be paused"
        );
        rig.session.handle_read(Side::Origin, len, rig.now);
    }
    rig.client_reads = true;
    rig.settle();
    assert!(
        !rig.session.read_buf(Side::Origin).is_empty(),
        "and goes on once there is room"
    );
}

#[test]
fn clients_that_stall_do_not_stop_copies_from_being_kept() {
    let mut settings = Settings::default();
    settings.cache.bytes_max = 8 << 20;
    settings.cache.object_bytes_max = 1 << 20;
    let mut rig = Rig::with(settings);
    let _stalled: Vec<Rig> = (0..20)
        .map(|number| {
            let mut slow = rig.another();
            slow.client_reads = false;
            slow.send(&get(&format!("/large/{number}"), ""));
            slow.reply("HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n");
            while !slow.session.read_buf(Side::Origin).is_empty() {
                let len = slow.session.read_buf(Side::Origin).len();
                slow.session.handle_read(Side::Origin, len, slow.now);
            }
            slow
        })
        .collect();
    let page = "x".repeat(512 << 10);
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 524288\r\n\r\n";
    rig.send(&get("/", "")).reply(&format!("{head}{page}"));
    rig.received();
    rig.send(&get("/", ""))
        .input(Input::ReadFailed(Side::Origin));
    assert!(body(&rig.received()) == page, "it was kept");
}

#[test]
fn a_full_origin_answers_from_copies_at_once() {
    let mut settings = Settings::default();
    settings.admission.in_flight_max = 1;
    let mut rig = Rig::with(settings);
    rig.send(&get("/", "")).reply(PAGE);
    rig.received();
    let mut busy = rig.another();
    busy.send(&get("/slow", ""));
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
        "X_Forwarded_User",
        "Private-Token",
    ] {
        let mut rig = Rig::new();
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
