//! Owns the reference model of the two tiers: the contract of [`Tiers`] once more, over one
//! [model of a circuit](crate::breaker::model) for the origin and one for each path that has failed;
//! compared with the real ones step by step.
//! Never models one circuit, nor when a call is slow: it is told.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::breaker::model::{Model, SlowTerms, Terms, Ticket};

const PATHS_MAX: usize = 3;
const PAGES: u8 = 5;
const PATH: Terms = Terms {
    window: 10,
    rate: 0.6,
    outcomes_min: 3,
    row: 2,
    row_of_connect_failures: false,
    open_min: 2,
    open_max: 20,
    lease: 5,
    needed: 1,
    slow: SlowTerms {
        rate: 0.6,
        outcomes_min: 3,
        row: 2,
    },
    witnesses: 2,
};
const ORIGIN: Terms = Terms {
    outcomes_min: 6,
    row_of_connect_failures: true,
    needed: 2,
    open_max: 2,
    witnesses: 3,
    ..PATH
};

/// A request of the model.
#[derive(Debug)]
struct Call {
    page: u8,
    visitor: Visitor,
    origin: Option<Ticket>,
    path: Option<Ticket>,
    is_read: bool,
    /// The origin's circuit refuses, but the page has succeeded lately.
    is_past: bool,
    /// It may be told to be slow; `true` where the path's own time is known.
    slow: Option<bool>,
}

#[derive(Debug)]
struct PathModel {
    circuit: Model,
    /// The first generation.
    born: u64,
    /// When it last failed, in failures of all paths.
    failed: u64,
}

#[derive(Debug)]
struct TiersModel {
    origin: Model,
    paths: BTreeMap<u8, PathModel>,
    failures: u64,
    /// Of pages that have had a circuit that has ever opened.
    generations: BTreeMap<u8, u64>,
    /// Pages whose own time is known.
    known: BTreeSet<u8>,
    /// When pages have succeeded, and for whom; and those that have failed since.
    good: BTreeMap<u8, Vec<(u64, Visitor)>>,
    failed: BTreeSet<u8>,
    /// Since when a page must have succeeded to pass the origin's circuit, and how many of those that
    /// have passed have failed.
    past: Option<(u64, u32)>,
}

impl TiersModel {
    fn acquire(&mut self, page: u8, visitor: Visitor, now: u64) -> Result<Call, (Tier, u64)> {
        let acquired = self.origin.acquire(visitor, now);
        let passes = self.past.is_some_and(|(from, failed)| {
            let last = self.good.get(&page).and_then(|seen| seen.last());
            let is_good = last.is_some_and(|(at, _)| *at >= from) && !self.failed.contains(&page);
            failed < 3 && is_good
        });
        let is_past = acquired.is_err() && passes;
        let origin = match acquired {
            Ok(ticket) => ticket,
            Err(_) if passes => Ticket::of(self.origin.generation, now),
            Err(retry_at) => return Err((Tier::Origin, retry_at)),
        };
        let path = match self.paths.get_mut(&page) {
            Some(path) => path.circuit.acquire(visitor, now),
            None => Ok(Ticket::of(self.generation_of(page), now)),
        };
        match path {
            Ok(path) => Ok(Call {
                page,
                visitor,
                origin: Some(origin),
                path: Some(path),
                is_read: true,
                is_past,
                slow: Some(self.known.contains(&page)),
            }),
            Err(retry_at) => {
                self.origin_record(origin, visitor, Outcome::Ignore, now);
                Err((Tier::Path, retry_at))
            }
        }
    }

    /// An onlooker of an open circuit decides nothing.
    fn origin_record(&mut self, ticket: Ticket, visitor: Visitor, outcome: Outcome, now: u64) {
        let decides = ticket.is_probe() || self.origin.is_closed();
        if decides || ticket.generation() != self.origin.generation {
            let was_closed = self.origin.is_closed();
            self.origin.record(ticket, visitor, outcome, now);
            self.note_origin(was_closed, now);
        } else if outcome == Outcome::Success {
            self.origin.hear_news(now);
        }
    }

