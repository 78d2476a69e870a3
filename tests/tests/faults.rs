//! Owns what must hold whatever breaks: the origin at any byte, a disk, a clock, the last socket,
//! and the end of the program under load.
//! Never sleeps to wait for something.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use retter_core::{Gateway, Input, Instant, Settings, Side};
use retter_strict::{Rest, Sender};
use retter_tests::DEADLINE;
use retter_tests::bench::{Bench, Cut};
use retter_tests::client::{Client, Request};
use retter_tests::origin::Origin;
use retter_tests::program::Program;
use retter_tests::reply::Reply;
use retter_tests::retter::{Retter, command};
use retter_tests::retter_program;
use retter_tests::scenario::until;
use retter_tests::wire::Broken;
use rustix::process::Signal;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\ngood";
const SINCE_1970: Duration = Duration::from_secs(1_800_000_000);

fn gateway() -> Arc<Gateway> {
    let config = Settings::default().validate().expect("defaults are valid");
    let gateway = Gateway::new(config, 7, Instant::ZERO);
    gateway.site().set_wall_clock(SINCE_1970, Instant::ZERO);
    gateway
}

fn bench(gateway: &Arc<Gateway>) -> Bench {
    Bench::on(gateway, SocketAddr::from(([192, 0, 2, 1], 4711)))
}

fn keep_a_copy(gateway: &Arc<Gateway>) {
    let mut bench = bench(gateway);
    bench.feed(Side::Client, GET, Cut::Whole, |_| {});
    bench.feed(Side::Origin, PAGE, Cut::Whole, |_| {});
    assert!(bench.client.ends_with(b"good"));
}

/// What a client makes of what it got: a status and a body, and whether they are whole.
fn understood(bench: &Bench) -> (u16, Vec<u8>, bool) {
    let methods = ["GET".to_owned()];
    let sender = |ended| Sender::Server {
        methods: &methods,
        ended,
    };
    let (mut found, rest) = retter_strict::read(&bench.client, sender(bench.client_ended));
    if let Rest::Broken(why) = rest {
        panic!("{why}: {}", bench.client.escape_ascii());
    }
    let status = |head: &[u8]| {
        String::from_utf8_lossy(&head[9..12])
            .parse()
            .expect("a status")
    };
    match found.pop() {
        Some(message) => (status(&message.head), message.body, true),
        None if bench.client.is_empty() => (0, Vec::new(), false),
        None => (status(&bench.client), Vec::new(), false),
    }
}

