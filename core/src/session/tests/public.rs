//! What a stranger is sent, and which visitors get it when the application does not answer.

use std::net::IpAddr;
use std::time::Duration;

use super::identity::{Ask, answer, lines, page, visit, visit_from};
use super::rig::{Rig, body, field, get, status};
use crate::config::{RescueMode, Settings};
use crate::report::PublicStats;
use crate::session::{Input, Side};

const HTML: &str = "Content-Type: text/html";
/// What PHP sends with each page of a session.
pub(super) const NO_STORE: &str =
    "Content-Type: text/html\r\nCache-Control: no-store, no-cache, must-revalidate";
pub(super) const FIREFOX: &str =
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// A site for which somebody asks as a stranger.
pub(super) fn attended(settings: Settings) -> Rig {
    let rig = Rig::with(settings);
    assert!(rig.refresh().is_none(), "nothing is wanted yet");
    rig
}

/// The same, and what fails opens no circuit.
fn rig() -> Rig {
    let mut settings = Settings::default();
    let breaker = &mut settings.site.breaker;
    (breaker.consecutive_failures, breaker.path_outcomes_min) = (1_000, 1_000);
    breaker.origin_outcomes_min = 1_000;
    attended(settings)
}

fn stats(rig: &Rig) -> PublicStats {
    rig.gateway.site().stats(rig.now).public
}

/// The next request that a stranger sends; time passes until it is due, and renewals are given up.
pub(super) fn stranger(rig: &mut Rig) -> Rig {
    for _ in 0..50 {
        if let Some(other) = rig.refresh() {
            let asked = std::str::from_utf8(&other.origin).unwrap();
            let address = field(asked, "x-forwarded-for").unwrap();
            if address.starts_with("192.31.196.") || address.starts_with("198.18.") {
                return other;
            }
            continue;
        }
        let due = rig.gateway.site().poll_refresh_timeout(rig.now);
        rig.now = due.expect("something is wanted");
    }
    panic!("it looks again and again for nothing");
}

/// A stranger asks and is answered so; what it asked.
#[track_caller]
pub(super) fn tell_stranger(rig: &mut Rig, answer: &str) -> String {
    let mut stranger = stranger(rig);
    let asked = stranger.asked();
    stranger.reply(answer);
    assert!(stranger.session.is_done(), "{:?}", stranger.session);
    asked
}

/// What somebody with an address gets once the application is gone: the body and the detail.
pub(super) fn left(rig: &Rig, last: u8, (path, fields): Ask) -> Option<(String, String)> {
    let mut visitor = rig.elsewhere(last);
    visitor.send(&get(path, &lines(fields)));
    if !visitor.asked().is_empty() {
        visitor.input(Input::ReadFailed(Side::Origin));
    }
    let received = visitor.received();
    let detail = field(&received, "cache-status").and_then(|text| text.split("detail=").nth(1));
    let detail = detail.unwrap_or_default().to_owned();
    (status(&received) == 200).then(|| (body(&received).to_owned(), detail))
}

pub(super) fn public(body: &str) -> Option<(String, String)> {
    Some((body.to_owned(), "public".to_owned()))
}

pub(super) const BARE: Ask = ("/", FIREFOX);

/// A first visit with an answer of this kind, and what a stranger is then sent.
pub(super) fn visited(rig: &mut Rig, fields: &str, to_stranger: &str) {
    visit_from(rig, 1, BARE, &page(fields, "page of a"));
    tell_stranger(rig, to_stranger);
}

