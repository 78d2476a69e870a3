//! Owns the proof that foreign programs can use the core in each of the ways that its
//! documentation names: whole on blocking sockets, as a policy around handlers, and as a policy
//! in a proxy with its own HTTP.
//! Never starts the program: nothing of the command line or an adapter of ours is in play.

#[path = "../../core/examples/blocking/adapter.rs"]
mod blocking;

use std::future::Future;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use http::StatusCode;
use hyper_util::client::legacy::connect::HttpConnector;
use retter_core::{Config, Gateway, Instant, Settings};
use retter_tests::client::{self, Client, Request};
use retter_tests::embed::guard::Guard;
use retter_tests::embed::layer::RescueLayer;
use retter_tests::embed::proxy::Proxy;
use retter_tests::origin::{Origin, Seen};
use retter_tests::page::Sum;
use retter_tests::reply::Reply;
use retter_tests::scenario::until;

fn config(origin: SocketAddr, change: impl FnOnce(&mut Settings)) -> Config {
    let mut settings = Settings::default();
    settings.site.origin.authority = origin.to_string();
    change(&mut settings);
    settings.validate().expect("they are valid")
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback is there");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// The test's own origin in front of the model origin: dies, and its users do not notice.
#[track_caller]
fn an_outage_is_rescued(mut origin: Origin, address: SocketAddr) {
    let mut user = Client::connect(address);
    let page = user.ask(&Request::get("/page?a=b"));
    assert_eq!(
        (page.status, page.source(), page.circuit()),
        (200, "backend", "CLOSED")
    );
    assert_eq!(page.text(), "/page?a=b");
    assert_eq!(user.ask(&Request::get("/page?a=b")).source(), "backend");

    origin.down();
    until("the circuit is open", || {
        let copy = user.ask(&Request::get("/page?a=b"));
        assert_eq!(
            (copy.status, copy.source(), copy.text()),
            (200, "cache", page.text())
        );
        assert!(copy.field("age").is_some());
        copy.circuit() == "OPEN"
    });
    let refused = user.ask(&Request::get("/never-seen"));
    assert_eq!((refused.status, refused.source()), (503, "no-cache"));
    assert!(refused.field("retry-after").is_some());
    let lost = client::ask(address, &Request::post("/order", "1"));
    assert_eq!(
        (lost.status, lost.source()),
        (502, "no-cache"),
        "a write is sent in any case"
    );

    origin.up();
    until("the circuit is closed", || {
        let page = client::ask(address, &Request::get("/page?a=b"));
        assert_eq!(page.status, 200);
        page.circuit() == "CLOSED" && page.source() == "backend"
    });
    let orders = origin
        .take_seen()
        .into_iter()
        .filter(|seen| seen.method == "POST");
    assert_eq!(orders.count(), 0);
}

fn quick(settings: &mut Settings) {
    settings.site.breaker.open_min = Duration::from_millis(50);
    settings.site.breaker.open_max = Duration::from_millis(100);
    settings.site.breaker.origin_probes = 1;
}

mod on_threads {
    use super::*;

    fn start(origin: &Origin) -> SocketAddr {
        let (listener, address) = listener();
        let gateway = Gateway::new(config(origin.address(), quick), 1, Instant::ZERO);
        blocking::start(listener, vec![origin.address()], gateway, 4).expect("threads start");
        address
    }

    #[test]
    fn an_outage_is_rescued_by_blocking_sockets() {
        let origin = Origin::start(|seen| Reply::text(seen.target.as_str()));
        let address = start(&origin);
        an_outage_is_rescued(origin, address);
    }

    #[test]
    fn large_bodies_pass_both_ways_through_blocking_sockets() {
        const LEN: u64 = 8 << 20;
        let origin = Origin::start(|seen| {
            if seen.method == "POST" {
                Reply::text(format!("{:?}", seen.sum))
            } else {
                Reply::blocks(LEN)
            }
        });
        let address = start(&origin);
        let mut user = Client::connect(address);
        let body = vec![b'x'; 3 << 20];
        let mut sum = Sum::default();
        sum.add(&body);
        let answer = user.ask(&Request::post("/upload", body));
        assert_eq!(answer.text(), format!("{:?}", sum.value()));
        let download = user.ask(&Request::get("/download"));
        assert_eq!(download.content().len() as u64, LEN);
        // Once more; whether on the same connection to the origin is up to its reading thread.
        let again = user.ask(&Request::get("/download"));
        assert_eq!(again.content(), download.content());
    }

    #[test]
    fn a_login_by_connection_is_its_clients_alone() {
        let origin = Origin::start(demanding);
        let address = start(&origin);
        let (mut anna, mut bert) = (Client::connect(address), Client::connect(address));
        for user in [&mut anna, &mut bert] {
            assert_eq!(user.ask(&Request::get("/page")).text(), "None");
            let form = Request::post("/form", "a=b").field("Authorization", "NTLM x");
            assert_eq!(user.ask(&form).text(), "Some(\"NTLM x\")");
            assert_eq!(user.ask(&Request::get("/page")).text(), "None");
        }
        let connections: Vec<_> = origin.take_seen().iter().map(|s| s.connection).collect();
        // Who only asks for the page may have any connection but one that a login is on.
        let [_, anna, annas, any, bert, berts] = connections[..] else {
            panic!("six requests, not {connections:?}");
        };
        assert_eq!((anna, bert), (annas, berts), "{connections:?}");
        assert!(anna != bert && any != anna, "{connections:?}");
    }

    #[test]
    fn it_is_as_short_as_the_readme_says() {
        let adapter = include_str!("../../core/examples/blocking/adapter.rs");
        assert!(adapter.lines().count() < 250);
    }

    #[test]
    fn what_an_origin_says_unasked_is_no_answer() {
        let (listener, origin) = listener();
        let (park, parked) = channel();
        let (say, said) = channel();
        std::thread::spawn(move || {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";
            for unasked in [true, false] {
                let (mut stream, _) = listener.accept().expect("a connection");
                let _ = stream.read(&mut [0; 1024]).expect("a request");
                stream.write_all(answer).expect("it waits");
                if unasked {
                    parked.recv().expect("the test goes on");
                    let late = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
                    stream.write_all(late).expect("nobody closed it");
                    say.send(stream).expect("the test goes on");
                }
            }
        });
        let (threads, address) = super::listener();
        let gateway = Gateway::new(config(origin, quick), 1, Instant::ZERO);
        blocking::start(threads, vec![origin], gateway, 1).expect("threads start");
        let mut user = Client::connect(address);
        assert_eq!(user.ask(&Request::get("/first")).text(), "yes");
        park.send(()).expect("the origin waits");
        let _open = said.recv().expect("the origin goes on");
        let second = user.ask(&Request::get("/second"));
        assert_eq!((second.status, second.text().as_str()), (200, "yes"));
    }

    #[test]
    fn a_broken_answer_is_a_reset_for_the_client() {
        let origin = Origin::start(|_| {
            let fault = retter_tests::reply::Fault::Close;
            Reply::text(vec![b'x'; 300_000]).fault(100_000, fault)
        });
        let mut user = Client::connect(start(&origin));
        assert!(user.try_ask(&Request::get("/")).is_err());
    }
}

/// Runs what `start` makes on a runtime of its own, for as long as the test.
fn on_tokio<F: Future<Output = ()>>(start: impl FnOnce() -> F + Send + 'static) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be made");
        runtime.block_on(start());
    });
}

