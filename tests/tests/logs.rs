//! Owns the proof that nobody waits for who reads what the program prints, and that nothing is lost
//! to who does.
//! Never sleeps to wait for something.

use retter_tests::client::Request;
use retter_tests::origin::{Answer, Origin};
use retter_tests::program::Output;
use retter_tests::reply::Reply;
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use rustix::process::Signal;

fn start(origin: &Origin) -> Retter {
    let settings = [("RETTER_LOG_ACCESS", "common")];
    Retter::start_with(retter_program!(), origin.address(), &settings)
}

/// Something to log in both logs: each access, and an answer that is none.
fn origin() -> Origin {
    Origin::start(|seen| match seen.target.as_str() {
        "/broken" => Answer::Raw(b"nonsense\r\n\r\n".to_vec()),
        target => Reply::text(target).into(),
    })
}

fn ask_for_lines(retter: &Retter) {
    for number in 0..50 {
        let broken = retter.ask(&Request::get("/broken"));
        // Its circuit opens, which is a line too.
        assert!([502, 503].contains(&broken.status), "{broken:?}");
        let target = format!("/page/{number}");
        assert_eq!(retter.ask(&Request::get(&target)).text(), target);
    }
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    for output in [Output::Out, Output::Err] {
        let origin = origin();
        let mut retter = start(&origin);
        retter.stall(output);
        ask_for_lines(&retter);
        retter.signal(Signal::TERM);
        assert_eq!(retter.end_unread().code(), Some(0), "{output:?}");
    }
}

#[test]
fn what_waited_for_its_reader_is_not_lost() {
    for output in [Output::Out, Output::Err] {
        let origin = origin();
        let mut retter = start(&origin);
        retter.stall(output);
        ask_for_lines(&retter);
        retter.read_on();
        retter.signal(Signal::TERM);
        assert_eq!(retter.end().code(), Some(0), "{output:?}");
        let (accesses, told) = (retter.output(), retter.errors());
        for number in 0..50 {
            let access = format!("\"GET /page/{number} HTTP/1.1\" 200");
            assert!(accesses.contains(&access), "{access} in {accesses}");
        }
        for line in [
            "an HTTP/1.1 status line",
            "circuits of single pages: 1 opened",
            "stopping: ",
            "stopped",
        ] {
            assert!(told.contains(line), "{line} in {told}");
        }
    }
}

#[test]
fn what_was_logged_comes_before_why_the_program_ends() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let mut command = retter_tests::retter::command("sh");
    command
        .args(["-c", "ulimit -n 64; exec \"$0\"", retter_program!()])
        .env("RETTER_SERVER_LISTEN", &address)
        .env("RETTER_ADMIN_LISTEN", "off");
    let mut program = retter_tests::program::Program::start(&mut command);
    assert_eq!(program.end().code(), Some(1));
    let told = program.errors();
    let place = |words| {
        told.find(words)
            .unwrap_or_else(|| panic!("{words} in {told}"))
    };
    let (warning, reason) = ("limit of 10512 to 20512 open files", "cannot listen with");
    assert!(place(warning) < place(reason), "{told}");
}

/// Answers that are none, and what is told of each.
fn bad_answers() -> Vec<(String, &'static str)> {
    let ok = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    vec![
        (
            ok(&format!("X: {}\r\n", "y".repeat(61_440))),
            "has a head of more than 61440 bytes: RETTER_BACKEND_HEAD_BYTES allows more, up to 65535",
        ),
        (
            ok(&"X: y\r\n".repeat(201)),
            "has more than 200 fields: RETTER_BACKEND_HEAD_FIELDS allows more",
        ),
        (
            ok("Content-Length: 5\r\nContent-Length: 6\r\n"),
            "repeats Content-Length",
        ),
        (
            ok("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            "has both Content-Length and Transfer-Encoding",
        ),
        (ok("X: a\r\n b\r\n"), "has a field line that is not valid"),
        (
            "nonsense\r\n\r\n".to_owned(),
            "does not begin with an HTTP/1.1 status line: RETTER_BACKEND_BASEURL must lead to a \
             port that speaks plain HTTP/1.1",
        ),
        // Its head is good, so that its client sees it break off.
        (
            ok("Transfer-Encoding: chunked\r\n") + "x\r\n",
            "has a chunk with no valid size",
        ),
    ]
}

/// Requests that are none, and what is told of each.
fn bad_requests() -> Vec<(String, &'static str)> {
    let get = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}\r\n");
    vec![
        (
            get(&format!("Host: h\r\nX: {}\r\n", "y".repeat(17_000))),
            "was refused with 431: it has a head of more than 16384 bytes: \
             RETTER_SERVER_HEAD_BYTES allows more, up to 65535",
        ),
        (
            get(&("Host: h\r\n".to_owned() + &"X: y\r\n".repeat(100))),
            "was refused with 431: it has more than 100 fields: RETTER_SERVER_HEAD_FIELDS allows \
             more",
        ),
        (
            "\x16\x03\x01\x02\x00".to_owned(),
            "was refused with 400: it does not begin with a request line (TLS and HTTP/2 do not \
             belong on this port)",
        ),
        (get(""), "was refused with 400: it has no Host"),
    ]
}

#[test]
fn a_line_of_the_log_says_what_was_broken_by_whom_and_what_helps() {
    let (answers, requests) = (bad_answers(), bad_requests());
    let script: Vec<_> = answers.iter().map(|(answer, _)| answer.clone()).collect();
    let origin = Origin::start(move |seen| {
        let path = seen.target.split('?').next().unwrap_or_default();
        let at: usize = path[1..].parse().expect("a number");
        Answer::Raw(script[at].clone().into_bytes())
    });
    let settings = [
        ("RETTER_BREAKER_CONSECUTIVE_FAIL", "100"),
        ("RETTER_BREAKER_FAIL_RATE", "1"),
    ];
    let mut retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    let mut wanted = Vec::new();
    for (at, (_, line)) in answers.iter().enumerate() {
        let request = Request::get(&format!("/{at}?secret"));
        let answer = retter.client().try_ask(&request);
        assert_eq!(answer.map_or(502, |answer| answer.status), 502, "{line}");
        wanted.push(format!("the application's answer to GET /{at} {line}"));
    }
    for (request, line) in &requests {
        let mut client = retter.client();
        client.send(request.as_bytes());
        let refused = client.response("GET").status.to_string();
        assert!(line.contains(&refused), "{refused}: {line}");
        wanted.push(format!("a request from 127.0.0.1 {line}"));
    }
    retter.signal(Signal::TERM);
    assert_eq!(retter.end().code(), Some(0));
    let told = retter.errors();
    // Each says what its request is called, which is another word for each.
    let parts = told
        .split(" [request ")
        .map(|part| match part.split_once(']') {
            Some((id, rest)) if id.len() == 16 => rest,
            Some(_) | None => part,
        });
    let uncalled: String = parts.collect();
    assert!(uncalled.len() < told.len(), "{told}");
    for line in wanted {
        assert!(uncalled.contains(&line), "{line} in {told}");
    }
    assert!(!told.contains("secret"), "{told}");
}
