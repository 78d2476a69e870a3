//! Owns the runs of the deterministic simulation: many seeds, each twice.
//! Never explains a failure: it names the seed, and `RETTER_SIM_SEED` shows what happened.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use retter_sim::{Outcome, Tally};

/// Worlds of an ordinary run.
const SEEDS: u64 = 256;

/// Events of one world before its end begins.
const STEPS: u64 = 3_000;

/// Every seed is a world that keeps the contract, and the same world each time.
///
/// `RETTER_SIM_SEED=0x2ac` runs one seed and prints its trace; `RETTER_SIM_SEEDS` and
/// `RETTER_SIM_STEPS` widen the search; `RETTER_SIM_EXTRA_SEED` adds one seed, as the hash of the
/// commit that is tested.
#[test]
fn every_seed_keeps_the_contract() {
    let steps = variable("RETTER_SIM_STEPS").unwrap_or(STEPS);
    if let Some(seed) = variable("RETTER_SIM_SEED") {
        return replay(seed, steps);
    }
    let mut seeds = known_seeds();
    seeds.extend(variable("RETTER_SIM_EXTRA_SEED"));
    seeds.extend(0..variable("RETTER_SIM_SEEDS").unwrap_or(SEEDS));
    let started = Instant::now();
    let (tally, mut failures) = run_all(&seeds, steps);
    let secs = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate to be read")]
    let rate = seeds.len() as f64 / secs;
    print(&format!(
        "{} seeds, each twice, {steps} steps: {rate:.1} seeds per second; in all {tally:?}",
        seeds.len()
    ));
    let count = failures.len();
    failures.sort();
    failures.truncate(10);
    assert!(
        failures.is_empty(),
        "{count} seeds:\n{}",
        failures.join("\n")
    );
    let happened = [
        tally.backend,
        tally.copies,
        tally.public,
        tally.local,
        tally.transitions,
        tally.restarts,
    ];
    assert!(
        happened.iter().all(|count| *count > 0),
        "an idle world: {tally:?}"
    );
}

/// Runs one seed and prints what happened in it.
fn replay(seed: u64, steps: u64) {
    let Outcome {
        trace,
        violation,
        tally,
        ..
    } = retter_sim::run(seed, steps, true);
    print(&format!("{trace}{tally:?}"));
    assert_eq!(violation, None, "seed {seed:#x}");
}

/// Runs seeds on all cores; returns what happened in all of them and what went wrong.
fn run_all(seeds: &[u64], steps: u64) -> (Tally, Vec<String>) {
    let next = AtomicUsize::new(0);
    let sum = Mutex::new((Tally::default(), Vec::new()));
    let work = || {
        while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (tally, failure) = check(seed, steps);
            let mut sum = sum.lock().expect("nobody panics while adding");
            sum.0 += tally;
            sum.1.extend(failure);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    sum.into_inner().expect("nobody panics while adding")
}

fn check(seed: u64, steps: u64) -> (Tally, Option<String>) {
    let [first, second] = [0; 2].map(|_| retter_sim::run(seed, steps, false));
    (first.tally, compare(seed, &first, &second))
}

fn compare(seed: u64, first: &Outcome, second: &Outcome) -> Option<String> {
    if let Some(violation) = &first.violation {
        return Some(format!("RETTER_SIM_SEED={seed:#x}: {violation}"));
    }
    (first.hash != second.hash).then(|| format!("seed {seed:#x} is not the same world twice"))
}

/// The seeds that show what is not mended yet; see `seeds.txt`.
fn known_seeds() -> Vec<u64> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds.txt");
    let text = fs::read_to_string(file).expect("the list of seeds is there");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
        .map(|seed| parse(seed).expect("a row begins with a seed"))
        .collect()
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = parse(&text);
    assert!(number.is_some(), "{name}={text} is no number");
    number
}

fn parse(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Past the capture of the test runner, which shows nothing of a test that passes.
fn print(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}
