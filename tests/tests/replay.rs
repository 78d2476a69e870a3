//! Owns the proof that the program can read its own access log: an outage that it lived through
//! is found again by `retter replay`.
//! Never compares what depends on chance: open times are jittered.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use retter_tests::client::{Client, Request};
use retter_tests::origin::Origin;
use retter_tests::program::Program;
use retter_tests::reply::Reply;
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use retter_tests::scenario::until;
use rustix::process::Signal;

const USERS: usize = 4;
const PAGES: usize = 5;
const COPIES: &[&str] = &["cache", "last-known-success"];
const ALL: &[&str] = &["backend", "cache", "last-known-success"];

fn get(user: usize, page: usize) -> Request {
    Request::get(&format!("/page/{page}?q=\"{user}\""))
        .field("Cookie", &format!("PHPSESSID=user-{user}"))
}

/// The first number after `"name": ` in pretty JSON, from `from` on.
#[track_caller]
fn number(json: &str, name: &str) -> u64 {
    let (_, rest) = json.split_once(&format!("\"{name}\": ")).expect(name);
    let end = rest
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().expect("it is a number")
}

/// What `retter replay --json` says of `log`.
#[track_caller]
fn replay(log: &str, settings: &[(&str, &str)]) -> String {
    let path = std::env::temp_dir().join(format!("retter-replay-{}.log", std::process::id()));
    std::fs::write(&path, log).expect("a temporary file can be written");
    let mut replay = Program::start(
        Command::new(retter_program!())
            .args(["replay", "--json"])
            .arg(&path)
            .envs(settings.iter().copied()),
    );
    assert!(replay.end().success(), "{}", replay.errors());
    std::fs::remove_file(&path).expect("it is there");
    replay.output()
}

#[test]
fn an_outage_is_found_in_the_programs_own_log() {
    let mut origin = Origin::start(|seen| {
        Reply::text(format!("{} of {:?}", seen.target, seen.cookie("PHPSESSID")))
            .field("Cache-Control", "private")
    });
    let settings = [
        ("RETTER_LOG_ACCESS", "json"),
        ("RETTER_BREAKER_OPEN_MIN", "100ms"),
        ("RETTER_BREAKER_OPEN_MAX", "200ms"),
    ];
    let mut retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    let address = retter.address();
    let asked = AtomicU64::new(0);
    // Four users at once, each with pages of their own.
    let browse = |rounds: usize, sources: &'static [&'static str]| {
        std::thread::scope(|scope| {
            for user in 0..USERS {
                let asked = &asked;
                scope.spawn(move || {
                    let mut client = Client::connect(address);
                    for page in (0..PAGES).cycle().take(rounds * PAGES) {
                        let answer = client.ask(&get(user, page));
                        asked.fetch_add(1, Ordering::Relaxed);
                        assert_eq!(answer.status, 200);
                        assert!(sources.contains(&answer.source()), "{answer:?}");
                    }
                });
            }
        });
    };
    // Beside the application's own answers, copies answer what is too much for it.
    browse(4, ALL);
    origin.down();
    browse(10, COPIES);
    origin.up();
    until("the circuit is closed", || {
        browse(1, ALL);
        let answer = retter.ask(&get(0, 0));
        asked.fetch_add(1, Ordering::Relaxed);
        answer.circuit() == "CLOSED"
    });
    browse(2, ALL);
    retter.signal(Signal::TERM);
    assert!(retter.end().success());

    let log = retter.output();
    let asked = asked.into_inner();
    let count = |source: &&str| log.matches(&format!("\"source\":\"{source}\"")).count();
    let of_copies = COPIES.iter().map(count).sum::<usize>() as u64;
    assert!(of_copies >= (10 * USERS * PAGES) as u64);
    assert!(!log.contains("user-0\""), "no cookie is in the log");
    let json = replay(&log, &settings);

    assert_eq!(number(&json, "requests"), asked);
    assert_eq!(number(&json, "malformed"), 0);
    assert_eq!(number(&json, "circuit_opened"), 1, "{json}");
    let (_, first) = json
        .split_once("\"reason\": \"")
        .expect("there is a change");
    let (reason, _) = first.split_once('"').expect("it ends");
    assert_eq!(reason, "5 connect failures in a row");
    assert!(
        retter.errors().contains(reason),
        "the program said the same"
    );
    // Whoever asked in the outage had a copy, and in the replay too.
    assert_eq!(
        number(&json, "refused_circuit_open") + number(&json, "errors"),
        0
    );
    let rescued = number(&json, "rescued_failed") + number(&json, "rescued_circuit_open");
    assert!(
        rescued >= (10 * USERS * PAGES) as u64,
        "{rescued} of {of_copies}"
    );
    assert_eq!(number(&json, "wrong"), 0);
}
