//! Owns a crowd before the waiting room: thirty visitors a second for an origin that bears ten, some of
//! whom leave, and what becomes of them.
//! Never runs longer than it has to: time is simulated.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::flow::Bearing;
use super::room::Room;
use super::words::{Guest, Said};
use crate::network::Network;
use crate::rng::Rng;
use crate::time::Instant;

const PLACES: usize = 8;
const PER_SECOND: f64 = 10.0;
const ARRIVALS: f64 = 30.0;
const END: Duration = Duration::from_secs(600);
/// What is measured begins here: the room is filling before.
const WARM: Duration = Duration::from_secs(30);
const GATE_WAIT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Event {
    Arrives,
    /// The attacker of one network draws numbers, and shows those that it has.
    Draws,
    Done(usize),
    /// A page looks again.
    Looks(usize),
    TurnedAway(usize),
}

#[derive(Clone, Copy, Debug, Default)]
struct Visitor {
    has_cookies: bool,
    leaves: Option<Instant>,
    network: u32,
    number: Option<u64>,
    /// What it was told when it got its number, and when.
    told: Option<(Duration, Instant)>,
    in_at: Option<Instant>,
}

struct Crowd {
    rng: Rng,
    room: Room,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    count: u64,
    now: Instant,
    visitors: Vec<Visitor>,
    /// At the origin, and before it.
    inside: usize,
    queue: VecDeque<usize>,
    busy: Duration,
    /// Part of the visitors that leaves within two minutes.
    leaving: f64,
    /// Part of the visitors that brings no number back.
    cookieless: f64,
    arrivals: f64,
    networks: u32,
    /// Numbers in the order in which they were let in.
    order: Vec<u64>,
    let_in_of_one: usize,
    let_in: usize,
}

/// The network of the attacker.
const ONE: u32 = 0;

struct Seen {
    used: f64,
    passed: f64,
    error: f64,
    of_one: f64,
}

impl Crowd {
    fn new(seed: u64, leaving: f64, networks: u32) -> Self {
        Self {
            rng: Rng::new(seed),
            room: Room::new(seed, Instant::ZERO),
            events: BinaryHeap::new(),
            count: 0,
            now: Instant::ZERO,
            visitors: Vec::new(),
            inside: 0,
            queue: VecDeque::new(),
            busy: Duration::ZERO,
            leaving,
            cookieless: 0.0,
            arrivals: ARRIVALS,
            networks,
            order: Vec::new(),
            let_in_of_one: 0,
            let_in: 0,
        }
    }

    fn run(mut self) -> Seen {
        self.at(Duration::ZERO, Event::Arrives);
        let end = Instant::from_epoch(END);
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > end {
                break;
            }
            let inside = u32::try_from(self.inside).unwrap();
            if self.now >= Instant::from_epoch(WARM) {
                self.busy += at.saturating_since(self.now) * inside;
            }
            self.now = at;
            self.on(event);
        }
        self.seen()
    }

    fn on(&mut self, event: Event) {
        match event {
            Event::Arrives => {
                let gap = self.random_exponential(1.0 / self.arrivals);
                self.at(gap, Event::Arrives);
                let leaves = self.rng.unit() < self.leaving;
                let after = Duration::from_secs_f64(120.0 * self.rng.unit());
                let network =
                    1 + u32::try_from(self.rng.next() % u64::from(self.networks)).unwrap();
                self.visitors.push(Visitor {
                    has_cookies: self.cookieless <= self.rng.unit(),
                    leaves: leaves.then(|| self.now + after),
                    network,
                    ..Visitor::default()
                });
                self.asks(self.visitors.len() - 1);
            }
            Event::Draws => {
                self.at(Duration::from_millis(20), Event::Draws);
                self.visitors.push(Visitor {
                    has_cookies: true,
                    network: ONE,
                    ..Visitor::default()
                });
                self.asks(self.visitors.len() - 1);
            }
            Event::Looks(who) => {
                let visitor = self.visitors[who];
                if visitor.leaves.is_none_or(|at| at > self.now) {
                    self.asks(who);
                }
            }
            Event::Done(_) => {
                self.inside -= 1;
                if let Some(who) = self.queue.pop_front() {
                    self.enters(who);
                }
            }
            Event::TurnedAway(who) => {
                if let Some(at) = self.queue.iter().position(|other| *other == who) {
                    self.queue.remove(at);
                    self.is_turned_away(who);
                }
            }
        }
    }

    fn asks(&mut self, who: usize) {
        let guest = self.guest(who);
        let said = match self.room.is_open() {
            true => self.room.ask(&guest, self.bearing(), self.now),
            false => Said::Goes,
        };
        if said != Said::Goes {
            return self.is_told(who, said);
        }
        if self.inside < PLACES {
            self.enters(who);
        } else if self.queue.len() < 10 {
            self.queue.push_back(who);
            self.at(GATE_WAIT, Event::TurnedAway(who));
        } else {
            self.is_turned_away(who);
        }
    }

    fn is_turned_away(&mut self, who: usize) {
        let guest = self.guest(who);
        let said = self.room.turned_away(&guest, self.bearing(), self.now);
        self.is_told(who, said);
    }

    fn is_told(&mut self, who: usize, said: Said) {
        let Said::Waits(stay) = said else {
            return;
        };
        let now = self.now;
        let visitor = &mut self.visitors[who];
        visitor.number = visitor.has_cookies.then_some(stay.number);
        visitor.told = visitor.told.or_else(|| stay.wait.map(|wait| (wait, now)));
        let line = Duration::from_secs_f64(0.05 + 0.2 * self.rng.unit());
        self.at(stay.again + line, Event::Looks(who));
    }

    fn enters(&mut self, who: usize) {
        self.inside += 1;
        let took = self.random_exponential(PLACES as f64 / PER_SECOND);
        self.at(took, Event::Done(who));
        self.visitors[who].in_at = Some(self.now);
        self.let_in += 1;
        self.let_in_of_one += usize::from(self.visitors[who].network == ONE);
        self.order.extend(self.visitors[who].number);
    }

    fn guest(&self, who: usize) -> Guest {
        let visitor = &self.visitors[who];
        let address = IpAddr::V4(Ipv4Addr::from_bits(visitor.network << 8));
        Guest {
            micros: 0,
            network: Network::of(address),
            number: visitor.number,
            visitor: Some(who as u64),
        }
    }

    fn bearing(&self) -> Bearing {
        Bearing {
            is_idle: self.queue.len() <= PLACES / 4,
            places: u32::try_from(PLACES).unwrap(),
            per_second: PER_SECOND * 2.0,
        }
    }

    fn at(&mut self, after: Duration, event: Event) {
        self.count += 1;
        self.events
            .push(Reverse((self.now + after, self.count, event)));
    }

    fn random_exponential(&mut self, mean: f64) -> Duration {
        Duration::from_secs_f64(-mean * (1.0 - self.rng.unit()).ln())
    }

    fn seen(&self) -> Seen {
        let all = (END - WARM).as_secs_f64() * PLACES as f64;
        let passed = self.order.iter().enumerate().filter(|(at, number)| {
            let before = self.order[..*at].iter();
            before.filter(|other| other > number).count() >= 75
        });
        let mut errors: Vec<_> = self.visitors.iter().filter_map(error_of).collect();
        errors.sort_by(f64::total_cmp);
        let ratio = |part: usize, of: usize| part as f64 / of.max(1) as f64;
        Seen {
            used: self.busy.as_secs_f64() / all,
            passed: ratio(passed.count(), self.order.len()),
            error: errors.get(errors.len() / 2).copied().unwrap_or_default(),
            of_one: ratio(self.let_in_of_one, self.let_in),
        }
    }
}

