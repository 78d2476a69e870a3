//! Owns the proof of how an application that is slow or gone is found, and found again.
//! Never asks a question whose answer depends on how fast the machine is: the application hangs
//! until it is told not to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use retter_tests::client::Request;
use retter_tests::origin::Origin;
use retter_tests::reply::Reply;
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use retter_tests::scenario::until;
use retter_tests::signal::Gate;

const PAGES: [&str; 5] = ["/a", "/b", "/c", "/d", "/e"];

/// A circuit that is soon probed, and copies that are soon old.
const QUICK: [(&str, &str); 4] = [
    ("RETTER_BREAKER_SLOW_MIN", "300ms"),
    ("RETTER_BREAKER_OPEN_MIN", "100ms"),
    ("RETTER_BREAKER_OPEN_MAX", "200ms"),
    ("RETTER_CACHE_TTL", "0"),
];

/// Fetches every page, so that there is a copy of each.
fn warm_up(retter: &Retter) {
    for page in PAGES {
        until("the page is there", || {
            retter.ask(&Request::get(page)).source() == "backend"
        });
    }
}

/// Waits until all circuits are closed, by asking nobody but the admin listener.
fn closes_by_itself(retter: &Retter) {
    until("the circuits close by themselves", || {
        let health = retter.admin("/health").text();
        health.contains("\"circuit\": \"CLOSED\"") && health.contains("\"paths_open\": 0")
    });
}

#[test]
fn a_hanging_application_is_found_within_a_few_requests_and_found_again_by_itself() {
    let hangs = Arc::new(AtomicBool::new(false));
    let gate = Gate::new();
    let (at_origin, closed) = (Arc::clone(&hangs), gate.clone());
    let origin = Origin::start(move |seen| {
        if at_origin.load(Ordering::SeqCst) {
            closed.wait();
        }
        Reply::text(seen.target.as_str())
    });
    let retter = Retter::start_with(retter_program!(), origin.address(), &QUICK);
    warm_up(&retter);
    hangs.store(true, Ordering::SeqCst);
    let mut asked = 0;
    for page in PAGES.iter().cycle() {
        let response = retter.ask(&Request::get(page));
        assert_eq!((response.status, response.text().as_str()), (200, *page));
        assert_ne!(response.source(), "backend", "{response:?}");
        // It is open for a short time only, and then half-open while a probe hangs.
        if response.circuit() != "CLOSED" {
            break;
        }
        asked += 1;
        assert!(asked <= 12, "it has not been found yet");
    }
    let health = retter.admin("/health").text();
    // Where this machine is so busy that pages were slow before, or usually take long, it may be a
    // share of them, and another time.
    assert!(health.contains(" slow"), "{health}");
    assert!(health.contains("(over "), "{health}");

    hangs.store(false, Ordering::SeqCst);
    gate.open();
    closes_by_itself(&retter);
    until("users get new pages", || {
        retter.ask(&Request::get("/a")).source() == "backend"
    });
}

#[test]
fn a_circuit_closes_while_no_client_asks_anything() {
    let mut origin = Origin::start(|seen| Reply::text(seen.target.as_str()));
    let retter = Retter::start_with(retter_program!(), origin.address(), &QUICK);
    warm_up(&retter);
    origin.down();
    until("the circuit is open", || {
        let response = retter.ask(&Request::get("/a").field("Cookie", "PHPSESSID=anna"));
        assert!([502, 503].contains(&response.status), "{response:?}");
        let copy = retter.ask(&Request::get("/b"));
        assert_eq!((copy.status, copy.text().as_str()), (200, "/b"));
        copy.circuit() != "CLOSED"
    });
    let _ = origin.take_seen();
    origin.up();
    closes_by_itself(&retter);
    let probes = origin.take_seen();
    assert!(!probes.is_empty());
    for probe in probes {
        // As the visitor asked whom the copy answered.
        assert_eq!(probe.method, "GET");
        assert!(PAGES.contains(&probe.target.as_str()), "{probe:?}");
        assert_eq!(probe.field("x-forwarded-for"), Some("127.0.0.1"));
    }
    let metrics = retter.admin("/metrics").text();
    let succeeded = "retter_probes_total{result=\"succeeded\"}";
    assert!(
        metrics
            .lines()
            .any(|line| line.starts_with(succeeded) && !line.ends_with(" 0")),
        "{metrics}"
    );
}

#[test]
fn an_application_that_says_when_it_is_back_is_not_asked_before() {
    let fails = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (at_origin, noted) = (Arc::clone(&fails), Arc::clone(&asked));
    let origin = Origin::start(move |seen| {
        if seen.target != "/a" {
            return Reply::text("other");
        }
        // The first failures, and then it is well again.
        let mut asked = noted.lock().expect("no panic");
        let failing = at_origin.load(Ordering::SeqCst) && asked.len() < 5;
        if !failing {
            asked.push(Instant::now());
            return Reply::text("well");
        }
        asked.push(Instant::now());
        Reply::status(503, "later").field("Retry-After", "1")
    });
    let settings = [
        ("RETTER_BREAKER_OPEN_MIN", "10ms"),
        ("RETTER_BREAKER_OPEN_MAX", "30s"),
        // No refresh but the probe: it could be under way when the circuit opens.
        ("RETTER_CACHE_TTL", "1h"),
        ("RETTER_BREAKER_SLOW_RATE", "off"),
    ];
    let retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    assert_eq!(retter.ask(&Request::get("/a")).source(), "backend");
    asked.lock().expect("no panic").clear();
    fails.store(true, Ordering::SeqCst);
    until("the circuit of the page is open", || {
        let response = retter.ask(&Request::get("/a"));
        assert_eq!((response.status, response.text().as_str()), (200, "well"));
        response.circuit() != "CLOSED"
    });
    closes_by_itself(&retter);
    let asked = asked.lock().expect("no panic").clone();
    assert!(asked.len() > 5, "{asked:?}");
    let wait = asked[5] - asked[4];
    assert!(
        wait >= Duration::from_millis(990),
        "it was asked after {wait:?}"
    );
}
