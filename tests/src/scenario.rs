//! Owns the story that every real application is put through: users browse, the application
//! dies, they keep seeing their own pages, it returns.
//! Never asks RETTER for anything but what a browser would.

use std::net::SocketAddr;
use std::time::Instant;

use crate::DEADLINE;
use crate::application::Application;
use crate::browser::Browser;
use crate::client::Response;
use crate::retter::Retter;

const PAGES: [&str; 3] = ["/index", "/profile", "/list"];

/// What a page of the sample applications says.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Shown {
    user: String,
    page: String,
    rendering: String,
}

/// Puts `application` through an outage behind RETTER.
///
/// # Panics
/// At the first thing that a user would complain of.
#[track_caller]
pub fn outage(program: &str, mut application: Application) {
    let retter = Retter::start(program, application.address());
    let mut users = ["anna", "bert"].map(|name| log_in(retter.address(), name));
    let before = users.each_mut().map(|(name, browser)| {
        PAGES.map(|page| {
            let response = browser.get(page);
            assert_eq!(response.source(), "backend", "{page}: {response:?}");
            assert_eq!(response.circuit(), "CLOSED");
            own_page(name, page, &response)
        })
    });

    application.kill();
    until("the circuit is open for every page", || {
        let mut all_open = true;
        for ((name, browser), before) in users.iter_mut().zip(&before) {
            for (page, before) in PAGES.iter().zip(before) {
                let response = browser.get(page);
                let shown = own_page(name, page, &response);
                assert_eq!(&shown, before, "a copy is the page as it was");
                let source = response.source();
                assert!(
                    ["cache", "last-known-success"].contains(&source),
                    "{response:?}"
                );
                assert_eq!(response.field("set-cookie"), None);
                assert!(response.field("age").is_some());
                all_open &= response.circuit() == "OPEN";
            }
        }
        all_open
    });
    newcomers_get_nothing_of_theirs(retter.address());
    let (_, anna) = &mut users[0];
    let lost = anna.post("/login", "user=anna");
    assert_eq!(
        (lost.status, lost.source()),
        (502, "no-cache"),
        "a write goes to the origin"
    );

    application.come_back();
    until("every page is fresh and its circuit closed", || {
        let mut all_fresh = true;
        for ((name, browser), before) in users.iter_mut().zip(&before) {
            for (page, before) in PAGES.iter().zip(before) {
                let response = browser.get(page);
                let shown = own_page(name, page, &response);
                let fresh = response.source() == "backend";
                assert!(
                    !fresh || shown.rendering != before.rendering,
                    "{response:?}"
                );
                all_fresh &= fresh && response.circuit() == "CLOSED";
            }
        }
        all_fresh
    });
}

fn log_in(address: SocketAddr, name: &'static str) -> (&'static str, Browser) {
    let mut browser = Browser::new(address, name);
    let welcome = browser.get("/index");
    assert_eq!(shown(&welcome).user, "guest");
    let response = browser.post("/login", &format!("user={name}"));
    assert_eq!((response.status, response.source()), (303, "backend"));
    assert!(response.field("set-cookie").is_some(), "{response:?}");
    (name, browser)
}

/// One without any copy: first as a new visitor, then with a session that nobody has. What a stranger
/// was sent, who is a guest, is for them; else there is nothing.
fn newcomers_get_nothing_of_theirs(address: SocketAddr) {
    for cookies in ["", "PHPSESSID=stranger; session=stranger"] {
        let mut newcomer = Browser::new(address, "stranger");
        for pair in cookies.split("; ").filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').expect("it is a pair");
            newcomer.set_cookie(name, value);
        }
        until("a newcomer finds the circuit open", || {
            let response = newcomer.get("/profile");
            let text = response.text();
            assert!(!text.contains("anna") && !text.contains("bert"), "{text}");
            if response.status == 200 {
                let says = response.field("cache-status").unwrap_or_default();
                assert!(says.ends_with("; detail=public"), "{response:?}");
                assert_eq!(shown(&response).user, "guest");
                return response.circuit() == "OPEN";
            }
            assert_eq!(response.source(), "no-cache");
            // The answer to the request that probes the origin is 502, to all others 503.
            let refused = response.status == 503;
            assert!(refused || response.status == 502, "{response:?}");
            if refused {
                let wait = response
                    .field("retry-after")
                    .expect("503 says when to come back");
                assert!(wait.parse::<u32>().is_ok(), "{wait}");
            }
            refused && response.circuit() == "OPEN"
        });
    }
}

#[track_caller]
fn own_page(name: &str, page: &str, response: &Response) -> Shown {
    assert_eq!(response.status, 200, "{response:?}");
    let shown = shown(response);
    assert_eq!((shown.user.as_str(), shown.page.as_str()), (name, page));
    shown
}

#[track_caller]
fn shown(response: &Response) -> Shown {
    let text = response.text();
    assert!(
        text.trim_end().ends_with("</ul>"),
        "the page is whole: {text}"
    );
    Shown {
        user: word(&text, "user"),
        page: word(&text, "page"),
        rendering: word(&text, "rendering"),
    }
}

/// What a page of the sample applications says under this id.
///
/// # Panics
/// If it says nothing there.
#[track_caller]
#[must_use]
pub fn word(text: &str, id: &str) -> String {
    let from = text.split_once(&format!("<b id=\"{id}\">"));
    let word = from.and_then(|(_, rest)| rest.split_once("</b>"));
    let (word, _) = word.unwrap_or_else(|| panic!("not a page: {text}"));
    word.to_owned()
}

/// Repeats `step` until it is true.
///
/// # Panics
/// If it does not become true before the deadline.
#[track_caller]
pub fn until(what: &str, mut step: impl FnMut() -> bool) {
    let start = Instant::now();
    while !step() {
        assert!(start.elapsed() < DEADLINE, "it did not happen: {what}");
    }
}