/// By how much the time was wrong that somebody was told.
fn error_of(visitor: &Visitor) -> Option<f64> {
    let (told, at) = visitor.told?;
    let took = visitor.in_at?.saturating_since(at).as_secs_f64();
    (took > 5.0).then(|| (told.as_secs_f64() - took).abs() / took)
}

/// The figures are a result, so they go past the capture of the test runner.
fn show(what: &str, seen: &Seen) {
    let Seen {
        used,
        passed,
        error,
        of_one,
    } = seen;
    let [used, passed, error, of_one] = [used, passed, error, of_one].map(|share| share * 100.0);
    let _ = writeln!(
        std::io::stderr(),
        "waiting room, {what}: capacity used {used:.1} %, passed by 75 later ones {passed:.1} %, \
         median error of the time told {error:.0} %, one network's part {of_one:.1} %"
    );
}

#[test]
fn the_origin_is_used_and_the_order_kept_whoever_leaves() {
    for leaving in [0.0, 0.3, 0.6] {
        let seen = Crowd::new(1, leaving, 5_000).run();
        show(&format!("{:.0} % leave", leaving * 100.0), &seen);
        assert!(seen.used >= 0.95, "{leaving}: {}", seen.used);
        assert!(seen.passed <= 0.1, "{leaving}: {}", seen.passed);
        assert!(seen.error <= 0.25, "{leaving}: {}", seen.error);
    }
}

#[test]
fn one_network_that_draws_fifty_numbers_a_second_gets_a_tenth() {
    let mut crowd = Crowd::new(1, 0.3, 5_000);
    crowd.at(Duration::ZERO, Event::Draws);
    let seen = crowd.run();
    show("one network draws 50 numbers a second", &seen);
    assert!(seen.used >= 0.95, "{}", seen.used);
    // The gate of this crowd knows no shares, which hold what comes to it past the room.
    assert!(seen.of_one <= 0.15, "{}", seen.of_one);
}

#[test]
fn no_place_stays_free_for_those_who_cannot_come_back() {
    for (arrivals, cookieless) in [(12.0, 1.0), (30.0, 1.0), (30.0, 0.5)] {
        let mut crowd = Crowd::new(1, 0.3, 5_000);
        (crowd.arrivals, crowd.cookieless) = (arrivals, cookieless);
        let seen = crowd.run();
        show(
            &format!("{arrivals} a second, {cookieless} without cookies"),
            &seen,
        );
        assert!(seen.used >= 0.9, "{arrivals}, {cookieless}: {}", seen.used);
    }
}