#[test]
fn what_may_be_shared_with_nobody_was_sent_to_a_stranger_too() {
    // r0: Symfony, Next.js, MediaWiki; r1: PHP; r2: Laravel, Rails, Flask, Express.
    for fields in [
        "Cache-Control: private, must-revalidate\r\nContent-Type: text/html",
        "Cache-Control: private, no-cache, no-store, max-age=0\r\nContent-Type: text/html",
        "Cache-Control: private, no-cache\r\nVary: Accept-Encoding, Cookie\r\nContent-Type: text/html",
        "Cache-Control: no-store\r\nSet-Cookie: PHPSESSID=jqe6gvf3bka2mlo1\r\nContent-Type: text/html",
        "Set-Cookie: laravel_session=eyJpdiI6IjEyMyIsInZhbHVlIjoiQWJj\r\nContent-Type: text/html",
        "Set-Cookie: shop=x7\r\nVary: RSC, Next-Url, Accept-Encoding, Accept\r\nContent-Type: text/html",
    ] {
        let mut rig = rig();
        visited(&mut rig, fields, &page(fields, "page of nobody"));
        let newcomer = left(&rig, 2, BARE);
        assert_eq!(newcomer, public("page of nobody"), "{fields}");
        let returning = (
            "/",
            "Cookie: PHPSESSID=b1b2b3b4b5b6b7b8\r\nAccept: text/html",
        );
        assert_eq!(
            left(&rig, 3, returning),
            public("page of nobody"),
            "{fields}"
        );
        let found = PublicStats {
            asked: 1,
            kept: 1,
            served: 2,
            ..stats(&rig)
        };
        assert_eq!(stats(&rig), found);
        // No copy has the stranger's cookie.
        let mut visitor = rig.elsewhere(4);
        visitor.send(&get("/", &lines(FIREFOX)));
        visitor.reply(&answer("503 No", "", ""));
        let received = visitor.received();
        assert_eq!(field(&received, "set-cookie"), None);
        assert_eq!(field(&received, "x-retter"), Some("cache"));
        let says = "retter; fwd=stale; fwd-status=503; ttl=0; detail=public";
        assert_eq!(field(&received, "cache-status"), Some(says));
    }
}

#[test]
fn a_stranger_asks_with_nothing_of_any_visitor() {
    let mut settings = Settings::default();
    settings.client.trusted_proxies = "192.0.2.0/24".parse().unwrap();
    settings.site.cache.public_address = IpAddr::from([198, 18, 0, 7]);
    let mut rig = attended(settings);
    let visitor = "Cookie: PHPSESSID=a1a2a3a4a5a6a7a8\r\nReferer: http://h/secret\r\n\
        Accept-Language: de\r\nIf-None-Match: \"x\"\r\nX-Forwarded-For: 203.0.113.9\r\n\
        X-Forwarded-Proto: https\r\nCF-Connecting-IP: 203.0.113.9\r\nAccept: text/html";
    visit(
        &rig,
        ("/a?utm_source=b&c=d", visitor),
        &page(HTML, "page of a"),
    );
    let asked = tell_stranger(&mut rig, &page(HTML, "page"));
    assert!(
        asked.starts_with("GET /a?c=d HTTP/1.1\r\nHost: h\r\n"),
        "{asked}"
    );
    for (name, expected) in [
        ("x-forwarded-for", Some("198.18.0.7")),
        ("x-forwarded-proto", Some("https")),
        ("x-real-ip", Some("198.18.0.7")),
        ("cf-connecting-ip", Some("198.18.0.7")),
        ("forwarded", Some("for=198.18.0.7;host=h;proto=https")),
        ("via", Some("1.1 retter")),
        ("cookie", None),
        ("referer", None),
        ("if-none-match", None),
        ("accept-language", None),
    ] {
        assert_eq!(field(&asked, name), expected, "{name}");
    }
    assert!(field(&asked, "user-agent").is_some_and(|agent| agent.starts_with("Mozilla/5.0")));
    assert!(field(&asked, "accept").is_some_and(|accept| accept.starts_with("text/html,")));
    // It has no copy of its own to compare with; it may ask whether that of a stranger is right.
    rig.now = rig.now + Duration::from_secs(600);
    visit(&rig, ("/a?c=d", visitor), &page(HTML, "page of a"));
    let tagged = page("Content-Type: text/html\r\nETag: \"1\"", "newer page");
    assert_eq!(
        field(&tell_stranger(&mut rig, &tagged), "if-none-match"),
        None
    );
    rig.now = rig.now + Duration::from_secs(600);
    visit(&rig, ("/a?c=d", visitor), &page(HTML, "page of a"));
    let asked = tell_stranger(&mut rig, &answer("304 Same", "ETag: \"1\"", ""));
    assert_eq!(field(&asked, "if-none-match"), Some("\"1\""));
    assert_eq!((stats(&rig).asked, stats(&rig).kept), (3, 3));
}

