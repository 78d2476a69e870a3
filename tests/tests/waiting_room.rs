//! Owns the proof that visitors of a full application wait in order, over real connections: with a place
//! that they keep, also over a restart, and that the application never sees.
//! Never measures a time: what the application holds back decides what happens.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use retter_tests::DEADLINE;
use retter_tests::client::{Request, Response};
use retter_tests::origin::{Origin, Seen};
use retter_tests::reply::Reply;
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use retter_tests::scenario::until;
use retter_tests::signal::{Gate, Watched};

/// An application that works on what comes until its gate opens, and tells how many requests came.
fn busy_origin() -> (Origin, Arc<Watched<u32>>, Arc<Gate>) {
    let (came, gate) = (Arc::new(Watched::new(0)), Arc::new(Gate::new()));
    let (counted, opened) = (Arc::clone(&came), Arc::clone(&gate));
    let origin = Origin::start(move |seen: &Seen| {
        counted.change(|came| *came += 1);
        opened.wait();
        Reply::text(format!("page {}", seen.target))
    });
    (origin, came, gate)
}

const SETTINGS: [(&str, &str); 7] = [
    ("RETTER_BACKEND_CONCURRENCY", "1"),
    ("RETTER_BACKEND_QUEUE_TIMEOUT", "50ms"),
    ("RETTER_BACKEND_TIMEOUT_HEAD", "1m"),
    ("RETTER_BACKEND_REFRESH_SHARE", "0"),
    // What is held back is work, however long it takes.
    ("RETTER_BACKEND_WAITING_MAX", "0"),
    ("RETTER_BREAKER_SLOW_RATE", "off"),
    ("RETTER_SERVER_WORKERS", "2"),
];

/// A browser somewhere, with its cookies.
struct Browser {
    network: u32,
    cookie: Option<String>,
}

impl Browser {
    fn new(network: u32) -> Self {
        Self {
            network,
            cookie: None,
        }
    }