fn to_tokio(listener: TcpListener) -> tokio::net::TcpListener {
    listener.set_nonblocking(true).expect("it can be");
    tokio::net::TcpListener::from_std(listener).expect("the runtime takes it")
}

#[test]
fn an_outage_is_rescued_by_a_proxy_on_hyper() {
    let origin = Origin::start(|seen| {
        assert!(seen.field("via").is_some(), "it was forwarded by the rules");
        assert!(seen.field("x-forwarded-for").is_some());
        Reply::text(seen.target.as_str())
    });
    let (listener, address) = listener();
    let proxy = Proxy::new(Guard::new(config(origin.address(), quick)));
    on_tokio(move || async {
        let _ = proxy.serve(to_tokio(listener)).await;
    });
    an_outage_is_rescued(origin, address);
}

#[test]
fn want_of_sockets_is_no_failure_of_the_application() {
    let origin = Origin::start(|_| Reply::text("never asked"));
    // An address that no machine has to connect from stands for all that can be wanting.
    let mut connector = HttpConnector::new();
    connector.set_local_address(Some(Ipv4Addr::new(192, 0, 2, 1).into()));
    let guard = Guard::new(config(origin.address(), quick));
    let proxy = Proxy::with_connector(guard, connector);
    let (listener, address) = listener();
    on_tokio(move || async {
        let _ = proxy.serve(to_tokio(listener)).await;
    });
    for _ in 0..10 {
        let refused = client::ask(address, &Request::get("/page"));
        assert_eq!((refused.status, refused.circuit()), (503, "CLOSED"));
        assert!(refused.field("retry-after").is_some());
    }
}

#[test]
fn a_proxy_that_shares_its_connections_passes_no_login_on() {
    let origin = Origin::start(demanding);
    let proxy = Proxy::new(Guard::new(config(origin.address(), quick)));
    let (listener, address) = listener();
    on_tokio(move || async {
        let _ = proxy.serve(to_tokio(listener)).await;
    });
    for (credentials, expected) in [("NTLM x", "None"), ("Basic eA==", "Some(\"Basic eA==\")")] {
        let request = Request::get("/page").field("Authorization", credentials);
        assert_eq!(client::ask(address, &request).text(), expected);
    }
}

