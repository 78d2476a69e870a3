//! What ends badly, on either side, and what must not happen then.

use std::io::IoSlice;
use std::time::Duration;

use super::rig::rest_of_upload;
use super::rig::{CONNECT, CONNECT_ANEW, Rig, body, field, of_call, of_client, status, upload};
use crate::config::Settings;
use crate::limits::IOVECS_MAX;
use crate::report::End;
use crate::session::{Action, CallTimer, ClientTimer, Input, Side, Timer};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_safe_request_is_replayed_once_when_an_idle_connection_was_dead() {
    let mut rig = Rig::new();
    rig.reused = true;
    rig.send(GET).end_of(Side::Origin);
    let connects = [CONNECT, Action::Close(Side::Origin), CONNECT_ANEW];
    assert_eq!(rig.took(), connects);
    assert_eq!(rig.asked().matches("GET / ").count(), 2);
    rig.reply(OK);
    assert_eq!(body(&rig.received()), "ok");
    // Once, and only for an idle connection.
    let other = GET.replace("/ ", "/other ");
    rig.send(&other).end_of(Side::Origin).end_of(Side::Origin);
    assert_eq!(status(&rig.received()), 502);
    // Not once a byte of the response came.
    rig.took();
    rig.send(&other).reply("H").end_of(Side::Origin);
    assert_eq!(status(&rig.received()), 502);
}

/// Its circuit opens while a request waits on a kept connection, and then that connection closes.
#[test]
fn a_safe_request_is_not_replayed_where_its_circuit_has_opened_meanwhile() {
    let failing = || {
        let mut settings = Settings::default();
        settings.site.breaker.consecutive_failures = 1;
        let mut rig = Rig::with(settings);
        rig.reused = true;
        rig
    };
    let fail = |rig: &Rig| {
        let mut other = rig.another();
        other.send(GET).reply("HTTP/1.1 500 No\r\n\r\n");
        assert_eq!(rig.gateway.site().stats(rig.now).paths_open, 1);
    };
    let mut rig = failing();
    rig.send(GET);
    fail(&rig);
    rig.end_of(Side::Origin);
    assert_eq!(rig.took(), [CONNECT, Action::Close(Side::Origin)]);
    let refused = rig.received();
    assert_eq!(status(&refused), 503);
    assert_eq!(field(&refused, "x-circuit"), Some("OPEN"));
    // A copy stands in.
    let mut rig = failing();
    rig.send(GET).reply(OK).received();
    rig.took();
    rig.send(GET);
    fail(&rig);
    rig.end_of(Side::Origin);
    assert_eq!(rig.took(), [CONNECT, Action::Close(Side::Origin)]);
    assert_eq!(body(&rig.received()), "ok");
    // Nor is what no client waits for any more: that it was slow has opened its circuit.
    rig = failing();
    rig.attend();
    rig.send(GET).reply(OK).received();
    rig.send(GET);
    rig.wait(Duration::from_secs(1));
    let mut detached = rig.detached();
    assert_eq!(body(&rig.received()), "ok");
    detached.took();
    detached.end_of(Side::Origin);
    assert_eq!(detached.took(), [Action::Close(Side::Origin)]);
}

#[test]
fn only_what_can_be_repeated_goes_on_an_idle_connection() {
    #[track_caller]
    fn check(framing: &str, sent: &str, fresh: bool) {
        let mut rig = Rig::new();
        rig.reused = true;
        rig.send(&GET.replace("\r\n\r\n", &format!("\r\n{framing}\r\n\r\n{sent}")));
        assert_eq!(
            rig.took(),
            [if fresh { CONNECT_ANEW } else { CONNECT }],
            "{framing}"
        );
        let first = rig.asked();
        assert!(first.ends_with(sent));
        rig.end_of(Side::Origin);
        assert_eq!(
            rig.asked(),
            if fresh { String::new() } else { first },
            "{framing}"
        );
    }
    check("X: 1", "", false);
    check("Content-Length: 0", "", false);
    check("Content-Length: 1", "x", true);
    check("Transfer-Encoding: chunked", "0\r\n\r\n", true);
}

