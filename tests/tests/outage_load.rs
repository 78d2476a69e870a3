//! Owns an outage under load, with real receivers on loopback: its numbers are what the visitors counted,
//! the log stays readable, and whoever is told of it, or should be and cannot, costs no visitor anything.
//! Never looks at one visitor alone: other tests do.

use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;

use retter_tests::client::Request;
use retter_tests::origin::Origin;
use retter_tests::reply::Reply;
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use retter_tests::scenario::until;
use rustix::process::Signal;
use serde_json::Value;

const PAGES: usize = 20;
const THREADS: usize = 8;
/// Each is a network of its own.
const VISITORS: usize = 4_000;
/// What an operator reads in a minute without losing the thread.
const LINES_A_MINUTE: usize = 5;

/// What visitors saw.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Seen {
    rescued: u64,
    refused: u64,
    /// Writes that were not sent.
    lost: u64,
}

fn visit(number: usize, target: &str) -> Request {
    let client = format!("203.{}.{}.7", number / 250, number % 250);
    Request::get(target).field("X-Forwarded-For", &client)
}

/// What the visitor with this number asks for: mostly pages of which there are copies.
fn wanted(number: usize) -> Request {
    match number % 16 {
        7 => visit(number, &format!("/new/{}", number % 32)),
        15 => {
            let client = format!("203.{}.{}.7", number / 250, number % 250);
            Request::post("/order", "1").field("X-Forwarded-For", &client)
        }
        _ => visit(number, &format!("/{}", number % PAGES)),
    }
}

fn outages(retter: &Retter) -> Value {
    let told = retter.admin("/outages").text();
    serde_json::from_str(&told).expect("JSON")
}

/// What the outage that goes on has counted.
fn counted(retter: &Retter) -> Seen {
    let told = outages(retter);
    let count = |name: &str| {
        let count = told["current"]["answers"][name].as_u64();
        count.unwrap_or_default()
    };
    Seen {
        rescued: count("rescued"),
        refused: count("refused"),
        lost: count("writes_lost"),
    }
}

/// An application that has gone, and what is known of the outage so far.
fn go_down(settings: &[(&str, &str)]) -> (Origin, Retter) {
    let mut origin = Origin::start(|seen| Reply::text(seen.target.as_str()));
    let always = [
        ("RETTER_NOTIFY_AFTER", "0"),
        ("RETTER_BACKEND_RESTART_WAIT", "0"),
        // Answers are counted in their order.
        ("RETTER_SERVER_WORKERS", "1"),
    ];
    let settings = [&always, settings].concat();
    let retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    for page in 0..PAGES {
        assert_eq!(retter.ask(&visit(page, &format!("/{page}"))).status, 200);
    }
    origin.down();
    let mut number = 0;
    until("the circuit is open", || {
        number += 1;
        retter.ask(&wanted(number * 16)).circuit() == "OPEN"
    });
    assert_eq!(retter.ask(&visit(0, "/new")).status, 503);
    until("all so far are counted", || counted(&retter).refused == 1);
    (origin, retter)
}

/// All visitors come, many at a time, each once.
fn crowd(retter: &Retter) -> Seen {
    let come = |part: usize| {
        let mut client = retter.client();
        let mut seen = Seen::default();
        for number in (part..VISITORS).step_by(THREADS) {
            let (request, is_write) = (wanted(number), number % 16 == 15);
            let answer = client.ask(&request);
            match (answer.status, is_write) {
                (200, false) => {
                    assert_eq!(answer.text(), format!("/{}", number % PAGES));
                    seen.rescued += 1;
                }
                (503, false) => seen.refused += 1,
                (502, true) => (seen.refused, seen.lost) = (seen.refused + 1, seen.lost + 1),
                _ => panic!("{request:?}: {answer:?}"),
            }
            if answer.closes() {
                client = retter.client();
            }
        }
        seen
    };
    let seen = thread::scope(|scope| {
        let parts: Vec<_> = (0..THREADS)
            .map(|part| scope.spawn(move || come(part)))
            .collect();
        parts.into_iter().fold(Seen::default(), |sum, part| {
            let seen = part.join().expect("every visitor is answered");
            Seen {
                rescued: sum.rescued + seen.rescued,
                refused: sum.refused + seen.refused,
                lost: sum.lost + seen.lost,
            }
        })
    });
    assert_eq!(seen.rescued + seen.refused, VISITORS as u64);
    assert_eq!(
        seen.rescued,
        (VISITORS / 16 * 14) as u64,
        "each page had a copy"
    );
    seen
}

