//! What is held in memory: for those who take slowly what is sent to them, and for copies.

use std::time::Duration;

use super::rig::{PAGE, PARK, Rig, body, get, of_call, of_client, status};
use crate::config::Settings;
use crate::limits::{PAUSE_MIN, QUEUE_BYTES_FREE, RECV_CHUNK};
use crate::report::CallId;
use crate::session::{CallTimer, ClientTimer, Input, Side, Standing, Timer};

/// What a queue may have when it gets no share of the reserve: a read that began just before it was
/// full, and a head.
const EACH: usize = QUEUE_BYTES_FREE + RECV_CHUNK + 1024;

/// A client of `rig`'s that takes nothing of a long answer, of which as much is here as there is
/// room for; and how much that is.
fn stalled(rig: &Rig, target: &str, length: usize) -> (Rig, usize) {
    let mut slow = rig.another();
    slow.client_reads = false;
    slow.send(&get(target, ""));
    slow.reply(&format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
    ));
    let mut held = 0;
    while held < length && !slow.session.read_buf(Side::Origin).is_empty() {
        let len = slow.session.read_buf(Side::Origin).len().min(length - held);
        held += len;
        slow.session.handle_read(Side::Origin, len, slow.now);
    }
    (slow, held)
}

/// As [`stalled`], for so long that it counts as slow.
fn paused(rig: &Rig, target: &str, length: usize) -> Rig {
    let (mut slow, _) = stalled(rig, target, length);
    slow.wait(PAUSE_MIN);
    slow
}

const COPY_ONLY: &str = "Cache-Control: only-if-cached, max-stale\r\n";

fn with_send_bytes(bytes: usize) -> Rig {
    let mut settings = Settings::default();
    settings.client.send_bytes_max = bytes;
    settings.site.admission.in_flight_min = settings.site.admission.in_flight_max;
    Rig::with(settings)
}

#[test]
fn a_full_queue_pauses_the_other_side() {
    let (mut slow, held) = stalled(&with_send_bytes(0), "/", 99_999_999);
    assert!((QUEUE_BYTES_FREE..EACH).contains(&held), "{held}");
    slow.client_reads = true;
    slow.settle();
    assert!(
        !slow.session.read_buf(Side::Origin).is_empty(),
        "and goes on once there is room"
    );
}

#[test]
fn what_was_read_at_once_waits_where_it_is_while_a_queue_is_full() {
    let mut slow = with_send_bytes(0).another();
    slow.client_reads = false;
    slow.send(&get("/", ""));
    let chunks = format!("64\r\n{}\r\n", "x".repeat(100)).repeat(150);
    slow.reply(&format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    ));
    let queued = slow.gateway.queued_bytes();
    assert!(queued < 1024, "{queued} beyond what each may have");
    slow.client_reads = true;
    slow.settle();
    assert!(slow.received().ends_with("\r\n0\r\n\r\n"));
}

#[test]
fn a_side_has_memory_only_while_something_of_it_waits() {
    #[track_caller]
    fn check(rig: &Rig, expected: (bool, bool)) {
        let awaits = |side| rig.session.awaits_first(side);
        assert_eq!((awaits(Side::Client), awaits(Side::Origin)), expected);
    }
    let mut rig = Rig::new();
    check(&rig, (true, false));
    rig.send("POST / HTTP/1.1\r\nHo");
    check(&rig, (false, false));
    rig.send("st: h\r\nContent-Length: 100000\r\n\r\n");
    rig.send(&"x".repeat(70_000));
    let rest = rig.session.read_buf(Side::Client).len();
    rig.send(&"x".repeat(rest));
    rig.send("x");
    check(&rig, (true, true));
    rig.send(&"x".repeat(100_000 - 70_000 - rest - 1));
    rig.reply(PAGE);
    rig.send(&get("/", ""));
    check(&rig, (true, true));
    rig.reply("HTTP/1.1 200 OK\r\nCont");
    check(&rig, (true, false));
    rig.reply("ent-Length: 4\r\n\r\nab");
    check(&rig, (true, true));
    rig.reply("cd");
    rig.send(&get("/", "")[..10]);
    check(&rig, (false, false));
}

#[test]
fn all_who_are_slow_share_one_memory() {
    let rig = with_send_bytes(1 << 20);
    let crowd: Vec<_> = (0..200)
        .map(|number| stalled(&rig, &format!("/{number}"), 99_999_999))
        .collect();
    let held: usize = crowd.iter().map(|(_, held)| held).sum();
    assert!(held < (1 << 20) + crowd.len() * EACH, "{held}");
    assert!(crowd[0].1 > 200 << 10, "the first had a fifth of all");
    assert!(rig.gateway.queued_bytes() > 0);
    drop(crowd);
    assert_eq!(rig.gateway.queued_bytes(), 0);
}

