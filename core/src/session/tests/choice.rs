//! Who may choose to see what strangers are sent, how that is chosen, and that nobody else is touched by it.

use super::identity::{answer, lines, page, visit_from};
use super::public::{BARE, FIREFOX, NO_STORE, attended, tell_stranger};
use super::rig::{Rig, body, field, get, status};
use crate::config::Settings;
use crate::session::{Input, Side};

const MEMBER: &str = "Cookie: wordpress_logged_in_1=anna%7C1";

fn calm(mut settings: Settings) -> Settings {
    let breaker = &mut settings.site.breaker;
    (breaker.consecutive_failures, breaker.path_outcomes_min) = (1_000, 1_000);
    breaker.origin_outcomes_min = 1_000;
    settings
}

/// A site with a page that strangers were sent.
fn site(settings: Settings) -> Rig {
    let mut rig = attended(calm(settings));
    visit_from(&rig, 1, BARE, &page(NO_STORE, "page of a"));
    tell_stranger(&mut rig, &page(NO_STORE, "page of nobody"));
    rig
}

fn member(more: &str) -> String {
    format!("{FIREFOX}\r\n{MEMBER}{more}")
}

/// What somebody gets while the application fails, and what it was asked.
fn fails(rig: &Rig, (path, fields): (&str, &str)) -> (String, String) {
    let mut visitor = rig.elsewhere(7);
    visitor.send(&get(path, &lines(fields)));
    let asked = visitor.asked();
    if !asked.is_empty() {
        visitor.input(Input::ReadFailed(Side::Origin));
    }
    (visitor.received(), asked)
}

/// What somebody gets of a page that the application answers so.
fn visits(rig: &Rig, fields: &str, told: &str) -> String {
    let mut visitor = rig.elsewhere(7);
    visitor.send(&get("/", &lines(fields)));
    visitor.reply(told).received()
}

/// What is answered to a press of the button; the application is asked nothing.
fn choose(rig: &Rig, method: &str, target: &str, fields: &str) -> String {
    let mut visitor = rig.elsewhere(7);
    let length = match method {
        "GET" => "",
        _ => "Content-Length: 0\r\n",
    };
    visitor.send(&format!(
        "{method} {target} HTTP/1.1\r\nHost: h\r\n{length}{}\r\n",
        lines(fields)
    ));
    assert_eq!(visitor.asked(), "", "{method} {target} {fields}");
    visitor.received()
}

#[test]
fn a_member_without_a_copy_is_offered_the_public_version_and_gets_it_by_choice() {
    let rig = site(Settings::default());
    let anna = member("");
    let (told, _) = fails(&rig, ("/", &anna));
    assert_eq!(status(&told), 502);
    assert!(
        told.contains("<form method=\"post\" action=\"/.retter/public?to=/\">"),
        "{told}"
    );
    let policy = field(&told, "content-security-policy").unwrap();
    assert!(policy.ends_with("form-action 'self'"), "{policy}");
    let chosen = choose(&rig, "POST", "/.retter/public?to=/", "Origin: http://h");
    assert_eq!(
        (status(&chosen), field(&chosen, "location")),
        (303, Some("/"))
    );
    let cookie = "retter-public=1; Path=/; Max-Age=600; HttpOnly; SameSite=Lax";
    assert_eq!(field(&chosen, "set-cookie"), Some(cookie));
    let anna = member("; retter-public=1");
    let (served, asked) = fails(&rig, ("/", &anna));
    assert_eq!((status(&served), body(&served)), (200, "page of nobody"));
    let says = field(&served, "cache-status").unwrap();
    assert!(says.ends_with("detail=public-chosen"), "{says}");
    // The application never sees the choice, and no key has it.
    assert!(!asked.contains("retter-public") && asked.contains("wordpress_logged_in_1=anna%7C1"));
    let well = visits(&rig, &anna, &page(NO_STORE, "account of anna"));
    assert_eq!(body(&well), "account of anna");
    for more in ["", "; retter-public=1"] {
        let anna = member(more);
        let (own, _) = fails(&rig, ("/", &anna));
        assert_eq!(body(&own), "account of anna", "{more}");
    }
}

