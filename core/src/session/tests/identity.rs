//! Whose page is it: what one visitor was sent never answers another, whatever the names of cookies
//! and fields are.

use super::rig::{Rig, body, field, get, status};
use crate::config::Settings;
use crate::session::{Input, Side};

/// What a visitor asks: path, and field lines without the last line end.
pub(super) type Ask = (&'static str, &'static str);

/// What the application answered before: who asked, the field lines of the answer, its body.
pub(super) type Answered = (Ask, &'static str, &'static str);

/// A new connection of somebody, on which the application answers.
pub(super) fn visit(rig: &Rig, ask: Ask, answer: &str) -> String {
    answered(rig.another(), ask, answer)
}

/// The same of a visitor with this address.
pub(super) fn visit_from(rig: &Rig, last: u8, ask: Ask, answer: &str) -> String {
    answered(rig.elsewhere(last), ask, answer)
}

fn answered(mut visitor: Rig, (path, fields): Ask, answer: &str) -> String {
    visitor.send(&get(path, &lines(fields)));
    if visitor.asked().is_empty() {
        return visitor.received();
    }
    visitor.reply(answer).received()
}

/// What somebody gets of the copies once the application is gone.
pub(super) fn rescued(rig: &Rig, (path, fields): Ask) -> Option<String> {
    let mut visitor = rig.another();
    visitor.send(&get(path, &lines(fields)));
    if !visitor.asked().is_empty() {
        visitor.input(Input::ReadFailed(Side::Origin));
    }
    let received = visitor.received();
    let is_copy = field(&received, "x-retter") != Some("no-cache");
    assert_eq!(status(&received) == 200, is_copy, "{received}");
    is_copy.then(|| body(&received).to_owned())
}

pub(super) fn lines(fields: &str) -> String {
    match fields {
        "" => String::new(),
        fields => format!("{fields}\r\n"),
    }
}

pub(super) fn answer(status: &str, fields: &str, body: &str) -> String {
    let (fields, length) = (lines(fields), body.len());
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
}

pub(super) fn page(fields: &str, body: &str) -> String {
    answer("200 OK", fields, body)
}

/// After these answers the application is gone, and this is what a visitor is rescued with.
#[track_caller]
pub(super) fn check(before: &[Answered], (path, fields): Ask, expected: Option<&str>) {
    let rig = Rig::new();
    for (ask, fields, body) in before {
        visit(&rig, *ask, &page(fields, body));
    }
    let found = rescued(&rig, (path, fields));
    assert_eq!(
        found.as_deref(),
        expected,
        "{before:?}, then {path} {fields}"
    );
}

const LANG: &str = "Cookie: lang=en";

#[test]
fn a_page_that_sets_a_cookie_of_any_name_is_its_visitors_alone() {
    let cart = |fields| [(("/", LANG), fields, "cart of a")];
    // w1: whatever the cookie is called, and although the page calls itself fresh.
    check(&cart("Set-Cookie: shopsess=a1"), ("/", LANG), None);
    check(
        &cart("Cache-Control: max-age=30\r\nSet-Cookie: shopsess=a1"),
        ("/", LANG),
        None,
    );
    check(&cart("Set-Cookie: _ga=1"), ("/", LANG), Some("cart of a"));
    // In a session too: its cookie may be the same for all who have no login.
    let guest = "Cookie: sid=guest";
    check(
        &[(("/", guest), "Set-Cookie: shopsess=a1", "cart")],
        ("/", guest),
        None,
    );
    // Nor where one is replaced: its value may be many visitors', or somebody has planted it.
    let owned = "Cookie: shopsess=a0";
    check(
        &[(("/", owned), "Set-Cookie: shopsess=a1", "own")],
        ("/", owned),
        None,
    );
    // To set it again, or to forget what is not there, changes nothing.
    for same in ["shopsess=a0", "rememberMe=deleteMe; Max-Age=0", "flash="] {
        let rig = Rig::new();
        let fields = format!("Set-Cookie: {same}");
        visit(&rig, ("/", owned), &page(&fields, "own"));
        assert_eq!(
            rescued(&rig, ("/", owned)).as_deref(),
            Some("own"),
            "{same}"
        );
    }
    // Other credentials are no better.
    for fields in ["Cart-Token: a", "X-CSRF-Token: a", "Nonce: a"] {
        check(&[(("/", ""), fields, "cart of a")], ("/", ""), None);
    }
}

