//! Owns the proof of what an outage costs: how its end is found, and what becomes of requests that
//! were not sent when it began.
//! Never asks a question whose answer depends on how fast the machine is: no circuit is probed
//! because its time is over, and an application is back when the test says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use retter_tests::client::{Client, Request, Response};
use retter_tests::origin::Origin;
use retter_tests::reply::Reply;
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use retter_tests::scenario::until;
use retter_tests::signal::Watched;
use rustix::process::Signal;

/// Circuits that stay open for longer than any test, unless something is heard; and nothing is asked
/// for as a stranger.
const FOR_EVER: [(&str, &str); 3] = [
    ("RETTER_CACHE_PUBLIC", "off"),
    ("RETTER_BREAKER_OPEN_MIN", "10m"),
    ("RETTER_BREAKER_OPEN_MAX", "10m"),
];

fn start(origin: &Origin, more: &[(&str, &str)]) -> Retter {
    let settings: Vec<_> = FOR_EVER.iter().chain(more).copied().collect();
    Retter::start_with(retter_program!(), origin.address(), &settings)
}

/// An application of which there are no copies to ask for in the background.
fn shop() -> Origin {
    Origin::start(|seen| Reply::text(seen.target.as_str()).field("Cache-Control", "no-store"))
}

fn visit(retter: &Retter) -> Response {
    retter.ask(&Request::get("/page"))
}

fn is_open(retter: &Retter) -> bool {
    let health = retter.admin("/health").text();
    health.contains("\"circuit\": \"OPEN\"")
}

#[test]
fn an_application_that_refused_is_found_by_connecting_alone_each_time() {
    let mut origin = shop();
    let retter = start(&origin, &[("RETTER_BACKEND_RESTART_WAIT", "0")]);
    for _ in 0..5 {
        assert_eq!(visit(&retter).status, 200);
        origin.down();
        until("the circuit is open", || {
            let response = visit(&retter);
            assert!([502, 503].contains(&response.status), "{response:?}");
            response.circuit() == "OPEN"
        });
        let requests = origin.requests();
        origin.up();
        until("it is found", || !is_open(&retter));
        assert_eq!(origin.requests(), requests, "it was asked for nothing");
        until("the circuit is closed by visitors", || {
            let response = visit(&retter);
            assert_eq!(response.status, 200, "{response:?}");
            response.circuit() == "CLOSED"
        });
    }
}

#[test]
fn a_restart_loses_no_order_that_was_not_sent_and_doubles_none() {
    const CLIENTS: usize = 8;
    const ROUNDS: usize = 3;
    let mut origin = Origin::start(|seen| match seen.method.as_str() {
        "POST" => Reply::status(303, "").field("Location", "/thanks"),
        _ => Reply::text(seen.target.as_str()),
    });
    let retter = start(&origin, &[("RETTER_BACKEND_RESTART_WAIT", "10m")]);
    assert_eq!(retter.ask(&Request::get("/rescued")).source(), "backend");
    let ends = Arc::new(AtomicBool::new(false));
    let placed = Arc::new(Watched::new(0));
    let orders: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (ends, placed) = (Arc::clone(&ends), Arc::clone(&placed));
            let address = retter.address();
            thread::spawn(move || {
                let mut answers = Vec::new();
                while !ends.load(Ordering::SeqCst) {
                    let order = format!("order={client}-{}", answers.len());
                    let mut connection = Client::connect(address);
                    let response = connection.ask(&Request::post("/order", order.as_str()));
                    let answer = (response.status, response.text());
                    answers.push((order, answer));
                    placed.change(|placed| *placed += 1);
                }
                answers
            })
        })
        .collect();
    for _ in 0..ROUNDS {
        let before = *placed.lock();
        until("orders are placed", || *placed.lock() > before + CLIENTS);
        origin.down();
        until("all of them wait", || {
            retter.metric("retter_admission_waiting") >= CLIENTS as f64
        });
        // Whoever has a copy does not.
        let rescued = retter.ask(&Request::get("/rescued"));
        assert_eq!((rescued.status, rescued.text().as_str()), (200, "/rescued"));
        origin.up();
    }
    let before = *placed.lock();
    until("orders are placed", || *placed.lock() > before + CLIENTS);
    ends.store(true, Ordering::SeqCst);
    let mut arrived: BTreeMap<String, u32> = BTreeMap::new();
    let answers: Vec<_> = orders
        .into_iter()
        .flat_map(|thread| thread.join().expect("no client fails"))
        .collect();
    for seen in origin.take_seen() {
        if seen.method == "POST" {
            let order = String::from_utf8(seen.body).expect("an order is text");
            *arrived.entry(order).or_default() += 1;
        }
    }
    for (order, (status, text)) in answers {
        let times = arrived.get(&order).copied().unwrap_or_default();
        match status {
            303 => assert_eq!(times, 1, "{order}"),
            // It was on its way when the application died.
            502 => assert!(
                text.contains("may have arrived") && times <= 1,
                "{order}: {text}"
            ),
            _ => panic!("{order} is answered with {status}: {text}"),
        }
    }
}

