//! Owns the proof that copies outlive the program: what rescues after a restart, after a kill, and what
//! never does.
//! Never looks into a segment: the tests of `retter-disk` do.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use retter_core::rng::Rng;
use retter_tests::DEADLINE;
use retter_tests::client::{Client, Request, Response};
use retter_tests::origin::Origin;
use retter_tests::program::Program;
use retter_tests::reply::Reply;
use retter_tests::retter::{Retter, command};
use retter_tests::retter_program;
use rustix::process::Signal;

/// Where an instance keeps its state. Dropped, it is gone.
struct State(PathBuf);

impl State {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("retter-disk-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn text(&self) -> &str {
        self.0.to_str().expect("a name in ASCII")
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An application that fails while it is told to.
fn shop() -> (Origin, Arc<AtomicBool>) {
    let is_down = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&is_down);
    let origin = Origin::start(move |seen| match fails.load(Ordering::SeqCst) {
        true => Reply::status(503, "down"),
        false => Reply::text(format!("page {}", seen.target)),
    });
    (origin, is_down)
}

fn start(origin: &Origin, state: &State, more: &[(&str, &str)]) -> Retter {
    let mut settings = vec![
        ("RETTER_STATE_DIR", state.text()),
        // What strangers are sent is another story.
        ("RETTER_CACHE_PUBLIC", "off"),
        ("RETTER_CACHE_TTL", "0"),
        // A copy answers because the application fails, and not because a circuit is open.
        ("RETTER_BREAKER_FAIL_RATE", "1"),
        ("RETTER_BREAKER_CONSECUTIVE_FAIL", "1000000"),
    ];
    settings.extend(more);
    Retter::start_with(retter_program!(), origin.address(), &settings)
}

/// Waits until `/health` says so of the disk.
#[track_caller]
fn wait(retter: &Retter, what: &str) {
    let until = Instant::now() + DEADLINE;
    loop {
        let health = retter.admin("/health").text();
        if health.contains(what) {
            return;
        }
        assert!(Instant::now() < until, "no {what} in {health}");
        thread::yield_now();
    }
}

fn wait_until_loaded(retter: &Retter) {
    wait(retter, "\"is_loading\": false");
}

#[track_caller]
fn keep(retter: &Retter, request: &Request) {
    let response = retter.ask(request);
    assert_eq!((response.status, response.source()), (200, "backend"));
}

fn stop(mut retter: Retter, signal: Signal) {
    retter.signal(signal);
    assert_eq!(retter.end().success(), signal == Signal::TERM);
}

fn own(target: &str) -> Request {
    Request::get(target).field("Cookie", "PHPSESSID=of-anna-and-nobody-else")
}

#[test]
fn pages_rescue_after_a_restart_while_the_application_is_still_down() {
    for (mode, own_is_kept) in [("shared", false), ("all", true)] {
        let (origin, is_down) = shop();
        let state = State::new();
        let disk = [("RETTER_CACHE_DISK", mode)];
        let retter = start(&origin, &state, &disk);
        keep(&retter, &Request::get("/a"));
        keep(&retter, &own("/own"));
        stop(retter, Signal::TERM);
        is_down.store(true, Ordering::SeqCst);
        let retter = start(&origin, &state, &disk);
        wait_until_loaded(&retter);
        let rescued = retter.ask(&Request::get("/a"));
        assert_eq!(
            (rescued.status, rescued.source(), rescued.text().as_str()),
            (200, "last-known-success", "page /a")
        );
        let rescued = retter.ask(&own("/own"));
        assert_eq!(rescued.status == 200, own_is_kept, "{mode}");
        assert_eq!(retter.ask(&Request::get("/b")).status, 503, "nobody had it");
        // Back again: it is asked, and what it says counts.
        is_down.store(false, Ordering::SeqCst);
        keep(&retter, &Request::get("/a"));
        assert_private(&state.0);
    }
}

/// Nobody else can read what is there.
fn assert_private(folder: &Path) {
    let mode = |path: &Path| {
        std::fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(folder), 0o700);
    for entry in std::fs::read_dir(folder).expect("it is a folder") {
        let path = entry.expect("it is there").path();
        match path.is_dir() {
            true => assert_private(&path),
            false => assert_eq!(mode(&path), 0o600, "{}", path.display()),
        }
    }
}

#[test]
fn after_a_kill_what_was_written_rescues_and_what_was_dropped_or_purged_does_not() {
    let (origin, is_down) = shop();
    let state = State::new();
    let retter = start(&origin, &state, &[]);
    for target in ["/a", "/b", "/c/1", "/c/2"] {
        keep(&retter, &Request::get(target));
    }
    let until = Instant::now() + DEADLINE;
    while retter.metric("retter_disk_copies") < 4.0 {
        assert!(Instant::now() < until, "they are written");
    }
    assert_eq!(retter.ask(&Request::post("/b", "x=1")).status, 200);
    let purged = retter.ask_admin(&Request::post("/purge?prefix=/c/", ""));
    assert_eq!(purged.status, 200, "{}", purged.text());
    stop(retter, Signal::KILL);
    is_down.store(true, Ordering::SeqCst);
    let retter = start(&origin, &state, &[]);
    wait_until_loaded(&retter);
    assert_eq!(retter.ask(&Request::get("/a")).status, 200);
    for target in ["/b", "/c/1", "/c/2"] {
        assert_eq!(retter.ask(&Request::get(target)).status, 503, "{target}");
    }
    assert!((retter.metric("retter_disk_loaded_total") - 1.0).abs() < f64::EPSILON);
    assert!(retter.metric("retter_disk_failing").abs() < f64::EPSILON);
}

/// An application that gives each visitor another session value with each answer, and says how often it was asked.
fn rolling() -> (Origin, Arc<AtomicBool>) {
    let is_down = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&is_down);
    let count = AtomicU64::new(0);
    let origin = Origin::start(move |_| {
        if fails.load(Ordering::SeqCst) {
            return Reply::status(503, "down");
        }
        let number = count.fetch_add(1, Ordering::SeqCst);
        let mut rng = Rng::new(number);
        let cookie = format!("basket={:016x}{:016x}; Path=/", rng.next(), rng.next());
        Reply::text(format!("<!doctype html><html>answer {number}</html>"))
            .field("Content-Type", "text/html")
            .field("Set-Cookie", &cookie)
    });
    (origin, is_down)
}