#[test]
fn without_sessions_no_page_that_sets_a_cookie_is_kept() {
    let mut settings = Settings::default();
    settings.site.cache.detect_session = false;
    let rig = Rig::with(settings);
    let ask = ("/", "Cookie: shopsess=a0");
    visit(&rig, ask, &page("Set-Cookie: shopsess=a1", "cart of a"));
    assert_eq!(rescued(&rig, ask), None);
    visit(&rig, ask, &page("", "of all"));
    assert_eq!(rescued(&rig, ("/", "")).as_deref(), Some("of all"));
}

#[test]
fn a_client_that_waits_for_anothers_page_is_not_given_it_with_a_cookie() {
    let mut settings = Settings::default();
    settings.site.admission.in_flight_max = 1;
    let rig = Rig::with(settings);
    let mut busy = rig.another();
    busy.send(&get("/slow", ""));
    let (mut lead, mut follower) = (rig.another(), rig.another());
    for visitor in [&mut lead, &mut follower] {
        visitor.send(&get("/", &lines(LANG)));
    }
    busy.reply(&page("", "slow"));
    lead.settle();
    lead.reply(&page("Set-Cookie: shopsess=a1", "cart of a"));
    assert!(lead.received().contains("cart of a"));
    follower.settle();
    assert!(follower.asked().starts_with("GET / "), "it asks for itself");
    let received = follower
        .reply(&page("Set-Cookie: shopsess=b1", "cart of b"))
        .received();
    assert_eq!(body(&received), "cart of b");
}

#[test]
fn every_field_that_is_not_known_keeps_visitors_apart() {
    for name in [
        "X-WEBAUTH-USER",
        "Remote-User",
        "X-Customer-Token",
        "x_shop_user",
        "Kundennummer",
    ] {
        let rig = Rig::new();
        let ask = |user: &str| get("/", &format!("{name}: {user}\r\n"));
        rig.another().send(&ask("a")).reply(&page("", "page of a"));
        for (user, expected) in [("a", 200), ("b", 502)] {
            let mut visitor = rig.another();
            visitor
                .send(&ask(user))
                .input(Input::ReadFailed(Side::Origin));
            assert_eq!(status(&visitor.received()), expected, "{name}: {user}");
        }
        assert_eq!(rescued(&rig, ("/", "")), None);
    }
    // w4: what many send is no reason to keep what is private.
    let private = "Cache-Control: private, no-store";
    for key in [
        "X-Api-Key: public",
        "Authorization: Basic cHVibGlj",
        "Cookie: lang=en",
    ] {
        check(&[(("/", key), private, "of a")], ("/", key), None);
    }
    let token = "X-Api-Key: public\r\nX-Customer-Token: a";
    check(&[(("/", token), private, "of a")], ("/", token), None);
    check(&[(("/", token), "", "of a")], ("/", token), Some("of a"));
    for own in ["Authorization: Bearer a", "Cookie: PHPSESSID=a"] {
        check(&[(("/", own), private, "of a")], ("/", own), Some("of a"));
    }
    // What is known changes nothing.
    check(
        &[(
            ("/", "traceparent: 00-1-2-01\r\nX-Request-Id: 1"),
            "",
            "of all",
        )],
        ("/", "traceparent: 00-3-4-01\r\nX-Request-Id: 2"),
        Some("of all"),
    );
}

#[test]
fn an_operator_says_what_else_is_harmless_and_what_is_not() {
    let mut settings = Settings::default();
    settings.site.cache.harmless_fields = "x-my-cdn-*".parse().unwrap();
    settings.site.cache.identity_fields = "x-device".parse().unwrap();
    let rig = Rig::with(settings);
    visit(&rig, ("/", "X-My-CDN-Id: 1"), &page("", "of all"));
    assert_eq!(
        rescued(&rig, ("/", "X_My_CDN_Id: 2")).as_deref(),
        Some("of all")
    );
    let private = page("Cache-Control: max-age=60", "of a");
    visit(&rig, ("/", "X-Device: a"), &private);
    assert_eq!(rescued(&rig, ("/", "X-Device: b")), None);
}

