//! Owns what an operator decides by hand: with commands over the socket, and over the admin address.
//! Never looks at wording beyond what an operator has to find in it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use retter_tests::client::{Request, Response};
use retter_tests::origin::Origin;
use retter_tests::program::Program;
use retter_tests::reply::Reply;
use retter_tests::retter::{Retter, command};
use retter_tests::retter_program;
use rustix::process::Signal;

/// Where an instance has its socket. Dropped, it is gone.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("retter-by-hand-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a directory of its own");
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("s")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn shop() -> Origin {
    Origin::start(|seen| Reply::text(seen.target.as_str()))
}

fn start(origin: &Origin, socket: &Path) -> Retter {
    let socket = socket.to_str().expect("a name in ASCII");
    // Whoever asks with a token has one: commands need none.
    let settings = [
        ("RETTER_ADMIN_SOCKET", socket),
        ("RETTER_ADMIN_TOKEN", "0123456789abcdef"),
    ];
    Retter::start_with(retter_program!(), origin.address(), &settings)
}

/// Runs a command; whether it succeeded, and what it said.
fn run(socket: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = command(retter_program!());
    command.args(arguments).env("RETTER_ADMIN_SOCKET", socket);
    let mut program = Program::start(&mut command);
    let is_done = program.end().success();
    (is_done, format!("{}{}", program.output(), program.errors()))
}

#[track_caller]
fn done(socket: &Path, arguments: &[&str], part: &str) {
    let (is_done, said) = run(socket, arguments);
    assert!(is_done && said.contains(part), "{arguments:?}: {said}");
}

fn read(retter: &Retter, target: &str) -> Response {
    retter.ask(&Request::get(target))
}

fn write(retter: &Retter) -> Response {
    let request = Request::post("/order", "1").field("Accept", "text/html");
    retter.ask(&request)
}

#[test]
fn the_copies_are_listed_by_a_command_without_what_a_query_says() {
    let (origin, place) = (shop(), Place::new());
    let socket = place.socket();
    let retter = start(&origin, &socket);
    for target in ["/shop/a", "/shop/b?token=secret", "/other"] {
        assert_eq!(read(&retter, target).status, 200);
    }
    let (is_done, said) = run(&socket, &["copies"]);
    let pages: Vec<_> = said
        .lines()
        .filter(|line| line.contains("everybody"))
        .collect();
    assert!(
        is_done && pages.len() == 3 && pages[0].contains("rescues"),
        "{said}"
    );
    assert!(
        said.contains("/shop/b?…") && !said.contains("secret"),
        "{said}"
    );
    let (_, said) = run(&socket, &["copies", "/shop/", "--limit", "1"]);
    assert!(
        said.contains("/shop/a") && said.contains("1 more") && !said.contains("other"),
        "{said}"
    );
    let (is_done, said) = run(&socket, &["copies", "--limit", "many"]);
    assert!(!is_done && said.contains("limit"), "{said}");
}

#[test]
fn a_circuit_is_opened_and_given_back_by_commands() {
    let (origin, place) = (shop(), Place::new());
    let socket = place.socket();
    let retter = start(&origin, &socket);
    assert_eq!(read(&retter, "/a").source(), "backend");
    done(&socket, &["open", "--for", "1h"], "open by hand until");
    let copy = read(&retter, "/a");
    assert_eq!((copy.source(), copy.circuit()), ("cache", "OPEN"));
    let refused = read(&retter, "/new");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.field("retry-after"), Some("60"));
    assert_eq!(write(&retter).status, 200);
    done(&socket, &["status"], "open until");
    let (is_done, said) = run(&socket, &["probe"]);
    assert!(!is_done && said.contains("Nothing is probed"), "{said}");
    done(&socket, &["auto"], "the circuits decide");
    assert_eq!(read(&retter, "/new").source(), "backend");
    done(&socket, &["probe"], "nothing to probe");
    done(&socket, &["purge", "/new"], "1 copies dropped");
    done(&socket, &["status", "--json"], "\"status\": \"ok\"");
    let (is_done, said) = run(&socket, &["open", "--for", "soon"]);
    assert!(!is_done && said.contains("soon"), "{said}");
}

