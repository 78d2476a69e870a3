//! Strangers and circuits: what one probes with, and what a failure on a stranger says.

use std::time::Duration;

use super::identity::{answer, page, visit, visit_from};
use super::public::{
    BARE, FIREFOX, NO_STORE, attended, left, public, stranger, tell_stranger, visited,
};
use super::refresh::open_origin;
use super::rig::field;
use crate::breaker::State;
use crate::config::Settings;

#[test]
fn a_circuit_is_probed_with_what_a_stranger_may_ask_first_of_all() {
    let mut rig = attended(Settings::default());
    visited(&mut rig, NO_STORE, &page(NO_STORE, "public"));
    let own = (
        "/own",
        "Cookie: PHPSESSID=b1b2b3b4b5b6b7b8\r\nAccept: text/html",
    );
    visit(&rig, own, &page(NO_STORE, "own"));
    open_origin(&rig);
    assert_eq!(left(&rig, 2, BARE), public("public"));
    let mut asked = Vec::new();
    for _ in 0..3 {
        asked.push(tell_stranger(&mut rig, &page(NO_STORE, "newer")));
    }
    assert!(
        asked.iter().all(|asked| asked.starts_with("GET / ")),
        "{asked:?}"
    );
    assert!(asked.iter().all(|asked| field(asked, "cookie").is_none()));
    assert_eq!(rig.gateway.site().circuit(rig.now), State::Closed);
    assert_eq!(
        rig.gateway.site().stats(rig.now).refresh.probes_succeeded,
        3
    );
    assert_eq!(left(&rig, 2, BARE), public("newer"));
}

#[test]
fn a_failure_on_a_stranger_is_no_sign_of_how_visitors_fare() {
    let mut rig = attended(Settings::default());
    for number in 0..12 {
        let path = &*format!("/{number}").leak();
        visit_from(&rig, 1, (path, FIREFOX), &page(NO_STORE, "page of a"));
        tell_stranger(&mut rig, &answer("500 Oops", "", ""));
    }
    assert_eq!(rig.gateway.site().circuit(rig.now), State::Closed);
    assert_eq!(rig.gateway.site().stats(rig.now).paths_open, 0);
}

#[test]
fn a_stranger_who_waits_keeps_no_circuit_from_being_probed() {
    let mut settings = Settings::default();
    settings.site.breaker.open_max = Duration::from_secs(2);
    let mut rig = attended(settings);
    visited(&mut rig, NO_STORE, &page(NO_STORE, "public"));
    rig.now = rig.now + Duration::from_secs(601);
    visit_from(&rig, 1, BARE, &page(NO_STORE, "page of a"));
    let mut waits = stranger(&mut rig);
    // It hangs, and so does the origin.
    waits.wait(Duration::from_secs(5));
    assert!(!waits.session.is_done());
    rig.now = waits.now;
    open_origin(&rig);
    assert_eq!(left(&rig, 2, BARE), public("public"));
    let asked = tell_stranger(&mut rig, &page(NO_STORE, "newer"));
    assert!(asked.starts_with("GET / "), "{asked}");
    assert_eq!(
        rig.gateway.site().stats(rig.now).refresh.probes_succeeded,
        1
    );
    // Its late answer is an answer all the same.
    waits.reply(&page(NO_STORE, "late"));
    assert!(waits.session.is_done());
    assert_eq!(rig.gateway.site().stats(rig.now).admission.in_flight, 0);
}