#[test]
fn a_page_for_a_slow_client_does_not_keep_the_origin() {
    let (mut slow, held) = stalled(&Rig::new(), "/", 4 << 20);
    assert_eq!(held, 4 << 20);
    assert!(slow.session.read_buf(Side::Origin).is_empty());
    slow.settle();
    assert!(slow.took().contains(&PARK), "{:?}", slow.actions);
    // A client that gets the copy holds nothing more, not even with many ranges of it.
    let queued = slow.gateway.queued_bytes();
    for range in ["", "Range: bytes=0-999999,2000000-2999999\r\n"] {
        let mut other = slow.another();
        other.client_reads = false;
        other.send(&get("/", &format!("{COPY_ONLY}{range}")));
        assert!(matches!(other.session.standing(), Standing::Owing(_)));
        assert_eq!(slow.gateway.queued_bytes(), queued);
        other.client_reads = true;
        other.settle();
        let expected = if range.is_empty() { 200 } else { 206 };
        assert_eq!(status(&other.received()), expected);
    }
}

#[test]
fn the_end_of_an_answer_needs_no_room() {
    let (mut slow, _) = stalled(&with_send_bytes(0), "/", 10_000);
    slow.settle();
    assert!(slow.took().contains(&PARK));
    assert_eq!(slow.gateway.site().stats(slow.now).copies, 1);
}

#[test]
fn room_that_others_leave_does_not_make_the_origin_late() {
    let rig = with_send_bytes(1 << 20);
    let (mut slow, _) = stalled(&rig, "/one", 99_999_999);
    let crowd: Vec<_> = (0..20)
        .map(|number| stalled(&rig, &format!("/{number}"), 99_999_999))
        .collect();
    for _ in 0..10 {
        slow.wait(Duration::from_secs(10));
        slow.session.handle_written(Side::Client, 4_000, slow.now);
    }
    drop(crowd);
    assert_eq!(slow.session.poll_timer(), of_client(ClientTimer::Write));
    slow.wait(Duration::from_secs(10));
    slow.session.handle_written(Side::Client, 1, slow.now);
    assert!(!slow.session.read_buf(Side::Origin).is_empty());
    slow.wait(Duration::from_secs(10));
    assert!(!slow.session.is_done(), "the origin has its time anew");
}

#[test]
fn an_answer_that_begins_is_heard_whatever_others_hold() {
    let rig = with_send_bytes(1 << 20);
    let (mut ahead, _) = stalled(&rig, "/one", 100 << 10);
    ahead.settle();
    ahead.send(&get("/two", ""));
    let waits = |ahead: &Rig| {
        let timer = ahead.session.poll_timer();
        matches!(
            timer,
            Some(
                Timer::Call(CallId::FIRST, CallTimer::OriginHead)
                    | Timer::Call(CallId::FIRST, CallTimer::Slow)
            )
        )
    };
    assert!(waits(&ahead));
    let _crowd: Vec<_> = (0..20)
        .map(|number| stalled(&rig, &format!("/{number}"), 99_999_999))
        .collect();
    ahead.reply(PAGE);
    assert!(!waits(&ahead));
    ahead.client_reads = true;
    ahead.settle();
    assert!(ahead.received().ends_with("good"));
}

#[test]
fn copies_that_slow_clients_hold_are_bounded_once_they_are_replaced() {
    const LARGE: usize = 1 << 20;
    let mut settings = Settings::default();
    settings.site.cache.bytes_max = 8 << 20;
    let rig = Rig::with(settings);
    let page = |number: usize| format!("/{number}");
    let mut readers = Vec::new();
    for number in 0..50 {
        let (mut first, _) = stalled(&rig, &page(number), LARGE);
        first.client_reads = true;
        first.settle();
        let mut reader = rig.another();
        reader.client_reads = false;
        reader.send(&get(&page(number), COPY_ONLY));
        readers.push(reader);
    }
    let stats = rig.gateway.site().stats(rig.now);
    assert!(stats.leaving_bytes >= 4 << 20, "{stats:?}");
    let all = stats.leaving_bytes + stats.copies_bytes;
    assert!(all <= 2 * (8 << 20) + (4 << 20), "{stats:?}");
    let mut rig = rig.another();
    rig.send(&get("/small", "")).reply(PAGE);
    rig.received();
    rig.send(&get("/small", COPY_ONLY));
    assert_eq!(
        body(&rig.received()),
        "good",
        "small pages are kept all the same"
    );
    drop(readers);
    assert_eq!(rig.gateway.site().stats(rig.now).leaving_bytes, 0);
}

