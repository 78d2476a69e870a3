//! Owns the tests of one circuit: a table of scripts, every short sequence of events against the
//! model, and long random ones. Never tests tiers: those have tests of their own.

mod lifecycle;

use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use model::{SlowTerms, Terms};
use pair::{Event, Pair, at, breaker};

const TERMS: Terms = Terms {
    window: 10,
    rate: 2.0,
    outcomes_min: 3,
    row: 2,
    row_of_connect_failures: false,
    open_min: 4,
    open_max: 12,
    lease: 3,
    needed: 1,
    slow: SlowTerms {
        rate: 0.6,
        outcomes_min: 4,
        row: 3,
    },
    witnesses: 2,
};

const SLOW: Outcome = Outcome::Slow {
    over: Duration::from_millis(1_200),
};

const ORIGIN_TERMS: Terms = Terms {
    rate: 0.6,
    row_of_connect_failures: true,
    needed: 2,
    ..TERMS
};

// -- scripts

const fn outcome(token: char) -> Option<Outcome> {
    match token.to_ascii_uppercase() {
        'C' => Some(Outcome::ConnectFailure),
        'F' => Some(Outcome::Failure),
        'I' => Some(Outcome::Ignore),
        'L' => Some(SLOW),
        'S' => Some(Outcome::Success),
        _ => None,
    }
}

/// Plays a script: `S F C I L` make one call with that outcome, `p` begins one, `s f c i l` end
/// the oldest begun, `x` loses it, a digit lets that many seconds pass. Returns what changed and what
/// was refused.
fn play(breaker: &mut Breaker, script: &str) -> String {
    let mut now = Instant::ZERO;
    let mut begun = Vec::new();
    let mut said = String::new();
    for token in script.chars() {
        match token {
            ' ' => {}
            'x' => drop(begun.remove(0)),
            '0'..='9' => now = now + Duration::from_secs(token.to_digit(10).unwrap().into()),
            's' | 'f' | 'c' | 'i' | 'l' => {
                breaker.record(begun.remove(0), outcome(token).unwrap(), now);
            }
            'p' | 'S' | 'F' | 'C' | 'I' | 'L' => match (breaker.try_acquire(now), outcome(token)) {
                (Ok(permit), None) => begun.push(permit),
                (Ok(permit), Some(outcome)) => {
                    say_change(breaker, &mut said);
                    breaker.record(permit, outcome, now);
                }
                (Err(rejected), _) => {
                    let wait = rejected.retry_at.saturating_since(now).as_secs();
                    write!(said, "refused for {wait}; ").unwrap();
                }
            },
            other => panic!("no such token: {other}"),
        }
        say_change(breaker, &mut said);
    }
    said.trim_end_matches("; ").to_owned()
}

fn say_change(breaker: &mut Breaker, said: &mut String) {
    if let Some(change) = breaker.poll_change() {
        write!(said, "{}: {}; ", change.to, change.reason).unwrap();
    }
}

#[track_caller]
fn check(terms: &Terms, script: &str, expected: &[&str]) {
    assert_eq!(
        play(&mut breaker(terms, 0.0, 0), script),
        expected.join("; "),
        "{script}"
    );
}

const TRIPPED: &str = "OPEN: 2 failures in a row";
const PROBING: &str = "HALF-OPEN: open for 4.0 s, probing";
const CLOSED: &str = "CLOSED: the probe succeeded";
const PROBING_2: &str = "HALF-OPEN: open for 8.0 s, probing";
const REOPENED: &str = "OPEN: probe failed, next probe in 8.0 s";
const TRIPPED_2: &str = "OPEN: 2 connect failures in a row";
const CLOSED_2: &str = "CLOSED: 2 probes succeeded";

