//! Logins that belong to a connection: whose the origin's connection is, and what is never kept.

use std::time::Duration;

use super::rig::{CONNECT, CONNECT_ANEW, PAGE, PARK, RESUME, Rig, body, field, get, status};
use crate::config::Settings;
use crate::session::{Action, Input, Side};

const CLOSE: Action = Action::Close(Side::Origin);

const DENIED: &str =
    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 2\r\n\r\nno";
const POST: &str = "POST /form HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na=b";
const TYPE_1: &str = "Authorization: NTLM TlRMTVNTUAAB\r\n";
const TYPE_3: &str = "Authorization: ntlm TlRMTVNTUAAD\r\n";

/// A client that has signed in, with a connection of its own that waits.
fn signed_in() -> Rig {
    signed_in_on(Rig::new())
}

fn signed_in_on(mut rig: Rig) -> Rig {
    rig.send(&get("/", TYPE_1)).reply(DENIED);
    assert_eq!((rig.took(), status(&rig.received())), (vec![CONNECT], 401));
    rig.send(&get("/", TYPE_3)).reply(PAGE);
    assert_eq!(rig.took(), [RESUME]);
    assert_eq!(body(&rig.received()), "good");
    rig.asked();
    rig
}

fn copies(rig: &Rig) -> usize {
    rig.gateway.site().stats(rig.now).copies
}

#[test]
fn a_login_keeps_the_connection_for_its_client() {
    for piece in [usize::MAX, 1] {
        let mut rig = Rig::new();
        rig.piece = piece;
        rig.send(&get("/", "")).reply(DENIED);
        assert_eq!(rig.took(), [CONNECT, PARK], "a challenge signs nobody in");
        for (fields, action) in [(TYPE_1, CONNECT), (TYPE_3, RESUME), ("", RESUME)] {
            rig.received();
            rig.send(&get("/", fields)).reply(PAGE);
            assert_eq!(body(&rig.received()), "good");
            assert_eq!(rig.took(), [action], "neither parked nor closed");
        }
        assert_eq!(copies(&rig), 0);
        rig.end_of(Side::Client);
        assert_eq!(rig.took(), [CLOSE, Action::Close(Side::Client)]);
        assert!(rig.session.is_done());
    }
}

#[test]
fn each_sign_of_a_login_binds() {
    #[track_caller]
    fn check(rig: &mut Rig, request_fields: &str, answer_fields: &str, after: Option<Action>) {
        rig.send(&get("/", request_fields)).reply(&format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{answer_fields}\
             Content-Length: 4\r\n\r\ngood"
        ));
        let expected: Vec<_> = [CONNECT].into_iter().chain(after).collect();
        assert_eq!(rig.took(), expected, "{request_fields}{answer_fields}");
        let is_kept = after == Some(PARK) && !answer_fields.contains("Negotiate");
        assert_eq!(copies(rig), usize::from(is_kept));
    }
    let (park, close) = (Some(PARK), Some(CLOSE));
    let basic = "Authorization: Basic YTpi\r\n";
    let negotiate = "Authorization: negotiate YII=\r\n";
    check(&mut Rig::new(), "", "", park);
    check(&mut Rig::new(), basic, "", park);
    check(
        &mut Rig::new(),
        "",
        "WWW-Authenticate: Basic realm=a, Negotiate\r\n",
        park,
    );
    check(&mut Rig::new(), "", "Persistent-Auth: true\r\n", None);
    check(&mut Rig::new(), "", "Persistent-Auth: false\r\n", park);
    // What only the client says binds where the application signs people in so.
    let mut rig = Rig::new();
    check(&mut rig, negotiate, "", close);
    check(&mut rig, negotiate, "Persistent-Auth: true\r\n", None);
    check(&mut rig.another(), negotiate, "", None);
}

#[test]
fn a_client_that_has_signed_in_leads_and_follows_nobody() {
    let mut settings = Settings::default();
    settings.site.admission.in_flight_max = 1;
    settings.site.admission.in_flight_start = 1;
    let mut rig = signed_in_on(Rig::with(settings));
    let (mut busy, mut leader, mut follower) = (rig.another(), rig.another(), rig.another());
    busy.send(&get("/busy", ""));
    for rig in [&mut rig, &mut leader, &mut follower] {
        rig.send(&get("/", ""));
    }
    let stats = rig.gateway.site().stats(rig.now).admission;
    assert_eq!((stats.waiting, stats.following), (3, 1));
    busy.reply(PAGE);
    // Which of the two is let in first is the queue's affair.
    for _ in 0..2 {
        for rig in [&mut leader, &mut rig] {
            rig.settle();
            if !rig.asked().is_empty() {
                rig.reply(DENIED);
            }
        }
    }
    assert_eq!(status(&rig.received()), 401);
    assert_eq!(status(&leader.received()), 401);
    // An answer that demands a login is for nobody else: the follower asks for its own.
    follower.settle();
    follower.reply(PAGE);
    assert_eq!(body(&follower.received()), "good");
}

