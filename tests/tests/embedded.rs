//! Owns the proof that every runtime serves inside a foreign process: what a panic costs, what a
//! drain cuts, and that nothing is left behind.
//! Never goes through the command line.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use retter::runtime::{
    ASYNC_STD, Adapter, Gateway, Observer, Options, SMOL, Seats, Server, TOKIO, Trouble,
};
use retter_core::config::Settings;
use retter_core::event::Report;
use retter_tests::DEADLINE;
use retter_tests::client::{Client, Request};
use retter_tests::origin::Origin;
use retter_tests::reply::Reply;
use retter_tests::signal::{Gate, Watched};

const RUNTIMES: [Adapter; 3] = [TOKIO, SMOL, ASYNC_STD];

/// Counts connections and reports, keeps what it is told, and panics once when it is asked to.
#[derive(Default)]
struct Witness {
    connections: AtomicUsize,
    panics: AtomicBool,
    reports: Watched<u32>,
    troubles: Watched<Vec<String>>,
}

impl Observer for Witness {
    fn on_report(&self, _: Report) {
        let panics = self.panics.swap(false, Ordering::SeqCst);
        self.reports.change(|reports| *reports += 1);
        assert!(!panics, "as a bug would panic");
    }

    fn on_connect(&self) {
        self.connections.fetch_add(1, Ordering::SeqCst);
    }

    fn on_disconnect(&self) {
        self.connections.fetch_sub(1, Ordering::SeqCst);
    }

    fn on_trouble(&self, trouble: &Trouble) {
        self.troubles
            .change(|troubles| troubles.push(format!("{trouble:?}")));
    }
}

#[track_caller]
fn start(runtime: Adapter, origin: &Origin, host: &str, witness: &Arc<Witness>) -> Server {
    let config = Settings::default().validate().expect("defaults");
    let gateway = Gateway::new(config, 1, retter_core::time::Instant::ZERO);
    let options = Options {
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        workers: 2,
        origin_host: host.to_owned(),
        origin_port: origin.address().port(),
        idle_connections_max: 4,
        idle_timeout: Duration::from_secs(4),
        seats: Seats {
            total: 100,
            per_address: None,
        },
        drain_timeout: Duration::from_millis(100),
        epoch: Instant::now(),
    };
    let observer: Arc<dyn Observer> = Arc::clone(witness) as _;
    (runtime.start)(&gateway, options, &observer).expect("it starts")
}

#[test]
fn a_panic_ends_one_session_and_no_other() {
    for runtime in RUNTIMES {
        let origin = Origin::start(|seen| Reply::text(seen.target.as_str()));
        let witness = Arc::new(Witness::default());
        // By name: `localhost` may have an address that nobody listens on.
        let server = start(runtime, &origin, "localhost", &witness);
        let connect = || Client::connect(server.local_addrs()[0]);
        let mut other = connect();
        assert_eq!(other.ask(&Request::get("/before")).status, 200);
        // An exchange is reported after its answer was sent: the next report is another one's.
        let reported = |reports: &mut u32| (*reports == 1).then_some(());
        assert!(witness.reports.wait(DEADLINE, reported).is_some());

        witness.panics.store(true, Ordering::SeqCst);
        let mut struck = connect();
        // The answer may have been sent before its exchange is reported.
        let _ = struck.try_ask(&Request::get("/struck"));
        let told = witness.troubles.wait(DEADLINE, |troubles| {
            troubles
                .iter()
                .any(|text| text.contains("Panicked"))
                .then_some(())
        });
        assert!(told.is_some(), "{}", runtime.name);
        assert_eq!(other.ask(&Request::get("/after")).status, 200);
        assert_eq!(connect().ask(&Request::get("/new")).status, 200);
        server.drain();
        assert_eq!(server.join(), 0, "{}", runtime.name);
        assert_eq!(witness.connections.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn what_outlasts_the_drain_is_cut_and_counted() {
    for runtime in RUNTIMES {
        let gate = Gate::new();
        let at_origin = gate.clone();
        let origin = Origin::start(move |seen| {
            at_origin.wait();
            Reply::text(seen.target.as_str())
        });
        let witness = Arc::new(Witness::default());
        let server = start(runtime, &origin, "127.0.0.1", &witness);
        let mut client = Client::connect(server.local_addrs()[0]);
        client.send(&Request::get("/slow").to_bytes());
        let _ = origin.wait_for(1);
        server.drain();
        server.drain();
        assert_eq!(server.join(), 1, "{}", runtime.name);
        assert_eq!(*witness.reports.lock(), 1, "it is in the log");
        assert_eq!(witness.connections.load(Ordering::SeqCst), 0);
        assert_eq!(Arc::strong_count(&witness), 1, "{}", runtime.name);
        assert!(client.try_head("GET").is_err(), "the socket is closed");
        gate.open();
    }
}
