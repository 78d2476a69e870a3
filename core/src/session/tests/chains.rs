//! Chains: a session's own copies are found whatever becomes of its cookies, as long as one of them is
//! known to be of its browser alone; and by nobody else, nor after its end.

use std::time::Duration;

use super::identity::{Ask, answer, lines, page, rescued, visit, visit_from};
use super::public::{FIREFOX, attended, left, public, stranger, tell_stranger};
use super::rig::{Rig, field, get, status};
use crate::config::Settings;
use crate::session::{Input, Side};

/// Values as frameworks make them.
pub(super) const V: [&str; 6] = [
    "jqe6gvf3bka2mlo1u8u0tn9r7s",
    "k7w2c9x4m1z8v5b0n3q6p2t7y4",
    "r4d8f1h6j3l9a2s7g5e0u1i8o6",
    "z3x6c9v2b5n8m1q4w7e0r3t6y9",
    "p0o9i8u7y6t5r4e3w2q1a2s3d4",
    "m9n8b7v6c5x4z3l2k1j0h9g8f7",
];

pub(super) const HTML: &str = "Content-Type: text/html\r\nCache-Control: private, no-store";

pub(super) fn rig() -> Rig {
    let mut settings = Settings::default();
    let breaker = &mut settings.site.breaker;
    (breaker.consecutive_failures, breaker.path_outcomes_min) = (1_000, 1_000);
    breaker.origin_outcomes_min = 1_000;
    attended(settings)
}

pub(super) fn cookie(pairs: &str) -> String {
    format!("{FIREFOX}\r\nCookie: {pairs}")
}

/// Somebody asks with these cookies, and is answered with a page that sets these.
pub(super) fn ask(
    rig: &Rig,
    path: &'static str,
    cookies: &str,
    sets: &[&str],
    text: &str,
) -> String {
    let sets: String = sets
        .iter()
        .map(|set| format!("\r\nSet-Cookie: {set}"))
        .collect();
    let fields = format!("{HTML}{sets}");
    tell(rig, path, cookies, &page(&fields, text))
}

pub(super) fn tell(rig: &Rig, path: &'static str, cookies: &str, told: &str) -> String {
    let mut visitor = rig.another();
    visitor.send(&get(path, &lines(&cookie(cookies))));
    visitor.reply(told).received()
}

pub(super) fn post(rig: &Rig, path: &str, cookies: &str, told: &str) {
    let mut visitor = rig.another();
    let fields = cookie(cookies);
    visitor.send(&format!(
        "POST {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\nContent-Length: 0\r\n\r\n"
    ));
    visitor.reply(told);
}

/// What somebody with these cookies is rescued with.
pub(super) fn own(rig: &Rig, path: &str, cookies: &str) -> Option<String> {
    let mut visitor = rig.another();
    visitor.send(&get(path, &lines(&cookie(cookies))));
    if !visitor.asked().is_empty() {
        visitor.input(Input::ReadFailed(Side::Origin));
    }
    let received = visitor.received();
    let detail = field(&received, "cache-status").unwrap_or_default();
    let is_own = status(&received) == 200 && !detail.contains("detail=public");
    is_own.then(|| super::rig::body(&received).to_owned())
}

/// A stranger finds out that cookies of this name get another value with each answer.
pub(super) fn rolls(rig: &mut Rig, name: &str) {
    visit_from(rig, 9, ("/start", FIREFOX), &page(HTML, "start"));
    let set = |number: usize| {
        let value = format!("{}{number}", V[5]);
        page(&format!("{HTML}\r\nSet-Cookie: {name}={value}"), "start")
    };
    tell_stranger(rig, &set(0));
    for number in 1..=3 {
        let before = rig.now;
        let asked = tell_stranger(rig, &set(number));
        let sent = format!("{name}={}{}", V[5], number - 1);
        assert_eq!(field(&asked, "cookie"), Some(&*sent));
        assert!(rig.now.saturating_since(before) >= Duration::from_secs(2));
    }
}