#[test]
fn writes_travel_on_the_clients_own_connection() {
    let mut rig = signed_in();
    for request in [POST, &get("/", ""), POST] {
        rig.send(request).reply(PAGE);
        assert_eq!(rig.took(), [RESUME], "{request}");
        assert_eq!(body(&rig.received()), "good");
    }
    assert!(rig.asked().contains("\r\n\r\na=bGET / "));
}

#[test]
fn no_copy_answers_who_has_signed_in() {
    let mut other = Rig::new();
    other.send(&get("/", "")).reply(PAGE);
    assert_eq!(copies(&other), 1);
    let mut rig = signed_in_on(other.another());
    // The application fails, closes, and is not there any more.
    rig.send(&get("/", ""));
    rig.reply("HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(status(&rig.received()), 503);
    rig.send(&get("/", "")).end_of(Side::Origin);
    rig.end_of(Side::Origin);
    assert_eq!(status(&rig.received()), 502);
    rig.send(&get("/", "Cache-Control: max-stale\r\n"))
        .input(Input::ReadFailed(Side::Origin));
    assert_eq!(status(&rig.received()), 502);
    // Everybody else is rescued.
    other.received();
    other.send(&get("/", "")).end_of(Side::Origin);
    assert_eq!(body(&other.received()), "good");
}

#[test]
fn an_answer_that_demands_a_login_is_not_rescued() {
    let mut rig = Rig::new();
    rig.send(&get("/", "")).reply(PAGE);
    rig.received();
    rig.took();
    rig.send(&get("/", ""))
        .reply(&DENIED.replace("401 Unauthorized", "503 Down"));
    assert_eq!(status(&rig.received()), 503);
    assert_eq!(rig.took(), [CONNECT, PARK]);
}

#[test]
fn what_a_proxy_passes_on_is_bound_to_nobody() {
    for proxy in [
        "X-Forwarded-For: 192.0.2.9\r\n",
        "Forwarded: for=192.0.2.9\r\n",
        "X-Real-IP: 192.0.2.9\r\n",
        "Via: 1.1 proxy\r\n",
    ] {
        let mut rig = Rig::new();
        rig.send(&get("/", &format!("{proxy}{TYPE_1}"))).reply(PAGE);
        assert_eq!(rig.took(), [CONNECT, CLOSE], "{proxy}");
        rig.send(&get("/", proxy)).reply(DENIED);
        assert_eq!(rig.took(), [CONNECT, PARK], "{proxy}");
        assert_eq!(copies(&rig), 0);
        rig.send(&get("/", proxy)).reply(PAGE);
        assert_eq!(rig.took(), [CONNECT, PARK], "{proxy}");

        let mut mixed = signed_in();
        mixed.send(&get("/", proxy)).reply(PAGE);
        assert_eq!(mixed.took(), [CLOSE, CONNECT, PARK], "{proxy}");
    }
}

#[test]
fn an_origin_that_closed_meanwhile_gets_a_new_connection() {
    // Seen while it waits, or only when it is to be used.
    for is_seen in [true, false] {
        let mut rig = signed_in();
        if is_seen {
            rig.end_of(Side::Origin);
            assert_eq!(rig.took(), [CLOSE]);
        }
        rig.is_alive = false;
        rig.send(POST).reply(DENIED);
        let expected = if is_seen { CONNECT_ANEW } else { RESUME };
        assert_eq!(rig.took(), [expected]);
        assert_eq!(status(&rig.received()), 401);
    }
}

#[test]
fn bytes_that_nobody_asked_for_end_the_connection() {
    let mut rig = signed_in();
    rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    assert_eq!(rig.took(), [CLOSE]);
    rig.send(&get("/", "")).reply(PAGE);
    assert_eq!(body(&rig.received()), "good");
    assert_eq!(rig.took(), [CONNECT]);
    // Behind an answer in the same read.
    rig.send(&get("/", ""))
        .offer(Side::Origin, format!("{PAGE}HTTP/1.1").as_bytes());
    assert_eq!(rig.took(), [RESUME, CLOSE]);
}

#[test]
fn an_answer_that_ends_its_connection_ends_the_binding() {
    for answer in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ] {
        let mut rig = signed_in();
        rig.send(&get("/", "")).reply(answer);
        assert_eq!(rig.took(), [RESUME, CLOSE]);
    }
}