    fn asks(&mut self, retter: &Retter) -> Response {
        let cookies = self.cookie.iter().map(|cookie| format!("; {cookie}"));
        let cookies = format!("theme=dark{}", cookies.collect::<String>());
        // A page of its own, of which no other has a copy.
        let request = Request::get(&format!("/page/{}", self.network))
            .field("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
            .field("Sec-Fetch-Dest", "document")
            .field("Cookie", &cookies)
            .field("X-Forwarded-For", &format!("203.0.{}.1", self.network));
        let response = retter.ask(&request);
        if let Some(given) = response.field("set-cookie") {
            self.cookie = given.split(';').next().map(str::to_owned);
        }
        response
    }

    /// Asks, and is told to wait. Returns the place.
    #[track_caller]
    fn waits(&mut self, retter: &Retter) -> u32 {
        let response = self.asks(retter);
        let told = response
            .field("cache-status")
            .unwrap_or_default()
            .to_owned();
        assert!(told.ends_with("detail=waiting-room"), "{told}");
        assert_eq!(response.status, 503);
        assert_eq!(response.field("cache-control"), Some("no-store"));
        assert_eq!(response.field("refresh"), response.field("retry-after"));
        let page = response.text();
        let place = page
            .split("<strong>")
            .nth(1)
            .and_then(|rest| rest.split('<').next());
        place.and_then(|place| place.parse().ok()).expect("a place")
    }
}

#[test]
fn visitors_of_a_full_application_wait_in_order_and_come_in() {
    let (origin, came, gate) = busy_origin();
    let retter = Retter::start_with(retter_program!(), origin.address(), &SETTINGS);
    let mut browsers: Vec<_> = (1..=6).map(Browser::new).collect();
    thread::scope(|scope| {
        let first = scope.spawn(|| retter.ask(&Request::get("/first")));
        let is_full = came.wait(DEADLINE, |came| (*came == 1).then_some(()));
        assert!(is_full.is_some(), "it is full");
        let mut place = |at: usize| browsers[at].waits(&retter);
        let places: Vec<_> = (0..6).map(&mut place).collect();
        assert_eq!(places, [1, 2, 3, 4, 5, 6]);
        assert_eq!(place(5), 6, "it keeps its place");
        let health = retter.admin("/health").text();
        let waiting = health.split("\"waiting_room\"").nth(1).unwrap_or_default();
        assert!(waiting.contains("\"waiting\": 6"), "{health}");
        assert_eq!(retter.metric("retter_waiting_room_visitors"), 6.0);
        // What is no page for a person never waits here, nor does whoever loses what it is given.
        let data = Request::get("/data").field("Accept", "application/json");
        let told = retter.ask(&data);
        let told = told.field("cache-status").unwrap_or_default().to_owned();
        assert!(told.ends_with("detail=overload-no-copy"), "{told}");
        let mut forgetful = Browser::new(7);
        forgetful.waits(&retter);
        forgetful.cookie = None;
        assert_eq!(forgetful.asks(&retter).field("set-cookie"), None);
        gate.open();
        assert_eq!(first.join().expect("it is answered").status, 200);
    });
    for browser in &mut browsers {
        until("each comes in", || browser.asks(&retter).status == 200);
    }
    let let_in = retter.metric("retter_waiting_room_ended_total{end=\"let-in\"}");
    assert_eq!(let_in, 6.0);
    for seen in origin.take_seen() {
        let cookies = seen.field("cookie").unwrap_or("theme=dark");
        assert_eq!(cookies, "theme=dark", "{}", seen.target);
    }
}

/// Where an instance keeps its state. Dropped, it is gone.
struct State(PathBuf);

impl State {
    fn new(name: &str) -> Self {
        let name = format!("retter-room-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn places_survive_a_restart_where_there_is_a_state_directory() {
    let (origin, came, gate) = busy_origin();
    let state = State::new("kept");
    let mut settings = SETTINGS.to_vec();
    settings.push((
        "RETTER_STATE_DIR",
        state.0.to_str().expect("a name in ASCII"),
    ));
    let mut browsers: Vec<_> = (1..=4).map(Browser::new).collect();
    let mut retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    for run in 1..=2 {
        let mut client = retter.client();
        client.send(&Request::get(&format!("/first/{run}")).to_bytes());
        let is_full = came.wait(DEADLINE, |came| (*came == run).then_some(()));
        assert!(is_full.is_some(), "it is full");
        let kept: Vec<_> = browsers
            .iter()
            .map(|browser| browser.cookie.clone())
            .collect();
        let mut new = Browser::new(20 + run);
        if run == 2 {
            assert!(new.waits(&retter) > 0, "somebody new is here first");
        }
        // After the restart in another order than that in which they came.
        let order = if run == 1 { [0, 1, 2, 3] } else { [3, 1, 0, 2] };
        for at in order {
            browsers[at].waits(&retter);
        }
        let places: Vec<_> = browsers
            .iter_mut()
            .map(|browser| browser.waits(&retter))
            .collect();
        assert!(places.is_sorted(), "{places:?}");
        if run == 2 {
            assert!(new.waits(&retter) > places[3], "{places:?}");
            let now: Vec<_> = browsers
                .iter()
                .map(|browser| browser.cookie.clone())
                .collect();
            assert_eq!(now, kept, "each has the number that it had");
            break;
        }
        drop(retter);
        retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    }
    gate.open();
}

#[test]
fn it_can_be_turned_off() {
    let (origin, came, gate) = busy_origin();
    let mut settings = SETTINGS.to_vec();
    settings.push(("RETTER_SERVER_WAITING_ROOM", "off"));
    let retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    thread::scope(|scope| {
        let first = scope.spawn(|| retter.ask(&Request::get("/first")));
        let is_full = came.wait(DEADLINE, |came| (*came == 1).then_some(()));
        assert!(is_full.is_some(), "it is full");
        let response = Browser::new(1).asks(&retter);
        let told = response.field("cache-status").unwrap_or_default();
        assert!(told.ends_with("detail=overload-no-copy"), "{told}");
        assert_eq!(response.field("set-cookie"), None);
        gate.open();
        assert_eq!(first.join().expect("it is answered").status, 200);
    });
}