#[test]
fn nobody_is_offered_what_is_no_page_for_strangers() {
    let rig = site(Settings::default());
    let anna = member("");
    let chosen = member("; retter-public=1");
    let is_offered = |rig: &Rig, ask: (&str, &str)| fails(rig, ask).0.contains("<form");
    assert!(is_offered(&rig, ("/", &anna)));
    // A page of which nothing is known, data, and what ends the session.
    assert!(!is_offered(&rig, ("/other", &anna)));
    assert!(!is_offered(
        &rig,
        ("/", &format!("Accept: application/json\r\n{MEMBER}"))
    ));
    assert_eq!(status(&fails(&rig, ("/other", &chosen)).0), 502);
    // Whoever was refused it.
    visits(&rig, &anna, &answer("403 No", "", ""));
    assert!(!is_offered(&rig, ("/", &anna)));
    assert_eq!(status(&fails(&rig, ("/", &chosen)).0), 502);
    // What a stranger is refused.
    let mut rig = site(Settings::default());
    visit_from(&rig, 3, BARE, &answer("403 No", "", ""));
    tell_stranger(&mut rig, &answer("403 No", "", ""));
    assert!(!is_offered(&rig, ("/", &anna)));
    assert_eq!(status(&fails(&rig, ("/", &chosen)).0), 502);
    // Where there is no such path.
    let mut settings = Settings::default();
    settings.client.own_path = String::new();
    let rig = site(settings);
    assert!(!is_offered(&rig, ("/", &anna)));
    let mut visitor = rig.elsewhere(7);
    visitor.send("POST /.retter/public?to=/ HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    assert!(visitor.asked().starts_with("POST /.retter/public"));
}

#[test]
fn the_way_back_is_a_page_of_this_site() {
    let rig = site(Settings::default());
    for (to, expected) in [
        ("/", "/"),
        ("/a/b%3Fc=d%26e=%25F0", "/a/b?c=d&e=%F0"),
        ("%2Fa", "/a"),
    ] {
        let target = format!("/.retter/public?to={to}");
        let chosen = choose(&rig, "POST", &target, "Sec-Fetch-Site: same-origin");
        assert_eq!(field(&chosen, "location"), Some(expected), "{to}");
    }
    for to in [
        "",
        "a",
        "//evil.example/",
        "%2F%2Fevil.example",
        "/%5Cevil.example",
        "/%09/evil.example",
        "/%0d%0aSet-Cookie:%20a=b",
        "https://evil.example/",
        "/a%00",
        "/a%2",
        "/%C3%A4",
        "/.retter/public?to=/",
    ] {
        let target = format!("/.retter/public?to={to}");
        let told = choose(&rig, "POST", &target, "Origin: http://h");
        assert_eq!(status(&told), 400, "{to}");
        assert_eq!(
            (field(&told, "location"), field(&told, "set-cookie")),
            (None, None)
        );
    }
    let target = "/.retter/public";
    assert_eq!(
        status(&choose(&rig, "POST", target, "Origin: http://h")),
        400
    );
    // What only begins so is the application's.
    let mut visitor = rig.elsewhere(7);
    visitor.send(&get("/.retter/publications?to=/", ""));
    assert!(visitor.asked().starts_with("GET /.retter/publications"));
}

#[test]
fn another_site_cannot_choose_for_a_visitor() {
    let rig = site(Settings::default());
    let target = "/.retter/public?to=/";
    for fields in [
        "",
        "Origin: null",
        "Origin: http://evil.example",
        "Origin: http://h.evil.example",
        "Origin: http://h:81",
        "Origin: ftp://h",
        "Origin: http://h\r\nOrigin: http://evil.example",
        "Origin: http://h\r\nSec-Fetch-Site: cross-site",
        "Origin: http://h\r\nSec-Fetch-Site: same-site",
        "Sec-Fetch-Site: none",
    ] {
        let told = choose(&rig, "POST", target, fields);
        assert_eq!(
            (status(&told), field(&told, "set-cookie")),
            (403, None),
            "{fields}"
        );
    }
    for fields in [
        "Origin: http://h",
        "Origin: https://H:443",
        "Sec-Fetch-Site: same-origin",
    ] {
        assert_eq!(
            status(&choose(&rig, "POST", target, fields)),
            303,
            "{fields}"
        );
    }
    let told = choose(&rig, "GET", target, "Sec-Fetch-Site: same-origin");
    assert_eq!((status(&told), field(&told, "set-cookie")), (404, None));
}

#[test]
fn behind_a_trusted_proxy_with_tls_the_cookie_is_for_tls() {
    let mut settings = Settings::default();
    settings.client.trusted_proxies = "198.51.100.0/24".parse().unwrap();
    let rig = attended(calm(settings));
    let target = "/.retter/public?to=/";
    for (scheme, is_secure) in [("https", true), ("http", false)] {
        let fields = format!(
            "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: {scheme}\r\n\
             X-Forwarded-Host: shop.example\r\nOrigin: {scheme}://shop.example"
        );
        let chosen = choose(&rig, "POST", target, &fields);
        let cookie = field(&chosen, "set-cookie").unwrap();
        assert_eq!(cookie.ends_with("; Secure"), is_secure, "{cookie}");
    }
}
