//! Owns the question whether real clients of socket.io, which poll and do nothing else, are cut off by RETTER in
//! its default settings. Today some are where all come at once: their first polls take each place for the second
//! for which the others wait.
//! Never sleeps to wait for something: the clients end by themselves.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use retter_tests::client::Request;
use retter_tests::port::Port;
use retter_tests::program::Program;
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use serde_json::Value;

/// More than RETTER lets in at a time at first.
const CLIENTS: u64 = 40;

fn node(script: &str, arguments: &[String]) -> Program {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("apps/socketio");
    let mut command = Command::new("node");
    Program::start(command.arg(folder.join(script)).args(arguments))
}

#[test]
#[ignore = "takes a minute: tests/run.sh socketio"]
fn clients_that_poll_are_not_cut_off() {
    let seconds = std::env::var("RETTER_SOCKETIO_SECONDS").unwrap_or_else(|_| "60".to_owned());
    let port = Port::reserve();
    let _application = {
        let program = node("app.mjs", &[port.address().port().to_string()]);
        program.wait_for("that it listens", |line| {
            line.contains("http://").then_some(())
        });
        program
    };
    let retter = Retter::start(retter_program!(), port.address());
    let url = format!("http://{}", retter.address());
    let limit: u64 = seconds.parse().expect("a number of seconds");
    let mut clients = node("client.mjs", &[url, seconds, CLIENTS.to_string()]);
    let page = retter.ask(&Request::get("/page"));
    assert_eq!((page.status, page.source()), (200, "backend"));
    let status = clients.end_within(Duration::from_secs(limit + 60));
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    let output = clients.output();
    let seen: Value = serde_json::from_str(output.trim()).expect("a line of JSON");
    assert_eq!(seen["connected"], CLIENTS, "{seen}");
    assert_eq!(
        (&seen["disconnects"], &seen["errors"]),
        (&0.into(), &0.into()),
        "{seen}"
    );
    assert!(seen["said"].as_u64() > Some(0), "{seen}");
    assert_eq!(seen["said"], seen["answered"], "{seen}");
}
