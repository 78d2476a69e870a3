//! Owns the proof of what becomes of an application whose name has no address for a while, another
//! one later, or several.
//! Never asks a name service: the program knows these names only.

use std::net::{Ipv4Addr, SocketAddr};

use retter_tests::client::{Request, Response};
use retter_tests::names::{NAME, Names};
use retter_tests::origin::Origin;
use retter_tests::port::Port;
use retter_tests::reply::Reply;
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use retter_tests::scenario::until;
use socket2::{Domain, Socket, Type};

const HERE: &str = "127.0.0.1";
const THERE: &str = "127.0.0.2";
const NOWHERE: &str = "127.0.0.3";

/// A circuit that is soon probed, and copies that are soon old.
const QUICK: [(&str, &str); 4] = [
    ("RETTER_BREAKER_OPEN_MIN", "100ms"),
    ("RETTER_BREAKER_OPEN_MAX", "200ms"),
    ("RETTER_CACHE_TTL", "0"),
    // Each knows of names by itself, and which of them answers is the system's choice.
    ("RETTER_SERVER_WORKERS", "1"),
];

fn start(names: &Names, origin: &Origin) -> Retter {
    let host = format!("{NAME}:{}", origin.address().port());
    Retter::start_command(names.command(retter_program!()), host, &QUICK)
}

/// An application that says where it is.
fn here() -> Origin {
    Origin::start(|_| Reply::text(HERE))
}

/// Another one on the same port of another address.
fn there(here: &Origin) -> Origin {
    Origin::start_at(at(THERE, here), |_| Reply::text(THERE))
}

fn at(address: &str, origin: &Origin) -> SocketAddr {
    let address: Ipv4Addr = address.parse().expect("an address");
    SocketAddr::from((address, origin.address().port()))
}

fn get(retter: &Retter) -> Response {
    retter.ask(&Request::get("/a"))
}

/// Waits until the application answers, which is at `address` then.
#[track_caller]
fn is_found(retter: &Retter, address: &str) {
    until("the application is found", || {
        let response = get(retter);
        let is_found = response.source() == "backend";
        assert!(!is_found || response.text() == address, "{response:?}");
        is_found
    });
}

/// Waits for a line of the log, while whoever has a copy gets it.
#[track_caller]
fn is_told_to_rescued_users(retter: &Retter, words: &str) -> String {
    let find = || {
        let log = retter.errors();
        let line = log.lines().find(|line| line.contains(words));
        line.map(str::to_owned)
    };
    until("it is told", || {
        let response = get(retter);
        let source = response.source();
        assert_eq!((response.status, source), (200, "last-known-success"));
        assert_eq!(response.text(), HERE);
        find().is_some()
    });
    find().expect("it was there")
}

#[test]
fn a_name_that_is_lost_and_comes_back_with_another_address() {
    let mut names = Names::new(&[HERE]);
    let mut origin = here();
    let retter = start(&names, &origin);
    assert_eq!(get(&retter).source(), "backend");

    names.are(&[]);
    origin.down();
    let told = is_told_to_rescued_users(&retter, "cannot resolve");
    for word in [NAME, "RETTER_BACKEND_BASEURL", "stays in use"] {
        assert!(told.contains(word), "{word} in {told}");
    }
    let told = is_told_to_rescued_users(&retter, "cannot connect");
    for word in [NAME, "RETTER_BACKEND_BASEURL", "is it running"] {
        assert!(told.contains(word), "{word} in {told}");
    }
    let stranger = retter.ask(&Request::get("/never-seen"));
    assert!([502, 503].contains(&stranger.status), "{stranger:?}");

    // A name service that is down does no harm to an application that is up.
    origin.up();
    is_found(&retter, HERE);

    origin.down();
    until("the circuit is open", || get(&retter).circuit() == "OPEN");
    let there = there(&origin);
    names.are(&[THERE]);
    until("the circuits close by themselves", || {
        let health = retter.admin("/health").text();
        there.requests() > 0
            && health.contains("\"circuit\": \"CLOSED\"")
            && health.contains("\"paths_open\": 0")
    });
    is_found(&retter, THERE);
}

#[test]
fn a_name_that_is_known_later_than_the_program_starts() {
    let mut names = Names::new(&[]);
    let origin = here();
    let retter = start(&names, &origin);
    // Before anybody comes.
    let told = retter.wait_for("why", |line| {
        line.contains("cannot resolve").then(|| line.to_owned())
    });
    for word in [NAME, "RETTER_BACKEND_BASEURL"] {
        assert!(told.contains(word), "{word} in {told}");
    }
    assert_eq!(get(&retter).status, 502);
    names.are(&[HERE]);
    is_found(&retter, HERE);
}

#[test]
fn connections_to_where_the_application_was_are_left() {
    let mut names = Names::new(&[HERE]);
    let mut origin = here();
    let retter = start(&names, &origin);
    let mut client = retter.client();
    assert_eq!(client.ask(&Request::get("/a")).text(), HERE);
    // The old one still serves the connections that it has.
    origin.drain();
    assert_eq!(client.ask(&Request::get("/a")).text(), HERE);
    let there = there(&origin);
    names.are(&[THERE]);
    // A write has a connection of its own.
    until("the new one is found", || {
        let response = client.ask(&Request::new("POST", "/b"));
        response.source() == "backend" && response.text() == THERE
    });
    until("reads go there", || {
        let response = client.ask(&Request::get("/a"));
        let is_asked = response.source() == "backend";
        assert!(!is_asked || response.text() == THERE, "{response:?}");
        is_asked
    });
    assert!(there.requests() > 1);
}

#[test]
fn one_address_of_several_is_enough() {
    let mut names = Names::new(&["::1", NOWHERE, HERE]);
    let mut origin = here();
    let retter = start(&names, &origin);
    let first = get(&retter);
    assert_eq!((first.source(), first.text().as_str()), ("backend", HERE));
    // Two threads look it up at the start, which the wrapper does not always bear.
    let told = || retter.errors().matches("cannot resolve").count();
    let before = told();
    let there = there(&origin);
    names.are(&["::1", NOWHERE, THERE, HERE]);
    origin.down();
    is_found(&retter, THERE);
    assert!(there.requests() > 0);
    assert_eq!(told(), before, "{}", retter.errors());
}

#[test]
fn an_address_that_never_answers_leaves_time_for_the_others() {
    let names = Names::new(&[NOWHERE, HERE]);
    let origin = here();
    let _mute = Mute::at(at(NOWHERE, &origin));
    let retter = start(&names, &origin);
    for _ in 0..2 {
        let response = get(&retter);
        assert_eq!(
            (response.source(), response.text().as_str()),
            ("backend", HERE)
        );
    }
}

/// A port that answers no attempt to connect, not even with a refusal.
struct Mute {
    _full: Vec<Socket>,
    _port: Port,
}

impl Mute {
    fn at(address: SocketAddr) -> Self {
        let port = Port::reserve_at(address);
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let listening = socket();
        listening.set_reuse_address(true).expect("an option");
        listening.bind(&address.into()).expect("it is reserved");
        listening.listen(0).expect("a bound socket");
        let mut full = vec![listening];
        // The queue of a listener that never accepts is full after one or two.
        for _ in 0..4 {
            let waiting = socket();
            waiting.set_nonblocking(true).expect("an option");
            let _ = waiting.connect(&address.into());
            full.push(waiting);
        }
        Self {
            _full: full,
            _port: port,
        }
    }
}