#[test]
fn what_a_stranger_does_not_ask_for() {
    let session = "Cookie: PHPSESSID=a1a2a3a4a5a6a7a8\r\nAccept: text/html";
    let flash = "Cookie: flash=1; PHPSESSID=a1a2a3a4a5a6a7a8\r\nAccept: text/html";
    let json = "Cookie: PHPSESSID=a1a2a3a4a5a6a7a8\r\nAccept: application/json";
    for (ask, answer) in [
        // w11, w14, w10.
        (("/members/?token=abc", session), page(HTML, "x")),
        (("/index.php?action=logout", session), page(HTML, "x")),
        (("/vote", session), page(HTML, "x")),
        (("/a", session), answer("302 Found", "Location: /b", "")),
        (
            ("/a", flash),
            page(
                "Set-Cookie: flash=; Max-Age=0\r\nContent-Type: text/html",
                "x",
            ),
        ),
        (("/a", json), page("Content-Type: application/json", "{}")),
        (
            ("/a", session),
            page("Content-Type: application/json", "{}"),
        ),
        (("/a", session), answer("404 Gone", HTML, "x")),
        // What everybody gets of those copies that may be shared is enough.
        (BARE, page(HTML, "of all")),
        // A gateway signs people in.
        (
            ("/a", "X-WEBAUTH-USER: anna\r\nAccept: text/html"),
            page(HTML, "x"),
        ),
    ] {
        let rig = rig();
        visit(&rig, ask, &answer);
        assert!(rig.refresh().is_none(), "{ask:?} {answer}");
        assert_eq!(stats(&rig).wanted, 0);
    }
    for change in [
        (|settings: &mut Settings| settings.site.cache.public = false) as fn(&mut Settings),
        |settings| settings.site.cache.rescue = RescueMode::Strict,
        |settings| settings.site.cache.rescue = RescueMode::All,
        |settings| settings.site.cache.detect_session = false,
    ] {
        let mut settings = Settings::default();
        change(&mut settings);
        let rig = attended(settings);
        visit(&rig, ("/a", session), &page(NO_STORE, "x"));
        assert!(rig.refresh().is_none());
    }
}

