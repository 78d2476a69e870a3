//! Owns the proof that the limit finds what an origin bears, on many origins under many loads, and
//! that the queue keeps its order all the while.
//! Never uses a socket or a clock: a run is its seed.

use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use retter_core::rng::Rng;
use retter_tests::admission::{Change, Course, Model, Outcome, Pages, Run, Shape, Spread, run};
use retter_tests::seeds::{print, variable};

/// Runs by default: some seconds. `RETTER_ADMISSION_SEEDS=1000` runs more,
/// `RETTER_ADMISSION_SEED=17` one alone.
const SEEDS: u64 = 40;

/// Part of the best fixed limit's good answers that every run must reach, every run under a steady
/// load, and the mean of all.
const GOOD_MIN: f64 = 0.7;
const GOOD_STEADY_MIN: f64 = 0.85;
const GOOD_MEAN_MIN: f64 = 0.93;

const PLAIN: Model = Model {
    name: "8 x 20 ms",
    workers: 8,
    service: Duration::from_millis(20),
    spread: Spread::Exponential,
    thrash: None,
    breaks_above: u32::MAX,
    broken: 0.0,
    stall: None,
    change: Change::None,
};

/// The origin of the surge bench.
const FRAGILE: Model = Model {
    name: "fragile",
    spread: Spread::Even,
    thrash: Some(32.0),
    breaks_above: 256,
    ..PLAIN
};

fn models() -> Vec<Model> {
    let of = |name, workers, millis| Model {
        name,
        workers,
        service: Duration::from_millis(millis),
        ..PLAIN
    };
    let changing = |name, change| Model {
        name,
        change,
        ..PLAIN
    };
    vec![
        of("1 x 20 ms", 1, 20),
        of("2 x 100 ms", 2, 100),
        of("4 x 500 ms", 4, 500),
        PLAIN,
        of("32 x 100 ms", 32, 100),
        of("64 x 50 ms", 64, 50),
        of("16 x 5 ms", 16, 5),
        of("1 x 4 ms", 1, 4),
        Model {
            name: "busy machine",
            workers: 1,
            service: Duration::from_millis(8),
            stall: Some((Duration::from_millis(400), Duration::from_millis(60))),
            ..PLAIN
        },
        Model {
            name: "mixed pages",
            spread: Spread::Mixed,
            ..PLAIN
        },
        FRAGILE,
        Model {
            name: "4 x 50 ms, thrashes",
            workers: 4,
            service: Duration::from_millis(50),
            thrash: Some(16.0),
            ..PLAIN
        },
        Model {
            name: "stalls",
            stall: Some((Duration::from_secs(2), Duration::from_millis(200))),
            ..FRAGILE
        },
        Model {
            name: "stalls long",
            stall: Some((Duration::from_secs(5), Duration::from_secs(1))),
            ..PLAIN
        },
        Model {
            name: "a fifth broken",
            workers: 4,
            broken: 0.2,
            ..PLAIN
        },
        changing("4 times slower", Change::Service(4.0)),
        changing("4 times faster", Change::Service(0.25)),
        changing("8 to 24 workers", Change::Workers(24)),
        changing("8 to 3 workers", Change::Workers(3)),
        changing("dead for 3 s", Change::Dead(Duration::from_secs(3))),
    ]
}

fn shapes() -> Vec<Shape> {
    let of = |name, course| Shape {
        name,
        course,
        writes: 0.1,
        pages: Pages::Unique,
    };
    vec![
        of("just full", Course::Steady(1.2)),
        of("surge", Course::Steady(5.0)),
        of("half", Course::Steady(0.5)),
        of("ramp", Course::Ramp(3.0)),
        of("spike", Course::Spike(4.0)),
        of("sine", Course::Sine),
        of("bursts", Course::Bursts(0.4, 25.0)),
        Shape {
            name: "flash crowd",
            course: Course::Steady(4.0),
            writes: 0.0,
            pages: Pages::One,
        },
        Shape {
            name: "crawler",
            course: Course::Steady(1.5),
            writes: 0.0,
            pages: Pages::Unique,
        },
        Shape {
            name: "writes",
            course: Course::Steady(2.0),
            writes: 0.8,
            pages: Pages::Unique,
        },
    ]
}

/// A run and what it is compared with.
struct Trial {
    run: Run,
    /// Limits, one of which is as good as any.
    fixed: Vec<u32>,
}

/// What came of it.
struct Result {
    seed: u64,
    run: Run,
    /// Good answers, as part of those of the best fixed limit.
    part: f64,
    best: u32,
    outcome: Outcome,
}

