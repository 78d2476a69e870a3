//! The program from outside: exit codes, messages, signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};

fn retter(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_retter"));
    command.args(args).env_clear();
    command
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

#[track_caller]
fn check(command: &mut Command, code: i32, parts: &[&str]) {
    let output = command.output().expect("the program starts");
    let text = text(&output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn bad_settings_exit_with_2_and_are_all_named() {
    check(
        retter(&["--cache-ttl", "soon"]).env("RETTER_SERVER_LISTEN", "here"),
        2,
        &[
            "2 settings cannot work",
            "--cache-ttl = soon",
            "RETTER_SERVER_LISTEN = here",
        ],
    );
    check(&mut retter(&["--no-such-flag"]), 2, &["--no-such-flag"]);
    check(&mut retter(&["--version"]), 0, &["retter "]);
    check(
        &mut retter(&["--help"]),
        0,
        &["RETTER_BACKEND_BASEURL", "[default: :8089]"],
    );
    check(
        &mut retter(&["settings", "--markdown"]),
        0,
        &["| `RETTER_CACHE_TTL` |"],
    );
}

#[test]
fn check_asks_the_application_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/base", listener.local_addr().unwrap());
    let application = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 1024];
        let len = stream.read(&mut head).unwrap();
        assert!(head[..len].starts_with(b"GET /base/ HTTP/1.1\r\nHost: 127.0.0.1:"));
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\nServer: shop\r\n\r\n")
            .unwrap();
    });
    check(
        retter(&["check"]).env("RETTER_BACKEND_BASEURL", &url),
        0,
        &[
            "RETTER_BACKEND_BASEURL",
            "environment",
            "204 after",
            "ready to protect",
        ],
    );
    application.join().unwrap();
    check(
        retter(&["check"]).env("RETTER_BACKEND_BASEURL", &url),
        1,
        &["did not answer", "Is it running"],
    );
}

#[test]
fn a_taken_port_is_named_with_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    check(
        &mut retter(&["--server-listen", "127.0.0.1:0", "--admin-listen", &addr]),
        1,
        &[
            &format!("RETTER_ADMIN_LISTEN={addr}"),
            "Another program listens there",
        ],
    );
    check(
        &mut retter(&["--server-listen", &addr, "--admin-listen", "off"]),
        1,
        &[
            &format!("RETTER_SERVER_LISTEN={addr}"),
            "Another program listens there",
        ],
    );
}

#[test]
fn the_demo_ends_by_itself() {
    let parts = [
        "It takes 5 seconds",
        "with RETTER",
        "without RETTER",
        "of pages came",
    ];
    check(&mut retter(&["demo", "--duration-scale", "0.1"]), 0, &parts);
}

/// Ends the program with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_starts_tells_its_health_and_ends_at_sigterm() {
    let mut command = retter(&[
        "--server-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    let child = command
        .env("NO_COLOR", "1")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let mut log = BufReader::new(running.0.stderr.take().unwrap());
    // A machine with low limits is told of them first.
    let mut lines = log.by_ref().lines().map(Result::unwrap);
    let greeting = lines.find(|line| line.contains("listening on")).unwrap();
    assert!(
        greeting.contains("protecting http://localhost:8088 with"),
        "{greeting}"
    );
    let admin = greeting
        .split("admin on ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .unwrap();
    let mut stream = TcpStream::connect(admin).unwrap();
    stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"status\": \"ok\""), "{answer}");
    let pid = running.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("stopped"), "{rest}");
}