    fn note_origin(&mut self, was_closed: bool, now: u64) {
        if self.origin.is_closed() {
            self.past = None;
        } else if was_closed {
            let from = now.saturating_sub(ORIGIN.window);
            self.past = self.origin.is_by_failures.then_some((from, 0));
        } else if !self.origin.is_by_failures {
            self.past = None;
        }
    }

    /// One that has passed has failed, or is slow.
    fn note_bad(&mut self, call: &Call) {
        if call.is_past
            && let Some((_, failed)) = &mut self.past
        {
            *failed += 1;
        }
        if call.is_read {
            self.failed.insert(call.page);
        }
    }

    fn pass(&self, page: u8, visitor: Visitor, now: u64) -> Call {
        // Only a closed circuit counts calls that it did not let in.
        let counts = self.origin.is_closed();
        Call {
            page,
            visitor,
            origin: counts.then(|| Ticket::of(self.origin.generation, now)),
            path: None,
            is_read: false,
            is_past: false,
            slow: Some(false),
        }
    }

    fn record_slow(&mut self, call: &mut Call, slow: Outcome, now: u64) {
        let Some(is_known) = call.slow.take() else {
            return;
        };
        self.note_bad(call);
        if let Some(origin) = call.origin.take() {
            self.origin_record(origin, call.visitor, slow, now);
        }
        if is_known && let Some(path) = call.path.take() {
            self.record_path((call.page, call.visitor), path, slow, now);
        }
    }

    fn record(&mut self, call: Call, outcome: Outcome, now: u64) {
        let was_closed = self.origin.is_closed();
        if outcome == Outcome::Failure {
            self.note_bad(&call);
        }
        if outcome == Outcome::Success {
            self.origin.hear_news(now);
            if call.is_read
                && let Some(path) = self.paths.get_mut(&call.page)
            {
                path.circuit.hear_news(now);
            }
        }
        if let Some(origin) = call.origin {
            // A page that is known to be broken says nothing of the origin by being so.
            let is_known = origin.is_probe() && call.path.is_some_and(Ticket::is_probe);
            let says_nothing = is_known && outcome == Outcome::Failure;
            let told = if says_nothing {
                Outcome::Ignore
            } else {
                outcome
            };
            self.origin_record(origin, call.visitor, told, now);
        }
        if !was_closed && self.origin.is_closed() {
            self.paths_return(now);
        }
        if let Some(path) = call.path {
            let says_nothing = outcome == Outcome::ConnectFailure;
            let outcome = if says_nothing {
                Outcome::Ignore
            } else {
                outcome
            };
            self.record_path((call.page, call.visitor), path, outcome, now);
        }
        if outcome == Outcome::Success && call.is_read {
            let good = self.good.entry(call.page).or_default();
            good.push((now, call.visitor));
            self.failed.remove(&call.page);
        }
    }

    fn paths_return(&mut self, now: u64) {
        for path in self.paths.values_mut() {
            path.circuit.return_now(now);
        }
    }

    fn record_path(
        &mut self,
        (page, visitor): (u8, Visitor),
        ticket: Ticket,
        outcome: Outcome,
        now: u64,
    ) {
        let failed = matches!(outcome, Outcome::Failure | Outcome::Slow { .. });
        if !self.paths.contains_key(&page) {
            let generation = self.generation_of(page);
            if !failed || ticket.generation() != generation {
                return;
            }
            self.make_room();
            let mut circuit = Model::with_generation(PATH, generation);
            for (at, who) in self.well(page, now) {
                circuit.greet(who, at);
            }
            let path = PathModel {
                circuit,
                born: generation,
                failed: 0,
            };
            self.paths.insert(page, path);
        }
        let Some(path) = self.paths.get_mut(&page) else {
            return;
        };
        path.circuit.record(ticket, visitor, outcome, now);
        if failed {
            self.failures += 1;
            path.failed = self.failures;
        } else if path.circuit.is_healthy(now) {
            self.forget(page);
        }
    }

