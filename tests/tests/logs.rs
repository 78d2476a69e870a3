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
fn who_does_not_read_a_log_holds_nothing_up() {
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
        for line in ["not valid HTTP/1.1", " opened: ", "stopping: ", "stopped"] {
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
