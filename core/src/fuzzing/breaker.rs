//! Owns the target of the breaker: one circuit step by step beside its model, and the two tiers,
//! whose every change must follow from the one before and which must never be wedged.
//! Never knows the tiers' inner state: it follows what they tell.

use std::collections::BTreeMap;
use std::time::Duration;

use super::input::Input;
use crate::breaker::model::{SlowTerms, Terms};
use crate::breaker::pair::{Event, Pair, at};
use crate::breaker::{Outcome, State, Target, Tier, TierPermit, Tiers, Visitor};
use crate::config::BreakerSettings;
use crate::time::Instant;

/// Ten numbers of the terms, then one byte for each event. See [the table](super).
pub fn breaker(data: &[u8]) {
    let mut input = Input(data);
    let terms = terms(&mut input);
    one_circuit(&terms, input.clone());
    both_tiers(&terms, input);
}

/// Calls that are out at one time.
const BEGUN_MAX: usize = 32;

const OUTCOMES: [Outcome; 5] = [
    Outcome::ConnectFailure,
    Outcome::Failure,
    Outcome::Ignore,
    Outcome::Success,
    Outcome::Slow {
        over: Duration::from_secs(1),
    },
];

fn terms(input: &mut Input<'_>) -> Terms {
    let mut number = |from: u8, count: u8| u64::from(from + input.below(count));
    let window = number(1, 20);
    let rate = [0.01, 0.3, 0.5, 0.66, 1.0, 2.0][usize::try_from(number(0, 6)).unwrap_or(0)];
    let open_min = number(1, 9);
    let outcomes_min = u32::try_from(number(1, 9)).unwrap_or(1);
    let row = u32::try_from(number(1, 7)).unwrap_or(1);
    let slow = SlowTerms {
        rate,
        outcomes_min,
        row,
    };
    Terms {
        window,
        rate,
        outcomes_min,
        row,
        slow,
        row_of_connect_failures: number(0, 2) > 0,
        open_min,
        open_max: open_min + number(0, 40),
        lease: number(1, 9),
        witnesses: usize::try_from(number(1, 3)).unwrap_or(1),
        needed: usize::try_from(number(1, 4)).unwrap_or(1),
    }
}

fn one_circuit(terms: &Terms, mut input: Input<'_>) {
    let mut pair = Pair::new(terms);
    while !input.is_empty() {
        let byte = input.byte();
        let outcome = OUTCOMES[usize::from(byte >> 2) % OUTCOMES.len()];
        let event = match byte & 3 {
            0 | 1 if pair.begun() < BEGUN_MAX => Event::Acquire(one_of_few(byte)),
            0 => Event::EndNewest(outcome),
            1 | 2 => Event::EndOldest(outcome),
            _ => Event::Wait(u64::from(byte >> 2 & 0x0f)),
        };
        if pair.has_effect(event) {
            pair.apply(event);
        }
    }
    pair.check_recovers();
}

/// What was told of the tiers so far.
struct Told {
    now: Instant,
    origin: State,
    /// Of paths whose circuit is not closed.
    paths: BTreeMap<String, State>,
}

const PATHS: [&[u8]; 6] = [b"/", b"/a", b"/b", b"/c", b"/d?e", b"/f"];

fn both_tiers(terms: &Terms, mut input: Input<'_>) {
    let settings = settings(terms);
    let mut tiers = Tiers::new(&settings, 1, at(0));
    let mut told = Told {
        now: at(0),
        origin: State::Closed,
        paths: BTreeMap::new(),
    };
    let mut begun: Vec<TierPermit> = Vec::new();
    while !input.is_empty() {
        let byte = input.byte();
        let path = Target {
            is_head: byte >> 2 == 7,
            ..Target::get(PATHS[usize::from(byte >> 4) % PATHS.len()])
        };
        match byte & 3 {
            0 | 1 if begun.len() < BEGUN_MAX => {
                begun.extend(acquire(&mut tiers, path, visitor(byte), &told));
            }
            2 if !begun.is_empty() => {
                let permit = begun.remove(usize::from(byte >> 4) % begun.len());
                tiers.record(
                    permit,
                    OUTCOMES[usize::from(byte >> 2) % OUTCOMES.len()],
                    told.now,
                );
            }
            0..=2 => begun.push(tiers.pass(path, Some(visitor(byte)), told.now)),
            _ => told.now = told.now + Duration::from_millis(u64::from(byte >> 2) * 250),
        }
        follow(&mut tiers, &mut told);
    }
    begun.truncate(3);
    check_never_wedged(&mut tiers, &mut told, terms);
}