/// Asks for a page as a browser with these cookies; what it has afterwards, and the page.
fn browse(retter: &Retter, target: &str, cookie: Option<&str>) -> (Option<String>, Response) {
    let mut request = Request::get(target).field("Accept", "text/html");
    if let Some(cookie) = cookie {
        request = request.field("Cookie", cookie);
    }
    let response = retter.ask(&request);
    let given = response.field("set-cookie");
    let given = given.and_then(|given| given.split(';').next());
    (given.map(str::to_owned), response)
}

/// Whether a visitor who comes after the start, and sees two pages, gets the first one again from a copy of its
/// own when the application is down.
fn is_followed(retter: &Retter, is_down: &AtomicBool) -> bool {
    let (one, _) = browse(retter, "/a", None);
    let (two, page) = browse(retter, "/b", one.as_deref());
    let (three, _) = browse(retter, "/c", two.as_deref());
    assert!(one.is_some() && two.is_some() && three.is_some());
    is_down.store(true, Ordering::SeqCst);
    let (_, rescued) = browse(retter, "/b", three.as_deref());
    is_down.store(false, Ordering::SeqCst);
    rescued.status == 200 && rescued.text() == page.text()
}

#[test]
fn sessions_whose_value_changes_with_each_answer_are_followed_at_once_after_a_restart() {
    let (origin, is_down) = rolling();
    let state = State::new();
    let public = [("RETTER_CACHE_PUBLIC", "on")];
    let first = start(&origin, &state, &public);
    // A stranger finds it out, in three answers.
    let until = Instant::now() + DEADLINE;
    while first.metric("retter_cookies_rolling") < 1.0 {
        assert!(Instant::now() < until, "{}", first.admin("/health").text());
        browse(&first, "/a", None);
        thread::yield_now();
    }
    stop(first, Signal::TERM);
    let second = start(&origin, &state, &public);
    wait_until_loaded(&second);
    assert!(is_followed(&second, &is_down), "its own page");
    stop(second, Signal::TERM);
    // So it is not where nobody remembers.
    std::fs::remove_file(state.0.join("copies/learnt")).expect("it is there");
    let third = start(&origin, &state, &public);
    wait_until_loaded(&third);
    assert!(!is_followed(&third, &is_down));
}

#[test]
fn a_folder_that_cannot_be_used_costs_copies_and_no_visitor() {
    let (origin, is_down) = shop();
    let state = State::new();
    // A file where the folder should be.
    std::fs::write(&state.0, b"").unwrap();
    let retter = start(&origin, &state, &[]);
    retter.wait_for("a warning", |line| {
        line.contains("RETTER_STATE_DIR").then_some(())
    });
    keep(&retter, &Request::get("/a"));
    is_down.store(true, Ordering::SeqCst);
    assert_eq!(retter.ask(&Request::get("/a")).status, 200);
    let _ = std::fs::remove_file(&state.0);
}

