//! Owns an outage as an operator sees it: one object with its numbers, few log lines, a file that
//! survives a restart.
//! Never looks at who is rescued how: other tests do.

use std::path::PathBuf;

use retter_tests::client::Request;
use retter_tests::origin::Origin;
use retter_tests::reply::Reply;
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use retter_tests::scenario::until;
use rustix::process::Signal;
use serde_json::Value;

const PAGES: usize = 10;

fn shop() -> Origin {
    Origin::start(|seen| Reply::text(seen.target.as_str()))
}

/// A file of this test's own. Dropped, it is gone.
struct Journal(PathBuf);

impl Journal {
    fn new(name: &str) -> Self {
        let name = format!("retter-outages-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn start(origin: &Origin, journal: &Journal) -> Retter {
    let path = journal.0.to_str().expect("a name in ASCII");
    let settings = [
        ("RETTER_LOG_OUTAGES", path),
        ("RETTER_BACKEND_RESTART_WAIT", "0"),
        // Answers are counted in their order.
        ("RETTER_SERVER_WORKERS", "1"),
    ];
    Retter::start_with(retter_program!(), origin.address(), &settings)
}

fn outages(retter: &Retter) -> Value {
    let told = retter.admin("/outages").text();
    serde_json::from_str(&told).expect("JSON")
}

/// A visitor's request; each number is a network of its own.
fn visit(number: usize, target: &str) -> Request {
    let client = format!("203.{}.{}.7", number / 250, number % 250);
    Request::get(target).field("X-Forwarded-For", &client)
}

fn go_down(retter: &Retter, origin: &mut Origin) {
    for page in 0..PAGES {
        let target = format!("/{page}");
        assert_eq!(retter.ask(&visit(page, &target)).status, 200);
    }
    origin.down();
    let mut number = 0;
    until("the circuit is open", || {
        number += 1;
        let answer = retter.ask(&visit(number, &format!("/{}", number % PAGES)));
        answer.circuit() != "CLOSED"
    });
}

#[test]
fn its_numbers_are_those_that_the_visitors_have_seen() {
    let mut origin = shop();
    let journal = Journal::new("numbers");
    let retter = start(&origin, &journal);
    assert!(outages(&retter)["current"].is_null());
    go_down(&retter, &mut origin);
    let before = |name: &str| {
        let told = outages(&retter);
        told["current"]["answers"][name]
            .as_u64()
            .unwrap_or_default()
    };
    assert_eq!(retter.ask(&visit(0, "/new")).status, 503);
    until("all so far are counted", || before("refused") == 1);
    let (rescued, refused) = (before("rescued"), before("refused"));
    let mut counted = (0, 0);
    for number in 0..400 {
        let target = match number % 4 {
            3 => format!("/new/{}", number % 8),
            _ => format!("/{}", number % PAGES),
        };
        let answer = retter.ask(&visit(number, &target));
        match answer.status {
            200 => counted.0 += 1,
            _ => counted.1 += 1,
        }
    }
    let lost = retter.ask(&Request::post("/order", "1"));
    assert_eq!(lost.status, 502);
    let told = || outages(&retter)["current"].clone();
    until("all are counted", || {
        told()["answers"]["refused"] == refused + counted.1 + 1
    });
    let told = told();
    assert_eq!(told["answers"]["rescued"], rescued + counted.0);
    assert_eq!(told["answers"]["writes_lost"], 1);
    assert_eq!(told["answers"]["writes_unsure"], 0);
    let visitors = told["visitors"].as_u64().expect("a number");
    assert!(
        (380..=421).contains(&visitors),
        "{visitors}: 400 and this one"
    );
    let worst = told["worst_pages"][0]["path"].as_str();
    assert!(
        worst.is_some_and(|path| path.starts_with("/new/")),
        "{told}"
    );
    let metrics = retter.admin("/metrics").text();
    for metric in ["retter_outages_total 1", "retter_copy_age_seconds_count "] {
        assert!(metrics.contains(metric), "{metric} in {metrics}");
    }
    assert!(
        !metrics.contains("retter_outage_since_seconds 0\n"),
        "{metrics}"
    );
    assert!(
        retter
            .admin("/status")
            .text()
            .contains("outage       since")
    );
}

#[test]
fn it_is_told_in_few_lines_and_survives_a_restart() {
    let mut origin = shop();
    let journal = Journal::new("restart");
    let mut retter = start(&origin, &journal);
    go_down(&retter, &mut origin);
    for number in 0..200 {
        let _ = retter.ask(&visit(number, &format!("/{}", number % PAGES)));
    }
    until("it is known", || !outages(&retter)["current"].is_null());
    retter.signal(Signal::TERM);
    assert!(retter.end().success());
    let errors = retter.errors();
    let lines = errors.lines().filter(|line| line.contains("circuit"));
    assert_eq!(lines.count(), 1, "{errors}");
    assert!(errors.contains(" opened: "), "{errors}");
    origin.up();
    let retter = start(&origin, &journal);
    let told = outages(&retter);
    assert!(told["current"].is_null());
    let last = &told["last"][0];
    assert_eq!(last["is_cut_off"], true);
    assert!(last["answers"]["rescued"].as_u64() > Some(100), "{told}");
    assert!(
        last["cause"]
            .as_str()
            .is_some_and(|cause| !cause.is_empty())
    );
}

#[test]
fn it_is_back_when_the_application_is() {
    let mut origin = shop();
    let journal = Journal::new("back");
    let retter = start(&origin, &journal);
    go_down(&retter, &mut origin);
    origin.up();
    until("it answers again", || {
        retter.ask(&visit(1, "/new")).source() == "backend"
    });
    retter.wait_for("a line that says so", |line| {
        line.contains("answers again").then_some(())
    });
    let told = outages(&retter);
    assert!(told["current"]["first_good"].is_string(), "{told}");
    let lasts = retter.metric("retter_outage_since_seconds");
    assert!(lasts.abs() < f64::EPSILON, "{lasts}");
}
