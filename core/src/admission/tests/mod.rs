//! Tests of the gate as those see it who enter, wait and leave.

mod limit;
mod order;
mod sharing;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use super::*;
use crate::breaker::Outcome;
use crate::config::CacheSettings;
use crate::key::Keyer;
use crate::message::{Fields, RequestHead};

/// A gate with a fixed number of slots, a clock, and names for those who wait.
struct Bench {
    gate: Gate,
    now: Instant,
    slots: Vec<Slot>,
    waiting: Vec<(&'static str, Place, Arc<Bell>)>,
    leads: Vec<Lead>,
}

/// A waker that counts.
#[derive(Default)]
struct Bell(AtomicU32);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Bench {
    /// All `slots` are taken.
    fn full(slots: u32) -> Self {
        let settings = AdmissionSettings {
            in_flight_max: slots,
            in_flight_min: slots,
            ..AdmissionSettings::default()
        };
        let gate = Gate::new(&settings, 1, Instant::ZERO);
        let taken =
            std::iter::from_fn(|| gate.try_enter(&bid(Class::Read), Instant::ZERO)).collect();
        Self {
            gate,
            now: Instant::ZERO,
            slots: taken,
            waiting: Vec::new(),
            leads: Vec::new(),
        }
    }

    fn pass(&mut self, millis: u64) -> &mut Self {
        self.now = self.now + Duration::from_millis(millis);
        self
    }

    /// `name` comes; says whether it may wait.
    fn come(&mut self, name: &'static str, class: Class, key: Option<&CacheKey>) -> bool {
        self.bid(name, &bid(class), key)
    }

    /// `name` comes from a network of this number.
    fn come_from(
        &mut self,
        network: u8,
        name: &'static str,
        class: Class,
        key: Option<&CacheKey>,
    ) -> bool {
        let address = IpAddr::from([192, 0, network, 1]);
        let visitor = Some(Network::of(address));
        let bid = Bid {
            visitor,
            ..bid(class)
        };
        self.bid(name, &bid, key)
    }

    fn bid(&mut self, name: &'static str, bid: &Bid, key: Option<&CacheKey>) -> bool {
        match self.gate.enter(bid, key, self.now) {
            Entered::Place(place) => {
                self.waiting.push((name, place, Arc::default()));
                // Its waker is known from now on.
                assert_eq!(self.told(), "");
                true
            }
            Entered::Shed(_) => false,
            Entered::Slot(slot) => {
                self.slots.push(slot);
                false
            }
        }
    }

    fn reads(&mut self, names: &[&'static str]) -> &mut Self {
        for name in names {
            assert!(self.come(name, Class::Read, None), "{name}");
        }
        self
    }

    fn writes(&mut self, names: &[&'static str]) -> &mut Self {
        for name in names {
            assert!(self.come(name, Class::Write, None), "{name}");
        }
        self
    }

    fn leave(&mut self, name: &str) -> &mut Self {
        self.waiting.retain(|(other, ..)| *other != name);
        self
    }

    /// One request at the origin ends well.
    fn end_one(&mut self) -> &mut Self {
        self.slots.remove(0).release(Outcome::Success, self.now);
        self
    }

    /// What those learn who ask now, as `name!` with a slot, `name-` without.
    fn told(&mut self) -> String {
        let mut told = Vec::new();
        for (name, mut place, bell) in std::mem::take(&mut self.waiting) {
            match place.poll(&Waker::from(Arc::clone(&bell)), self.now) {
                Poll::Pending => self.waiting.push((name, place, bell)),
                Poll::Ready(Admitted::Slot(slot, lead)) => {
                    self.slots.push(slot);
                    self.leads.extend(lead);
                    told.push(format!("{name}!"));
                }
                Poll::Ready(Admitted::Shed(shed)) => told.push(format!("{name}-{shed:?}")),
                Poll::Ready(Admitted::Flown(flown)) => told.push(format!("{name}~{flown:?}")),
            }
        }
        told.join(" ")
    }

    /// Nothing is left: neither a slot nor a place.
    #[track_caller]
    fn check_empty(mut self) {
        self.waiting.clear();
        self.leads.clear();
        self.slots.clear();
        let stats = self.gate.stats(self.now);
        assert_eq!((stats.in_flight, stats.waiting), (0, 0));
        assert!(self.gate.try_enter(&bid(Class::Read), self.now).is_some());
    }
}

/// A request for a page that nobody else asks for, from nowhere.
pub(super) fn bid(class: Class) -> Bid {
    Bid {
        class,
        kind: kind::Kind::at(0),
        visitor: None,
    }
}

fn key_of(path: &str) -> CacheKey {
    let keyer = Keyer::new(&CacheSettings::default(), 7);
    let request = RequestHead::new(http::Method::GET, path, Fields::default());
    keyer.key(&request).unwrap()
}

#[test]
fn slots_come_back_however_they_end() {
    let bench = Bench::full(2);
    assert!(bench.gate.try_enter(&bid(Class::Read), bench.now).is_none());
    let stats = bench.gate.stats(bench.now);
    assert_eq!((stats.in_flight, stats.limit, stats.overflows), (2, 2, 2));
    bench.check_empty();
}

#[test]
fn never_more_than_the_limit_from_many_threads() {
    const LIMIT: u32 = 3;
    let bench = Bench::full(LIMIT);
    let gate = &bench.gate;
    let inside = &AtomicU32::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            scope.spawn(move || {
                for turn in 0..3_000 {
                    let now = Instant::from_nanos(thread + turn * 1_000);
                    let slot = gate.try_enter(&bid(Class::Read), now).or_else(|| {
                        match gate.enter(&bid(Class::Read), None, now) {
                            Entered::Slot(slot) => Some(slot),
                            Entered::Shed(_) => None,
                            Entered::Place(mut place) => match place.poll(Waker::noop(), now) {
                                Poll::Ready(Admitted::Slot(slot, _)) => Some(slot),
                                Poll::Ready(_) | Poll::Pending => None,
                            },
                        }
                    });
                    if let Some(slot) = slot {
                        let count = inside.fetch_add(1, Ordering::SeqCst) + 1;
                        assert!(count <= LIMIT);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        slot.release(Outcome::Success, now);
                    }
                }
            });
        }
        drop(bench.slots);
    });
    let stats = gate.stats(bench.now);
    assert_eq!((stats.in_flight, stats.waiting), (0, 0));
}