#[test]
fn a_cookie_that_is_several_to_some_applications_counts() {
    let all = [(("/", "Cookie: _ga=1"), "", "of all")];
    check(&all, ("/", "Cookie: _ga=2"), Some("of all"));
    for odd in [
        "_ga=1 sessionid=a",
        "_ga=1,sessionid=a",
        "_ga=\"1\"; _gid=\"; sid=a",
        "_ga=\"x\"sid=a",
    ] {
        let rig = Rig::new();
        visit(&rig, ("/", "Cookie: _ga=1"), &page("", "of all"));
        let mut visitor = rig.another();
        visitor.send(&get("/", &format!("Cookie: {odd}\r\n")));
        visitor.input(Input::ReadFailed(Side::Origin));
        assert_eq!(status(&visitor.received()), 502, "{odd}");
    }
}

#[test]
fn a_part_of_a_page_is_not_the_page_nor_is_data() {
    const KINDS: [Ask; 8] = [
        (
            "/list",
            "Accept: text/html,*/*;q=0.8\r\nSec-Fetch-Dest: document",
        ),
        ("/list", "HX-Request: true"),
        ("/list", "HX-Request: true\r\nHX-Target: rows"),
        ("/list", "Turbo-Frame: rows"),
        ("/list", "X-Requested-With: XMLHttpRequest"),
        ("/list", "Accept: application/json"),
        ("/list", "RSC: 1"),
        (
            "/list",
            "Accept: image/avif,*/*;q=0.5\r\nSec-Fetch-Dest: image",
        ),
    ];
    for kept in KINDS {
        for asked in KINDS {
            let expected = (kept == asked).then_some("of this kind");
            check(&[(kept, "", "of this kind")], asked, expected);
        }
    }
    // Android's web views send the name of their program.
    let app = "X-Requested-With: com.example.browser";
    let of_app = [(("/list", app), "", "page")];
    check(&of_app, ("/list", app), Some("page"));
    // An application may take any such field for a script's.
    check(&of_app, ("/list", ""), None);
    // A browser navigates, and nothing that others may have been given for another wish answers.
    let browser = "Accept: text/html,application/xml;q=0.9,*/*;q=0.8";
    for odd in [
        "Accept: text/markdown, text/html, */*",
        "Accept: application/rss+xml, text/html",
        "Accept: text/html;q=.1, text/csv;q=.9",
        "Accept: text/html\r\nAccept: application/json",
        "Accept: */*\r\nSec-Fetch-Dest: document",
        "Accept: text/html\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Dest: empty",
        "Accept: text/html\r\nX-Requested-With: a.b",
    ] {
        let odd = ("/list", odd);
        check(&[(odd, "", "odd")], ("/list", browser), None);
        check(&[(odd, "", "odd")], ("/list", "Accept: */*"), None);
        check(&[(odd, "", "odd")], odd, Some("odd"));
    }
    for field in ["HX-Request: true", "X-Requested-With: XMLHttpRequest"] {
        let [data, part] = ["application/json", "text/html"]
            .map(|accept| format!("{field}\r\nAccept: {accept}").leak() as &str);
        check(&[(("/list", data), "", "data")], ("/list", part), None);
    }
    check(
        &[(("/list", "Accept: */*, application/json"), "", "data")],
        ("/list", "Accept: */*"),
        None,
    );
    // A write ends all of them.
    let rig = Rig::new();
    for kind in KINDS {
        visit(&rig, kind, &page("", "before"));
    }
    let mut editor = rig.another();
    editor.send("POST /list HTTP/1.1\r\nHost: h\r\nHX-Request: true\r\nContent-Length: 0\r\n\r\n");
    editor.reply("HTTP/1.1 204 No Content\r\n\r\n");
    for kind in KINDS {
        assert_eq!(rescued(&rig, kind), None, "{kind:?}");
    }
}