#[test]
fn a_write_is_never_sent_twice() {
    let mut rig = Rig::new();
    rig.reused = true;
    rig.send(POST).send("abc").end_of(Side::Origin);
    assert_eq!(status(&rig.received()), 502);
    assert_eq!(rig.asked().matches("POST / ").count(), 1);
}

#[test]
fn an_early_answer_is_passed_on_and_ends_the_connection() {
    let mut rig = Rig::new();
    rig.send(&upload());
    rig.reply("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    let received = rig.received();
    assert_eq!((status(&received), body(&received)), (413, "no"));
    assert_eq!(field(&received, "connection"), Some("close"));
    assert!(
        rig.took().contains(&Action::Shutdown(Side::Client)),
        "it lingers"
    );
    rig.send("bc");
    rig.end_of(Side::Client);
    assert!(rig.session.is_done());
}

#[test]
fn an_early_answer_passes_whole_to_a_client_that_sends_no_more() {
    let mut rig = Rig::new();
    rig.send(&upload());
    rig.reply("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\n1");
    for part in ["2", "3"] {
        rig.wait(Duration::from_secs(14)).reply(part);
    }
    assert_eq!(body(&rig.received()), "123");
    assert_eq!(rig.reports.last().map(|last| last.end), Some(End::Complete));
}

#[test]
fn an_early_answer_that_is_given_up_does_not_look_complete() {
    #[track_caller]
    fn check(request: &str, last: Action) {
        let mut rig = Rig::new();
        rig.send(request);
        rig.reply("HTTP/1.1 200 OK\r\n\r\nhalf").took();
        rig.wait(Duration::from_secs(15));
        assert_eq!(rig.took(), [Action::Close(Side::Origin), last]);
        assert!(rig.received().contains("half"));
    }
    check(&upload(), Action::Shutdown(Side::Client));
    // To HTTP/1.0 the end of the body is the end of the connection.
    let old = upload().replace("1.1", "1.0");
    check(&old, Action::Abort(Side::Client));
}

#[test]
fn an_origin_that_stops_reading_may_still_answer() {
    let mut rig = Rig::new();
    rig.send(&upload()).input(Input::WriteFailed(Side::Origin));
    rig.reply("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(status(&rig.received()), 403);
}

#[test]
fn malformed_requests_are_refused_and_close() {
    #[track_caller]
    fn check(bytes: &str, expected: u16) {
        for piece in [usize::MAX, 1] {
            let mut rig = Rig::new();
            rig.piece = piece;
            // Byte by byte, the refusal may come before the end.
            let mut fed = 0;
            while fed < bytes.len() {
                let room = rig.session.read_buf(Side::Client);
                let len = room.len().min(piece).min(bytes.len() - fed);
                if len == 0 || status(std::str::from_utf8(&rig.client).unwrap()) != 0 {
                    break;
                }
                room[..len].copy_from_slice(&bytes.as_bytes()[fed..fed + len]);
                rig.session.handle_read(Side::Client, len, rig.now);
                rig.settle();
                fed += len;
            }
            assert!(fed > 0);
            let received = rig.received();
            assert_eq!(status(&received), expected, "{bytes:?}");
            assert_eq!(field(&received, "connection"), Some("close"));
            assert_eq!(rig.asked(), "", "the origin sees nothing of it");
            assert_eq!(received.matches("HTTP/1.1 ").count(), 1, "one answer");
            rig.end_of(Side::Client);
            assert!(rig.session.is_done());
        }
    }
    check("GET / HTTP/1.1\r\n\r\n", 400);
    check("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400);
    check(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    );
    check("GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n", 400);
    let round =
        "GET / HTTP/1.1\r\nHost: h\r\nVia: 1.1 retter, 1.0 x\r\nVia: 1.1 retter,1.1 retter\r\n\r\n";
    check(round, 508);
    check("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", 405);
    let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(20_000));
    check(&long, 414);
    let large = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n",
        "a".repeat(20_000)
    );
    check(&large, 431);
}

#[test]
fn a_malformed_body_ends_the_exchange() {
    let mut rig = Rig::new();
    rig.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        .send("x\r\n");
    assert_eq!(status(&rig.received()), 400);
    let took = rig.took();
    assert!(
        took.contains(&Action::Close(Side::Origin)),
        "the origin must not wait: {took:?}"
    );
}

#[test]
fn a_client_that_leaves_stops_everything() {
    for leave in [
        Input::ReadFailed(Side::Client),
        Input::WriteFailed(Side::Client),
    ] {
        let mut rig = Rig::new();
        rig.send(GET).input(leave);
        assert!(rig.session.is_done());
        assert!(
            rig.took()
                .ends_with(&[Action::Close(Side::Origin), Action::Close(Side::Client)])
        );
        assert_eq!(rig.reports[0].end, End::ClientLeft);
        assert_eq!(rig.gateway.site().stats(rig.now).admission.in_flight, 0);
    }
    // A live stream has no other end.
    let mut rig = Rig::new();
    rig.send(GET)
        .reply("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
    rig.end_of(Side::Client);
    assert!(rig.session.is_done());
    assert_eq!(rig.reports[0].end, End::ClientLeft);
}

#[test]
fn a_request_that_the_origin_has_is_answered_to_a_client_that_closed_its_half() {
    let close = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let keep = "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n";
    let old = "GET / HTTP/1.0\r\n\r\n";
    let form = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na=b";
    let chunks =
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\n\r\n";
    let large = upload() + &rest_of_upload();
    for (requests, count) in [
        (GET, 1),
        (close, 1),
        (keep, 1),
        (old, 1),
        (form, 1),
        (chunks, 1),
        (&large, 1),
        (&GET.repeat(3), 3),
        (&(form.to_owned() + GET), 2),
        (&(GET.to_owned() + form), 2),
    ] {
        // Before a byte of the answer, and within it.
        for before in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no",
        ] {
            let mut rig = Rig::new();
            rig.send(requests).reply(before).end_of(Side::Client);
            assert!(!rig.session.is_done(), "{requests:?} {before:?}");
            rig.wait(Duration::from_millis(200))
                .reply(&OK[before.len()..]);
            for _ in 1..count {
                rig.reply(OK);
            }
            let received = rig.received();
            assert_eq!(
                received.matches("HTTP/1.1 200 ").count(),
                count,
                "{requests:?}"
            );
            assert_eq!(body(&received).matches("ok").count(), count, "{requests:?}");
            assert!(rig.session.is_done(), "nothing more can be asked");
            assert!(rig.actions.contains(&Action::Close(Side::Client)));
            assert!(rig.reports.iter().all(|report| report.end == End::Complete));
        }
    }
    // Nor is a connection that is still being made given up.
    let mut rig = Rig::new();
    let sent = rig.session.read_buf(Side::Client);
    sent[..GET.len()].copy_from_slice(GET.as_bytes());
    rig.session.handle_read(Side::Client, GET.len(), rig.now);
    rig.end_of(Side::Client).reply(OK);
    assert_eq!(body(&rig.received()), "ok");
    // What breaks the connection says more.
    let mut rig = Rig::new();
    rig.send(GET)
        .end_of(Side::Client)
        .input(Input::WriteFailed(Side::Client));
    assert!(rig.session.is_done() && rig.took().contains(&Action::Close(Side::Origin)));
}

#[test]
fn leaving_is_no_failure_of_the_origin() {
    let mut rig = Rig::new();
    for _ in 0..30 {
        let mut client = rig.another();
        client.send(GET).input(Input::ReadFailed(Side::Client));
    }
    rig.send(GET).reply(OK);
    assert_eq!(field(&rig.received(), "x-circuit"), Some("CLOSED"));
}

#[test]
fn deadlines() {
    let mut rig = Rig::new();
    rig.send("GET / HT");
    assert_eq!(rig.session.poll_timer(), of_client(ClientTimer::Head));
    rig.wait(Duration::from_secs(10))
        .send("TP/1.1\r\n")
        .wait(Duration::from_secs(5));
    assert_eq!(
        status(&rig.received()),
        408,
        "a trickle does not extend the head's deadline"
    );

    let mut rig = Rig::new();
    rig.send(&upload());
    assert_eq!(rig.session.poll_timer(), of_call(CallTimer::Upload));
    rig.wait(Duration::from_secs(1));
    assert_eq!(rig.session.poll_timer(), Some(Timer::Content));

    let mut rig = Rig::new();
    rig.send(POST);
    assert_eq!(rig.session.poll_timer(), Some(Timer::Content));
    rig.wait(Duration::from_secs(14))
        .send("a")
        .wait(Duration::from_secs(14))
        .send("b");
    rig.wait(Duration::from_secs(15));
    assert_eq!(status(&rig.received()), 408);
    assert_eq!(rig.gateway.site().stats(rig.now).admission.in_flight, 0);

    let mut rig = Rig::new();
    rig.send(GET)
        .reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
    assert_eq!(rig.session.poll_timer(), of_call(CallTimer::Late));
    rig.wait(Duration::from_secs(1));
    assert_eq!(rig.session.poll_timer(), of_call(CallTimer::OriginBody));
    rig.wait(Duration::from_secs(59));
    assert_eq!(rig.reports[0].end, End::Truncated);

    let mut rig = Rig::new();
    rig.client_reads = false;
    rig.send(GET).reply(OK);
    assert_eq!(rig.session.poll_timer(), of_client(ClientTimer::Write));
    rig.wait(Duration::from_secs(15));
    assert!(
        rig.session.is_done(),
        "a client that takes nothing is let go"
    );

    let mut rig = Rig::new();
    rig.send(GET);
    rig.reply("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
    rig.wait(Duration::from_secs(3599));
    assert!(
        !rig.session.is_done(),
        "an event stream may be silent for long"
    );
    assert_eq!(
        rig.gateway.site().stats(rig.now).admission.in_flight,
        0,
        "and is no work"
    );
    rig.end_of(Side::Client);
    let origin = rig.reports.pop().and_then(|report| report.origin);
    assert_eq!(
        origin.map(|origin| origin.time),
        Some(Duration::ZERO),
        "nor was it slow"
    );
}

#[test]
fn a_slow_reader_does_not_time_the_origin_out() {
    let mut settings = Settings::default();
    settings.client.rate_min = None;
    let mut rig = Rig::with(settings);
    rig.client_reads = false;
    rig.send(GET)
        .reply("HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n");
    while !rig.session.read_buf(Side::Origin).is_empty() {
        let len = rig.session.read_buf(Side::Origin).len();
        rig.session.handle_read(Side::Origin, len, rig.now);
    }
    // It takes a little now and then: the origin, unread all the while, is not to blame.
    for _ in 0..10 {
        rig.now = rig.now + Duration::from_secs(10);
        rig.session.handle_written(Side::Client, 1, rig.now);
        rig.session.handle_timeout(rig.now);
        assert!(!rig.session.is_done());
        assert!(rig.session.read_buf(Side::Origin).is_empty());
    }
    rig.client_reads = true;
    rig.settle();
    assert_eq!(rig.session.poll_timer(), of_call(CallTimer::OriginBody));
    assert!(rig.session.poll_timeout().unwrap() > rig.now + Duration::from_secs(59));
}

#[test]
fn an_origin_that_gives_up_on_a_slow_client_is_not_to_blame() {
    let mut rig = Rig::new();
    for _ in 0..6 {
        let mut slow = rig.another();
        slow.client_reads = false;
        slow.send(GET)
            .reply("HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n");
        while !slow.session.read_buf(Side::Origin).is_empty() {
            let len = slow.session.read_buf(Side::Origin).len();
            slow.session.handle_read(Side::Origin, len, slow.now);
        }
        slow.wait(Duration::from_secs(1));
        slow.input(Input::ReadFailed(Side::Origin));
    }
    rig.send(GET).reply(OK);
    assert_eq!(field(&rig.received(), "x-circuit"), Some("CLOSED"));
}

#[test]
fn a_client_that_asks_for_a_100_and_sends_nothing_holds_no_slot_and_blames_nobody() {
    let expecting =
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
    for continues in [false, true] {
        let mut rig = Rig::new();
        rig.send(expecting);
        if continues {
            rig.reply("HTTP/1.1 100 Continue\r\n\r\n");
        }
        assert_eq!(rig.session.poll_timer(), of_call(CallTimer::Upload));
        assert_eq!(rig.gateway.site().stats(rig.now).admission.in_flight, 1);
        rig.wait(Duration::from_secs(1));
        assert_eq!(rig.gateway.site().stats(rig.now).admission.in_flight, 0);
        rig.wait(Duration::from_secs(14));
        let received = rig.received();
        let last = received.rfind("HTTP/1.1 ").unwrap();
        assert_eq!(status(&received[last..]), 408, "{received}");
        let origin = rig.reports[0].origin.as_ref();
        assert!(origin.is_none_or(|origin| origin.failure.is_none()));
    }
}

#[test]
fn spurious_calls_are_harmless() {
    let mut rig = Rig::new();
    rig.send(GET);
    for _ in 0..3 {
        rig.session.handle_timeout(rig.now);
        assert_eq!(rig.session.poll_action(), None);
        rig.session.handle_written(Side::Client, 0, rig.now);
        rig.input(Input::ConnectFailed);
        rig.input(Input::NoSocket);
    }
    rig.reply(OK);
    assert_eq!(body(&rig.received()), "ok");
}

#[test]
fn reports_do_not_pile_up_behind_a_queue_that_never_empties() {
    let mut rig = Rig::new();
    let fresh = OK.replace("\r\n\r\n", "\r\nCache-Control: max-age=60\r\n\r\n");
    rig.send(GET).reply(&fresh);
    rig.client_reads = false;
    for answered in 0..1000 {
        rig.send(GET).settle();
        assert!(rig.reports.len() >= answered);
        // All but the last byte.
        let mut slices = [IoSlice::new(&[]); IOVECS_MAX];
        let count = rig.session.write_slices(Side::Client, &mut slices);
        let queued: usize = slices[..count].iter().map(|slice| slice.len()).sum();
        rig.session
            .handle_written(Side::Client, queued - 1, rig.now);
    }
    rig.settle();
    assert!(rig.reports.iter().all(|report| report.end == End::Complete));
    // What is still in the queue did not arrive.
    rig.input(Input::ReadFailed(Side::Client));
    assert_eq!(
        rig.reports.last().map(|last| last.end),
        Some(End::ClientLeft)
    );
    assert_eq!(rig.reports.len(), 1001);
}

#[test]
fn what_is_left_of_a_failed_response_holds_nobody_up() {
    #[track_caller]
    fn check(end: fn(&mut Rig)) {
        let mut rig = Rig::new();
        rig.send(GET).reply(OK).send(GET);
        rig.reply("HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nb");
        assert_eq!(status(&rig.received()), 200);
        end(&mut rig);
        assert!(rig.session.is_done());
    }
    check(|rig| {
        rig.end_of(Side::Client);
    });
    check(|rig| {
        rig.input(Input::Drain);
    });
}

#[test]
fn an_empty_line_begins_no_request() {
    let mut rig = Rig::new();
    rig.send(GET).reply(OK).received();
    rig.send("\r");
    assert_eq!(rig.session.poll_timer(), of_client(ClientTimer::Head));
    rig.send("\n");
    assert_eq!(rig.session.poll_timer(), of_client(ClientTimer::Idle));
}