#[test]
fn closed_by_hand_a_failing_application_is_asked_and_rescued() {
    let (mut origin, place) = (shop(), Place::new());
    let socket = place.socket();
    let retter = start(&origin, &socket);
    assert_eq!(read(&retter, "/a").source(), "backend");
    done(&socket, &["close"], "closed by hand until");
    origin.down();
    let rescued = || {
        let copy = read(&retter, "/a");
        assert_eq!((copy.status, copy.circuit()), (200, "CLOSED"));
        let status = copy.field("cache-status").unwrap_or_default().to_owned();
        assert!(status.contains("rescued-"), "{status}");
        status
    };
    // A connection that is still there may be the first to end.
    let _ = rescued();
    for _ in 0..20 {
        let status = rescued();
        assert!(status.contains("rescued-connect"), "{status}");
    }
}

#[test]
fn in_maintenance_visitors_read_and_are_told() {
    let (origin, place) = (shop(), Place::new());
    let socket = place.socket();
    let retter = start(&origin, &socket);
    assert_eq!(read(&retter, "/a").source(), "backend");
    let on = [
        "maintenance",
        "on",
        "--for",
        "20m",
        "--message",
        "Back at <5>",
    ];
    done(&socket, &on, "maintenance by hand until");
    assert_eq!(read(&retter, "/a").text(), "/a");
    let page = write(&retter);
    assert_eq!(page.status, 503);
    for part in ["Back at &lt;5&gt;", "did not reach"] {
        assert!(page.text().contains(part), "{part}: {}", page.text());
    }
    let status = page.field("cache-status").unwrap_or_default();
    assert!(status.contains("detail=maintenance"), "{status}");
    let seen = origin.take_seen();
    let has_write = seen.iter().any(|seen| seen.method == "POST");
    assert!(!has_write, "the application is left alone");
    done(&socket, &["maintenance", "off"], "the circuits decide");
    assert_eq!(write(&retter).status, 200);
}

#[test]
fn an_operators_own_page_is_shown_with_what_belongs_into_it() {
    let (origin, place) = (shop(), Place::new());
    let page = "<!doctype html><title>Shop</title><p>{message} {status}";
    std::fs::write(place.0.join("maintenance.html"), page).expect("a page");
    let folder = place.0.to_str().expect("a name in ASCII");
    let settings = [("RETTER_SERVER_ERROR_PAGES", folder)];
    let retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    let on = Request::post("/maintenance?state=on&message=Soon", "");
    assert_eq!(retter.ask_admin(&on).status, 200);
    let told = write(&retter);
    assert_eq!(told.status, 503);
    assert_eq!(told.text(), page.replace("{message} {status}", "Soon 503"));
    let missing = place.0.join("nothing");
    let mut command = command(retter_program!());
    command.env("RETTER_SERVER_ERROR_PAGES", missing);
    let mut program = Program::start(command.arg("check"));
    assert!(!program.end().success());
    let said = program.errors();
    assert!(
        said.contains("RETTER_SERVER_ERROR_PAGES") && said.contains("cannot be read"),
        "{said}"
    );
}

#[test]
fn each_instance_has_a_socket_of_its_own() {
    let (origin, place) = (shop(), Place::new());
    let socket = place.socket();
    let (is_done, said) = run(&socket, &["status"]);
    assert!(!is_done && said.contains("RETTER_ADMIN_SOCKET"), "{said}");
    let mut first = start(&origin, &socket);
    let second = start(&origin, &socket);
    let told = |line: &str| line.contains("another instance").then_some(());
    second.wait_for("a warning", told);
    assert_eq!(read(&second, "/a").status, 200);
    done(&socket, &["open"], "open");
    assert_eq!(read(&first, "/new").status, 503, "the first has it");
    assert_eq!(read(&second, "/new").status, 200);
    first.signal(Signal::TERM);
    assert!(first.end().success());
    assert!(!socket.exists());
}