#[test]
fn clients_that_stall_do_not_stop_copies_from_being_kept() {
    let mut settings = Settings::default();
    settings.site.cache.bytes_max = 8 << 20;
    settings.site.cache.object_bytes_max = 1 << 20;
    settings.client.send_bytes_max = 1 << 20;
    let mut rig = Rig::with(settings);
    let _stalled: Vec<_> = (0..20)
        .map(|number| paused(&rig, &format!("/large/{number}"), 1 << 20))
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
fn a_slow_line_is_not_idle_while_its_answer_goes_out() {
    let (mut slow, _) = stalled(&Rig::new(), "/", 3 << 20);
    slow.settle();
    for _ in 0..30 {
        slow.wait(Duration::from_secs(10));
        slow.session
            .handle_written(Side::Client, 100 << 10, slow.now);
        slow.settle();
    }
    slow.client_reads = true;
    slow.settle();
    slow.received();
    slow.wait(Duration::from_secs(59));
    assert!(!slow.session.is_done(), "its time begins with the end");
    slow.send(&get("/", COPY_ONLY));
    assert_eq!(status(&slow.received()), 200);
    slow.wait(Duration::from_secs(61));
    assert!(slow.session.is_done());
}

#[test]
fn half_a_head_behind_an_answer_has_its_time_once_it_can_be_heard() {
    let mut settings = Settings::default();
    settings.client.rate_min = None;
    settings.client.send_bytes_max = 0;
    let mut rig = Rig::with(settings);
    rig.send(&get("/", "")).reply(PAGE);
    rig.received();
    rig.client_reads = false;
    let ahead = get("/", COPY_ONLY);
    rig.offer(Side::Client, (ahead.repeat(99) + "GET / HT").as_bytes());
    for _ in 0..3 {
        rig.wait(Duration::from_secs(14));
        rig.session.handle_written(Side::Client, 1, rig.now);
    }
    rig.client_reads = true;
    rig.settle();
    assert!(!rig.received().contains(" 408 "));
    rig.asked();
    rig.send("TP/1.1\r\nHost: h\r\n\r\n");
    assert!(rig.asked().ends_with("\r\n\r\n"));
}

#[test]
fn a_client_that_reads_is_not_slow_though_there_is_no_room() {
    let mut settings = Settings::default();
    settings.client.send_bytes_max = 0;
    settings.site.admission.in_flight_max = 1;
    settings.site.admission.in_flight_start = 1;
    let rig = Rig::with(settings);
    let busy = |rig: &Rig| rig.gateway.site().stats(rig.now).admission.in_flight;
    let (mut reads, _) = stalled(&rig, "/reads", 200_000);
    reads.client_reads = true;
    reads.settle();
    while !reads.session.read_buf(Side::Origin).is_empty() && reads.client.len() < 190_000 {
        let len = reads.session.read_buf(Side::Origin).len().min(1_000);
        reads.session.handle_read(Side::Origin, len, reads.now);
        assert_eq!(busy(&rig), 1, "the origin works for it");
        reads.settle();
        reads.wait(PAUSE_MIN / 2);
    }
    drop(reads);
    let slow = paused(&rig, "/slow", 200_000);
    assert_eq!(busy(&rig), 0, "not for a client that takes nothing");
    drop(slow);
}

#[test]
fn a_full_queue_to_the_origin_pauses_the_client_until_it_moves() {
    let mut rig = with_send_bytes(0);
    rig.origin_reads = false;
    rig.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 999999\r\n\r\n");
    let mut sent = 0;
    while !rig.session.read_buf(Side::Client).is_empty() {
        let len = rig.session.read_buf(Side::Client).len();
        sent += len;
        rig.session.handle_read(Side::Client, len, rig.now);
        rig.settle();
    }
    assert!(sent < EACH + 2 * RECV_CHUNK, "{sent}");
    assert_eq!(rig.session.poll_timer(), of_call(CallTimer::OriginBody));
    rig.origin_reads = true;
    rig.settle();
    assert!(!rig.session.read_buf(Side::Client).is_empty());
    // An early answer, and the origin takes no more: the client is heard again.
    rig.origin_reads = false;
    while !rig.session.read_buf(Side::Client).is_empty() {
        let len = rig.session.read_buf(Side::Client).len();
        rig.session.handle_read(Side::Client, len, rig.now);
    }
    rig.input(Input::WriteFailed(Side::Origin));
    assert!(!rig.session.read_buf(Side::Client).is_empty());
}