#[test]
fn a_value_that_two_visitors_were_given_is_nobodys() {
    let given = |fields: &'static str| (("/", ""), fields, "welcome");
    for (set, cookie) in [
        (
            "Set-Cookie: session=eyJfcGVybWFuZW50Ijp0cnVlfQ",
            "Cookie: session=eyJfcGVybWFuZW50Ijp0cnVlfQ",
        ),
        (
            "Set-Cookie: shop=eyJfcGVybWFuZW50Ijp0cnVlfQ",
            "Cookie: shop=eyJfcGVybWFuZW50Ijp0cnVlfQ",
        ),
        ("Set-Cookie: sid=1", "Cookie: sid=1"),
    ] {
        let own = (("/cart", cookie), "", "cart of a");
        check(&[given(set), own], ("/cart", cookie), Some("cart of a"));
        check(&[given(set), given(set), own], ("/cart", cookie), None);
        // Nor does what was kept before answer.
        check(&[given(set), own, given(set)], ("/cart", cookie), None);
    }
    // A preference is many visitors', and the page is theirs.
    let (set, dark) = ("Set-Cookie: theme=dark", "Cookie: theme=dark");
    let own = (("/", dark), "", "dark page");
    check(
        &[given(set), given(set), own],
        ("/", dark),
        Some("dark page"),
    );
    // The same value again, for whoever has it, is not handed out again.
    let (set, sid) = ("Set-Cookie: sid=1", "Cookie: sid=1");
    check(
        &[
            given(set),
            (("/", sid), set, "of a"),
            (("/", sid), set, "of a"),
        ],
        ("/", sid),
        Some("of a"),
    );
}

#[test]
fn a_client_that_sends_an_ignored_parameter_reads_copies_and_makes_none() {
    let plain = (("/p", ""), "", "page");
    let reflecting = (
        ("/p?utm_source=evil", ""),
        "Cache-Control: max-age=60",
        "evil",
    );
    check(&[reflecting], ("/p", ""), None);
    check(&[reflecting], reflecting.0, None);
    check(
        &[plain, reflecting],
        ("/p?utm_source=other", ""),
        Some("page"),
    );
    // Nor is it given to clients that wait for the page.
    let mut settings = Settings::default();
    settings.site.admission.in_flight_max = 1;
    let rig = Rig::with(settings);
    let mut busy = rig.another();
    busy.send(&get("/slow", ""));
    let (mut lead, mut follower) = (rig.another(), rig.another());
    lead.send(&get("/p?utm_source=evil", ""));
    follower.send(&get("/p", ""));
    busy.reply(&page("", "slow"));
    lead.settle();
    lead.reply(&page("", "evil"));
    follower.settle();
    assert!(follower.asked().starts_with("GET /p "));
}

#[test]
fn a_copy_that_an_ignored_parameter_asked_for_is_renewed_without_it() {
    let mut settings = Settings::default();
    settings.site.cache.ttl = std::time::Duration::ZERO;
    let rig = Rig::with(settings);
    assert!(
        rig.gateway.site().poll_refresh(rig.now).is_none(),
        "it is attended"
    );
    visit(&rig, ("/p", ""), &page("", "page"));
    let mut visitor = rig.another();
    visitor.send(&get("/p?utm_source=a", ""));
    visitor.reply(&answer("500 Oops", "", ""));
    assert!(visitor.received().ends_with("page"));
    let mut renewal = rig.refresh().expect("it is wanted");
    assert!(
        renewal.asked().starts_with("GET /p HTTP"),
        "as its key says"
    );
    renewal.reply(&page("", "new page"));
    assert_eq!(rescued(&rig, ("/p", "")).as_deref(), Some("new page"));
}

