//! Owns the proof that the simulation finds bugs: each of those that `retter_core::canary` can
//! plant must break the contract in one of the seeds.
//! Never judges a program without a planted bug: `tests/sim.rs` does.

use std::io::Write as _;

use retter_core::canary::{Plant, plant};

/// Seeds in which a bug must show, far fewer than an ordinary run has.
const SEEDS: u64 = 128;

const STEPS: u64 = 3_000;

#[test]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    for bug in Plant::ALL {
        plant(Some(bug));
        let found = (0..SEEDS)
            .find_map(|seed| Some((seed, retter_sim::run(seed, STEPS, false).violation?)));
        // Past the capture of the test runner: which seed finds what is the result.
        let line = match &found {
            Some((seed, text)) => {
                let text = text.lines().next().unwrap_or_default();
                format!("{bug:?} is found by seed {seed:#x}: {text}")
            }
            None => format!("{bug:?} is not found"),
        };
        let _ = writeln!(std::io::stderr(), "{line}");
        if found.is_none() {
            missed.push(bug);
        }
    }
    plant(None);
    assert!(missed.is_empty(), "not found in {SEEDS} seeds: {missed:?}");
}