#[test]
fn copies_are_found_by_values_that_replace_each_other() {
    // r2: Laravel, Rails, Flask with permanent sessions.
    for name in [
        "laravel_session",
        "_shop_session",
        "session",
        "kundensitzung",
    ] {
        let mut rig = rig();
        rolls(&mut rig, name);
        let is = |at: usize| format!("{name}={}", V[at]);
        ask(&rig, "/", "_ga=1", &[&is(0)], "front");
        ask(&rig, "/a", &is(0), &[&is(1)], "page a");
        ask(&rig, "/b", &is(1), &[&is(2)], "page b");
        rig.now = rig.now + Duration::from_secs(1);
        for (path, expected) in [("/", "front"), ("/a", "page a"), ("/b", "page b")] {
            assert_eq!(
                own(&rig, path, &is(2)).as_deref(),
                Some(expected),
                "{name} {path}"
            );
        }
        // An answer may have been lost on its way: the browser has the value before. Now that the new one
        // is in use it sees what it was sent.
        assert_eq!(own(&rig, "/a", &is(1)).as_deref(), Some("page a"));
        rig.now = rig.now + Duration::from_secs(31);
        assert_eq!(own(&rig, "/a", &is(1)), None);
        assert!(own(&rig, "/a", &is(2)).is_some());
        // Nobody else.
        assert_eq!(own(&rig, "/a", &is(3)), None);
        assert_eq!(own(&rig, "/a", ""), None);
        // In the end the session is over.
        rig.now = rig.now + Duration::from_secs(31 * 60);
        assert_eq!(own(&rig, "/a", &is(2)), None);
    }
}

#[test]
fn what_no_stranger_has_seen_to_roll_ends_the_session() {
    // Express and Tomcat show a logout only so.
    let rig = rig();
    let is = |at: usize| format!("connect.sid=s%3A{}", V[at]);
    ask(&rig, "/", "_ga=1", &[&is(0)], "front");
    ask(&rig, "/a", &is(0), &[&is(0)], "page a");
    assert_eq!(
        own(&rig, "/a", &is(0)).as_deref(),
        Some("page a"),
        "set again"
    );
    ask(&rig, "/bye", &is(0), &[&is(1)], "good bye");
    for value in [is(0), is(1)] {
        assert_eq!(own(&rig, "/a", &value), None);
        assert_eq!(own(&rig, "/", &value), None);
    }
    // The page is that of the new session.
    assert_eq!(own(&rig, "/bye", &is(1)).as_deref(), Some("good bye"));
    assert_eq!(own(&rig, "/bye", &is(0)), None);
}

#[test]
fn two_of_three_answers_are_no_proof() {
    let mut rig = rig();
    visit_from(&rig, 9, ("/start", FIREFOX), &page(HTML, "start"));
    let set = |at: usize| {
        page(
            &format!("{HTML}\r\nSet-Cookie: shopsess={}", V[at]),
            "start",
        )
    };
    for told in [set(0), set(1), set(2)] {
        tell_stranger(&mut rig, &told);
    }
    tell_stranger(&mut rig, &page(HTML, "start"));
    let is = |at: usize| format!("shopsess={}", V[at]);
    ask(&rig, "/", "_ga=1", &[&is(3)], "front");
    ask(&rig, "/a", &is(3), &[&is(4)], "page a");
    assert_eq!(own(&rig, "/", &is(4)), None);
}