fn settings(terms: &Terms) -> BreakerSettings {
    BreakerSettings {
        window: Duration::from_secs(terms.window),
        failure_rate: terms.rate.min(1.0),
        consecutive_failures: terms.row,
        path_outcomes_min: terms.outcomes_min,
        origin_outcomes_min: terms.outcomes_min + 3,
        origin_paths_min: terms.outcomes_min % 4 + 1,
        open_min: Duration::from_secs(terms.open_min),
        open_max: Duration::from_secs(terms.open_max),
        probe_lease: Duration::from_secs(terms.lease),
        origin_probes: u32::try_from(terms.needed).unwrap_or(1),
        paths_max: 3,
        ..BreakerSettings::default()
    }
}

/// One of a few, of three networks.
fn visitor(byte: u8) -> Visitor {
    Visitor {
        network: u64::from(byte >> 2) % 3,
        session: u64::from(byte >> 5),
    }
}

/// One of six: the model forgets nobody, and a circuit that does not tell pages apart tells eight
/// visitors apart.
fn one_of_few(byte: u8) -> Visitor {
    let Visitor { network, session } = visitor(byte);
    Visitor {
        network,
        session: session % 2,
    }
}

fn acquire(
    tiers: &mut Tiers,
    path: Target<'_>,
    visitor: Visitor,
    told: &Told,
) -> Option<TierPermit> {
    match tiers.try_acquire(path, Some(visitor), told.now) {
        Ok(mut permit) => {
            // Only what has succeeded lately passes a circuit that is open.
            let state = tiers.state(path, told.now);
            assert!(state != State::Open || permit.circuit() == State::Open);
            permit.note_crowd(u32::from(visitor.session == 1), 0);
            Some(permit)
        }
        Err(rejected) => {
            assert!(
                rejected.retry_at > told.now,
                "a refusal names a time to come"
            );
            assert_ne!(tiers.state(path, told.now), State::Closed);
            if rejected.tier == Tier::Origin {
                assert_ne!(tiers.origin_state(told.now), State::Closed);
            }
            None
        }
    }
}

/// Takes what changed; each change begins where the one before ended.
fn follow(tiers: &mut Tiers, told: &mut Told) {
    while let Some(change) = tiers.poll_transition() {
        assert_ne!(change.from, change.to);
        assert_eq!(change.at, told.now);
        match change.tier {
            Tier::Origin => {
                assert_eq!((change.from, change.path), (told.origin, None));
                told.origin = change.to;
            }
            Tier::Path => {
                let path = change
                    .path
                    .expect("a path's circuit has a name")
                    .to_string();
                let known = told.paths.remove(&path).unwrap_or(State::Closed);
                assert_eq!(change.from, known, "{path}");
                if change.to != State::Closed {
                    told.paths.insert(path, change.to);
                }
            }
        }
    }
    assert_eq!(tiers.paths_open(), told.paths.len());
    assert!(tiers.paths_open() <= 3, "as many circuits as were allowed");
    let is_calm = told.origin == State::Closed && told.paths.is_empty();
    assert_eq!(tiers.is_calm(), is_calm);
}

/// Time and successful calls alone close every circuit, whatever was lost.
fn check_never_wedged(tiers: &mut Tiers, told: &mut Told, terms: &Terms) {
    for _ in 0..3 {
        told.now = told.now + Duration::from_secs(terms.open_max.max(terms.lease));
        for path in PATHS {
            // One success closes a path, a few the origin.
            for turn in 0..terms.needed * 2 {
                let target = Target {
                    is_head: turn % 2 > 0,
                    ..Target::get(path)
                };
                let permit = tiers.try_acquire(target, None, told.now);
                let permit = permit.expect("time alone makes room for a probe");
                tiers.record(permit, Outcome::Success, told.now);
                follow(tiers, told);
            }
        }
    }
    assert!(tiers.is_calm());
}
