//! One site under several names: who reads whose copies, who makes them, and what drops them.

use std::time::Duration;

use super::rig::{Rig, body, get, status};
use crate::session::{Input, Side};

fn ask(rig: &mut Rig, host: &str, path: &str, cookie: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n");
    rig.send(&request);
}

fn page(text: &str) -> String {
    let length = text.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{text}")
}

fn visit(rig: &mut Rig, host: &str, text: &str) {
    ask(rig, host, "/", "");
    rig.reply(&page(text));
    assert_eq!(body(&rig.received()), text);
}

/// What is there for a client that calls the site so while the application is gone.
fn in_outage(rig: &mut Rig, host: &str) -> Option<String> {
    ask(rig, host, "/", "");
    rig.input(Input::ReadFailed(Side::Origin));
    let received = rig.received();
    (status(&received) == 200).then(|| body(&received).to_owned())
}

const NAMES: [&str; 6] = [
    "SHOP",
    "shop.",
    "shop:80",
    "shop:443",
    "Shop.:80",
    "shop.:443",
];

#[test]
fn whoever_names_the_site_otherwise_reads_its_copies_and_makes_none_of_them() {
    for name in NAMES {
        let mut rig = Rig::new();
        visit(&mut rig, "shop", "plain");
        assert_eq!(
            in_outage(&mut rig, name).as_deref(),
            Some("plain"),
            "{name}"
        );
        // It may be full of links to that name.
        visit(&mut rig, name, "other");
        let plain = if name == "SHOP" { "other" } else { "plain" };
        assert_eq!(
            in_outage(&mut rig, "shop").as_deref(),
            Some(plain),
            "{name}"
        );
    }
}

/// As behind a proxy that always adds the port.
#[test]
fn a_site_that_is_only_named_otherwise_has_copies_all_the_same() {
    for name in NAMES {
        let mut rig = Rig::new();
        visit(&mut rig, name, "page");
        assert_eq!(in_outage(&mut rig, name).as_deref(), Some("page"), "{name}");
        let may = name == "SHOP";
        assert_eq!(in_outage(&mut rig, "shop").is_some(), may, "{name}");
    }
    let mut rig = Rig::new();
    visit(&mut rig, "shop", "page");
    assert_eq!(
        in_outage(&mut rig, "shop:8080"),
        None,
        "that is another site"
    );
}

#[test]
fn a_write_under_any_name_drops_the_copies_of_all() {
    for writer in ["shop", "SHOP", "shop.", "shop:80", "shop:443"] {
        let mut rig = Rig::new();
        for name in ["shop", "shop:80", "shop."] {
            // Without this the second would read the copy of the first.
            visit(&mut rig, name, name);
        }
        let write = format!("POST / HTTP/1.1\r\nHost: {writer}\r\nContent-Length: 0\r\n\r\n");
        rig.send(&write).reply(&page("done"));
        rig.received();
        for name in ["shop", "shop:80", "shop."] {
            assert_eq!(in_outage(&mut rig, name), None, "{writer} {name}");
        }
    }
}

/// An application that sends everybody to its plain name says nothing of the page there.
#[test]
fn a_redirect_to_the_plain_name_is_no_refusal() {
    let mut rig = Rig::new();
    visit(&mut rig, "shop", "plain");
    ask(&mut rig, "shop:80", "/", "");
    rig.reply("HTTP/1.1 301 Moved\r\nLocation: http://shop/\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(status(&rig.received()), 301);
    assert_eq!(in_outage(&mut rig, "shop").as_deref(), Some("plain"));
}

#[test]
fn a_refusal_under_another_name_ends_what_its_visitor_could_see() {
    let cookie = "Cookie: PHPSESSID=0123456789abcdef0123\r\n";
    for (first, then) in [
        ("shop", "shop:80"),
        ("shop:80", "shop"),
        ("shop.", "shop:80"),
    ] {
        let mut rig = Rig::new();
        ask(&mut rig, first, "/", cookie);
        rig.reply(&page("orders"));
        ask(&mut rig, then, "/", cookie);
        rig.reply("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n");
        rig.received();
        for name in [first, then] {
            ask(&mut rig, name, "/", cookie);
            rig.input(Input::ReadFailed(Side::Origin));
            assert_eq!(status(&rig.received()), 502, "{first} {then} {name}");
        }
    }
}

/// Its pages are never fresh, but they rescue.
#[test]
fn an_application_whose_clock_is_behind_is_rescued() {
    let mut rig = Rig::new();
    let head = |fields: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nDate: Tue, 27 Feb 2024 12:00:00 GMT\r\n{fields}Content-Length: 4\r\n\r\npage"
        )
    };
    rig.send(&get("/", ""))
        .reply(&head("Cache-Control: max-age=60, stale-if-error=600\r\n"));
    // An intermediary that tells the age is believed.
    rig.send(&get("/old", "")).reply(&head("Age: 172800\r\n"));
    rig.received();
    let behind = rig.gateway.site().stats(rig.now).clock_behind;
    assert_eq!(behind, Some(Duration::from_secs(2 * 24 * 60 * 60)));
    for (path, expected) in [("/", 200), ("/old", 502)] {
        rig.wait(Duration::from_secs(1));
        rig.asked();
        rig.send(&get(path, ""));
        assert!(rig.asked().starts_with("GET "), "{path} is not fresh");
        rig.input(Input::ReadFailed(Side::Origin));
        assert_eq!(status(&rig.received()), expected, "{path}");
    }
}