#[test]
fn closed() {
    check(&TERMS, "SFSFSFIS", &[]);
    check(&TERMS, "F9 9 9F", &[TRIPPED]);
    check(&TERMS, "FIC", &[TRIPPED]);
    check(
        &TERMS,
        "FF 1S 3S",
        &[TRIPPED, "refused for 3", PROBING, CLOSED],
    );
    // Only connect failures make the row of the origin, and any real outcome ends it.
    check(&ORIGIN_TERMS, "CC", &[TRIPPED_2]);
    check(&ORIGIN_TERMS, "CIC", &[TRIPPED_2]);
    check(&ORIGIN_TERMS, "SSCFC", &["OPEN: 3 of 5 failed in 10 s"]);
    check(&ORIGIN_TERMS, "SCSCSSCSC", &[]);
    check(&ORIGIN_TERMS, "FF", &[]);
    check(&ORIGIN_TERMS, "FFF", &["OPEN: 3 of 3 failed in 10 s"]);
    // A success never opens, even when it brings the rate within sight.
    check(&ORIGIN_TERMS, "FFS", &[]);
    check(&ORIGIN_TERMS, "FFSF", &["OPEN: 3 of 4 failed in 10 s"]);
    check(&ORIGIN_TERMS, "F9 1F1F", &[]);
}

#[test]
fn a_row_of_zero_is_read_as_one() {
    let zero = Terms { row: 0, ..TERMS };
    check(&zero, "S F", &["OPEN: 1 failure"]);
    let zero = Terms {
        row: 0,
        ..ORIGIN_TERMS
    };
    check(&zero, "FS C", &["OPEN: 1 connect failure"]);
}

#[test]
fn slow_calls() {
    const ROW: &str = "OPEN: 3 slow in a row (over 1.2 s)";
    check(&TERMS, "LLL", &[ROW]);
    check(&TERMS, "LIL9 9L", &[ROW]);
    // A good call ends the row, and so does one that fails, which is no row of failures either.
    check(&TERMS, "LLSL", &["OPEN: 3 of 4 slow (over 1.2 s) in 10 s"]);
    check(&TERMS, "LLSSSLLS", &[]);
    check(&TERMS, "SSLLSSLLS", &[]);
    check(&TERMS, "LFL F", &[]);
    // Failures are no better; but a failure does not open for being slow.
    check(
        &TERMS,
        "SLFL",
        &["OPEN: 2 of 4 slow (over 1.2 s) and 1 failed in 10 s"],
    );
    check(&TERMS, "SLLF", &[]);
    // The window forgets.
    check(&TERMS, "LL9 1SL", &[]);
    check(
        &TERMS,
        "FF4L8S",
        &[
            TRIPPED,
            PROBING,
            "OPEN: probe slow (over 1.2 s), next probe in 4.0 s",
            PROBING_2,
            CLOSED,
        ],
    );
    // An older generation decides nothing, and a slow call is only told once.
    check(&TERMS, "pppp lll f", &[ROW]);
    let off = Terms {
        slow: SlowTerms {
            row: 0,
            ..TERMS.slow
        },
        ..TERMS
    };
    check(&off, "LLLLLLLLF", &[]);
    check(
        &off,
        "FF4L",
        &[
            TRIPPED,
            PROBING,
            "OPEN: probe slow (over 1.2 s), next probe in 4.0 s",
        ],
    );
}

#[test]
fn half_open() {
    check(&TERMS, "FF4F", &[TRIPPED, PROBING, REOPENED]);
    // One probe at a time; ignoring it frees the slot and decides nothing.
    check(&TERMS, "FF4 pp", &[TRIPPED, PROBING, "refused for 3"]);
    check(&TERMS, "FF4 piS", &[TRIPPED, PROBING, CLOSED]);
    // A lost probe frees its slot when its lease ends.
    check(
        &TERMS,
        "FF4 px2 p1 S",
        &[TRIPPED, PROBING, "refused for 1", CLOSED],
    );
    // One that ends after its lease still counts, while nothing was decided.
    check(&TERMS, "FF4 p9 s", &[TRIPPED, PROBING, CLOSED]);
    check(&TERMS, "FF4 p3p f", &[TRIPPED, PROBING, REOPENED]);
    check(&TERMS, "FF4 p3S f", &[TRIPPED, PROBING, CLOSED]);
    // As many probes at a time as successes are missing.
    check(
        &ORIGIN_TERMS,
        "CC4 ppp s p s",
        &[
            TRIPPED_2,
            PROBING,
            "refused for 3",
            "refused for 3",
            CLOSED_2,
        ],
    );
}