#[test]
fn check_says_where_copies_are() {
    let (origin, _) = shop();
    let state = State::new();
    let run = |settings: &[(&str, &str)]| {
        let mut command = command(retter_program!());
        let base = format!("http://{}", origin.address());
        command.arg("check").env("RETTER_BACKEND_BASEURL", base);
        command.envs(settings.iter().copied());
        let mut program = Program::start(&mut command);
        (
            program.end().success(),
            program.output() + &program.errors(),
        )
    };
    let (is_fine, said) = run(&[("RETTER_STATE_DIR", state.text())]);
    assert!(is_fine && said.contains("it can be written"), "{said}");
    assert!(!state.0.exists(), "a check makes nothing");
    let (is_fine, said) = run(&[]);
    assert!(is_fine && said.contains("no RETTER_STATE_DIR"), "{said}");
    let (is_fine, said) = run(&[("RETTER_CACHE_DISK", "all")]);
    assert!(!is_fine && said.contains("RETTER_STATE_DIR"), "{said}");
}

/// Pages of the heavy test.
const PAGES: usize = 40;

/// An application that numbers its answers, so that it shows which of two is the older one.
struct Numbered {
    origin: Origin,
    is_down: Arc<AtomicBool>,
    /// The number of the last answer.
    number: Arc<AtomicU64>,
}

impl Numbered {
    fn start() -> Self {
        let is_down = Arc::new(AtomicBool::new(false));
        let number = Arc::new(AtomicU64::new(0));
        let (fails, numbers) = (Arc::clone(&is_down), Arc::clone(&number));
        let origin = Origin::counting(move |_| match fails.load(Ordering::SeqCst) {
            true => Reply::status(503, "down"),
            false => {
                let number = numbers.fetch_add(1, Ordering::SeqCst) + 1;
                Reply::text(format!("{number:020} {}", "text ".repeat(400)))
            }
        });
        Self {
            origin,
            is_down,
            number,
        }
    }
}

/// The number that the application gave an answer.
fn number_of(response: &Response) -> u64 {
    response.text()[..20].parse().expect("a number")
}

/// Of each page the number that its copies have to be above: what came before is known to be gone.
type Least = Arc<Vec<AtomicU64>>;

/// One visitor's reading, writing and purging until the program is gone.
fn visit(
    (address, admin): (std::net::SocketAddr, std::net::SocketAddr),
    least: &Least,
    number: &AtomicU64,
    seed: u64,
) {
    let mut rng = Rng::new(seed);
    let Ok(mut client) = Client::try_connect(address) else {
        return;
    };
    loop {
        let draw = rng.next();
        let page = usize::try_from(draw % PAGES as u64).expect("a page");
        let target = format!("/page/{page}");
        let raise = |to: u64| least[page].fetch_max(to, Ordering::SeqCst);
        match (draw >> 32) % 400 {
            0..8 => {
                let Ok(written) = client.try_ask(&Request::post(&target, "x=1")) else {
                    return;
                };
                // What was answered before the write is from before it.
                raise(number_of(&written));
            }
            8..10 => {
                let before = number.load(Ordering::SeqCst);
                let purge = Request::post(&format!("/purge?url={target}"), "");
                let Ok(mut operator) = Client::try_connect(admin) else {
                    return;
                };
                match operator.try_ask(&purge.host(Some("localhost"))) {
                    Ok(done) if done.status == 200 => raise(before),
                    Ok(_) | Err(_) => return,
                };
            }
            _ => {
                if client.try_ask(&Request::get(&target)).is_err() {
                    return;
                }
            }
        }
    }
}

#[test]
#[ignore = "heavy: tests/run.sh disk-kill"]
fn killed_again_and_again_under_load_no_dropped_copy_comes_back() {
    let rounds =
        std::env::var("RETTER_KILL_ROUNDS").map_or(200, |text| text.parse().expect("a number"));
    let mut rng = Rng::new(1);
    let application = Numbered::start();
    let state = State::new();
    let least: Least = Arc::new((0..PAGES).map(|_| AtomicU64::new(0)).collect());
    let mut retter = start(&application.origin, &state, &[]);
    let mut rescued = 0;
    for round in 0..rounds {
        let addresses = (retter.address(), retter.admin_address());
        let visitors: Vec<_> = (0..4)
            .map(|_| {
                let (least, number) = (Arc::clone(&least), Arc::clone(&application.number));
                let seed = rng.next();
                thread::spawn(move || visit(addresses, &least, &number, seed))
            })
            .collect();
        // Any moment will do: nobody waits for anything here.
        thread::sleep(Duration::from_millis(20 + rng.next() % 250));
        retter.signal(Signal::KILL);
        retter.end();
        for visitor in visitors {
            visitor.join().expect("no visitor fails");
        }
        application.is_down.store(true, Ordering::SeqCst);
        retter = start(&application.origin, &state, &[]);
        wait_until_loaded(&retter);
        for (page, least) in least.iter().enumerate() {
            let answer = retter.ask(&Request::get(&format!("/page/{page}")));
            if answer.status != 200 {
                continue;
            }
            rescued += 1;
            let (number, least) = (number_of(&answer), least.load(Ordering::SeqCst));
            assert!(
                number > least,
                "round {round}, page {page}: {number} is back after {least}"
            );
        }
        application.is_down.store(false, Ordering::SeqCst);
    }
    let all = rounds * PAGES;
    assert!(rescued > all / 4, "{rescued} of {all} pages were rescued");
    say(&format!(
        "{rounds} kills: {rescued} of {all} pages rescued, none that was dropped"
    ));
}