#[test]
fn what_is_asked_for_is_told_by_what_applications_read() {
    let navigation = (
        "/list",
        "Accept: text/html,application/xhtml+xml;q=0.9\r\nSec-Fetch-Dest: document",
    );
    let json = "Content-Type: application/json; charset=utf-8";
    for odd in [
        ("/list", "Accept: application/json, text/html;q=0.1"),
        (
            "/list",
            "Sec-Fetch-Dest: document\r\nAccept: application/json",
        ),
        (
            "/list",
            "Accept: text/html;q=0.1\r\nAccept: application/json",
        ),
        ("/list", "Accept: */*"),
        ("/list", "X-Requested-With: fetch"),
        ("/list", "Content-Type: application/json"),
        navigation,
    ] {
        check(&[(odd, json, "[]")], navigation, None);
    }
    // A field that its sender keeps from the application has shaped nothing.
    for hidden in [
        "HX-Request: true\r\nConnection: close, HX-Request",
        "Accept: application/json\r\nConnection: accept",
        "X-Lang: de\r\nConnection: x-lang",
    ] {
        check(&[(("/list", hidden), "", "page")], ("/list", hidden), None);
    }
    // In another spelling a field comes from no browser.
    check(
        &[(
            ("/", "Accept-Language: en\r\nAccept_Language: evil"),
            "",
            "evil",
        )],
        ("/", "Accept-Language: en"),
        None,
    );
}

#[test]
fn a_first_visit_is_nobody_elses_whatever_the_clocks_say() {
    const LATE: &str = "Expires=Wed, 01 Jan 2031 00:00:00 GMT";
    for (name, attributes, date) in [
        ("PHPSESSID", LATE, ""),
        ("cart", LATE, ""),
        ("cart", LATE, "\r\nDate: yesterday"),
        ("cart", LATE, "\r\nDate: Wed, 01 Jan 2032 00:00:00 GMT"),
        (
            "cart",
            LATE,
            "\r\nDate: Wed, 01 Jan 2032 00:00:00 GMT\r\nDate: Wed, 01 Jan 2025 00:00:00 GMT",
        ),
        ("cart", "Expires=Wed, 01-Jan-2031 00:00:00 GMT", ""),
        (
            "cart",
            "Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:01 GMT",
            "",
        ),
    ] {
        let set = format!("Set-Cookie: {name}=abc; {attributes}{date}").leak();
        check(&[(("/", ""), set, "of a")], ("/", ""), None);
        let own = (("/", "Cookie: cart=abc"), "", "cart of a");
        check(
            &[(("/", ""), set, "of a"), own],
            ("/", "Cookie: cart=abc"),
            Some("cart of a"),
        );
    }
    // Nor is what an interim answer hands out.
    let rig = Rig::new();
    let early = "HTTP/1.1 103 Early Hints\r\nSet-Cookie: cart=8\r\n\r\n";
    visit(&rig, ("/", ""), &format!("{early}{}", page("", "cart 8")));
    assert_eq!(rescued(&rig, ("/", "")), None);
    // To forget what is not there is for everybody.
    for gone in [
        "x=; Path=/",
        "x=1; Max-Age=0",
        "x=1; Expires=Thu, 01-Jan-1970 00:00:01 GMT",
    ] {
        let set = format!("Set-Cookie: {gone}").leak();
        check(&[(("/", ""), set, "of all")], ("/", ""), Some("of all"));
    }
}

#[test]
fn an_answer_with_a_token_is_its_receivers() {
    for token in [
        "sw-context-token",
        "X_Guest_Token",
        "woocommerce-session",
        "X-Api-Key",
        "JWT",
    ] {
        let fields = format!("{token}: secret").leak();
        check(&[(("/", ""), fields, "of a")], ("/", ""), None);
    }
}

#[test]
fn a_value_of_many_beside_a_session_hides_nobody() {
    let rig = Rig::new();
    let constant = "srv_route=node-a-2026-abcdef";
    for _ in 0..2 {
        let set = format!("Set-Cookie: {constant}");
        visit(&rig, ("/", ""), &page(&set, "welcome"));
    }
    let own = &*format!("Cookie: {constant}; PHPSESSID=0123456789").leak();
    visit(&rig, ("/p", own), &page("", "of a"));
    assert_eq!(rescued(&rig, ("/p", own)).as_deref(), Some("of a"));
}