#[test]
fn later_requests_are_refused_at_once_and_so_is_everybody_where_that_is_set() {
    for wait in ["0", "1ms"] {
        let mut origin = shop();
        let retter = start(&origin, &[("RETTER_BACKEND_RESTART_WAIT", wait)]);
        origin.down();
        for _ in 0..3 {
            let response = retter.ask(&Request::post("/order", "a=b"));
            assert_eq!(response.status, 502);
            assert!(!response.text().contains("may have arrived"));
        }
    }
}

#[test]
fn a_visitor_that_has_ordered_sees_the_next_page_though_the_circuit_was_open() {
    let fails = Arc::new(AtomicBool::new(true));
    let at_origin = Arc::clone(&fails);
    let origin =
        Origin::start(
            move |seen| match (seen.method.as_str(), at_origin.load(Ordering::SeqCst)) {
                ("POST", _) => Reply::status(303, "").field("Location", "/thanks"),
                (_, true) => Reply::status(500, "oops"),
                (_, false) => Reply::text(seen.target.as_str()),
            },
        );
    let retter = start(&origin, &[]);
    let mut page = 0;
    until("the circuit is open", || {
        page += 1;
        let response = retter.ask(&Request::get(&format!("/page/{}", page % 9)));
        response.status == 503 && is_open(&retter)
    });
    fails.store(false, Ordering::SeqCst);
    let mut buyer = retter.client();
    assert_eq!(buyer.ask(&Request::post("/order", "a=b")).status, 303);
    let thanks = buyer.ask(&Request::get("/thanks"));
    assert_eq!((thanks.status, thanks.source()), (200, "backend"));
}

#[test]
fn an_application_that_said_it_would_be_away_for_long_is_found_when_it_is_back() {
    let fails = Arc::new(AtomicBool::new(false));
    let at_origin = Arc::clone(&fails);
    let origin = Origin::start(move |seen| match at_origin.load(Ordering::SeqCst) {
        true => Reply::status(503, "away").field("Retry-After", "600"),
        false => Reply::text(seen.target.as_str()),
    });
    let retter = Retter::start(retter_program!(), origin.address());
    assert_eq!(retter.ask(&Request::get("/")).source(), "backend");
    fails.store(true, Ordering::SeqCst);
    until("the circuit is open", || {
        retter.ask(&Request::get("/")).circuit() == "OPEN"
    });
    fails.store(false, Ordering::SeqCst);
    until("it is found", || {
        retter.ask(&Request::get("/")).source() == "backend"
    });
}

/// The application hangs as a process does that is stopped: the system goes on to take connections
/// for it.
#[test]
fn an_application_that_was_stopped_is_found_when_it_goes_on() {
    let origin = shop();
    let application = Retter::start(retter_program!(), origin.address());
    let more = [("RETTER_BREAKER_SLOW_MIN", "100ms")];
    let settings: Vec<_> = FOR_EVER.into_iter().chain(more).collect();
    let retter = Retter::start_with(retter_program!(), application.address(), &settings);
    for page in ["/a", "/b", "/c"] {
        assert_eq!(retter.ask(&Request::get(page)).status, 200);
    }
    application.signal(Signal::STOP);
    let hung: Vec<_> = (0..6)
        .map(|number| {
            let address = retter.address();
            let page = ["/a", "/b", "/c"][number % 3];
            let asks = move || {
                // Of one visitor alone it would be no evidence.
                let session = format!("PHPSESSID=hangs{number}");
                let request = Request::get(page).field("Cookie", &session);
                Client::connect(address).ask(&request).status
            };
            thread::spawn(asks)
        })
        .collect();
    until("the circuit is open", || is_open(&retter));
    application.signal(Signal::CONT);
    until("a visitor is answered", || visit(&retter).status == 200);
    for visitor in hung {
        assert_eq!(visitor.join().expect("it does not fail"), 200);
    }
}
