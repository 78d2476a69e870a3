//! What a request is called: the same in its answer, toward the origin and in its report, whatever
//! answers; and never by a word of somebody who is no trusted proxy.

use std::time::Duration;

use super::refresh::next_refresh;
use super::rig::{PAGE, Rig, body, field, get, status};
use crate::config::{OwnPage, Settings};

const NAVIGATES: &str = "Accept: text/html\r\n";

/// What the answer, the origin (if it was asked) and the report say.
fn told(rig: &mut Rig) -> (String, Option<String>, String) {
    let (received, asked) = (rig.received(), rig.asked());
    let lines = received
        .split("\r\n")
        .filter(|line| line.starts_with("X-Request-Id:"));
    assert_eq!(lines.count(), 1, "{received}");
    let of = |text: &str| field(text, "x-request-id").map(str::to_owned);
    let id = rig.reports.pop().unwrap().request_id.unwrap().to_string();
    (of(&received).unwrap(), of(&asked), id)
}

#[test]
fn answer_origin_and_report_agree_and_each_request_has_one_of_its_own() {
    let mut rig = Rig::new();
    let fresh = PAGE.replace(
        "ETag",
        "Cache-Control: max-age=60\r\nX-Request-Id: old\r\nETag",
    );
    rig.send(&get("/", "")).reply(&fresh);
    let (first, asked, reported) = told(&mut rig);
    assert_eq!(
        (first.len(), Some(&first), &first),
        (16, asked.as_ref(), &reported)
    );

    rig.send(&get("/", ""));
    let (copy, asked, reported) = told(&mut rig);
    assert_eq!((asked, &copy), (None, &reported));
    assert_ne!(copy, first, "a copy has no other request's");

    rig.send(&get("/", "Expect: tea\r\n"));
    let (refused, _, reported) = told(&mut rig);
    assert_eq!(refused, reported);
    let mut rig = rig.another();
    rig.send("nonsense\r\n\r\n");
    let (malformed, _, reported) = told(&mut rig);
    assert_eq!(malformed, reported);
    assert_ne!(malformed, refused);
}

#[test]
fn only_a_trusted_proxy_says_what_a_request_is_called() {
    let said = "X-Request-Id: f3a9\r\nX_REQUEST_ID: evil\r\n";
    for (mut rig, is_trusted) in [(Rig::behind_proxies(), true), (Rig::new(), false)] {
        rig.send(&get("/", said));
        let asked = rig.asked();
        assert!(!asked.contains("evil"), "{asked}");
        assert_eq!(
            asked.contains("X-Request-Id: f3a9\r\n"),
            is_trusted,
            "{asked}"
        );
        assert_eq!(
            asked.to_ascii_lowercase().matches("x-request-id:").count(),
            1
        );
        rig.reply(PAGE);
        let (id, ..) = told(&mut rig);
        assert_eq!(id == "f3a9", is_trusted, "{id}");
    }
}

#[test]
fn a_renewal_is_called_something_else_than_the_request_that_wanted_it() {
    let mut rig = Rig::behind_proxies();
    assert!(rig.refresh().is_none(), "from now on somebody renews");
    rig.send(&get("/", "X-Request-Id: f3a9\r\n")).reply(PAGE);
    assert_eq!(told(&mut rig).0, "f3a9");
    for _ in 0..5 {
        rig.send(&get("/", "X-Request-Id: f3aa\r\n"))
            .reply("HTTP/1.1 503 Oops\r\nContent-Length: 0\r\n\r\n");
        rig.asked();
    }
    let mut renewal = next_refresh(&mut rig);
    let asked = renewal.asked();
    let id = field(&asked, "x-request-id").unwrap().to_owned();
    assert_eq!(id.len(), 16, "{asked}");
    renewal.reply(PAGE);
    assert_eq!(
        renewal.reports[0].request_id.as_ref().unwrap().to_string(),
        id
    );
}

#[test]
fn a_page_for_a_visitor_names_it() {
    let mut settings = Settings::default();
    settings
        .client
        .own_pages
        .set(OwnPage::NotSent, "<p>{request_id}</p>");
    let mut rig = Rig::with(settings);
    rig.refuses = true;
    for (accept, shown) in [
        (NAVIGATES, "<p class=\"code\">502 · ID</p>"),
        ("Accept: application/json\r\n", ",\"request_id\":\"ID\"}"),
        ("Origin: https://x.example\r\n", "502 Bad Gateway"),
    ] {
        rig.send(&get("/", accept));
        rig.wait(Duration::from_secs(6));
        let received = rig.received();
        let id = field(&received, "x-request-id").unwrap();
        assert_eq!(status(&received), 502, "{received}");
        let exposed = field(&received, "access-control-expose-headers");
        assert!(exposed.is_none_or(|exposed| exposed.contains("X-Request-Id")));
        assert!(
            body(&received).contains(&shown.replace("ID", id)),
            "{received}"
        );
    }
    let write = format!("POST / HTTP/1.1\r\nHost: h\r\n{NAVIGATES}Content-Length: 1\r\n\r\nx");
    rig.send(&write);
    rig.wait(Duration::from_secs(6));
    let received = rig.received();
    let id = field(&received, "x-request-id").unwrap();
    assert_eq!(body(&received), format!("<p>{id}</p>"));
}

#[test]
fn where_it_is_switched_off_the_field_passes_as_it_is() {
    let mut settings = Settings::default();
    settings.client.request_ids = false;
    let mut rig = Rig::with(settings);
    rig.send(&get("/", "X-Request-Id: of-the-client\r\n"));
    assert!(rig.asked().contains("X-Request-Id: of-the-client\r\n"));
    rig.reply(&PAGE.replace("ETag", "X-Request-Id: of-the-origin\r\nETag"));
    assert_eq!(
        field(&rig.received(), "x-request-id"),
        Some("of-the-origin")
    );
    assert!(rig.reports[0].request_id.is_none());
    rig.send("nonsense\r\n\r\n");
    assert_eq!(field(&rig.received(), "x-request-id"), None);
}