#[test]
fn a_refusal_waits_for_as_many_leases_as_are_too_many() {
    // Two leases for one missing success, as the first counted after its lease had ended.
    check(
        &ORIGIN_TERMS,
        "CC4 p1p2ps p1p",
        &[TRIPPED_2, PROBING, "refused for 3", "refused for 2"],
    );
}

#[test]
fn a_slot_is_free_when_its_lease_ends_and_only_its_holder_is_a_probe() {
    let mut breaker = breaker(&TERMS, 0.0, 0);
    let is_probe = |breaker: &mut Breaker, now| breaker.try_acquire(at(now)).unwrap().is_probe();
    assert!(!is_probe(&mut breaker, 0));
    play(&mut breaker, "FF");
    assert!(is_probe(&mut breaker, 4));
    assert_eq!(breaker.retry_at(at(6)), Some(at(7)));
    assert_eq!(breaker.retry_at(at(7)), None);
    assert!(is_probe(&mut breaker, 7));
}

#[test]
fn older_generations_bring_good_news_only() {
    const NEWS: &str = "HALF-OPEN: open for 0.0 s, a request was answered, probing";
    check(&TERMS, "ppp ff f", &[TRIPPED]);
    check(&TERMS, "ppp ff s", &[TRIPPED, NEWS]);
    // What it leads to counts, and it is believed once in each open time that passes.
    check(&TERMS, "ppp ff s S", &[TRIPPED, NEWS, CLOSED]);
    check(
        &TERMS,
        "ppppp ff s F s 8 F s",
        &[
            TRIPPED,
            NEWS,
            REOPENED,
            PROBING_2,
            "OPEN: probe failed, next probe in 12.0 s",
            NEWS,
        ],
    );
    check(&TERMS, "ppp ff4 p fs", &[TRIPPED, PROBING, CLOSED]);
    check(&TERMS, "pppp ff4 S ff", &[TRIPPED, PROBING, CLOSED]);
    // A probe of the half-open before this one frees no slot of this one.
    check(
        &ORIGIN_TERMS,
        "CC4 pp f 8 pps p",
        &[TRIPPED_2, PROBING, REOPENED, PROBING_2, "refused for 3"],
    );
}

#[test]
fn open_times_grow_while_probes_fail_and_no_longer() {
    let twelve = "OPEN: probe failed, next probe in 12.0 s";
    let probing_12 = "HALF-OPEN: open for 12.0 s, probing";
    check(
        &TERMS,
        "FF4F8F 9 3F",
        &[
            TRIPPED, PROBING, REOPENED, PROBING_2, twelve, probing_12, twelve,
        ],
    );
    // An open time ends with its outage, however soon the next one is.
    check(
        &TERMS,
        "FF4F8S FF 3p1p",
        &[
            TRIPPED,
            PROBING,
            REOPENED,
            PROBING_2,
            CLOSED,
            TRIPPED,
            "refused for 1",
            PROBING,
        ],
    );
}

