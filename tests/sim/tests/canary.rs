//! Owns the proof that the simulation finds bugs: each of those that `retter_core::canary` can
//! plant must break the contract in one of the seeds, and those about whose page it is by the
//! judgement that is there for them.
//! Never judges a program without a planted bug: `tests/sim.rs` does.

use std::io::Write as _;

use retter_core::canary::{Plant, plant};

/// Seeds in which a bug must show: most do in the first few, and then no other is looked at.
const SEEDS: u64 = 1_024;

const STEPS: u64 = 3_000;

#[test]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    for bug in Plant::ALL {
        plant(Some(bug));
        let found = (0..SEEDS).find_map(|seed| {
            let violation = retter_sim::run(seed, STEPS, false).violation?;
            violation.contains(says(bug)).then_some((seed, violation))
        });
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

/// What the violation by which a bug is found has to say, where not any will do: a page in wrong
/// hands must show by its bytes, whatever else is wrong with the copy.
fn says(bug: Plant) -> &'static str {
    match bug {
        Plant::KeptWithCookie | Plant::UncutBranch | Plant::UnknownIsHarmless => {
            "bytes that were never sent"
        }
        Plant::UnendedSession => "a copy of a session that was signed out of",
        Plant::OnDiskAfterDrop => "a copy that was made wrong",
        Plant::ParkedLogin => "another client's login",
        Plant::PlaceTwice => "another visitor's place",
        Plant::PublicForPersonal => "for who is somebody",
        Plant::PublicOfVisitor => "bytes that were never sent to `strangers`",
        Plant::PublicWithToken => "a value that a stranger was handed",
        Plant::StrangerWithCookie => "a stranger asks with what is a visitor's",
        Plant::BusyGivesWay
        | Plant::DeafToConnections
        | Plant::Desync
        | Plant::EveryoneProbes
        | Plant::ForbiddenStale
        | Plant::GoodIsError
        | Plant::KeptAfterWrite
        | Plant::LostProbe
        | Plant::LostSlot
        | Plant::MixedPartitions
        | Plant::OpenLetsPass
        | Plant::OverloadWithRoom
        | Plant::RepeatedWrite
        | Plant::RescuedForNothing
        | Plant::SilentEnd
        | Plant::TruncatedCopy
        | Plant::TruncatedEnd
        | Plant::WantIsFailure => "",
    }
}
