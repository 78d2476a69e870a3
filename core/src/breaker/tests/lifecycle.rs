//! The table of LIFECYCLE.md about a circuit: made by running it, compared with the file.

use super::super::{Breaker, Outcome, Permit, Recovery, Streak, Trip};
use super::*;

const OPEN: Duration = Duration::from_secs(2);

/// A circuit in one state.
struct Bench {
    breaker: Breaker,
    /// Of a call that was let through in this state.
    current: Option<Permit>,
    now: Instant,
    /// Of a call that was let through before the last change.
    older: Option<Permit>,
}

impl Bench {
    fn closed() -> Self {
        let trip = Trip {
            window: Duration::from_secs(10),
            failure_rate: 1.0,
            outcomes_min: 100,
            paths_min: 1,
            slow: None,
            streak: Streak::Failures(2),
            witnesses: 1,
        };
        let recovery = Recovery {
            open_min: OPEN,
            open_max: Duration::from_secs(60),
            jitter: 0.0,
            probe_lease: Duration::from_secs(1),
            probes_needed: 2,
        };
        let now = Instant::ZERO;
        let mut breaker = Breaker::new(trip, recovery, 1, now);
        let older = breaker.try_acquire(now).ok();
        let current = breaker.try_acquire(now).ok();
        Self {
            breaker,
            current,
            now,
            older,
        }
    }

    /// One failure short of opening.
    fn closed_and_failing() -> Self {
        let mut bench = Self::closed();
        let permit = bench.breaker.try_acquire(bench.now).unwrap();
        bench.breaker.record(permit, Outcome::Failure, bench.now);
        bench
    }

    fn open() -> Self {
        let mut bench = Self::closed_and_failing();
        let permit = bench.current.take().unwrap();
        bench.breaker.record(permit, Outcome::Failure, bench.now);
        drop(bench.breaker.poll_change());
        bench
    }

    fn half_open() -> Self {
        let mut bench = Self::open();
        bench.now = bench.now + OPEN;
        bench.current = bench.breaker.try_acquire(bench.now).ok();
        drop(bench.breaker.poll_change());
        bench
    }

    /// One success short of closing.
    fn half_open_and_well() -> Self {
        let mut bench = Self::half_open();
        let permit = bench.current.take().unwrap();
        bench.breaker.record(permit, Outcome::Success, bench.now);
        bench.current = bench.breaker.try_acquire(bench.now).ok();
        bench
    }

    /// As many probes as there are slots.
    fn half_open_and_full() -> Self {
        let mut bench = Self::half_open();
        let second = bench.breaker.try_acquire(bench.now);
        assert!(second.is_ok());
        bench
    }

    fn ask(&mut self, later: Duration) -> String {
        match self.breaker.try_acquire(self.now + later) {
            Ok(_) => "let through".to_owned(),
            Err(_) => "refused".to_owned(),
        }
    }

    fn end(&mut self, outcome: Outcome) -> String {
        let Some(permit) = self.current.take() else {
            return "cannot happen".to_owned();
        };
        self.breaker.record(permit, outcome, self.now);
        String::new()
    }

    fn end_older(&mut self) -> String {
        let permit = self.older.take().expect("there was one before");
        self.breaker.record(permit, Outcome::Failure, self.now);
        String::new()
    }
}

type Event = (&'static str, fn(&mut Bench) -> String);

/// A name, and how it is reached.
type Reached = (&'static str, fn() -> Bench);

const STATES: [Reached; 6] = [
    ("closed", Bench::closed),
    ("closed, one failure short", Bench::closed_and_failing),
    ("open", Bench::open),
    ("half-open", Bench::half_open),
    ("half-open, one success short", Bench::half_open_and_well),
    ("half-open, no slot free", Bench::half_open_and_full),
];

const EVENTS: [Event; 6] = [
    ("asked", |bench| bench.ask(Duration::ZERO)),
    ("asked after open time and lease", |bench| bench.ask(OPEN)),
    ("success", |bench| bench.end(Outcome::Success)),
    ("failure", |bench| bench.end(Outcome::Failure)),
    ("ignored outcome", |bench| bench.end(Outcome::Ignore)),
    ("failure of a call from before the change", Bench::end_older),
];

fn table() -> String {
    let mut out = String::from("| state | what happens | answer | change |\n|---|---|---|---|\n");
    for (state, reach) in STATES {
        for (event, happen) in EVENTS {
            // While nothing has changed yet, no call is from before.
            if state.starts_with("closed") && event.contains("before the change") {
                continue;
            }
            let mut bench = reach();
            let answer = happen(&mut bench);
            let change = bench.breaker.poll_change();
            let change = change.map_or_else(String::new, |change| {
                format!("{}: {}", change.to.as_str().to_lowercase(), change.reason)
            });
            let _ = writeln!(out, "| {state} | {event} | {answer} | {change} |");
        }
    }
    out
}

/// To renew the file: copy the table from the message of the failure.
#[test]
fn the_table_of_circuits_is_what_happens() {
    let table = table();
    let file = include_str!("../../../LIFECYCLE.md");
    assert!(file.contains(&table), "LIFECYCLE.md lacks this:\n{table}");
}