#[test]
fn a_client_that_has_a_planted_value_too_sees_nothing_of_what_comes_after() {
    // The application signs in by a GET that it answers with a page, and its sessions are in the cookie.
    let mut rig = rig();
    rolls(&mut rig, "session");
    let is = |at: usize| format!("session={}", V[at]);
    ask(&rig, "/", "_ga=1", &[&is(0)], "front");
    // Both have the first value, and go on with another one each.
    ask(&rig, "/news", &is(0), &[&is(1)], "news of the thief");
    ask(&rig, "/enter?user=anna", &is(0), &[&is(2)], "welcome anna");
    rig.now = rig.now + Duration::from_millis(100);
    ask(&rig, "/account", &is(2), &[&is(3)], "account of anna");
    assert_eq!(
        own(&rig, "/account", &is(2)).as_deref(),
        Some("account of anna")
    );
    rig.now = rig.now + Duration::from_millis(100);
    for thief in [is(0), is(1), is(0)] {
        assert_eq!(own(&rig, "/account", &thief), None, "{thief}");
    }
    // Nor if the thief was first, and comes back.
    let mut other = self::rig();
    rolls(&mut other, "session");
    ask(&other, "/", "_ga=1", &[&is(0)], "front");
    ask(&other, "/news", &is(0), &[&is(1)], "news of the thief");
    ask(&other, "/more", &is(1), &[&is(4)], "more of the thief");
    ask(
        &other,
        "/enter?user=anna",
        &is(0),
        &[&is(2)],
        "welcome anna",
    );
    other.now = other.now + Duration::from_millis(100);
    ask(&other, "/account", &is(2), &[&is(3)], "account of anna");
    ask(&other, "/account", &is(3), &[&is(5)], "account of anna");
    for thief in [is(4), is(1), is(0), is(4)] {
        other.now = other.now + Duration::from_millis(100);
        assert_eq!(own(&other, "/account", &thief), None, "{thief}");
    }
}

/// Somebody waits with a value for which another one is used meanwhile: a copy of what that was sent is
/// for its holder.
#[test]
fn a_client_that_has_waited_sees_nothing_that_a_later_value_was_sent() {
    let mut settings = Settings::default();
    settings.site.admission.in_flight_max = 1;
    let mut rig = attended(settings);
    rolls(&mut rig, "session");
    let is = |at: usize| format!("session={}", V[at]);
    ask(&rig, "/", "_ga=1", &[&is(0)], "front");
    ask(&rig, "/a", &is(0), &[&is(1)], "page a");
    let [mut busy, mut waits, mut later] = [rig.another(), rig.another(), rig.another()];
    busy.send(&get("/slow", ""));
    // It shares no fetch, and takes what there is when its turn comes.
    let part = format!("{}\r\nRange: bytes=0-2", cookie(&is(0)));
    waits.send(&get("/b", &lines(&part)));
    later.send(&get("/b", &lines(&cookie(&is(1)))));
    for rig in [&mut waits, &mut later] {
        assert_eq!(rig.received(), "");
    }
    // The newest goes first where the oldest has waited for long.
    for rig in [&mut busy, &mut waits, &mut later] {
        rig.now = rig.now + Duration::from_millis(300);
    }
    busy.reply(&page(HTML, "slow"));
    for (rig, text) in [(&mut later, "of the second"), (&mut waits, "of the first")] {
        rig.settle();
        assert!(
            rig.asked().starts_with("GET /b "),
            "{text}: {}",
            rig.received()
        );
        rig.reply(&page(HTML, text));
        assert!(rig.received().ends_with(text));
    }
}

#[test]
fn counters_and_preferences_do_not_separate_what_a_chain_holds_together() {
    // r3, r7.
    let logged_in = format!(
        "wordpress_logged_in_5f=anna%7C1733011200%7C{}%7C{}",
        V[0], V[1]
    );
    let rig = rig();
    post(
        &rig,
        "/wp-login.php",
        "",
        &answer(
            "302 Found",
            &format!("Location: /wp-admin/\r\nSet-Cookie: {logged_in}"),
            "",
        ),
    );
    let at = |time: u64, views: u32| {
        format!("{logged_in}; wp-settings-time-1={time}; pageviews={views}")
    };
    let set = |time: u64| format!("wp-settings-time-1={time}");
    ask(
        &rig,
        "/wp-admin/",
        &logged_in,
        &[&set(1_733_000_000)],
        "dashboard",
    );
    ask(
        &rig,
        "/wp-admin/edit.php",
        &at(1_733_000_000, 2),
        &[&set(1_733_000_009)],
        "posts",
    );
    ask(&rig, "/", &at(1_733_000_009, 3), &[], "front for anna");
    for (path, expected) in [
        ("/wp-admin/", "dashboard"),
        ("/wp-admin/edit.php", "posts"),
        ("/", "front for anna"),
    ] {
        let found = own(&rig, path, &at(1_733_000_020, 17));
        assert_eq!(found.as_deref(), Some(expected), "{path}");
    }
    // What may say who it is separates: a token of its own, a long number, a login.
    for other in [
        format!("{}; jwt={}", at(1_733_000_020, 4), V[2]),
        format!("{}; customer=8812345", at(1_733_000_020, 4)),
        format!("{}; logged_in=bert", at(1_733_000_020, 4)),
        "wp-settings-time-1=1733000020; pageviews=4".to_owned(),
    ] {
        assert_eq!(own(&rig, "/", &other), None, "{other}");
    }
}

