//! Owns messages of outages, with real receivers on loopback: a program, servers that take them, one
//! that never answers and one that is not there.
//! Never looks at when a message is due: that is tested with time as an argument.

use std::net::TcpListener;
use std::path::PathBuf;

use retter_tests::client::Request;
use retter_tests::origin::{Origin, Seen};
use retter_tests::program::Program;
use retter_tests::reply::Reply;
use retter_tests::retter::{Retter, command};
use retter_tests::retter_program;
use retter_tests::scenario::until;
use rustix::process::Signal;
use serde_json::Value;

/// A server that takes whatever comes.
fn receiver() -> Origin {
    Origin::start(|_| Reply::text("taken"))
}

/// An application that has gone, after a page of it was seen.
fn gone(settings: &[(&str, &str)]) -> (Origin, Retter) {
    let mut origin = Origin::start(|_| Reply::text("page"));
    let at_once = [
        ("RETTER_NOTIFY_AFTER", "0"),
        ("RETTER_BACKEND_RESTART_WAIT", "0"),
    ];
    let settings = [&at_once, settings].concat();
    let retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    assert_eq!(retter.ask(&Request::get("/")).status, 200);
    origin.down();
    let mut number = 0;
    until("the circuit is open", || {
        number += 1;
        let target = format!("/{number}");
        let client = format!("203.0.{}.1", number % 250);
        let request = Request::get(&target).field("X-Forwarded-For", &client);
        retter.ask(&request).circuit() != "CLOSED"
    });
    (origin, retter)
}

fn text(seen: &Seen) -> String {
    String::from_utf8_lossy(&seen.body).into_owned()
}

/// A file of this test's own. Dropped, it is gone.
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_program_and_a_server_are_told_of_an_outage() {
    let name = format!("retter-told-{}", std::process::id());
    let file = File(std::env::temp_dir().join(name));
    let path = file.0.to_str().expect("a name in ASCII");
    let program = format!(r#"["sh","-c","cat >{path}.part && mv {path}.part {path}"]"#);
    let ntfy = receiver();
    let url = format!("http://{}/shop", ntfy.address());
    let (_origin, retter) = gone(&[
        ("RETTER_NOTIFY_COMMAND", &program),
        ("RETTER_NOTIFY_URL", &url),
        ("RETTER_NOTIFY_FORMAT", "ntfy"),
    ]);
    let seen = ntfy.wait_for(1).expect("a message");
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("POST", "/shop")
    );
    assert_eq!(seen.field("title"), Some("The application is down"));
    assert!(
        text(&seen).contains("has been down since"),
        "{}",
        text(&seen)
    );
    until("the program has it", || file.0.exists());
    let told = std::fs::read(&file.0).expect("it is there");
    let told: Value = serde_json::from_slice(&told).expect("JSON");
    assert_eq!(told["event"], "begun");
    assert!(told["outage"]["cause"].is_string(), "{told}");
    until("both are counted", || {
        let sent = |to: &str| {
            let name = format!("retter_notifications_total{{to=\"{to}\",result=\"sent\"}}");
            retter.metric(&name)
        };
        sent("command") + sent("url") > 1.5
    });
}

#[test]
fn a_receiver_that_hangs_and_one_that_is_gone_harm_nobody() {
    // It takes connections, and nothing else.
    let hangs = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = hangs.local_addr().expect("it is bound");
    let url = format!("http://{address}/");
    let settings = [
        ("RETTER_NOTIFY_COMMAND", "/nonexistent/program"),
        ("RETTER_NOTIFY_URL", url.as_str()),
    ];
    let (_origin, mut retter) = gone(&settings);
    retter.wait_for("a warning", |line| {
        line.contains("RETTER_NOTIFY_COMMAND").then_some(())
    });
    for _ in 0..100 {
        assert_eq!(retter.ask(&Request::get("/")).status, 200);
    }
    retter.signal(Signal::TERM);
    assert!(retter.end().success());
}

#[test]
fn a_test_message_says_whether_it_arrived() {
    let alertmanager = receiver();
    let url = format!("http://{}/api/v2/alerts", alertmanager.address());
    let run = |url: &str| {
        let mut command = command(retter_program!());
        command
            .args(["notify", "--test"])
            .env("RETTER_NOTIFY_URL", url)
            .env("RETTER_NOTIFY_FORMAT", "alertmanager");
        let mut program = Program::start(&mut command);
        let is_done = program.end().success();
        (is_done, format!("{}{}", program.output(), program.errors()))
    };
    let (is_done, said) = run(&url);
    assert!(is_done && said.contains("was taken"), "{said}");
    let seen = alertmanager.take_one();
    assert_eq!(seen.target, "/api/v2/alerts");
    let alerts: Value = serde_json::from_str(&text(&seen)).expect("JSON");
    assert_eq!(alerts[0]["labels"]["alertname"], "RetterTest");
    let (is_done, said) = run("http://127.0.0.1:1/");
    assert!(!is_done && said.contains("RETTER_NOTIFY_URL: "), "{said}");
    let (is_done, said) = run("https://hooks.example/x");
    assert!(!is_done && said.contains("curl"), "{said}");
}