#[test]
fn a_client_that_is_somebody_gets_nothing_of_a_stranger() {
    let mut rig = rig();
    visited(&mut rig, NO_STORE, &page(NO_STORE, "page of nobody"));
    for fields in [
        "Authorization: Basic YTpi",
        "X-WEBAUTH-USER: anna",
        "Cookie: wordpress_logged_in_a1=anna%7C1",
        "Cookie: remember_web_1=x",
        "Cookie: PHPSESSID=c1c2c3c4c5c6c7c8; REMEMBERME=1",
    ] {
        let ask = ("/", &*format!("{fields}\r\nAccept: text/html").leak());
        assert_eq!(left(&rig, 2, ask), None, "{fields}");
    }
    // A session that was handed out in answer to a login is somebody's for half an hour, and so is
    // what comes in its place.
    let mut login = rig.elsewhere(5);
    login.send("POST /login HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    let first = "Set-Cookie: shopsess=c1c2c3c4c5c6c7c8\r\nLocation: /";
    login.reply(&answer("303 See", first, ""));
    let own = (
        "/own",
        "Cookie: shopsess=c1c2c3c4c5c6c7c8\r\nAccept: text/html",
    );
    let rolled = "Content-Type: text/html\r\nSet-Cookie: shopsess=d1d2d3d4d5d6d7d8";
    visit_from(&rig, 5, own, &page(rolled, "own"));
    for value in ["c1c2c3c4c5c6c7c8", "d1d2d3d4d5d6d7d8"] {
        let ask = (
            "/",
            &*format!("Cookie: shopsess={value}\r\nAccept: text/html").leak(),
        );
        assert_eq!(left(&rig, 5, ask), None);
    }
    let other = (
        "/",
        "Cookie: shopsess=e1e2e3e4e5e6e7e8\r\nAccept: text/html",
    );
    assert_eq!(left(&rig, 6, other), public("page of nobody"));
    rig.now = rig.now + Duration::from_secs(30 * 60 + 2);
    let late = (
        "/",
        "Cookie: shopsess=d1d2d3d4d5d6d7d8\r\nAccept: text/html",
    );
    assert_eq!(left(&rig, 5, late), public("page of nobody"));
    // Who came with a field may be the same without it.
    let mixed = (
        "/",
        "Cookie: sid=f1f2f3f4f5f6f7f8\r\nX-User: anna\r\nAccept: text/html",
    );
    visit_from(&rig, 7, mixed, &page("Cache-Control: private", "of anna"));
    let without = ("/", "Cookie: sid=f1f2f3f4f5f6f7f8\r\nAccept: text/html");
    assert_eq!(left(&rig, 7, without), None);
}

#[test]
fn a_page_that_holds_what_the_stranger_was_handed_is_asked_for_with_it_or_not_kept() {
    const SID: &str = "PHPSESSID=9f8e7d6c5b4a39281706";
    let set = format!("Content-Type: text/html\r\nSet-Cookie: {SID}; path=/");
    for (held, value) in [
        ("9f8e7d6c5b4a39281706", SID),
        ("eyJpdiI6IjEyMyJ9=", "shop=eyJpdiI6IjEyMyJ9%3D"),
        (
            "abcdefghjkmnpqrstu",
            "shop=s%3Aabcdefghjkmnpqrstu.c2lnbmF0dXJl",
        ),
    ] {
        let handed = format!("Content-Type: text/html\r\nSet-Cookie: {value}; path=/");
        let link = format!("<a href='/b?sid={held}'>");
        // The link is gone with the cookie.
        let mut rig = rig();
        visited(&mut rig, NO_STORE, &page(&handed, &link));
        assert_eq!(left(&rig, 2, BARE), None);
        let asked = tell_stranger(&mut rig, &page(HTML, "<a href='/b'>"));
        assert_eq!(field(&asked, "cookie"), Some(value));
        assert_eq!(left(&rig, 2, BARE), public("<a href='/b'>"), "{held}");
        // It is there still.
        let mut rig = self::rig();
        visited(&mut rig, NO_STORE, &page(&handed, &link));
        tell_stranger(&mut rig, &page(HTML, &link));
        assert_eq!(left(&rig, 2, BARE), None);
        visit_from(&rig, 1, BARE, &page(NO_STORE, "page of a"));
        assert!(rig.refresh().is_none(), "not again and again");
        assert_eq!((stats(&rig).passed, stats(&rig).kept), (2, 0));
    }
    // In a field it is no better, nor where nobody can see into the content.
    for hidden in [
        "X-Continue: /b?9f8e7d6c5b4a39281706",
        "Content-Encoding: br",
    ] {
        let mut rig = rig();
        visited(
            &mut rig,
            NO_STORE,
            &page(&format!("{set}\r\n{hidden}"), "page"),
        );
        assert_eq!(left(&rig, 2, BARE), None, "{hidden}");
    }
}

#[test]
fn what_else_stands_against_it() {
    for fields in [
        "Content-Type: text/html\r\nVary: User-Agent",
        "Content-Type: text/html\r\nVary: Accept-Language",
        "Content-Type: text/html\r\nVary: X-Forwarded-For",
        "Content-Type: text/html\r\nVary: *",
        "Content-Type: text/html\r\nRetter-Cache-Control: private",
        "Content-Type: text/html\r\nRetter-Cache-Control: no-store",
        "Content-Type: text/html\r\nX-CSRF-Token: abc",
        "Content-Type: application/json",
    ] {
        let mut rig = rig();
        visited(&mut rig, NO_STORE, &page(fields, "page of nobody"));
        assert_eq!(left(&rig, 2, BARE), None, "{fields}");
        assert_eq!((stats(&rig).passed, stats(&rig).kept), (1, 0));
    }
    // Where it breaks off it is none.
    let mut rig = rig();
    visit_from(&rig, 1, BARE, &page(NO_STORE, "page of a"));
    let mut stranger = stranger(&mut rig);
    stranger.reply("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\nhalf");
    stranger.end_of(Side::Origin);
    assert_eq!(left(&rig, 2, BARE), None);
    assert_eq!(stats(&rig).failed, 1);
}

#[test]
fn a_no_to_a_stranger_ends_all_sharing_of_the_page() {
    for status in [
        "401 Who",
        "403 No",
        "404 Gone",
        "410 Gone",
        "302 Elsewhere",
        "451 No",
    ] {
        // w6: a page for some addresses, which says nothing of it.
        let mut rig = rig();
        visit_from(&rig, 1, BARE, &page(HTML, "of the intranet"));
        assert!(left(&rig, 1, BARE).is_some(), "bare visitors share it");
        visit_from(&rig, 2, BARE, &answer(status, "Location: /login", ""));
        // It may go on being shared until the stranger knows; not with the visitor that was refused.
        visit_from(&rig, 1, BARE, &page(HTML, "of the intranet"));
        assert!(left(&rig, 1, BARE).is_some());
        assert_eq!(left(&rig, 2, BARE), None, "{status}");
        tell_stranger(&mut rig, &answer(status, "Location: /login", ""));
        assert_eq!(left(&rig, 3, BARE), None, "{status}");
        visit_from(&rig, 1, BARE, &page(HTML, "of the intranet"));
        assert_eq!(
            (left(&rig, 1, BARE), left(&rig, 3, BARE)),
            (None, None),
            "{status}"
        );
        assert_eq!(stats(&rig).refused, 1);
    }
    // A page that was public goes at the first no that anybody gets, and comes back.
    let mut rig = rig();
    visited(&mut rig, NO_STORE, &page(NO_STORE, "public"));
    assert_eq!(left(&rig, 3, BARE), public("public"));
    rig.now = rig.now + Duration::from_secs(60);
    visit_from(&rig, 2, BARE, &answer("403 No", "", ""));
    tell_stranger(&mut rig, &answer("403 No", "", ""));
    assert_eq!(left(&rig, 3, BARE), None);
    visit_from(&rig, 1, BARE, &page(NO_STORE, "page of a"));
    rig.now = rig.now + Duration::from_secs(600);
    tell_stranger(&mut rig, &page(NO_STORE, "public again"));
    assert_eq!(left(&rig, 3, BARE), public("public again"));
    assert_eq!(left(&rig, 2, BARE), None, "for an hour");
    rig.now = rig.now + Duration::from_secs(3_001);
    assert_eq!(left(&rig, 2, BARE), public("public again"));
    // Trouble says nothing of the page.
    for trouble in ["500 Oops", "503 No", "429 Slowly"] {
        visit_from(&rig, 4, BARE, &page(NO_STORE, "page of d"));
        rig.now = rig.now + Duration::from_secs(601);
        tell_stranger(&mut rig, &answer(trouble, "", ""));
        assert_eq!(left(&rig, 3, BARE), public("public again"), "{trouble}");
    }
}

#[test]
fn a_client_that_was_refused_gets_no_copy_with_or_without_cookies() {
    let session = (
        "/",
        "Cookie: PHPSESSID=b1b2b3b4b5b6b7b8\r\nAccept: text/html",
    );
    let mut rig = rig();
    visited(&mut rig, NO_STORE, &page(NO_STORE, "public"));
    visit_from(&rig, 2, session, &answer("403 No", "", ""));
    for (last, ask, expected) in [
        (2, session, None),
        (2, BARE, None),
        (3, session, None),
        (3, BARE, public("public")),
    ] {
        assert_eq!(left(&rig, last, ask), expected, "{last} {ask:?}");
    }
    // The application has thought better of it.
    visit_from(&rig, 2, session, &page(NO_STORE, "own"));
    assert_eq!(left(&rig, 2, BARE), public("public"));
    // A refused visitor is not answered by another's fetch either.
    let mut settings = Settings::default();
    settings.site.admission.in_flight_max = 1;
    let rig = Rig::with(settings);
    visit_from(&rig, 2, BARE, &answer("403 No", "", ""));
    let mut busy = rig.another();
    busy.send(&get("/slow", ""));
    let (mut lead, mut refused) = (rig.elsewhere(1), rig.elsewhere(2));
    for visitor in [&mut lead, &mut refused] {
        visitor.send(&get("/", &lines(FIREFOX)));
    }
    busy.reply(&page("", "slow"));
    lead.settle();
    lead.reply(&page(HTML, "of the intranet"));
    refused.settle();
    assert!(refused.asked().starts_with("GET / "), "it asks for itself");
}

#[test]
fn a_client_that_has_written_waits_for_the_application_unless_it_fails() {
    let mut settings = Settings::default();
    settings.site.admission.in_flight_max = 2;
    let mut rig = attended(settings);
    let cart = (
        "/cart",
        "Cookie: PHPSESSID=b1b2b3b4b5b6b7b8\r\nAccept: text/html",
    );
    visit_from(&rig, 1, ("/cart", FIREFOX), &page(NO_STORE, "cart of a"));
    tell_stranger(&mut rig, &page(NO_STORE, "empty cart"));
    let mut writer = rig.elsewhere(2);
    writer.send(
        "POST /cart HTTP/1.1\r\nHost: h\r\nCookie: PHPSESSID=b1b2b3b4b5b6b7b8\r\n\
         Content-Length: 0\r\n\r\n",
    );
    writer.reply(&answer("200 OK", "", ""));
    // w9: it is slow.
    let mut slow = rig.elsewhere(2);
    slow.send(&get(cart.0, &lines(cart.1)));
    slow.wait(Duration::from_secs(5));
    assert_eq!(slow.received(), "");
    let mut other = rig.elsewhere(3);
    other.send(&get("/cart", &lines(FIREFOX)));
    other.wait(Duration::from_secs(5));
    assert_eq!(body(&other.received()), "empty cart");
    // And full.
    rig.now = other.now;
    let mut second = rig.elsewhere(2);
    second.send(&get("/slow", ""));
    let mut full = rig.elsewhere(2);
    full.send(&get(cart.0, &lines(cart.1)));
    full.wait(Duration::from_millis(50));
    assert_eq!(
        (full.received(), full.asked()),
        (String::new(), String::new())
    );
    let mut other = rig.elsewhere(3);
    other.send(&get("/cart", &lines(FIREFOX)));
    other.wait(Duration::from_millis(50));
    assert_eq!(body(&other.received()), "empty cart");
    slow.input(Input::ReadFailed(Side::Origin));
    assert_eq!(body(&slow.received()), "empty cart", "it fails");
}

#[test]
fn a_page_that_differs_by_the_language_is_asked_for_in_that_of_its_visitors() {
    const VARIES: &str = "Content-Type: text/html\r\nCache-Control: private\r\n\
                          Vary: Accept-Language, Cookie";
    const GERMAN: Ask = (
        "/",
        "Accept-Language: de-DE,de;q=0.9,en;q=0.8\r\nCookie: PHPSESSID=a1b2c3d4e5f6\r\n\
         Accept: text/html",
    );
    let mut rig = rig();
    visit_from(&rig, 1, GERMAN, &page(VARIES, "seite von a"));
    let asked = tell_stranger(&mut rig, &page(VARIES, "page of nobody"));
    assert_eq!(field(&asked, "accept-language"), None);
    let other = (
        "/",
        "Accept-Language: de-de, fr;q=0.1\r\nCookie: PHPSESSID=b1b2b3b4b5b6b7b8\r\n\
         Accept: text/html",
    );
    assert_eq!(left(&rig, 2, other), None, "it would be in no language");
    rig.now = rig.now + Duration::from_secs(1);
    visit_from(&rig, 1, GERMAN, &page(VARIES, "seite von a"));
    let asked = tell_stranger(&mut rig, &page(VARIES, "seite von niemand"));
    assert_eq!(field(&asked, "accept-language"), Some("de-de"));
    assert_eq!(left(&rig, 2, other), public("seite von niemand"));
    for language in ["fr", "de", "en, de-DE", "*", "de-DE\r\nAccept-Language: fr"] {
        let fields = format!("Accept-Language: {language}\r\nAccept: text/html");
        let mut visitor = rig.elsewhere(3);
        visitor.send(&get("/", &lines(&fields)));
        visitor.input(Input::ReadFailed(Side::Origin));
        assert_eq!(status(&visitor.received()), 502, "{language}");
    }
    // What differs by something else too is nobody's.
    let mut rig = self::rig();
    let varies = format!("{VARIES}, User-Agent");
    for _ in 0..2 {
        visit_from(&rig, 1, GERMAN, &page(&varies, "seite von a"));
        rig.now = rig.now + Duration::from_secs(1);
    }
    let asked = tell_stranger(&mut rig, &page(&varies, "page of nobody"));
    assert_eq!(field(&asked, "accept-language"), None);
    visit_from(&rig, 1, GERMAN, &page(&varies, "seite von a"));
    assert_eq!(left(&rig, 2, other), None);
}