#[test]
fn what_came_with_other_preferences_may_rescue_and_is_not_fresh() {
    // w9's neighbour: it may rescue, and is not what the application would send now.
    let rig = rig();
    let is = format!("PHPSESSID={}", V[0]);
    ask(&rig, "/", "_ga=1", &[&is], "front");
    let fresh = "Content-Type: text/html\r\nCache-Control: max-age=60\r\nETag: \"1\"";
    tell(
        &rig,
        "/",
        &format!("{is}; lang=de"),
        &page(fresh, "auf Deutsch"),
    );
    let mut visitor = rig.another();
    visitor.send(&get("/", &lines(&cookie(&format!("{is}; lang=en")))));
    let asked = visitor.asked();
    assert!(
        asked.starts_with("GET / ") && field(&asked, "if-none-match").is_none(),
        "{asked}"
    );
    visitor.input(Input::ReadFailed(Side::Origin));
    assert!(visitor.received().ends_with("auf Deutsch"));
    let mut visitor = rig.another();
    visitor.send(&get("/", &lines(&cookie(&format!("{is}; lang=de")))));
    assert_eq!(visitor.asked(), "", "it is fresh for those very cookies");
}

#[test]
fn a_token_that_a_script_swaps_is_another_visitors() {
    let rig = rig();
    let session = format!("PHPSESSID={}", V[0]);
    ask(&rig, "/", "_ga=1", &[&session], "front");
    let jwt = |at: usize| format!("{session}; jwt=eyJhbGciOiJIUzI1NiJ9.{}", V[at]);
    ask(&rig, "/account", &jwt(1), &[], "account of anna");
    assert!(own(&rig, "/account", &jwt(1)).is_some());
    assert_eq!(own(&rig, "/account", &jwt(2)), None);
    assert_eq!(own(&rig, "/account", &session), None);
}

#[test]
fn a_value_given_twice_is_nobodys_and_gets_what_strangers_get() {
    // w13: two visitors within one second.
    let mut rig = rig();
    let is = format!("session={}", V[0]);
    ask(&rig, "/cart", "_ga=1", &[&is], "cart of a");
    ask(&rig, "/cart", &is, &[], "cart of a");
    tell_stranger(&mut rig, &page(HTML, "empty cart"));
    assert!(own(&rig, "/cart", &is).is_some());
    ask(&rig, "/cart", "_ga=2", &[&is], "cart of b");
    assert_eq!(own(&rig, "/cart", &is), None);
    let ask: Ask = (
        "/cart",
        &*format!("Accept: text/html\r\nCookie: {is}").leak(),
    );
    assert_eq!(left(&rig, 3, ask), public("empty cart"));
    // As a word in the place of a session is.
    let rig = self::rig();
    ask_deleted(&rig);
    assert_eq!(own(&rig, "/cart", "sid=deleted"), None);
}

fn ask_deleted(rig: &Rig) {
    for visitor in ["_ga=1", "_ga=2"] {
        ask(rig, "/bye", visitor, &["sid=deleted"], "good bye");
    }
    ask(rig, "/cart", "sid=deleted", &[], "cart of somebody");
}

#[test]
fn a_value_that_was_there_before_it_was_handed_out_opens_no_chain() {
    // As after a restart, where many have the same token of a guest.
    let rig = rig();
    let (old, new) = (
        format!("guest={}; customer=olga", V[0]),
        format!("guest={}", V[0]),
    );
    ask(&rig, "/", &old, &[], "page of olga");
    ask(&rig, "/", "_ga=1", &[&new], "front");
    ask(
        &rig,
        "/cart",
        &format!("{new}; customer=nora"),
        &[],
        "cart of nora",
    );
    assert_eq!(own(&rig, "/cart", &old), None);
    // Nor one that a stranger was given.
    let mut rig = self::rig();
    visit_from(&rig, 9, ("/start", FIREFOX), &page(HTML, "start"));
    tell_stranger(
        &mut rig,
        &page(&format!("{HTML}\r\nSet-Cookie: {new}"), "start"),
    );
    ask(&rig, "/", "_ga=1", &[&new], "front");
    ask(
        &rig,
        "/cart",
        &format!("{new}; customer=nora"),
        &[],
        "cart of nora",
    );
    assert_eq!(own(&rig, "/cart", &old), None);
}