    /// Visitors who have seen the page succeed in the window: the last, and the last other one.
    fn well(&self, page: u8, now: u64) -> Vec<(u64, Visitor)> {
        let Some(&last) = self.good.get(&page).and_then(|seen| seen.last()) else {
            return Vec::new();
        };
        let other = self.good[&page].iter().rfind(|(_, who)| *who != last.1);
        let from = now.saturating_sub(PATH.window);
        let well = [last].into_iter().chain(other.copied());
        well.filter(|(at, _)| *at >= from).collect()
    }

    /// Closed ones give way first, then the one that failed least recently.
    fn make_room(&mut self) {
        if self.paths.len() == PATHS_MAX {
            let rank = |path: &PathModel| (!path.circuit.is_closed(), path.failed);
            let victim = self.paths.iter().min_by_key(|(_, path)| rank(path));
            let victim = *victim.expect("there are some").0;
            self.forget(victim);
        }
    }

    /// What began while a circuit was there that has ever opened does not count in a later one.
    fn forget(&mut self, page: u8) {
        let path = self.paths.remove(&page).expect("it is there");
        if path.circuit.generation != path.born {
            self.generations.insert(page, path.circuit.generation + 1);
        }
    }

    fn generation_of(&self, page: u8) -> u64 {
        self.generations.get(&page).copied().unwrap_or(0)
    }
}

#[derive(Clone, Debug)]
enum Event {
    /// A GET, or with `true` a write.
    Begin(u8, bool, Visitor),
    End(prop::sample::Index, Outcome),
    Slow(prop::sample::Index),
    Wait(u64),
    /// The origin takes connections again.
    Connected,
}

/// The tiers and their model, side by side.
struct Pair {
    tiers: Tiers,
    model: TiersModel,
    begun: Vec<(TierPermit, Call)>,
    now: u64,
}

impl Pair {
    fn new() -> Self {
        let seconds = Duration::from_secs;
        let settings = BreakerSettings {
            window: seconds(PATH.window),
            failure_rate: PATH.rate,
            consecutive_failures: PATH.row,
            slow_rate: Some(PATH.slow.rate),
            origin_outcomes_min: ORIGIN.outcomes_min,
            // The model of a circuit knows no paths.
            origin_paths_min: 1,
            origin_probes: 2,
            path_outcomes_min: PATH.outcomes_min,
            open_min: seconds(PATH.open_min),
            open_max: seconds(PATH.open_max),
            probe_lease: seconds(PATH.lease),
            paths_max: PATHS_MAX,
            jitter: 0.0,
            ..BreakerSettings::default()
        };
        Self {
            tiers: Tiers::new(&settings, 1, Instant::ZERO),
            model: TiersModel {
                origin: Model::new(ORIGIN),
                paths: BTreeMap::new(),
                failures: 0,
                generations: BTreeMap::new(),
                known: BTreeSet::new(),
                good: BTreeMap::new(),
                failed: BTreeSet::new(),
                past: None,
            },
            begun: Vec::new(),
            now: 0,
        }
    }

