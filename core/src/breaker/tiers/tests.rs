//! Owns the tests of the two tiers. Never tests one circuit alone.

mod back;
mod slow;
mod table;

use std::fmt::Write;
use std::time::Duration;

use proptest::prelude::*;

use super::changes::TRANSITIONS_MAX;
use super::names::display_name;
use super::*;

/// One that cannot be told from others.
const SOMEBODY: Option<Visitor> = Some(Visitor {
    network: 0,
    session: 0,
});

fn settings() -> BreakerSettings {
    BreakerSettings {
        jitter: 0.0,
        open_min: Duration::from_secs(2),
        open_max: Duration::from_secs(60),
        ..BreakerSettings::default()
    }
}

fn at(seconds: u64) -> Instant {
    Instant::from_epoch(Duration::from_secs(seconds))
}

const fn outcome(token: &str) -> Outcome {
    match token.as_bytes() {
        b"C" => Outcome::ConnectFailure,
        b"F" => Outcome::Failure,
        b"I" => Outcome::Ignore,
        b"S" => Outcome::Success,
        _ => panic!("no such outcome"),
    }
}

/// Plays a script on circuits: `/a:F` is a GET with that outcome, `!/a:F` a write, `/a:F*5`
/// five of them one after the other, `/a:p` begins a GET that is lost, `+2` lets two seconds
/// pass, `=connected` tells that connections come about again. Returns what changed and what was refused.
fn play(tiers: &mut Tiers, script: &str) -> String {
    let mut now = 0;
    let mut said = String::new();
    for word in script.split_whitespace() {
        if word == "=connected" {
            tiers.connected(at(now));
            say_transitions(tiers, &mut said);
            continue;
        }
        if let Some(seconds) = word.strip_prefix('+') {
            now += seconds.parse::<u64>().unwrap();
            continue;
        }
        let (call, times) = word.split_once('*').unwrap_or((word, "1"));
        let (path, token) = call.split_once(':').unwrap();
        for _ in 0..times.parse().unwrap() {
            request(tiers, path, token, at(now), &mut said);
            check_invariants(tiers, at(now));
        }
    }
    said.trim_end_matches("; ").to_owned()
}

fn request(tiers: &mut Tiers, path: &str, token: &str, now: Instant, said: &mut String) {
    let acquired = match path.strip_prefix('!') {
        Some(path) => Ok(tiers.pass(Target::get(path.as_bytes()), SOMEBODY, at(0))),
        None => tiers.try_acquire(Target::get(path.as_bytes()), SOMEBODY, now),
    };
    say_transitions(tiers, said);
    match acquired {
        Ok(permit) if token == "p" => drop(permit),
        Ok(permit) => tiers.record(permit, outcome(token), now),
        Err(TierRejected { retry_at, tier }) => {
            let wait = retry_at.saturating_since(now).as_secs();
            write!(said, "{tier} refuses for {wait}; ").unwrap();
        }
    }
    say_transitions(tiers, said);
}

fn say_transitions(tiers: &mut Tiers, said: &mut String) {
    while let Some(transition) = tiers.poll_transition() {
        assert_eq!(transition.path.is_some(), transition.tier == Tier::Path);
        let path = transition.path.as_deref().unwrap_or("origin");
        write!(said, "{path} {}: {}; ", transition.to, transition.reason).unwrap();
    }
}

fn check_invariants(tiers: &Tiers, now: Instant) {
    assert!(tiers.paths.circuits.len() <= tiers.paths.max);
    assert!(tiers.changes.waiting() <= TRANSITIONS_MAX);
    let ranks: Vec<_> = tiers
        .paths
        .ranks
        .iter()
        .map(|(rank, hash)| (*hash, *rank))
        .collect();
    assert_eq!(ranks.len(), tiers.paths.circuits.len());
    for (hash, rank) in ranks {
        let circuit = &tiers.paths.circuits[&hash];
        assert_eq!(circuit.rank, rank);
        let closed = circuit.breaker.state(now) == State::Closed;
        assert_eq!(rank.not_closed, !closed);
    }
    let states = tiers
        .paths
        .circuits
        .values()
        .map(|circuit| circuit.breaker.state(now));
    let open = states.filter(|state| *state != State::Closed).count();
    assert_eq!(tiers.paths_open(), open);
}