#[test]
fn parallel_requests_do_not_lose_what_was_before_them() {
    let mut rig = rig();
    rolls(&mut rig, "session");
    let is = |at: usize| format!("session={}", V[at]);
    ask(&rig, "/", "_ga=1", &[&is(0)], "front");
    ask(&rig, "/a", &is(0), &[], "page a");
    rig.now = rig.now + Duration::from_secs(1);
    // Three at a time; the browser uses the first answer's value, and keeps the last one's.
    let mut flights: Vec<_> = ["/b", "/c", "/d"]
        .into_iter()
        .map(|path| {
            let mut flight = rig.another();
            flight.send(&get(path, &lines(&cookie(&is(0)))));
            (path, flight)
        })
        .collect();
    for (at, (path, flight)) in (1..).zip(&mut flights) {
        flight.reply(&page(
            &format!("{HTML}\r\nSet-Cookie: {}", is(at)),
            &format!("page {path}"),
        ));
        if at == 1 {
            rig.now = rig.now + Duration::from_secs(1);
            ask(&rig, "/e", &is(1), &[], "page e");
            rig.now = rig.now + Duration::from_secs(1);
        }
    }
    for path in ["/", "/a", "/b", "/c", "/d"] {
        assert!(own(&rig, path, &is(3)).is_some(), "{path}");
    }
    // Of another branch, for all that anybody can tell.
    assert_eq!(own(&rig, "/e", &is(3)), None);
}

#[test]
fn without_sessions_or_by_the_letter_there_are_no_chains() {
    use crate::config::RescueMode;
    for (detect_session, rescue) in [
        (false, RescueMode::Session),
        (true, RescueMode::All),
        (true, RescueMode::Strict),
    ] {
        let mut settings = Settings::default();
        settings.site.cache.detect_session = detect_session;
        settings.site.cache.rescue = rescue;
        let rig = Rig::with(settings);
        let is = format!("shopsess={}", V[0]);
        visit(
            &rig,
            ("/", "Cookie: _ga=1"),
            &page(&format!("Set-Cookie: {is}"), "front"),
        );
        let views = |count: u32| -> Ask { ("/a", format!("Cookie: {is}; views={count}").leak()) };
        visit(&rig, views(1), &page("", "page a"));
        assert_eq!(
            rescued(&rig, views(2)).is_some(),
            !detect_session,
            "{rescue:?}"
        );
        assert!(rescued(&rig, views(1)).is_some());
    }
}

#[test]
fn the_stranger_tries_each_name_once_a_day_and_keeps_nothing_of_it() {
    let mut rig = rig();
    rolls(&mut rig, "session");
    let due = |rig: &Rig| rig.gateway.site().poll_refresh_timeout(rig.now);
    assert_eq!(due(&rig), None);
    visit_from(&rig, 9, ("/other", FIREFOX), &page(HTML, "other"));
    tell_stranger(
        &mut rig,
        &page(&format!("{HTML}\r\nSet-Cookie: session={}", V[4]), "other"),
    );
    assert_eq!(due(&rig), None, "it is known");
    // The page that it was tried on has been kept before, without the value.
    assert_eq!(left(&rig, 3, ("/start", FIREFOX)), public("start"));
    rig.now = rig.now + Duration::from_secs(24 * 60 * 60);
    let told = page(&format!("{HTML}\r\nSet-Cookie: session={}", V[3]), "start");
    tell_stranger(&mut rig, &told);
    let asked = stranger(&mut rig).asked();
    let sent = format!("session={}", V[3]);
    assert_eq!(field(&asked, "cookie"), Some(&*sent), "a day later");
}