#[test]
#[ignore = "needs a mount of its own: tests/run.sh disk-full"]
fn a_file_system_without_room_costs_copies_and_no_answer() {
    let (origin, is_down) = shop();
    let state = State::new();
    std::fs::create_dir(&state.0).expect("a folder to mount on");
    let mut program = command("unshare");
    let mount = "mount -t tmpfs -o size=256k tmpfs \"$RETTER_STATE_DIR\" && exec \"$0\"";
    program.args(["--map-root-user", "--mount", "sh", "-c", mount]);
    program.arg(retter_program!());
    let settings = [
        ("RETTER_STATE_DIR", state.text()),
        ("RETTER_CACHE_PUBLIC", "off"),
        ("RETTER_BREAKER_FAIL_RATE", "1"),
        ("RETTER_BREAKER_CONSECUTIVE_FAIL", "1000000"),
    ];
    let retter = Retter::start_command(program, origin.address(), &settings);
    wait_until_loaded(&retter);
    let mut client = retter.client();
    let mut number = 0;
    let until = Instant::now() + DEADLINE;
    while retter.metric("retter_disk_failing") < 1.0 {
        let kept = client.ask(&Request::get(&format!("/{number}")));
        assert_eq!((kept.status, kept.source()), (200, "backend"));
        number += 1;
        assert!(Instant::now() < until, "it is full after {number} pages");
    }
    retter.wait_for("a warning", |line| {
        line.contains("RETTER_STATE_DIR").then_some(())
    });
    assert_eq!(client.ask(&Request::post("/0", "x=1")).status, 200);
    is_down.store(true, Ordering::SeqCst);
    // Memory has what it had, but for what was dropped.
    assert_eq!(client.ask(&Request::get("/0")).status, 503);
    assert_eq!(client.ask(&Request::get("/1")).status, 200);
    say(&format!("full after {number} pages: each was answered"));
}

/// Not `println!`: the test runner would show it only when the test fails.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[test]
#[ignore = "heavy: tests/run.sh disk-start"]
fn a_start_with_a_hundred_thousand_copies_answers_at_once_and_stays_in_its_memory() {
    const COPIES: usize = 100_000;
    const MIB: u64 = 1 << 20;
    let is_down = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&is_down);
    let origin = Origin::counting(move |seen| {
        if fails.load(Ordering::SeqCst) {
            return Reply::status(503, "down");
        }
        let line = format!("page {} ", seen.target);
        Reply::text(line.repeat((10 << 10) / line.len()))
    });
    let state = State::new();
    let memory = [
        ("RETTER_CACHE_BYTES", "1400MiB"),
        ("RETTER_CACHE_ENTRIES", "200000"),
        ("RETTER_CACHE_DISK_BYTES", "3GiB"),
    ];
    let retter = start(&origin, &state, &memory);
    let mut client = retter.client();
    for batch in 0..COPIES / 5_000 {
        for number in 0..5_000 {
            let target = format!("/{}", batch * 5_000 + number);
            assert_eq!(client.ask(&Request::get(&target)).status, 200);
        }
        // More would be waiting than are remembered.
        wait(&retter, &format!("\"copies\": {}", (batch + 1) * 5_000));
    }
    drop(client);
    stop(retter, Signal::TERM);
    is_down.store(true, Ordering::SeqCst);

    let began = Instant::now();
    let retter = start(&origin, &state, &memory);
    let refused = retter.ask(&Request::get("/nobody-had-it"));
    let first = began.elapsed();
    assert_eq!(refused.status, 503);
    wait_until_loaded(&retter);
    let loaded = began.elapsed();
    let count = retter.metric("retter_copies");
    let bytes = retter.metric("retter_copies_bytes");
    let resident = retter.memory("VmRSS") / MIB;
    say(&format!(
        "first answer after {first:?}, {count} copies after {loaded:?}: {bytes} bytes, {resident} MiB resident"
    ));
    assert!(first < Duration::from_millis(100), "{first:?}");
    assert!(count > 99_999.0, "{count}");
    assert!(resident < 1800, "{resident} MiB");
    assert_eq!(
        retter.ask(&Request::get("/77777")).source(),
        "last-known-success"
    );
}