#[track_caller]
fn check(settings: &BreakerSettings, script: &str, expected: &[&str]) -> Tiers {
    let mut tiers = Tiers::new(settings, 1, Instant::ZERO);
    assert_eq!(play(&mut tiers, script), expected.join("; "), "{script}");
    tiers
}

#[test]
fn a_broken_page_opens_only_its_own_circuit() {
    let tiers = check(
        &settings(),
        "/a?x:F*2 /a?y:F*3 /a:S /b:S !/a:S",
        &["/a OPEN: 5 failures in a row", "path refuses for 2"],
    );
    assert_eq!(tiers.state(Target::get(b"/a?z"), at(0)), State::Open);
    assert_eq!(tiers.state(Target::get(b"/a?z"), at(2)), State::HalfOpen);
    assert_eq!(tiers.state(Target::get(b"/b"), at(0)), State::Closed);
    assert_eq!(tiers.origin_state(at(0)), State::Closed);
    assert_eq!(tiers.paths_open(), 1);
    // By its rate, too: 4 of 6 is above 0.66 and ends with a failure; 3 of 5 is not.
    check(
        &settings(),
        "/a:F*2 /a:S /a:F /a:S /a:F",
        &["/a OPEN: 4 of 6 failed in 10 s"],
    );
    // Even when it is most of what is asked for.
    check(
        &settings(),
        "/b:S*10 /a:F*5 +2 /a:F +4 /a:S",
        &[
            "/a OPEN: 5 failures in a row",
            "/a HALF-OPEN: open for 2.0 s, probing",
            "/a OPEN: probe failed, next probe in 4.0 s",
            "/a HALF-OPEN: open for 4.0 s, probing",
            "/a CLOSED: the probe succeeded",
        ],
    );
}

#[test]
fn a_broken_origin_opens_for_every_page() {
    let fails = "/1:S*4 /2:F*4 /3:F*4 /4:F*4 /5:F*3";
    let opened = "origin OPEN: 16 of 20 failed in 10 s, 5 paths";
    let tiers = check(
        &settings(),
        &format!("{fails} /6:F /9:S !/1:F"),
        &[opened, "origin refuses for 2"],
    );
    assert_eq!(tiers.state(Target::get(b"/never-seen"), at(0)), State::Open);
    assert_eq!(tiers.paths_open(), 0);
    let probing = "origin HALF-OPEN: open for 2.0 s, probing";
    check(
        &settings(),
        &format!("{fails} /6:F +2 /1:S /7:S /8:S"),
        &[opened, probing, "origin CLOSED: 3 probes succeeded"],
    );
    // Three probes at a time, lost ones come back; a write is no probe and decides nothing.
    check(
        &settings(),
        &format!("{fails} /6:F +2 !/1:F /1:p /1:p /1:p !/1:F /9:S +15 /1:S*3"),
        &[
            opened,
            probing,
            "origin refuses for 15",
            "origin CLOSED: 3 probes succeeded",
        ],
    );
    // Two pages are not the origin.
    check(&settings(), "/1:S*4 !/2:F*20 !/3:F*20", &[]);
}

#[test]
fn a_page_that_has_succeeded_lately_passes_and_another_of_its_path_does_not() {
    let opened = "origin OPEN: 16 of 20 failed in 10 s, 5 paths";
    let refused = "origin refuses for 2";
    let others = "/2:F*4 /3:F*4 /4:F*4 /5:F*3 /6:F";
    let asked = "/1?a:I /1?b:I /1:I";
    check(
        &settings(),
        &format!("/1?a:S*4 {others} {asked}"),
        &[opened, refused, refused],
    );
    check(
        &settings(),
        &format!("/1:S*4 {others} {asked}"),
        &[opened, refused, refused],
    );
}

