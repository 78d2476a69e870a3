//! Owns the proof that settings can be changed while the program runs: by signal, by the admin
//! address and by the command, all of them or none, and without a request lost.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use retter_tests::client::Request;
use retter_tests::origin::Origin;
use retter_tests::program::Program;
use retter_tests::reply::Reply;
use retter_tests::retter::{Retter, command};
use retter_tests::retter_program;
use rustix::process::Signal;

/// A settings file that is gone with its test.
struct Settings(PathBuf);

impl Settings {
    fn new(text: &str) -> Self {
        let name = format!(
            "retter-reload-{}-{:?}.toml",
            std::process::id(),
            std::thread::current().id()
        );
        let file = Self(std::env::temp_dir().join(name));
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        fs::write(&self.0, text).expect("a settings file");
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a plain path")
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// An application with one page, whose status is what the test sets.
fn application() -> (Origin, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let answered = Arc::clone(&status);
    let origin = Origin::start(move |seen| {
        Reply::status(answered.load(Ordering::SeqCst), seen.target.clone())
    });
    (origin, status)
}

fn start(origin: &Origin, settings: &Settings) -> Retter {
    let settings = [("RETTER_CONFIG", settings.path())];
    Retter::start_with(retter_program!(), origin.address(), &settings)
}

fn reload(retter: &Retter, target: &str) -> (u16, String) {
    let answer = retter.ask_admin(&Request::new("POST", target));
    (answer.status, answer.text())
}

#[test]
fn a_signal_makes_another_status_a_failure() {
    let (origin, status) = application();
    let settings = Settings::new("breaker.fail_status = \"500\"\n");
    let retter = start(&origin, &settings);
    let page = Request::get("/page");
    assert_eq!(retter.ask(&page).status, 200);
    status.store(503, Ordering::SeqCst);
    assert_eq!(retter.ask(&page).status, 503);

    settings.write("breaker.fail_status = \"503\"\n");
    retter.signal(Signal::HUP);
    retter.wait_for("what changed", |line| {
        let told = "RETTER_BREAKER_FAIL_STATUS 500 -> 503";
        line.contains(told).then_some(())
    });
    assert_eq!(
        retter.ask(&page).status,
        200,
        "the copy from before answers"
    );
}

#[test]
fn what_cannot_work_changes_nothing_and_says_why() {
    let (origin, _) = application();
    let settings = Settings::new("breaker.fail_status = \"500\"\n");
    let retter = start(&origin, &settings);
    settings.write("breaker.fail_status = \"503\"\nbreaker.fail_rate = 7\n");
    let (status, text) = reload(&retter, "/reload");
    assert_eq!(status, 409);
    assert!(
        text.contains("breaker.fail_rate") && text.contains("stay as they are"),
        "{text}"
    );
    settings.write("breaker.fail_status = \"500\"\n");
    let (status, text) = reload(&retter, "/reload");
    let expected = r#"{"changed":[],"needs_restart":[],"dropped_copies":0}"#;
    assert_eq!(
        (status, text.trim_end()),
        (200, expected),
        "nothing came of the bad file"
    );
    assert_eq!(retter.admin("/reload").status, 405);
    let metrics = retter.admin("/metrics").text();
    for (result, count) in [("done", 1), ("refused", 1)] {
        let line = format!("retter_reloads_total{{result=\"{result}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}

#[test]
fn what_needs_a_restart_is_named_until_it_comes() {
    let (origin, _) = application();
    let settings = Settings::new("");
    let retter = start(&origin, &settings);
    settings.write("[server]\nworkers = 3\n[cache]\nttl = \"7s\"\nbytes = \"96MiB\"\n");
    let changed = r#"{"setting":"RETTER_CACHE_TTL","from":"5","to":"7s"}"#;
    let later = r#""needs_restart":["RETTER_SERVER_WORKERS","RETTER_CACHE_BYTES"]"#;
    let (status, text) = reload(&retter, "/reload");
    assert_eq!(status, 200);
    assert!(text.contains(changed) && text.contains(later), "{text}");
    let (_, again) = reload(&retter, "/reload");
    assert!(
        again.contains(r#""changed":[]"#) && again.contains("RETTER_SERVER_WORKERS"),
        "{again}"
    );
}

#[test]
fn copies_are_not_dropped_by_it_while_they_are_needed() {
    let (origin, status) = application();
    let settings = Settings::new("");
    let retter = start(&origin, &settings);
    let page = Request::get("/page");
    assert_eq!(retter.ask(&page).status, 200);
    status.store(500, Ordering::SeqCst);
    let is_open = || retter.ask(&page).circuit() == "OPEN";
    assert!((0..100).any(|_| is_open()), "the circuit opens");

    settings.write("cache.detect_query = false\n");
    let (refused, text) = reload(&retter, "/reload");
    assert!(
        refused == 409 && text.contains("/reload?drop-copies"),
        "{text}"
    );
    assert_eq!(retter.ask(&page).status, 200);
    let (done, text) = reload(&retter, "/reload?drop-copies");
    assert!(
        done == 200 && text.contains(r#""dropped_copies":1"#),
        "{text}"
    );
    assert_ne!(retter.ask(&page).status, 200);
}

#[test]
fn the_command_says_what_changed() {
    let (origin, _) = application();
    let settings = Settings::new("cache.ttl = \"10s\"\n");
    let retter = start(&origin, &settings);
    let run = || {
        let mut command = command(retter_program!());
        command
            .args(["reload", "--config", settings.path()])
            .env("RETTER_ADMIN_LISTEN", retter.admin_address().to_string())
            .env(
                "RETTER_BACKEND_BASEURL",
                format!("http://{}", origin.address()),
            );
        Program::start(&mut command)
    };
    settings.write("cache.ttl = \"20s\"\n");
    let mut done = run();
    assert!(done.end().success(), "{}", done.errors());
    assert!(
        done.output().contains("RETTER_CACHE_TTL"),
        "{}",
        done.output()
    );
    settings.write("cache.ttl = \"soon\"\n");
    let mut refused = run();
    assert!(!refused.end().success());
    assert!(refused.errors().contains("soon"), "{}", refused.errors());
}

/// What a program may have more after a hundred further reloads: one that kept the settings of each would
/// have several times as much.
const GROWTH_MAX: u64 = 2 << 20;

#[test]
fn two_hundred_reloads_under_load_lose_no_request_and_keep_no_memory() {
    let (origin, _) = application();
    let settings = Settings::new("cache.ttl = \"1s\"\n");
    let retter = start(&origin, &settings);
    let mut clients: Vec<_> = (0..64).map(|_| retter.client()).collect();
    let mut halfway = 0;
    for round in 2..202 {
        settings.write(&format!("cache.ttl = \"{round}s\"\n"));
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(&Request::get(&format!("/{number}")).to_bytes());
        }
        let (status, text) = reload(&retter, "/reload");
        assert!(status == 200 && text.contains("RETTER_CACHE_TTL"), "{text}");
        for (number, client) in clients.iter_mut().enumerate() {
            let answer = client.response("GET");
            assert_eq!((answer.status, answer.text()), (200, format!("/{number}")));
        }
        if round == 101 {
            halfway = retter.memory("VmRSS");
        }
    }
    let grown = retter.memory("VmRSS").saturating_sub(halfway);
    assert!(grown < GROWTH_MAX, "{grown} bytes more than {halfway}");
}
