//! Owns the replay of everything that is kept of fuzzing: a seed or a corpus file that shows a
//! fault fails the ordinary tests. Never grows a corpus: `tests/run.sh fuzz` does.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::{Body, TARGETS};
use crate::canary::{Plant, plant};

/// Bytes of all that is kept: small enough for everybody's clone.
const BYTES_MAX: u64 = 2 << 20;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// The files of a directory in their order; none when there is no such directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Gives every file to `body`; returns the names of those that show a fault.
fn faulty(files: &[PathBuf], body: Body) -> Vec<String> {
    let shows_fault = |file: &&PathBuf| {
        let data = fs::read(file).unwrap();
        catch_unwind(AssertUnwindSafe(|| body(&data))).is_err()
    };
    let faulty = files.iter().filter(shows_fault);
    faulty.map(|file| file.display().to_string()).collect()
}

#[test]
fn nothing_that_is_kept_shows_a_fault() {
    let mut bytes = 0;
    for (name, body) in TARGETS {
        let seeds = files(&root().join("seeds").join(name));
        assert!(seeds.len() >= 3, "{name} has seeds that somebody wrote");
        let kept = [seeds, files(&root().join("corpus").join(name))].concat();
        bytes += kept
            .iter()
            .map(|file| fs::metadata(file).unwrap().len())
            .sum::<u64>();
        assert_eq!(faulty(&kept, body), [""; 0], "{name}");
    }
    assert!(bytes <= BYTES_MAX, "{bytes} bytes are kept");
}

#[test]
fn a_file_that_shows_a_fault_is_found() {
    fn planted(data: &[u8]) {
        assert!(!data.starts_with(b"POST "), "planted");
    }
    let seeds = files(&root().join("seeds/h1_request"));
    let expected: Vec<String> = seeds
        .iter()
        .filter(|seed| fs::read(seed).unwrap().starts_with(b"POST "))
        .map(|seed| seed.display().to_string())
        .collect();
    assert!(!expected.is_empty() && expected.len() < seeds.len());
    assert_eq!(faulty(&seeds, planted), expected);
}

#[test]
fn seeds_of_sessions_show_planted_bugs() {
    let seeds = files(&root().join("seeds/session"));
    // Those that show in what one connection carries. When and why, no content tells.
    let shown = [
        Plant::Desync,
        Plant::LostSlot,
        Plant::MixedPartitions,
        Plant::RepeatedWrite,
        Plant::TruncatedCopy,
        Plant::TruncatedEnd,
    ];
    for bug in shown {
        plant(Some(bug));
        let faulty = faulty(&seeds, super::session::session);
        plant(None);
        assert!(!faulty.is_empty(), "no seed shows {bug:?}");
    }
}

#[test]
fn seeds_of_chains_show_planted_bugs() {
    let seeds = files(&root().join("seeds/chains"));
    // Those by which a page gets into other hands.
    let shown = [Plant::MixedPartitions, Plant::PublicOfVisitor];
    for bug in shown {
        plant(Some(bug));
        let faulty = faulty(&seeds, super::chains::chains);
        plant(None);
        assert!(!faulty.is_empty(), "no seed shows {bug:?}");
    }
}

#[test]
fn every_target_has_a_shim_and_nothing_else_is_kept() {
    let names = |path: &str| -> BTreeSet<String> {
        let stem = |file: PathBuf| file.file_stem().unwrap().to_str().unwrap().to_owned();
        files(&root().join(path)).into_iter().map(stem).collect()
    };
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("seeds"), targets);
    assert!(names("corpus").is_subset(&targets));
}