impl Trial {
    fn of(model: Model, shape: Shape, seed: u64) -> Self {
        let capacity = f64::from(model.workers) / model.service.as_secs_f64();
        // A slow origin gets the time for as many answers as a fast one gives in 5 s or so.
        let settle = Duration::from_secs_f64((200.0 / capacity).max(5.0));
        let (length, counts_from) = match model.change {
            Change::None => (settle * 3, settle),
            // It comes in the middle, and has as long to be found out.
            Change::Dead(_) | Change::Service(_) | Change::Workers(_) => (settle * 4, settle * 3),
        };
        let workers = match model.change {
            Change::Workers(workers) => workers,
            Change::Dead(_) | Change::None | Change::Service(_) => model.workers,
        };
        Self {
            run: Run {
                model,
                shape,
                fixed: None,
                length,
                counts_from,
                seed,
            },
            fixed: vec![
                workers,
                workers + 1,
                workers + workers.div_ceil(4),
                workers * 2,
            ],
        }
    }

    fn by_seed(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let (models, shapes) = (models(), shapes());
        let pick = |count: usize, rng: &mut Rng| {
            usize::try_from(rng.next() % count as u64).expect("it is below a usize")
        };
        let model = models[pick(models.len(), &mut rng)];
        let shape = shapes[pick(shapes.len(), &mut rng)];
        Self::of(model, shape, seed)
    }

    fn go(&self, seed: u64) -> Result {
        let outcome = run(self.run);
        let fixed = self.fixed.iter().map(|&limit| {
            let fixed = Run {
                fixed: Some(limit),
                ..self.run
            };
            (run(fixed).good, limit)
        });
        let (good, best) = fixed.max().expect("there is one");
        #[expect(clippy::cast_precision_loss, reason = "counts of one run are small")]
        let part = (outcome.good as f64 + 1.0) / (good as f64 + 1.0);
        Result {
            seed,
            run: self.run,
            part,
            best,
            outcome,
        }
    }
}

impl Result {
    /// The limit that so many in a hundred looks found to be at most as high, over all of the
    /// counted time or its second half.
    fn limit(&self, part: usize, late: bool) -> u32 {
        let looks = &self.outcome.limits;
        let skipped = if late { looks.len() / 2 } else { 0 };
        let mut limits = looks[skipped..].to_vec();
        limits.sort_unstable();
        limits.get(limits.len() * part / 100).copied().unwrap_or(0)
    }

    fn is_steady(&self) -> bool {
        matches!(self.run.shape.course, Course::Steady(_))
    }

    /// By which factor the limit swings although nothing changes. Between 1 and 8 it may: there a
    /// step is a factor.
    fn swing(&self) -> f64 {
        if !self.is_steady() || !matches!(self.run.model.change, Change::None) {
            return 1.0;
        }
        let low = self.limit(5, true).max(4);
        f64::from(self.limit(95, true)) / f64::from(low)
    }

    /// Whether the limit holds requests back that nobody minds at the origin: it is no surge, and as
    /// many as at the start would be answered there within a quarter of a second, and do not
    /// disturb each other.
    fn is_needlessly_low(&self) -> bool {
        const START: u32 = 8;
        let Model {
            workers,
            service,
            thrash,
            breaks_above,
            change,
            ..
        } = self.run.model;
        let longest = service * START / workers.min(START);
        let is_harmless = longest <= Duration::from_millis(200)
            && thrash.is_none()
            && breaks_above == u32::MAX
            && matches!(change, Change::None);
        let is_calm = match self.run.shape.course {
            Course::Bursts(..) => true,
            Course::Steady(load) => load < 1.0,
            Course::Ramp(_) | Course::Sine | Course::Spike(_) => false,
        };
        is_calm && is_harmless && self.limit(25, true) < START / 2
    }

    fn line(&self) -> String {
        let at = |part| self.limit(part, false);
        let (came, well) = self.outcome.writes;
        format!(
            "{:20} {:12} {:5.1} % of the best fixed limit ({:3}); limit {:3} to {:3}, median {:3}; \
             {:6} of {:6} good, writes {well} of {came}; seed {}",
            self.run.model.name,
            self.run.shape.name,
            self.part * 100.0,
            self.best,
            at(5),
            at(95),
            at(50),
            self.outcome.good,
            self.outcome.came,
            self.seed,
        )
    }
}

