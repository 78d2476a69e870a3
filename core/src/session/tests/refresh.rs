//! Renewals and probes for which no client waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::rig::{PAGE, PARK, Rig, body, field, get, status, uncalled};
use crate::breaker::State;
use crate::config::Settings;
use crate::gateway::Gateway;
use crate::message::{Fields, RequestHead, ResponseHead};
use crate::report::{End, Failure, RefreshStats, Source};
use crate::session::{Action, Input, Session, Side};
use crate::site::Decision;
use crate::time::Instant;

pub(super) const OOPS: &str = "HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nbad";

/// A rig with a copy of `/` for a session, while somebody renews copies.
/// Nothing is asked for but what they had: strangers have tests of their own.
pub(super) fn warm(mut settings: Settings) -> Rig {
    settings.site.cache.public = false;
    let mut rig = Rig::with(settings);
    assert!(rig.refresh().is_none());
    rig.send(&ask()).reply(PAGE);
    assert_eq!(status(&rig.received()), 200);
    rig.asked();
    rig.took();
    rig.reports.clear();
    rig
}

pub(super) fn ask() -> String {
    get("/", "Cookie: PHPSESSID=a\r\nIf-None-Match: \"other\"\r\n")
}

pub(super) fn open_path(rig: &mut Rig) {
    for _ in 0..5 {
        rig.send(&ask()).reply(OOPS);
        assert_eq!(body(&rig.received()), "good");
    }
    rig.asked();
}

/// Connect failures of a page without a copy.
pub(super) fn open_origin(rig: &Rig) {
    let mut lost = rig.another();
    for _ in 0..5 {
        let request = get("/none", "");
        let room = lost.session.read_buf(Side::Client);
        room[..request.len()].copy_from_slice(request.as_bytes());
        lost.session
            .handle_read(Side::Client, request.len(), lost.now);
        assert!(lost.session.poll_action().is_some());
        lost.input(Input::ConnectFailed);
    }
    assert_eq!(rig.gateway.site().circuit(rig.now), State::Open);
}

/// Lets time pass until the next refresh is due.
pub(super) fn next_refresh(rig: &mut Rig) -> Rig {
    for _ in 0..50 {
        if let Some(refresh) = rig.refresh() {
            return refresh;
        }
        let due = rig.gateway.site().poll_refresh_timeout(rig.now).unwrap();
        assert!(due > rig.now);
        rig.now = due;
    }
    panic!("it looks again and again for nothing");
}

pub(super) fn stats(rig: &Rig) -> RefreshStats {
    rig.gateway.site().stats(rig.now).refresh
}

#[test]
fn a_circuit_closes_by_itself_with_no_visitor() {
    let mut rig = warm(Settings::default());
    open_path(&mut rig);
    assert!(rig.refresh().is_none(), "the circuit is open");
    let due = rig.gateway.site().poll_refresh_timeout(rig.now).unwrap();
    let wait = due.saturating_since(rig.now);
    assert!((800..=1_200).contains(&wait.as_millis()), "{wait:?}");
    rig.now = due;
    // A visitor with a copy is no guinea pig.
    rig.send(&ask());
    let received = rig.received();
    assert_eq!(field(&received, "x-circuit"), Some("HALF-OPEN"));
    assert_eq!((body(&received), rig.asked().as_str()), ("good", ""));

    let mut probe = rig.refresh().unwrap();
    assert!(rig.refresh().is_none(), "one at a time");
    let asked = probe.asked();
    assert!(
        asked.starts_with("GET / HTTP/1.1\r\nHost: h\r\n"),
        "{asked}"
    );
    assert_eq!(field(&asked, "cookie"), Some("PHPSESSID=a"));
    assert_eq!(field(&asked, "x-forwarded-for"), Some("192.0.2.1"));
    // The copy's own condition, whatever the visitor's was.
    assert_eq!(field(&asked, "if-none-match"), Some("\"v1\""));
    probe.reply("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew");
    assert!(probe.session.is_done());
    assert_eq!(probe.took().last(), Some(&PARK));
    let report = probe.reports.pop().unwrap();
    assert_eq!(
        (report.source, report.end),
        (Source::Refresh, End::Complete)
    );
    assert_eq!(report.origin.unwrap().status.unwrap(), 200);
    assert_eq!(rig.gateway.site().stats(rig.now).paths_open, 0);
    assert_eq!((stats(&rig).renewed, stats(&rig).probes_succeeded), (1, 1));
    // What it fetched is the copy now.
    rig.send(&ask()).input(Input::ReadFailed(Side::Origin));
    assert_eq!(body(&rig.received()), "new");
}

