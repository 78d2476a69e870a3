//! Owns the question how soon a new visitor has a page once a real application is back that was gone, or hung,
//! for a minute and a half: five times in a row, and after a short restart soon after each.
//! Never runs with the other tests: `tests/run.sh outages` does, as the outages take their time. Nothing sleeps to
//! wait for something: each outage lasts for a time that is set, and visitors come at a pace that is set.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use retter_tests::application::Application;
use retter_tests::client::{self, Request, Response};
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use retter_tests::signal::Gate;
use rustix::process::Signal;

/// How long after the return a new visitor may be without a page.
const RETURN_MAX: Duration = Duration::from_secs(2);
const RESTART: Duration = Duration::from_millis(1_500);
/// Between two outages, in which all visitors have to be answered well.
const CALM: Duration = Duration::from_secs(6);
/// They come at this pace each, outage or not.
const VISITORS: usize = 8;
const PACE: Duration = Duration::from_millis(300);
/// What visitors see again and again; all else was never asked for before.
const SEEN: [&str; 3] = ["/index", "/profile", "/list"];

/// What becomes of the application.
#[derive(Clone, Copy, Debug)]
enum Outage {
    /// Its process is gone: connects are refused.
    Gone,
    /// It is stopped: it takes connections, as many as the system keeps for it, and answers nothing.
    Hung,
}

/// One answer.
struct Visit {
    began: Instant,
    target: String,
    status: u16,
    told: String,
}

/// Those who come all the time, each of whom has a network of its own.
struct Visitors {
    address: SocketAddr,
    ends: Gate,
    next: AtomicUsize,
    visits: Mutex<Vec<Visit>>,
}

impl Visitors {
    /// Somebody asks who never came before.
    fn newcomer(&self, request: impl FnOnce(usize) -> Request) -> Response {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let address = format!("203.{}.{}.7", number / 250 % 250, number % 250);
        let request = request(number).field("X-Forwarded-For", &address);
        client::ask(self.address, &request)
    }

    /// They come until the end.
    fn come(&self) {
        while !self.ends.is_open_within(PACE) {
            let began = Instant::now();
            let mut asked = String::new();
            let answer = self.newcomer(|number| {
                let target = match number % 3 {
                    0 => format!("/list?never={number}"),
                    _ => SEEN[number / 3 % SEEN.len()].to_owned(),
                };
                asked.clone_from(&target);
                match number % 10 {
                    9 => Request::post("/login", "user=anna"),
                    _ => Request::get(&target),
                }
            });
            let visit = Visit {
                began,
                target: asked,
                status: answer.status,
                told: answer.field("cache-status").unwrap_or_default().to_owned(),
            };
            self.visits.lock().expect("no panic").push(visit);
        }
    }

    /// Takes what became of those who have been answered.
    fn take(&self) -> Vec<Visit> {
        std::mem::take(&mut self.visits.lock().expect("no panic"))
    }

    /// How long it takes until somebody new has a page that the application made.
    fn first_page(&self, back: Instant) -> Duration {
        loop {
            let answer = self.newcomer(|number| Request::get(&format!("/list?new={number}")));
            if answer.status == 200 && answer.source() == "backend" {
                return back.elapsed();
            }
            assert!(
                back.elapsed() < 30 * RETURN_MAX,
                "it is not found: {answer:?}"
            );
            pass(Duration::from_millis(50));
        }
    }
}

/// Lets a time pass that belongs to the story.
fn pass(time: Duration) {
    let _ = Gate::new().is_open_within(time);
}

/// Not `println!`: the test runner would show it only when the test fails.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// One outage, and the time behind it. What was wrong.
fn outage(
    application: &mut Application,
    visitors: &Visitors,
    how: Outage,
    time: Duration,
) -> Vec<String> {
    match how {
        Outage::Gone => application.kill(),
        Outage::Hung => application.signal(Signal::STOP),
    }
    pass(time);
    let during = visitors.take();
    match how {
        // What it takes to listen again is not RETTER's.
        Outage::Gone => application.come_back(),
        Outage::Hung => application.signal(Signal::CONT),
    }
    let back = Instant::now();
    let first = visitors.first_page(back);
    pass(CALM);
    let after = visitors.take();
    let good = during.iter().filter(|visit| visit.status < 400).count();
    say(&format!(
        "{how:?} for {time:?}: {good} of {} visitors answered well meanwhile, a new one {first:.2?} after the return, \
         {} more in the {CALM:?} after it",
        during.len(),
        after.len(),
    ));
    let mut wrong: Vec<_> = after
        .iter()
        .filter(|visit| visit.status >= 400 && visit.began > back + RETURN_MAX)
        .map(|visit| {
            let since = visit.began.duration_since(back);
            let (target, status, told) = (&visit.target, visit.status, &visit.told);
            format!("{how:?} for {time:?}: {target} {status} {told} {since:.2?} after the return")
        })
        .collect();
    if first > RETURN_MAX {
        wrong.push(format!(
            "{how:?} for {time:?}: the first page after {first:.2?}"
        ));
    }
    wrong
}

#[test]
#[ignore = "takes ten minutes: tests/run.sh outages"]
fn a_new_visitor_has_a_page_soon_after_each_of_many_outages() {
    let seconds = std::env::var("RETTER_OUTAGES_SECONDS");
    let seconds = seconds.map_or(90, |text| text.parse().expect("a number of seconds"));
    let long = Duration::from_secs(seconds);
    let mut application = Application::flask();
    let retter = Retter::start(retter_program!(), application.address());
    for page in SEEN {
        assert_eq!(retter.ask(&Request::get(page)).source(), "backend");
    }
    let visitors = Visitors {
        address: retter.address(),
        ends: Gate::new(),
        next: AtomicUsize::new(0),
        visits: Mutex::default(),
    };
    let mut wrong = Vec::new();
    thread::scope(|scope| {
        for _ in 0..VISITORS {
            scope.spawn(|| visitors.come());
        }
        pass(CALM);
        for how in [Outage::Gone; 5].into_iter().chain([Outage::Hung]) {
            wrong.extend(outage(&mut application, &visitors, how, long));
            let restart = outage(&mut application, &visitors, Outage::Gone, RESTART);
            wrong.extend(restart);
        }
        visitors.ends.open();
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