#[test]
fn background_work_has_a_share_and_no_more() {
    let mut bench = Bench::full(8);
    bench.reads(&["waits"]);
    let first = bench
        .gate
        .try_enter_background(&bid(Class::Read), bench.now)
        .unwrap();
    let second = bench
        .gate
        .try_enter_background(&bid(Class::Read), bench.now)
        .unwrap();
    assert!(
        bench
            .gate
            .try_enter_background(&bid(Class::Read), bench.now)
            .is_none(),
        "a quarter of 8"
    );
    assert_eq!(bench.gate.in_flight(), 10);
    bench.end_one().end_one();
    assert_eq!(bench.told(), "", "it made room by and by");
    bench.end_one();
    assert_eq!(bench.told(), "waits!");
    first.release(Outcome::Success, bench.now);
    drop(second);
    assert!(
        bench
            .gate
            .try_enter_background(&bid(Class::Read), bench.now)
            .is_some()
    );
    bench.check_empty();

    let small = Bench::full(2);
    assert!(
        small
            .gate
            .try_enter_background(&bid(Class::Read), small.now)
            .is_none(),
        "the share is below one"
    );
    let Bench {
        gate, slots, now, ..
    } = small;
    drop(slots);
    let one = gate.try_enter_background(&bid(Class::Read), now).unwrap();
    assert!(gate.try_enter_background(&bid(Class::Read), now).is_none());
    one.release(Outcome::Success, now);
    assert_eq!(gate.in_flight(), 0);
}

#[test]
fn a_restart_holds_until_it_is_earned() {
    let gate = Gate::new(&AdmissionSettings::default(), 1, Instant::ZERO);
    assert_eq!(gate.limit(), 8);
    gate.restart(2, Instant::ZERO);
    let slots = [
        gate.try_enter(&bid(Class::Read), Instant::ZERO),
        gate.try_enter(&bid(Class::Read), Instant::ZERO),
    ];
    assert!(slots.iter().all(Option::is_some));
    assert!(gate.try_enter(&bid(Class::Read), Instant::ZERO).is_none());
    gate.restart(0, Instant::ZERO);
    assert_eq!(gate.limit(), 1, "within the bounds");
}

#[test]
fn a_waker_that_is_replaced_is_not_called() {
    let mut bench = Bench::full(1);
    let Entered::Place(mut place) = bench.gate.enter(&bid(Class::Read), None, bench.now) else {
        panic!("it is full");
    };
    // Some runtimes give another waker of the same task at each poll: a session that is woken by
    // being polled would never rest.
    let [first, second] = [Arc::new(Bell::default()), Arc::new(Bell::default())];
    for bell in [&first, &second] {
        let waker = Waker::from(Arc::clone(bell));
        assert!(place.poll(&waker, bench.now).is_pending());
    }
    assert_eq!(first.0.load(Ordering::Relaxed), 0);
    bench.end_one();
    let called = [first, second].map(|bell| bell.0.load(Ordering::Relaxed));
    assert_eq!(called, [0, 1]);
    drop(place);
    bench.check_empty();
}