#[test]
fn the_origin_may_say_when_to_come_back() {
    let mut breaker = breaker(
        &Terms {
            open_min: 2,
            ..TERMS
        },
        0.0,
        0,
    );
    let fail = |breaker: &mut Breaker, now, hold| {
        let mut permit = breaker.try_acquire(at(now)).unwrap();
        permit.hold(at(hold));
        breaker.record(permit, Outcome::Failure, at(now));
    };
    fail(&mut breaker, 0, 9);
    assert!(breaker.try_acquire(at(0)).is_ok(), "closed, it lets pass");
    let late = breaker.try_acquire(at(0)).map(|mut permit| {
        permit.hold(at(4));
        permit
    });
    let mut bystander = breaker.onlooker(at(0));
    bystander.hold(at(4));
    fail(&mut breaker, 0, 3);
    assert_eq!(breaker.retry_at(at(0)), Some(at(3)), "by what opened it");
    // What was called before has nothing to say any more.
    breaker.record(late.unwrap(), Outcome::Failure, at(1));
    breaker.record(bystander, Outcome::Failure, at(1));
    assert_eq!(breaker.retry_at(at(1)), Some(at(3)));
    // Nor has what goes in any case.
    let mut write = breaker.onlooker(at(1));
    write.hold(at(4));
    breaker.record(write, Outcome::Failure, at(2));
    assert_eq!(breaker.retry_at(at(2)), Some(at(3)));
    // Sooner than the shortest open time it is not, however many probes have failed, and a wrong
    // word does no harm.
    for (now, hold, until) in [(3, 4, 5), (5, 600, 9), (9, 600, 13), (13, 14, 15)] {
        fail(&mut breaker, now, hold);
        assert_eq!(breaker.retry_at(at(now)), Some(at(until)));
    }
    // Who says nothing is left alone for longer each time.
    let probe = breaker.try_acquire(at(15)).unwrap();
    breaker.record(probe, Outcome::Failure, at(15));
    assert_eq!(breaker.retry_at(at(15)), Some(at(27)));
    let probe = breaker.try_acquire(at(27)).unwrap();
    breaker.record(probe, Outcome::Success, at(27));
    assert_eq!(breaker.state(at(27)), State::Closed);
}

// -- against the model

/// One that is like all others.
const SOMEBODY: Visitor = Visitor {
    network: 0,
    session: 0,
};

const EVENTS: [Event; 10] = [
    Event::Acquire(SOMEBODY),
    Event::EndNewest(Outcome::Failure),
    Event::EndNewest(Outcome::Success),
    Event::EndOldest(Outcome::ConnectFailure),
    Event::EndOldest(Outcome::Failure),
    Event::EndOldest(Outcome::Ignore),
    Event::EndOldest(SLOW),
    Event::EndOldest(Outcome::Success),
    Event::Wait(2),
    Event::Wait(7),
];

/// Applies every sequence of events of this length to a pair; returns how many.
fn explore(pair: &Pair, depth: u32) -> u64 {
    pair.check_recovers();
    if depth == 0 {
        return 1;
    }
    let mut sequences = 0;
    for event in EVENTS {
        if pair.has_effect(event) {
            let mut next = pair.clone();
            next.apply(event);
            sequences += explore(&next, depth - 1);
        }
    }
    sequences
}

#[test]
fn every_sequence_of_eight_events_is_as_in_the_model() {
    for terms in [TERMS, ORIGIN_TERMS] {
        let sequences = explore(&Pair::new(&terms), 8);
        assert!(sequences > 200_000, "{sequences}");
    }
}

#[test]
fn every_sequence_of_six_events_after_a_trip_is_as_in_the_model() {
    use Event::{EndOldest, Wait};

    const ACQUIRE: Event = Event::Acquire(SOMEBODY);
    let trip = [ACQUIRE, ACQUIRE, ACQUIRE]
        .into_iter()
        .chain([Outcome::ConnectFailure, Outcome::ConnectFailure].map(EndOldest));
    let probe = [Wait(7), ACQUIRE];
    let fail = [
        EndOldest(Outcome::Success),
        EndOldest(Outcome::Failure),
        Wait(7),
    ];
    let close = [
        EndOldest(Outcome::Success),
        EndOldest(Outcome::Success),
        ACQUIRE,
        EndOldest(Outcome::Success),
        ACQUIRE,
    ];
    for terms in [TERMS, ORIGIN_TERMS] {
        let mut tripped = Pair::new(&terms);
        trip.clone().for_each(|event| tripped.apply(event));
        explore(&tripped, 6);
        let mut probing = tripped;
        probe.into_iter().for_each(|event| probing.apply(event));
        explore(&probing, 6);
        let mut failed = probing.clone();
        fail.into_iter().for_each(|event| failed.apply(event));
        assert_eq!(failed.breaker.attempt, 1);
        explore(&failed, 6);
        let mut closed = probing;
        close.into_iter().for_each(|event| closed.apply(event));
        assert_eq!(closed.breaker.state(at(closed.now)), State::Closed);
        explore(&closed, 6);
    }
}

