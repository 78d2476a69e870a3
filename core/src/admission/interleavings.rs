//! Every interleaving of a few threads at the gate (`bash tests/run.sh loom`): whoever waits is woken,
//! and nobody is let in twice.

use std::future::poll_fn;

use loom::future::block_on;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::tests::bid;
use super::*;
use crate::breaker::Outcome;
use crate::sync::every_interleaving;

const NOW: Instant = Instant::ZERO;

/// Two threads are tried in full depth. A third makes that hours, and what can go wrong among
/// three here (a slot that goes to two, a waiter whom nobody wakes) takes one thread that is
/// stopped between a look and a change, once: two preemptions leave room for one more.
const OF_TWO: usize = 3;
const OF_THREE: usize = 2;

/// Who is inside is counted, and never more than the limit.
struct Inside {
    gate: Gate,
    count: AtomicUsize,
    limit: usize,
}

impl Inside {
    fn new(limit: u32) -> Arc<Self> {
        let settings = AdmissionSettings {
            in_flight_min: limit,
            in_flight_start: limit,
            in_flight_max: limit,
            ..AdmissionSettings::default()
        };
        Arc::new(Self {
            gate: Gate::new(&settings, 1, NOW),
            count: AtomicUsize::new(0),
            limit: limit as usize,
        })
    }

    /// A request that is let in at once or not at all.
    fn try_visit(&self) {
        if let Some(slot) = self.gate.try_enter(&bid(Class::Read), NOW) {
            self.stay(slot);
        }
    }

    /// A request that waits. Forgotten, its thread would block for ever, which the model notices.
    fn visit(&self) {
        if let Some(slot) = self.gate.try_enter(&bid(Class::Read), NOW) {
            return self.stay(slot);
        }
        match self.gate.enter(&bid(Class::Read), None, NOW) {
            Entered::Slot(slot) => self.stay(slot),
            Entered::Shed(shed) => panic!("there is no end of time here: {shed:?}"),
            Entered::Place(mut place) => {
                match block_on(poll_fn(|cx| place.poll(cx.waker(), NOW))) {
                    Admitted::Slot(slot, _) => self.stay(slot),
                    other => panic!("there is nothing else to wait for: {other:?}"),
                }
            }
        }
    }

    /// A request that joins the queue and gives up.
    fn give_up(&self) {
        if let Entered::Slot(slot) = self.gate.enter(&bid(Class::Read), None, NOW) {
            self.stay(slot);
        }
    }

    fn stay(&self, slot: Slot) {
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        assert!(before < self.limit, "more are inside than may be");
        self.count.fetch_sub(1, Ordering::Relaxed);
        slot.release(Outcome::Success, NOW);
    }
}

/// Runs these at one time, and finds the gate empty afterwards.
fn check(limit: u32, visits: &'static [fn(&Inside)]) {
    let preemptions = if visits.len() > 2 { OF_THREE } else { OF_TWO };
    every_interleaving(preemptions, move || {
        let inside = Inside::new(limit);
        let threads: Vec<_> = visits
            .iter()
            .map(|visit| {
                let inside = Arc::clone(&inside);
                thread::spawn(move || visit(&inside))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let stats = inside.gate.stats(NOW);
        assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    });
}

#[test]
fn two_who_wait_for_one_slot_get_it_one_after_the_other() {
    check(1, &[Inside::visit, Inside::visit]);
}

#[test]
fn nobody_is_forgotten_for_one_who_slips_in() {
    check(1, &[Inside::visit, Inside::visit, Inside::try_visit]);
}

#[test]
fn nobody_is_forgotten_for_one_who_gives_up() {
    check(1, &[Inside::visit, Inside::visit, Inside::give_up]);
}