    fn apply(&mut self, event: &Event) {
        let at = |seconds| Instant::from_epoch(Duration::from_secs(seconds));
        let now = self.now;
        match *event {
            Event::Wait(seconds) => self.now += seconds,
            Event::Connected => {
                self.tiers.connected(at(now));
                self.model.origin.return_now(now);
                self.model.paths_return(now);
            }
            Event::Begin(page, true, visitor) => {
                let name = path(page);
                let permit = self.tiers.pass(Target::get(&name), Some(visitor), at(now));
                self.begun
                    .push((permit, self.model.pass(page, visitor, now)));
            }
            Event::Begin(page, false, visitor) => {
                let expected = self.model.acquire(page, visitor, now);
                let name = path(page);
                let acquired = self
                    .tiers
                    .try_acquire(Target::get(&name), Some(visitor), at(now));
                match (acquired, expected) {
                    (Ok(permit), Ok(call)) => self.begun.push((permit, call)),
                    (Err(rejected), Err((tier, retry_at))) => {
                        assert_eq!((rejected.tier, rejected.retry_at), (tier, at(retry_at)));
                    }
                    (ours, model) => panic!("{ours:?} but the model says {model:?}"),
                }
            }
            Event::Slow(which) if !self.begun.is_empty() => {
                let which = which.index(self.begun.len());
                let (permit, call) = &mut self.begun[which];
                assert_eq!(permit.slow_after().is_some(), call.slow.is_some());
                let over = permit.slow_after().unwrap_or_default();
                self.tiers.record_slow(permit, at(now));
                self.model.record_slow(call, Outcome::Slow { over }, now);
            }
            Event::End(which, outcome) if !self.begun.is_empty() => {
                let which = which.index(self.begun.len());
                let (permit, call) = self.begun.swap_remove(which);
                if outcome == Outcome::Success && call.path.is_some() {
                    let took = Duration::from_millis(10);
                    self.tiers.took(permit.kind(), took, at(now));
                    self.model.known.insert(call.page);
                }
                self.tiers.record(permit, outcome, at(now));
                self.model.record(call, outcome, now);
            }
            Event::Slow(_) | Event::End(..) => {}
        }
        self.check(at(self.now));
    }

    fn check(&self, at: Instant) {
        let (tiers, model) = (&self.tiers, &self.model);
        assert_eq!(tiers.origin_state(at), model.origin.state(self.now));
        assert_eq!(tiers.origin.generation, model.origin.generation);
        let id = |page| tiers.ids(&Target::get(&path(page))).circuit;
        for page in 0..PAGES {
            let generation = tiers.paths.generation_of(id(page));
            assert_eq!(generation, model.generation_of(page));
        }
        assert_eq!(tiers.paths.circuits.len(), model.paths.len());
        for (page, circuit) in &model.paths {
            let real = tiers.paths.get(id(*page));
            let real = real.expect("the model has one");
            assert_eq!(real.state(at), circuit.circuit.state(self.now));
            assert_eq!(real.generation, circuit.circuit.generation);
        }
    }
}

/// Letters: pages that differ in digits only would have one usual time.
fn path(page: u8) -> Vec<u8> {
    vec![b'/', b'a' + page]
}

/// One of four networks, of which the first has two sessions.
fn visitor() -> impl Strategy<Value = Visitor> {
    (0..5_u64).prop_map(|number| Visitor {
        network: number.max(1),
        session: u64::from(number == 0),
    })
}

fn event() -> impl Strategy<Value = Event> {
    let which = any::<prop::sample::Index>;
    let outcomes = [
        Outcome::ConnectFailure,
        Outcome::Failure,
        Outcome::Failure,
        Outcome::Failure,
        Outcome::Ignore,
        Outcome::Success,
        Outcome::Success,
        Outcome::Success,
    ];
    let outcome = prop::sample::select(outcomes.to_vec());
    prop_oneof![
        8 => (0..PAGES, visitor()).prop_map(|(page, who)| Event::Begin(page, false, who)),
        1 => (0..PAGES, visitor()).prop_map(|(page, who)| Event::Begin(page, true, who)),
        8 => (which(), outcome).prop_map(|(which, outcome)| Event::End(which, outcome)),
        2 => which().prop_map(Event::Slow),
        1 => Just(Event::Connected),
        3 => (0..4_u64).prop_map(Event::Wait),
        1 => (5..30_u64).prop_map(Event::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_tiers_are_their_model(events in prop::collection::vec(event(), 1..200)) {
        let mut pair = Pair::new();
        for event in &events {
            pair.apply(event);
        }
    }
}
