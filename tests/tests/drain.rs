//! Owns the proof of what becomes of requests that arrive together with the drain.
//! Never goes through the command line.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use retter::runtime::{ASYNC_STD, Adapter, Gateway, Observer, Options, SMOL, Seats, Server, TOKIO};
use retter_core::config::Settings;
use retter_core::event::Report;

const RUNTIMES: [Adapter; 3] = [TOKIO, SMOL, ASYNC_STD];
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// Holds the worker in each accept until it is let go.
struct Gate {
    reached: Mutex<Sender<()>>,
    go: Mutex<Receiver<()>>,
}

impl Observer for Gate {
    fn on_connect(&self) {
        self.reached.lock().unwrap().send(()).unwrap();
        self.go.lock().unwrap().recv().unwrap();
    }

    fn on_report(&self, _: Report) {}
}

#[test]
fn a_request_that_has_arrived_is_answered() {
    for runtime in RUNTIMES {
        has_arrived(runtime);
    }
}

fn has_arrived(runtime: Adapter) {
    let origin_port = origin(serve);
    let (reached, has_reached) = channel();
    let (let_go, go) = channel();
    let gate = Gate {
        reached: Mutex::new(reached),
        go: Mutex::new(go),
    };
    let server = start(runtime, origin_port, Duration::from_secs(5), gate);
    let address = server.local_addrs()[0];

    let mut idle = TcpStream::connect(address).unwrap();
    has_reached.recv().unwrap();
    let_go.send(()).unwrap();
    idle.write_all(GET).unwrap();
    assert!(answer(&mut idle).starts_with("HTTP/1.1 200"));

    // While the worker does not look: a request on the idle connection, two new connections with
    // one each, and then the drain.
    let mut first = TcpStream::connect(address).unwrap();
    has_reached.recv().unwrap();
    let mut second = TcpStream::connect(address).unwrap();
    for stream in [&mut idle, &mut first, &mut second] {
        stream.write_all(GET).unwrap();
    }
    server.drain();
    let_go.send(()).unwrap();
    let_go.send(()).unwrap();
    for (name, stream) in [
        ("idle", &mut idle),
        ("first", &mut first),
        ("second", &mut second),
    ] {
        assert!(
            answer(stream).starts_with("HTTP/1.1 200"),
            "{name} on {}",
            runtime.name
        );
    }
    assert_eq!(server.join(), 0);
}

#[test]
fn an_answer_that_is_cut_off_does_not_look_complete() {
    for runtime in RUNTIMES {
        is_cut_off(runtime);
    }
}

fn is_cut_off(runtime: Adapter) {
    struct Nobody;
    impl Observer for Nobody {
        fn on_report(&self, _: Report) {}
    }
    let port = origin(|mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nok").unwrap();
        // Says no more and does not close: it waits for the other side to do so.
        while stream.read(&mut [0; 64]).is_ok_and(|len| len > 0) {}
    });
    let server = start(runtime, port, Duration::from_millis(50), Nobody);
    let mut client = TcpStream::connect(server.local_addrs()[0]).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert!(answer(&mut client).ends_with("ok"));
    server.drain();
    assert_eq!(server.join(), 1);
    let end = client.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
}

/// Starts an origin that serves each connection so, and returns its port.
fn origin(serve: fn(TcpStream)) -> u16 {
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = origin.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in origin.incoming() {
            std::thread::spawn(move || serve(stream.unwrap()));
        }
    });
    port
}

fn start(
    runtime: Adapter,
    origin_port: u16,
    drain_timeout: Duration,
    observer: impl Observer + 'static,
) -> Server {
    let config = Settings::default().validate().unwrap();
    let gateway = Gateway::new(config, 1, retter_core::time::Instant::ZERO);
    let options = Options {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        workers: 1,
        origin_host: "127.0.0.1".to_owned(),
        origin_port,
        idle_connections_max: 4,
        idle_timeout: Duration::from_secs(4),
        seats: Seats {
            total: 100,
            per_address: None,
        },
        drain_timeout,
        epoch: Instant::now(),
    };
    let observer: Arc<dyn Observer> = Arc::new(observer);
    (runtime.start)(&gateway, options, &observer).unwrap()
}

fn serve(mut stream: TcpStream) {
    let mut seen = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).is_ok_and(|len| len > 0) {
        seen.push(byte[0]);
        if seen.ends_with(b"\r\n\r\n") {
            seen.clear();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(answer).unwrap();
        }
    }
}

/// Reads one answer, or what there is of it.
fn answer(stream: &mut TcpStream) -> String {
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\nok") && stream.read(&mut byte).is_ok_and(|len| len > 0) {
        seen.push(byte[0]);
    }
    String::from_utf8(seen).unwrap()
}