/// An application that signs people in by connection, and says what it was sent for that.
fn demanding(seen: &Seen) -> Reply {
    Reply::status(401, format!("{:?}", seen.field("authorization")))
        .field("WWW-Authenticate", "NTLM")
}

mod in_axum {
    use super::*;

    /// What the handlers answer; 0 is nothing, for a long time.
    type Status = Arc<AtomicU16>;

    async fn page(State(status): State<Status>) -> (StatusCode, &'static str) {
        match status.load(Ordering::SeqCst) {
            0 => std::future::pending().await,
            200 => (StatusCode::OK, "the page"),
            code => (
                StatusCode::from_u16(code).expect("it is a status"),
                "out of order",
            ),
        }
    }

    fn start(status: &Status) -> SocketAddr {
        let application = Router::new()
            .route("/page", get(page))
            .route("/other", get(page))
            .route("/order", post(page));
        serve(application.with_state(Arc::clone(status)))
    }

    fn serve(application: Router) -> SocketAddr {
        let (listener, address) = listener();
        let settings = |settings: &mut Settings| {
            quick(settings);
            settings.site.origin.head_timeout = Duration::from_millis(100);
        };
        let guard = Guard::new(config(address, settings));
        let application = application.layer(RescueLayer::new(guard));
        on_tokio(move || async {
            let _ = axum::serve(to_tokio(listener), application).await;
        });
        address
    }

    /// Answers with its version, and 304 to a client that has it.
    async fn versioned(
        State(version): State<Status>,
        fields: http::HeaderMap,
    ) -> (StatusCode, [(&'static str, String); 1], String) {
        let version = version.load(Ordering::SeqCst);
        let tag = format!("\"{version}\"");
        let has_it = fields
            .get("if-none-match")
            .is_some_and(|known| *known == *tag);
        if has_it {
            (StatusCode::NOT_MODIFIED, [("etag", tag)], String::new())
        } else {
            (
                StatusCode::OK,
                [("etag", tag)],
                format!("version {version}"),
            )
        }
    }

    #[test]
    fn a_304_to_a_client_is_not_taken_for_one_about_the_copy() {
        let version = Status::new(AtomicU16::new(1));
        let application = Router::new().route("/page", get(versioned));
        let mut user = Client::connect(serve(application.with_state(Arc::clone(&version))));
        assert_eq!(user.ask(&Request::get("/page")).text(), "version 1");
        let unchanged = user.ask(&Request::get("/page"));
        assert_eq!(unchanged.text(), "version 1");
        let validated = unchanged
            .field("cache-status")
            .unwrap_or_default()
            .to_owned();
        assert!(validated.contains("fwd-status=304"), "{validated}");
        version.store(2, Ordering::SeqCst);
        // Another copy of the program gave this client the new page; ours is the old one.
        let newer = user.ask(&Request::get("/page").field("If-None-Match", "\"2\""));
        assert_eq!((newer.status, newer.text()), (200, "version 2".to_owned()));
    }

    #[test]
    fn flaky_handlers_are_rescued_with_their_last_good_answers() {
        let status = Status::new(AtomicU16::new(200));
        let mut user = Client::connect(start(&status));
        let page = user.ask(&Request::get("/page"));
        assert_eq!((page.status, page.source()), (200, "backend"));

        status.store(500, Ordering::SeqCst);
        let copy = user.ask(&Request::get("/page"));
        assert_eq!(
            (copy.status, copy.source(), copy.text()),
            (200, "cache", page.text())
        );
        assert_eq!(copy.field("content-length"), Some("8"));
        let head = user.ask(&Request::new("HEAD", "/page"));
        assert_eq!((head.status, head.source()), (200, "cache"));
        let own = user.ask(&Request::get("/other"));
        assert_eq!((own.status, own.text()), (500, "out of order".to_owned()));
        let write = user.ask(&Request::post("/order", "1"));
        assert_eq!((write.status, write.source()), (500, "backend"));

        status.store(0, Ordering::SeqCst);
        let copy = user.ask(&Request::get("/page"));
        assert_eq!(
            (copy.status, copy.source()),
            (200, "cache"),
            "a hanging handler"
        );
        until("the page's circuit is open", || {
            let copy = user.ask(&Request::get("/page"));
            assert_eq!(copy.status, 200);
            copy.circuit() == "OPEN"
        });

        status.store(200, Ordering::SeqCst);
        until("its own answer comes again", || {
            let page = user.ask(&Request::get("/page"));
            assert_eq!(page.status, 200);
            page.circuit() == "CLOSED" && page.source() == "backend"
        });
    }
}