#[test]
fn no_write_is_repeated() {
    #[track_caller]
    fn check(request: &str, repeated: bool) {
        let mut rig = signed_in();
        rig.send(request).end_of(Side::Origin);
        let expected: &[Action] = match repeated {
            true => &[RESUME, CLOSE, CONNECT_ANEW],
            false => &[RESUME, CLOSE],
        };
        assert_eq!(rig.took(), expected, "{request}");
        assert_eq!(
            rig.asked().matches("Via:").count(),
            1 + usize::from(repeated)
        );
        let expected = if repeated { 0 } else { 502 };
        assert_eq!(status(&rig.received()), expected, "{request}");
    }
    check(&get("/", ""), true);
    check(POST, false);
    check(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        false,
    );
    check("DELETE / HTTP/1.1\r\nHost: h\r\n\r\n", false);
    check(
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na=b",
        false,
    );
}

#[test]
fn the_connection_ends_with_its_client() {
    let ends: [fn(&mut Rig); 4] = [
        |rig| {
            rig.wait(Duration::from_secs(60));
        },
        |rig| {
            rig.input(Input::Drain);
        },
        |rig| {
            rig.input(Input::GiveWay);
        },
        |rig| {
            rig.input(Input::ReadFailed(Side::Client));
        },
    ];
    for end in ends {
        let mut rig = signed_in();
        end(&mut rig);
        assert_eq!(rig.took(), [CLOSE, Action::Close(Side::Client)]);
    }
    // With the answer behind which it ends.
    let mut rig = signed_in();
    rig.send(&get("/", "Connection: close\r\n")).reply(PAGE);
    assert_eq!(field(&rig.received(), "connection"), Some("close"));
    let expected = [RESUME, CLOSE, Action::Shutdown(Side::Client)];
    assert_eq!(rig.took(), expected);
}

#[test]
fn a_renewal_that_finds_a_login_demanded_leaves_its_connection() {
    let mut rig = Rig::new();
    assert!(rig.refresh().is_none(), "it is attended");
    let page = "HTTP/1.1 200 OK\r\nCache-Control: max-age=1, stale-while-revalidate=9\r\n\
                Content-Length: 4\r\n\r\ngood";
    rig.send(&get("/", "")).reply(page);
    rig.wait(Duration::from_secs(2)).send(&get("/", ""));
    let mut renewal = rig.refresh().expect("it is stale");
    renewal.reply(DENIED);
    assert_eq!(renewal.took(), [CONNECT, PARK]);
    assert!(renewal.session.is_done());
}

#[test]
fn a_used_connection_that_speaks_first_is_left() {
    let mut rig = Rig::new();
    (rig.reused, rig.origin_reads) = (true, false);
    rig.send(&get("/", ""));
    // The rest of an earlier answer, before a byte of this request has left.
    rig.offer(Side::Origin, PAGE.replace("good", "evil").as_bytes());
    assert_eq!(rig.took(), [CONNECT, CLOSE, CONNECT_ANEW]);
    rig.origin_reads = true;
    rig.reply(PAGE);
    assert_eq!(body(&rig.received()), "good");
}

#[test]
fn a_head_behind_which_content_may_come_ends_its_connection() {
    #[track_caller]
    fn check(method: &str, answer: &str, parked: bool) {
        for piece in [usize::MAX, 1] {
            let mut rig = Rig::new();
            rig.piece = piece;
            rig.send(&format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n"));
            rig.reply(answer);
            let expected = if parked { PARK } else { CLOSE };
            assert_eq!(rig.took(), [CONNECT, expected], "{method} {answer}");
        }
    }
    check(
        "HEAD",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
        false,
    );
    check(
        "HEAD",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        false,
    );
    check(
        "HEAD",
        "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n",
        false,
    );
    check("GET", "HTTP/1.1 304 Same\r\nETag: \"a\"\r\n\r\n", true);
    check(
        "GET",
        "HTTP/1.1 304 Same\r\nContent-Length: 4\r\n\r\n",
        false,
    );
    check("GET", "HTTP/1.1 204 None\r\n\r\n", true);
    check(
        "GET",
        "HTTP/1.1 204 None\r\nTransfer-Encoding: chunked\r\n\r\n",
        false,
    );
    check(
        "GET",
        "HTTP/1.1 103 Hint\r\nContent-Length: 4\r\n\r\nHTTP/1.1 204 None\r\n\r\n",
        false,
    );
    check("GET", PAGE, true);
}