#[test]
fn the_limit_finds_what_origins_bear_and_the_queue_keeps_its_order() {
    if let Some(seed) = variable("RETTER_ADMISSION_SEED") {
        let result = Trial::by_seed(seed).go(seed);
        print(&result.line());
        assert!(
            result.outcome.violations.is_empty(),
            "{:?}",
            result.outcome.violations
        );
        return;
    }
    let seeds: Vec<u64> = (0..variable("RETTER_ADMISSION_SEEDS").unwrap_or(SEEDS)).collect();
    let mut results = on_all_cores(&seeds, |seed| Trial::by_seed(seed).go(seed));
    results.sort_by(|one, other| one.part.total_cmp(&other.part));
    let worst = &results[0];
    #[expect(clippy::cast_precision_loss, reason = "there are thousands at most")]
    let mean = results
        .iter()
        .map(|result| result.part.min(1.0))
        .sum::<f64>()
        / results.len() as f64;
    print(&format!(
        "mean {:.1} %; the worst of {}:",
        mean * 100.0,
        results.len()
    ));
    for result in results.iter().take(10) {
        print(&result.line());
    }
    let by_swing = |one: &&Result, other: &&Result| one.swing().total_cmp(&other.swing());
    let widest = results.iter().max_by(by_swing).expect("there are some");
    let swing = widest.swing();
    print(&format!("the widest swing, {swing:.2}:\n{}", widest.line()));
    for result in &results {
        let violations = &result.outcome.violations;
        assert!(violations.is_empty(), "{}: {violations:?}", result.line());
        assert!(result.swing() <= 2.0, "it swings: {}", result.line());
        let is_low = result.is_needlessly_low();
        assert!(!is_low, "it is needlessly low: {}", result.line());
    }
    assert!(worst.part >= GOOD_MIN, "{}", worst.line());
    let steady = results.iter().find(|result| result.is_steady());
    let steady = steady.expect("there are some");
    print(&format!(
        "the worst under a steady load:\n{}",
        steady.line()
    ));
    assert!(steady.part >= GOOD_STEADY_MIN, "{}", steady.line());
    assert!(mean >= GOOD_MEAN_MIN, "{mean}");
}

/// The surge of the bench: five times what the fragile origin can do, a tenth of it writes.
#[test]
fn a_surge_on_a_fragile_origin() {
    let shape = shapes()[1];
    // Eight workers, 20 ms, and an eighth of an eighth more because of one another.
    const CAPACITY: f64 = 376.0;
    let seeds: Vec<u64> = (0..4).collect();
    let results = on_all_cores(&seeds, |seed| Trial::of(FRAGILE, shape, seed).go(seed));
    for result in results {
        print(&result.line());
        let Run {
            length,
            counts_from,
            ..
        } = result.run;
        let seconds = (length - counts_from).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a few thousands")]
        let (good, (came, well)) = (
            result.outcome.good as f64 / seconds,
            (
                result.outcome.writes.0 as f64,
                result.outcome.writes.1 as f64,
            ),
        );
        assert!(good >= 0.9 * CAPACITY, "{good} a second");
        assert!(well >= 0.99 * came, "{well} of {came} writes");
    }
}

/// A small site that is well: one worker, a few milliseconds, 25 visitors at once and then none.
#[test]
fn bursts_on_a_small_site() {
    let bursts = Shape {
        name: "bursts",
        course: Course::Bursts(0.4, 25.0),
        writes: 0.1,
        pages: Pages::Unique,
    };
    let models: Vec<Model> = models()
        .into_iter()
        .filter(|model| model.workers == 1 || model.broken > 0.0)
        .collect();
    let seeds: Vec<u64> = (0..12).collect();
    let results = on_all_cores(&seeds, |seed| {
        let model = models[usize::try_from(seed).expect("a few") % models.len()];
        Trial::of(model, bursts, seed).go(seed)
    });
    for result in results {
        let is_low = result.is_needlessly_low();
        assert!(!is_low, "it is needlessly low: {}", result.line());
        assert!(result.part >= 0.95, "{}", result.line());
    }
}

/// Prints the table of each origin under each load: `RETTER_ADMISSION_TABLE=1`.
#[test]
fn a_table_of_all() {
    if variable("RETTER_ADMISSION_TABLE").is_none() {
        return;
    }
    let pairs: Vec<(Model, Shape)> = models()
        .into_iter()
        .flat_map(|model| shapes().into_iter().map(move |shape| (model, shape)))
        .collect();
    let numbers: Vec<u64> = (0..pairs.len() as u64).collect();
    let mut results = on_all_cores(&numbers, |number| {
        let (model, shape) = pairs[usize::try_from(number).expect("it is one of them")];
        Trial::of(model, shape, 1).go(number)
    });
    results.sort_by_key(|result| result.seed);
    let mut table = String::new();
    for result in results {
        let _ = writeln!(table, "{}", result.line());
    }
    print(&table);
}

/// Does the work of all seeds.
fn on_all_cores<T: Send>(seeds: &[u64], work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push(work(*seed));
        }
        done
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no worker panics"))
            .collect()
    })
}