#[test]
fn a_copy_that_is_found_right_is_renewed() {
    let mut rig = warm(Settings::default());
    open_path(&mut rig);
    let mut probe = next_refresh(&mut rig);
    assert_eq!(field(&probe.asked(), "if-none-match"), Some("\"v1\""));
    probe.reply("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nX-News: 1\r\n\r\n");
    assert!(probe.session.is_done());
    assert_eq!(probe.took().last(), Some(&PARK));
    assert_eq!((stats(&rig).renewed, stats(&rig).probes_succeeded), (1, 1));
    rig.send(&ask()).input(Input::ReadFailed(Side::Origin));
    let received = rig.received();
    assert_eq!(
        (body(&received), field(&received, "x-news")),
        ("good", Some("1"))
    );
}

#[test]
fn a_probe_that_fails_leaves_the_origin_alone_for_longer() {
    let mut rig = warm(Settings::default());
    open_path(&mut rig);
    let mut longest = Duration::ZERO;
    for round in 0..3 {
        let since = rig.now;
        let mut probe = next_refresh(&mut rig);
        let wait = rig.now.saturating_since(since);
        assert!(wait > longest, "round {round}: {wait:?}");
        longest = wait;
        if round == 1 {
            probe.end_of(Side::Origin);
        } else {
            probe.reply(OOPS);
        }
        assert!(probe.session.is_done());
        assert!(rig.refresh().is_none());
    }
    assert_eq!((stats(&rig).failed, stats(&rig).probes_failed), (3, 3));
    assert_eq!(rig.gateway.site().stats(rig.now).admission.in_flight, 0);
}

#[test]
fn a_visitor_probes_only_where_no_copy_can() {
    let mut rig = Rig::new();
    assert!(rig.refresh().is_none());
    for _ in 0..5 {
        rig.send(&get("/none", "")).reply(OOPS);
        assert_eq!(status(&rig.received()), 500);
    }
    rig.asked();
    rig.wait(Duration::from_secs(3));
    assert!(rig.refresh().is_none(), "nothing to probe with");
    rig.send(&get("/none", "")).reply(PAGE);
    let received = rig.received();
    assert_eq!(field(&received, "x-retter"), Some("backend"));
    assert_eq!(field(&received, "x-circuit"), Some("HALF-OPEN"));
}

#[test]
fn the_origin_is_probed_with_what_was_seen_last_though_nobody_wanted_it() {
    let mut rig = warm(Settings::default());
    open_origin(&rig);
    for closed in [false, false, true] {
        let due = rig.gateway.site().poll_refresh_timeout(rig.now).unwrap();
        rig.now = rig.now.max(due);
        // A visitor without a copy waits for the probes.
        rig.send(&get("/none", ""));
        assert_eq!(status(&rig.received()), 503);
        rig.refresh().unwrap().reply(PAGE);
        assert_eq!(rig.gateway.site().circuit(rig.now) == State::Closed, closed);
    }
}

#[test]
fn a_full_origin_renews_what_is_wanted_most() {
    let mut settings = Settings::default();
    settings.site.admission.in_flight_max = 2;
    settings.site.cache.ttl = Duration::ZERO;
    let mut rig = warm(settings);
    for path in ["/a", "/b"] {
        rig.send(&get(path, "")).reply(PAGE);
    }
    let mut busy = [rig.another(), rig.another()];
    for rig in &mut busy {
        rig.send(&get("/slow", ""));
    }
    for path in ["/a", "/b", "/b"] {
        rig.send(&get(path, "")).wait(Duration::from_millis(50));
    }
    assert!(rig.refresh().is_none(), "no room");
    let again = rig.gateway.site().poll_refresh_timeout(rig.now).unwrap();
    assert!(again > rig.now && again <= rig.now + Duration::from_millis(50));
    let [first, _second] = &mut busy;
    first.reply(PAGE);
    rig.now = again;
    let mut renewal = rig.refresh().unwrap();
    assert!(renewal.asked().starts_with("GET /b "));
    assert!(rig.refresh().is_none(), "its share is one slot");
    renewal.reply(PAGE);
    let mut renewal = rig.refresh().unwrap();
    assert!(renewal.asked().starts_with("GET /a "));
    renewal.reply("HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n");
    assert!(rig.refresh().is_none(), "all is new");
    let stats = stats(&rig);
    assert_eq!((stats.renewed, stats.passed, stats.wanted), (1, 1, 0));
}