#[test]
fn connect_failures_open_the_origin_and_no_path() {
    let opened = "origin OPEN: 5 connect failures in a row";
    let tiers = check(
        &settings(),
        "/a:C*5 /b:S",
        &[opened, "origin refuses for 2"],
    );
    assert!(tiers.paths.circuits.is_empty());
    check(&settings(), "/a:C /b:C !/c:C /a:I /d:C /e:C", &[opened]);
    check(&settings(), "/a:C*4 /a:S /a:C*4 /a:F /a:C*4", &[]);
    // As the outcome of a path's probe it frees the slot.
    check(
        &settings(),
        "/a:F*5 +2 /a:C /a:S",
        &[
            "/a OPEN: 5 failures in a row",
            "/a HALF-OPEN: open for 2.0 s, probing",
            "/a CLOSED: the probe succeeded",
        ],
    );
}

#[test]
fn writes_count_toward_the_origin_alone() {
    let tiers = check(&settings(), "!/a:F*9 !/b:F*9 !/c:F", &[]);
    assert!(tiers.paths.circuits.is_empty());
    check(
        &settings(),
        "!/a:F*9 !/b:F*9 !/c:F*2 !/c:F",
        &["origin OPEN: 20 of 20 failed in 10 s, 3 paths"],
    );
    // Begun before the origin opened, ended after: says nothing any more.
    let mut tiers = Tiers::new(&settings(), 1, Instant::ZERO);
    let write = tiers.pass(Target::get(b"/w"), SOMEBODY, at(0));
    play(&mut tiers, "/a:C*5");
    let probe = tiers
        .try_acquire(Target::get(b"/a"), SOMEBODY, at(2))
        .unwrap();
    tiers.record(write, Outcome::Failure, at(2));
    assert_eq!(tiers.origin_state(at(2)), State::HalfOpen);
    tiers.record(probe, Outcome::Success, at(2));
    assert_eq!(tiers.origin_state(at(2)), State::HalfOpen);
}

#[track_caller]
fn check_name(path: &[u8], expected: &str) {
    let permit = Tiers::new(&settings(), 1, Instant::ZERO).pass(Target::get(path), SOMEBODY, at(0));
    assert_eq!(&*display_name(&permit.name), expected);
}

proptest! {
    #[test]
    fn any_traffic_keeps_the_bounds_and_repeats(
        seed in any::<u64>(),
        steps in prop::collection::vec(
            (0..8_u8, any::<bool>(), prop::sample::select(&["C", "F", "F", "F", "I", "S", "p"][..]), 0..3_u64),
            1..200,
        ),
    ) {
        let tight = BreakerSettings {
            consecutive_failures: 2,
            origin_outcomes_min: 8,
            paths_max: 3,
            jitter: 0.5,
            ..settings()
        };
        let run = || {
            let mut tiers = Tiers::new(&tight, seed, Instant::ZERO);
            let mut script = String::new();
            for (page, write, outcome, wait) in &steps {
                let write = if *write { "!" } else { "" };
                script += &format!(" +{} {write}/{page}:{outcome}", *wait * u64::from(*page));
            }
            let said = play(&mut tiers, &script);
            // Never wedged: time and successes alone open every way again.
            let later = at(10_000);
            for _ in 0..tight.origin_probes {
                for page in 0..8 {
                    let path = format!("/{page}");
                    let permit = tiers.try_acquire(Target::get(path.as_bytes()), SOMEBODY, later).unwrap();
                    tiers.record(permit, Outcome::Success, later);
                }
            }
            assert_eq!(tiers.paths_open(), 0);
            assert_eq!(tiers.origin_state(later), State::Closed);
            said
        };
        prop_assert_eq!(run(), run());
    }
}