/// One of a few visitors: of three networks, of which one has two sessions.
const fn visitor(number: u64) -> Visitor {
    Visitor {
        network: if number < 3 { 1 } else { number },
        session: number % 3,
    }
}

proptest! {
    #[test]
    fn long_random_sequences_are_as_in_the_model(
        origin in any::<bool>(),
        witnesses in 1..4_usize,
        visitors in 1..6_u64,
        events in prop::collection::vec((prop::sample::select(&EVENTS[..]), 0..6_u64), 1..400),
    ) {
        let terms = if origin { ORIGIN_TERMS } else { TERMS };
        let rate = 0.6;
        let mut pair = Pair::new(&Terms { rate, witnesses, ..terms });
        for (event, who) in events {
            let event = match event {
                Event::Acquire(_) => Event::Acquire(visitor(who % visitors)),
                event @ (Event::EndNewest(_) | Event::EndOldest(_) | Event::Wait(_)) => event,
            };
            if pair.has_effect(event) {
                pair.apply(event);
                pair.check_recovers();
            }
        }
    }
}

#[test]
fn same_seed_same_circuit() {
    let run = |seed| {
        let mut breaker = breaker(&TERMS, 0.2, seed);
        let said = play(&mut breaker, "FF5F99F99F99FS9S9FF");
        format!("{said} {breaker:?}")
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_rate_that_is_a_round_share_is_reached_exactly() {
    let mut breaker = breaker(
        &Terms {
            rate: 0.66,
            outcomes_min: 50,
            ..ORIGIN_TERMS
        },
        0.0,
        0,
    );
    assert_eq!(play(&mut breaker, &"S".repeat(17)), "");
    assert_eq!(play(&mut breaker, &"F".repeat(32)), "");
    assert_eq!(play(&mut breaker, "F"), "OPEN: 33 of 50 failed in 10 s");
}

#[test]
fn more_paths_than_are_told_apart_cannot_be_asked_for() {
    let mut breaker = breaker(&ORIGIN_TERMS, 0.0, 0);
    breaker.trip.paths_min = 1_000;
    breaker.circuit = Circuit::Closed(Box::new(Closed::new(&breaker.trip, at(0))));
    for path in 1..=64 {
        assert_eq!(breaker.state(at(0)), State::Closed);
        let permit = breaker.try_acquire(at(0)).unwrap();
        let about = About {
            page: path,
            ..About::default()
        };
        breaker.record_about(permit, about, Outcome::Failure, at(0));
    }
    let reason = breaker.poll_change().unwrap().reason.to_string();
    assert_eq!(reason, "64 of 64 failed in 10 s, 64 paths");
}

#[test]
fn survives_the_end_of_time() {
    let mut breaker = breaker(&TERMS, 0.0, 0);
    let end = Instant::from_nanos(u64::MAX);
    for _ in 0..2 {
        let permit = breaker.try_acquire(end).unwrap();
        breaker.record(permit, Outcome::Failure, end);
    }
    assert_eq!(breaker.state(Instant::ZERO), State::Open);
    let probe = breaker.try_acquire(end).unwrap();
    breaker.record(probe, Outcome::Success, Instant::ZERO);
    assert_eq!(breaker.state(end), State::Closed);
}