#[test]
fn an_origin_that_breaks_off_at_any_byte_is_never_taken_for_whole() {
    let bodies: [(&str, &[u8]); 3] = [
        ("length", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        (
            "chunks",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n",
        ),
        ("until the end", b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nhello"),
    ];
    for (framing, bytes) in bodies {
        let head = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("a head")
            + 4;
        for (len, has_copy, resets) in (0..=bytes.len())
            .flat_map(|len| [false, true].map(|copy| (len, copy)))
            .flat_map(|(len, copy)| [false, true].map(|resets| (len, copy, resets)))
        {
            let gateway = gateway();
            if has_copy {
                keep_a_copy(&gateway);
            }
            let mut bench = bench(&gateway);
            bench.feed(Side::Client, GET, Cut::Whole, |_| {});
            bench.feed(Side::Origin, &bytes[..len], Cut::Whole, |_| {});
            if bench.origin_open && resets {
                bench.input(Input::ReadFailed(Side::Origin));
            } else if bench.origin_open {
                bench.end_of(Side::Origin);
            }
            let (status, body, whole) = understood(&bench);
            let what = format!("{framing} {len} copy {has_copy} reset {resets}");
            let is_last = framing == "until the end" && !resets && len >= head;
            if len == bytes.len() && (framing != "until the end") {
                assert_eq!(
                    (status, &body[..], whole),
                    (200, &b"hello"[..], true),
                    "{what}"
                );
            } else if is_last {
                // Nobody can tell this end from a regular one.
                assert_eq!(
                    (status, &body[..], whole),
                    (200, &bytes[head..len], true),
                    "{what}"
                );
            } else if has_copy {
                // It is held back until it is complete.
                assert_eq!(
                    (status, &body[..], whole),
                    (200, &b"good"[..], true),
                    "{what}"
                );
            } else if len < head {
                assert_eq!((status, whole), (502, true), "{what}");
            } else {
                assert_eq!((status, whole), (200, false), "{what}");
                assert!(bench.client_ended, "{what}");
            }
            assert_eq!(
                gateway.site().stats(Instant::ZERO).admission.in_flight,
                0,
                "{what}"
            );
        }
    }
}

#[test]
fn a_clock_that_jumps_costs_no_copy() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    for since_1970 in [
        SINCE_1970 - DAY,
        SINCE_1970 + DAY,
        Duration::ZERO,
        Duration::MAX,
    ] {
        let gateway = gateway();
        keep_a_copy(&gateway);
        gateway.site().set_wall_clock(since_1970, Instant::ZERO);
        let mut bench = bench(&gateway);
        bench.feed(Side::Client, GET, Cut::Whole, |_| {});
        if bench.origin_open {
            bench.input(Input::ReadFailed(Side::Origin));
        }
        let (status, body, whole) = understood(&bench);
        assert_eq!(
            (status, &body[..], whole),
            (200, &b"good"[..], true),
            "{since_1970:?}"
        );
    }
}

#[test]
fn a_client_that_closed_its_half_gets_what_it_asked_for() {
    let get = |target: &str| Request::get(target).to_bytes();
    for requests in [
        vec![Request::get("/a").field("Connection", "close").to_bytes()],
        vec![get("/a")],
        vec![Request::post("/a", "x=y").to_bytes()],
        vec![get("/a"), Request::post("/b", "x=y").to_bytes(), get("/c")],
    ] {
        // The application answers when the client has closed its half.
        let (closed, waits) = mpsc::channel::<()>();
        let waits = Mutex::new(waits);
        let origin = Origin::start(move |seen| {
            let waits = waits.lock().expect("nobody panics with it");
            let _ = waits.recv_timeout(DEADLINE);
            Reply::text(seen.target.as_str())
        });
        let retter = Retter::start(retter_program!(), origin.address());
        let mut client = retter.client();
        client.send(&requests.concat());
        client.wire().finish();
        drop(closed);
        for (at, _) in requests.iter().enumerate() {
            let target = ["/a", "/b", "/c"][at];
            assert_eq!(client.response("GET").text(), target);
        }
        client.expect_end();
    }
}

/// Starts the program by a shell, which can take more away from it than this process can.
fn start_in_shell(
    prelude: &str,
    origin: &Origin,
    settings: &[(&str, &str)],
) -> (Program, SocketAddr, SocketAddr) {
    let script = format!("{prelude}exec \"$0\"");
    let mut shell = command("sh");
    shell
        .args(["-c", &script, retter_program!()])
        .env(
            "RETTER_BACKEND_BASEURL",
            format!("http://{}", origin.address()),
        )
        .env("RETTER_SERVER_LISTEN", "127.0.0.1:0")
        .env("RETTER_ADMIN_LISTEN", "127.0.0.1:0")
        .envs(settings.iter().copied());
    let program = Program::start(&mut shell);
    let after = |line: &str, words: &str| {
        let (_, rest) = line.split_once(words)?;
        let end = rest.find(|c: char| !c.is_ascii_digit() && !".:".contains(c))?;
        rest[..end].parse::<SocketAddr>().ok()
    };
    let (address, admin) = program.wait_for("its addresses", |line| {
        Some((after(line, "listening on ")?, after(line, "admin on ")?))
    });
    (program, address, admin)
}

#[test]
fn a_full_disk_costs_log_lines_and_nothing_else() {
    let origin = Origin::start(|seen| Reply::text(seen.target.as_str()));
    let settings = [("RETTER_LOG_ACCESS", "combined")];
    let (_program, address, admin) = start_in_shell("exec >/dev/full; ", &origin, &settings);
    for number in 0..50 {
        let target = format!("/{number}");
        let answer = retter_tests::client::ask(address, &Request::get(&target));
        assert_eq!(answer.text(), target);
    }
    until("the lost lines are counted", || {
        let metrics =
            retter_tests::client::ask(admin, &Request::get("/metrics").host(Some("localhost")));
        let text = metrics.text();
        let name = "retter_access_log_dropped_total ";
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .expect("the metric");
        line == "50"
    });
}

#[test]
fn honest_users_are_served_when_all_sockets_are_taken() {
    let origin = Origin::start(|seen| Reply::text(seen.target.as_str()));
    let (program, address, _) = start_in_shell("ulimit -n 64; ", &origin, &[]);
    program.wait_for("that there are too few", |line| {
        line.contains(
            "10000 client connections need a limit of 10512 to 20512 open files and there are 64",
        )
        .then_some(())
    });
    let silent: Vec<_> = (0..120).map(|_| Client::connect(address)).collect();
    // Some of the silent ones have to go first: a try may end without an answer.
    until("an honest user is served", || {
        Client::connect(address)
            .try_ask(&Request::get("/a"))
            .is_ok_and(|answer| answer.text() == "/a")
    });
    drop(silent);
}

#[test]
fn a_want_of_sockets_does_not_count_against_the_application() {
    let origin = Origin::start(|seen| {
        let page = Reply::text(seen.target.as_str());
        page.field("Connection", "close")
    });
    let retter = Retter::start(retter_program!(), origin.address());
    let mut last = retter.client();
    let page = last.ask(&Request::get("/kept"));
    assert_eq!((page.text().as_str(), page.source()), ("/kept", "backend"));
    retter.limit_files(1);
    // As many as would open the circuit of a page, and of all pages.
    for number in 0..6 {
        let copy = last.ask(&Request::get("/kept"));
        assert_eq!((copy.text().as_str(), copy.circuit()), ("/kept", "CLOSED"));
        let told = copy.field("cache-status").unwrap_or_default();
        assert!(told.ends_with("detail=overload"), "{told}");
        for target in ["/other".to_owned(), format!("/{number}")] {
            let refused = last.ask(&Request::get(&target));
            assert_eq!((refused.status, refused.circuit()), (503, "CLOSED"));
            assert_eq!(refused.field("retry-after"), Some("1"));
        }
    }
    retter.wait_for("what is wanting", |line| {
        line.contains("Too many open files (os error 24); each client may need two files")
            .then_some(())
    });
    let told = retter.errors();
    assert!(!told.contains("is it running"), "{told}");
    retter.limit_files(64);
    assert_eq!(last.ask(&Request::get("/other")).text(), "/other");
}

#[test]
fn the_longest_idle_give_way_and_running_requests_do_not() {
    let gate = retter_tests::signal::Gate::new();
    let at_origin = gate.clone();
    let origin = Origin::start(move |seen| {
        if seen.target == "/slow" {
            at_origin.wait();
        }
        Reply::text(seen.target.as_str())
    });
    let settings = [("RETTER_SERVER_CONNECTIONS", "4")];
    let retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    let mut running = retter.client();
    running.send(&Request::get("/slow").to_bytes());
    let _ = origin.wait_for(1);
    let mut first = retter.client();
    assert_eq!(first.ask(&Request::get("/first")).text(), "/first");
    // The session may learn a moment after its client that the answer has gone.
    let mut crowd = Vec::new();
    until("the longest idle one gives way to others", || {
        let mut next = retter.client();
        let is_served = next.try_ask(&Request::get("/next")).is_ok();
        crowd.push(next);
        assert!(is_served, "a new one is served at once");
        has_ended(&mut first)
    });
    let mut last = crowd.pop().expect("there was one at least");
    gate.open();
    assert_eq!(running.response("GET").text(), "/slow");
    assert_eq!(
        last.ask(&Request::get("/again")).text(),
        "/again",
        "the newest stay"
    );
}

/// Whether the peer has ended the connection already.
fn has_ended(client: &mut Client) -> bool {
    let stream = client.wire().stream();
    stream.set_nonblocking(true).expect("a connected socket");
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).expect("a connected socket");
    match peeked {
        Ok(len) => len == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn an_end_under_load_cuts_no_answer() {
    let origin = Origin::counting(|seen| Reply::text(seen.target.repeat(200)));
    let mut retter = Retter::start(retter_program!(), origin.address());
    let answered = AtomicU64::new(0);
    let address = retter.address();
    thread::scope(|scope| {
        for visitor in 0..8 {
            let answered = &answered;
            scope.spawn(move || {
                for number in 0.. {
                    let Ok(mut client) = Client::try_connect(address) else {
                        return;
                    };
                    for step in 0..50 {
                        let target = format!("/{visitor}/{number}/{step}");
                        match client.try_ask(&Request::get(&target)) {
                            Ok(answer) => {
                                assert_eq!(answer.status, 200);
                                assert_eq!(answer.text(), target.repeat(200));
                                answered.fetch_add(1, Ordering::Relaxed);
                                if answer.closes() {
                                    break;
                                }
                            }
                            // Not one byte of an answer: the request had not been taken.
                            Err(Broken::Closed | Broken::Io(_)) => break,
                            Err(error) => panic!("{target}: {error}"),
                        }
                    }
                }
            });
        }
        until("there is load", || answered.load(Ordering::Relaxed) > 200);
        retter.signal(Signal::TERM);
    });
    assert!(retter.end().success(), "{}", retter.errors());
    assert!(answered.load(Ordering::Relaxed) > 200);
}

#[test]
fn nothing_from_the_network_steers_who_reads_the_logs() {
    const EVIL: &str = "\u{9b}31m\\\"<script>";
    for format in ["common", "combined", "json"] {
        let origin =
            Origin::start(|_| retter_tests::origin::Answer::Raw(b"\x1b]0;evil\x07".to_vec()));
        let settings = [("RETTER_LOG_ACCESS", format), ("RETTER_LOG_LEVEL", "trace")];
        let mut retter = Retter::start_with(retter_program!(), origin.address(), &settings);
        for number in 0..6 {
            let mut client = retter.client();
            let target = format!("/{EVIL}?token=hush{number}");
            let request = Request::get(&target)
                .field("User-Agent", EVIL)
                .field("Referer", "http://h/?access_token=hush")
                .field("Cookie", "PHPSESSID=hush")
                .field("Authorization", "Bearer hush");
            assert_eq!(
                client.ask(&request).status,
                if number < 5 { 502 } else { 503 }
            );
        }
        let mut client = retter.client();
        client.send(b"GET /\x1b[31m\x07 HTTP/1.1\r\nHost: \x1b\r\n\r\n");
        assert_eq!(client.response("GET").status, 400);
        let pages = ["/", "/health", "/metrics"].map(|page| retter.admin(page).text());
        retter.signal(Signal::TERM);
        assert!(retter.end().success());
        for text in pages.iter().chain(&[retter.output(), retter.errors()]) {
            let odd = text
                .chars()
                .find(|&c| c != '\n' && !(' '..='~').contains(&c));
            // The text of one of our own messages may have other letters; none steers.
            assert!(
                odd.is_none_or(|c| !c.is_control()),
                "{format}: {odd:?} in {text}"
            );
            assert!(!text.contains("hush"), "{format}: a secret in {text}");
        }
        assert!(
            retter.output().contains("\\x"),
            "{format}: {}",
            retter.output()
        );
    }
}

#[test]
fn an_open_admin_address_wants_a_token_and_never_shows_it() {
    const TOKEN: &str = "0123456789abcdef-secret";
    let origin = Origin::start(|_| Reply::text("x"));
    let mut refused = command(retter_program!());
    refused
        .env("RETTER_ADMIN_LISTEN", "0.0.0.0:0")
        .env("RETTER_SERVER_LISTEN", "127.0.0.1:0");
    let mut refused = Program::start(&mut refused);
    assert!(!refused.end().success());
    assert!(
        refused.errors().contains("RETTER_ADMIN_TOKEN"),
        "{}",
        refused.errors()
    );

    let settings = [("RETTER_ADMIN_TOKEN", TOKEN)];
    let mut retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    assert_eq!(retter.admin("/health").status, 401);
    assert_eq!(
        retter.admin("/ready").status,
        200,
        "whoever watches may know that it is there"
    );
    let ask = |request: &Request| retter_tests::client::ask(retter.admin_address(), request);
    let rebound = Request::get("/ready").host(Some("shop.example"));
    assert_eq!(ask(&rebound).status, 403, "the name of somebody else");
    let here = Request::get("/health").host(Some("127.0.0.1"));
    assert_eq!(ask(&here).status, 401);
    let known = here
        .clone()
        .field("Authorization", &format!("Bearer {TOKEN}"));
    let health = ask(&known);
    assert_eq!(health.status, 200);
    assert_eq!(
        ask(&known.field("Origin", "http://evil.example")).status,
        403
    );

    let mut check = command(retter_program!());
    check.arg("check").env("RETTER_ADMIN_TOKEN", TOKEN).env(
        "RETTER_BACKEND_BASEURL",
        format!("http://{}", origin.address()),
    );
    let mut check = Program::start(&mut check);
    assert!(check.end().success(), "{}", check.errors());
    let mut short: Command = command(retter_program!());
    let mut short = Program::start(short.env("RETTER_ADMIN_TOKEN", "tooshort"));
    assert!(!short.end().success());
    retter.signal(Signal::TERM);
    assert!(retter.end().success());
    let shown = [
        health.text(),
        check.output(),
        check.errors(),
        retter.output(),
        retter.errors(),
    ];
    assert!(shown.iter().all(|text| !text.contains(TOKEN)), "{shown:?}");
    assert!(!short.errors().contains("tooshort"), "{}", short.errors());
}