/// Puts an application through an outage under load, and looks at what is told of it; `arrived` waits for
/// what receivers should get.
fn outage(settings: &[(&str, &str)], complains: usize, arrived: impl FnOnce()) {
    let (_origin, mut retter) = go_down(settings);
    let before = counted(&retter);
    let seen = crowd(&retter);
    let expected = Seen {
        rescued: before.rescued + seen.rescued,
        refused: before.refused + seen.refused,
        lost: before.lost + seen.lost,
    };
    until("all are counted", || counted(&retter) == expected);
    let visitors = outages(&retter)["current"]["visitors"].as_u64();
    let visitors = usize::try_from(visitors.expect("a number")).expect("a small one");
    // A sketch, with those who came while the circuit opened; they are among the others.
    let bounds = VISITORS * 95 / 100..=VISITORS * 105 / 100;
    assert!(bounds.contains(&visitors), "{visitors} of {VISITORS}");
    arrived();
    retter.signal(Signal::TERM);
    assert!(retter.end().success());
    let errors = retter.errors();
    let lines = errors
        .lines()
        .skip_while(|line| !line.contains("listening on"));
    let lines: Vec<_> = lines
        .skip(1)
        .take_while(|line| !line.contains("stopping"))
        .collect();
    // However fast this machine is: these are lines of one minute, or of more.
    assert!(lines.len() <= LINES_A_MINUTE + complains, "{errors}");
}

/// A file of this test's own. Dropped, it is gone.
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_program_and_a_server_are_told_while_its_visitors_are_rescued() {
    let name = format!("retter-load-{}", std::process::id());
    let file = File(std::env::temp_dir().join(name));
    let path = file.0.to_str().expect("a name in ASCII");
    let program = format!(r#"["sh","-c","cat >{path}.part && mv {path}.part {path}"]"#);
    let ntfy = Origin::start(|_| Reply::text("taken"));
    let url = format!("http://{}/shop", ntfy.address());
    let settings = [
        ("RETTER_NOTIFY_COMMAND", program.as_str()),
        ("RETTER_NOTIFY_URL", &url),
        ("RETTER_NOTIFY_FORMAT", "ntfy"),
    ];
    outage(&settings, 0, || {
        let seen = ntfy.wait_for(1).expect("a message");
        assert_eq!(seen.field("title"), Some("The application is down"));
        assert_eq!(seen.field("priority"), Some("5"));
        until("the program has it", || file.0.exists());
        let told = std::fs::read(&file.0).expect("it is there");
        let told: Value = serde_json::from_slice(&told).expect("JSON");
        assert_eq!(told["event"], "begun");
    });
}

#[test]
fn an_alertmanager_is_told() {
    let alertmanager = Origin::start(|_| Reply::text("{}"));
    let url = format!("http://{}/api/v2/alerts", alertmanager.address());
    let settings = [
        ("RETTER_NOTIFY_URL", url.as_str()),
        ("RETTER_NOTIFY_FORMAT", "alertmanager"),
    ];
    outage(&settings, 0, || {
        let seen = alertmanager.wait_for(1).expect("an alert");
        let alerts: Value = serde_json::from_slice(&seen.body).expect("JSON");
        assert_eq!(alerts[0]["labels"]["alertname"], "RetterOutage");
        assert!(alerts[0]["endsAt"].as_str() > alerts[0]["startsAt"].as_str());
    });
}

#[test]
fn a_receiver_that_hangs_and_one_that_is_gone_cost_no_visitor_anything() {
    // It takes connections, and nothing else.
    let hangs = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", hangs.local_addr().expect("it is bound"));
    let settings = [
        ("RETTER_NOTIFY_COMMAND", "/nonexistent/program"),
        ("RETTER_NOTIFY_URL", url.as_str()),
    ];
    // One line for each receiver that could not be told.
    outage(&settings, 2, || ());
}