#[test]
fn a_write_or_a_new_session_cancels_what_it_makes_wrong() {
    let mut settings = Settings::default();
    settings.site.cache.ttl = Duration::ZERO;
    let change: [&str; 2] = [
        "POST / HTTP/1.1\r\nHost: h\r\nCookie: PHPSESSID=a\r\nContent-Length: 0\r\n\r\n",
        "POST /logout HTTP/1.1\r\nHost: h\r\nCookie: PHPSESSID=a\r\nContent-Length: 0\r\n\r\n",
    ];
    for (request, is_running) in change.iter().flat_map(|r| [(r, false), (r, true)]) {
        let mut rig = warm(settings.clone());
        rig.send(&ask()).reply(OOPS);
        rig.received();
        let mut renewal = is_running.then(|| rig.refresh().unwrap());
        let mut user = rig.another();
        user.send(request)
            .reply("HTTP/1.1 200 OK\r\nSet-Cookie: PHPSESSID=b\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(status(&user.received()), 200);
        if let Some(renewal) = &mut renewal {
            renewal.reply(PAGE);
            assert!(renewal.session.is_done());
        }
        assert!(rig.refresh().is_none());
        assert_eq!(rig.gateway.site().stats(rig.now).copies, 0);
        assert_eq!(stats(&rig).dropped, u64::from(is_running));
    }
}

#[test]
fn a_renewal_is_bounded_and_ends_with_the_program() {
    let wanted = || {
        let mut settings = Settings::default();
        settings.site.cache.ttl = Duration::ZERO;
        let mut rig = warm(settings);
        rig.send(&ask()).reply(OOPS);
        rig
    };
    let end: [fn(&mut Rig); 6] = [
        |rig| {
            rig.wait(Duration::from_secs(15));
        },
        |rig| {
            rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
            rig.wait(Duration::from_secs(60));
        },
        |rig| {
            rig.reply("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
        },
        |rig| {
            rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n");
            rig.offer(Side::Origin, &vec![b'x'; 200_000]);
        },
        |rig| {
            rig.input(Input::Drain);
        },
        |rig| {
            rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
            rig.input(Input::Drain);
        },
    ];
    for end in end {
        let rig = wanted();
        let mut renewal = rig.refresh().unwrap();
        assert_eq!(
            renewal
                .gateway
                .site()
                .stats(renewal.now)
                .admission
                .in_flight,
            1
        );
        end(&mut renewal);
        assert!(renewal.session.is_done(), "{:?}", renewal.session);
        assert_eq!(renewal.took().last(), Some(&Action::Close(Side::Origin)));
        assert_eq!(renewal.reports.len(), 1);
        assert_eq!(
            renewal
                .gateway
                .site()
                .stats(renewal.now)
                .admission
                .in_flight,
            0
        );
        assert_eq!(stats(&renewal).running, 0);
        assert_eq!(stats(&renewal).renewed, 0);
    }
    // An idle connection that turns out dead is replaced once.
    let rig = wanted();
    let refresh = rig.gateway.site().poll_refresh(rig.now).unwrap();
    let mut renewal = rig.another();
    renewal.reused = true;
    renewal.session = Session::background(rig.gateway.clone(), refresh, rig.now);
    renewal.settle();
    renewal.end_of(Side::Origin).reply(PAGE);
    assert!(renewal.session.is_done());
    assert_eq!(stats(&renewal).renewed, 1);
}

#[test]
fn a_renewal_tells_of_the_visitor_as_the_visit_did() {
    let ways = [
        "X-Forwarded-For: 1.1.1.1, 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\n",
        "Forwarded: for=203.0.113.9;proto=https;host=\"a:1\", for=192.0.2.7\r\n",
        "X-Real-IP: 203.0.113.9\r\nX-Forwarded-Ssl: on\r\nConnection: X-Forwarded-Ssl\r\n",
    ];
    for fields in ways {
        let mut rig = Rig::behind_proxies();
        assert!(rig.refresh().is_none());
        let request = get("/", fields);
        rig.send(&request).reply(PAGE);
        for _ in 0..5 {
            rig.asked();
            rig.send(&request).reply(OOPS);
        }
        let asked = rig.asked();
        assert_eq!(field(&asked, "x-forwarded-proto"), Some("https"));
        assert_eq!(field(&asked, "x-real-ip"), Some("203.0.113.9"));
        let mut renewal = next_refresh(&mut rig);
        assert_eq!(uncalled(&renewal.asked()), uncalled(&asked));
        renewal.reply(PAGE);
        let client = renewal.reports.pop().map(|report| report.client);
        assert_eq!(client, Some([203, 0, 113, 9].into()));
    }
}

#[test]
fn whoever_renews_is_woken_for_the_first_copy_to_probe_with() {
    let mut now = Instant::ZERO;
    let gateway = Gateway::new(Settings::default().validate().unwrap(), 1, now);
    let request = RequestHead::new(http::Method::GET, "/", Fields::default());
    let request = Arc::new(request);
    assert!(gateway.site().poll_refresh(now).is_none());
    let visit = |now| {
        let Some(Decision::Fetch(fetch)) = gateway.site().decide(&request, now).now() else {
            panic!("nothing else can be done: there is no copy")
        };
        fetch
    };
    for _ in 0..5 {
        assert!(visit(now).on_failure(Failure::Connect, now).is_err());
    }
    now = now + Duration::from_secs(3);
    assert_eq!(gateway.site().circuit(now), State::HalfOpen);
    let mut probe = visit(now);
    probe.on_behalf_of([192, 0, 2, 1].into());
    let bell = Arc::new(Bell::default());
    gateway.site().set_refresh_waker(&bell.clone().into());
    assert!(
        gateway.site().poll_refresh(now).is_none(),
        "nothing to probe with"
    );
    let head = ResponseHead::new(http::StatusCode::OK, Fields::default());
    probe.on_head(&head, now).passed_on().on_end(now);
    // Visitors leave the probes that are still needed to it: asleep, the circuit would never close.
    assert!(bell.rings() > 0);
    assert!(gateway.site().poll_refresh(now).is_some());
}

/// A waker that remembers.
#[derive(Default)]
pub(super) struct Bell(AtomicU32);

impl Bell {
    /// How often it was rung.
    pub(super) fn rings(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl std::task::Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn an_origin_that_asks_for_a_rest_is_asked_for_nothing_that_can_wait() {
    let mut rig = warm(Settings::default());
    rig.send(&ask()).reply(OOPS);
    assert_eq!(
        body(&rig.received()),
        "good",
        "the copy is wanted newer now"
    );
    // What it says to one visitor is meant for that visitor.
    let too_many = "HTTP/1.1 429 Too Many\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n";
    rig.send(&get("/busy", "")).reply(too_many);
    assert_eq!(status(&rig.received()), 429);
    next_refresh(&mut rig).reply(too_many);
    rig.send(&get("/again", "Cookie: PHPSESSID=a\r\n"))
        .reply(PAGE);
    rig.send(&get("/again", "Cookie: PHPSESSID=a\r\n"))
        .reply(OOPS);
    let rest = Duration::from_secs(30);
    assert!(rig.refresh().is_none());
    assert_eq!(
        rig.gateway.site().poll_refresh_timeout(rig.now),
        Some(rig.now + rest)
    );
    rig.now = rig.now + rest;
    assert!(rig.refresh().is_some());
}

#[test]
fn a_login_that_works_once_is_not_used_up_by_a_renewal() {
    for name in [
        "remember-me",
        "joomla_remember_me_5f",
        "refreshToken",
        "nc_token",
    ] {
        let mut settings = Settings::default();
        settings.site.cache.public = false;
        let mut rig = Rig::with(settings);
        assert!(rig.refresh().is_none());
        let ask = get("/", &format!("Cookie: JSESSIONID=a; {name}=t1\r\n"));
        rig.send(&ask).reply(PAGE);
        rig.send(&ask).reply(OOPS);
        assert!(rig.received().ends_with("good"));
        assert!(rig.refresh().is_none(), "{name}: the copy stays as it is");
        assert_eq!(rig.gateway.site().poll_refresh_timeout(rig.now), None);
        // Nor does a late answer go on alone.
        rig.send(&ask).wait(Duration::from_secs(1));
        assert_eq!(body(&rig.received()), "good");
        assert!(rig.detached.is_empty());
    }
}

#[test]
fn a_stale_page_is_not_served_for_a_renewal_that_may_not_be() {
    let page = "HTTP/1.1 200 OK\r\nCache-Control: max-age=1, stale-while-revalidate=60\r\n\
                Content-Length: 4\r\n\r\ngood";
    for (cookie, is_asked) in [("theme=dark", false), ("remember-me=t1", true)] {
        let mut rig = warm(Settings::default());
        let ask = get("/", &format!("Cookie: {cookie}\r\n"));
        rig.send(&ask).reply(page);
        rig.received();
        rig.asked();
        rig.wait(Duration::from_secs(2)).send(&ask);
        assert_eq!(!rig.asked().is_empty(), is_asked, "{cookie}");
    }
}
