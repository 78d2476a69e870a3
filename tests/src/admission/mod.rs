//! Owns the simulation of admission: the real policy between a model origin and a model crowd,
//! with a clock that is a number.
//! Never opens a socket or reads a clock; the same seed is the same run.

mod load;
mod origin;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use http::{Method, StatusCode};
use retter_core::config::Settings;
use retter_core::message::{FieldsBuilder, RequestHead, ResponseHead};
use retter_core::report::Failure;
use retter_core::rng::Rng;
use retter_core::time::Instant;
use retter_core::{Decision, Fetch, Ruling, Site, Ticket, Verdict};

pub use load::{Course, Pages, Shape};
pub use origin::{Change, Model, Spread};
use origin::{Job, Origin};

use crate::woken::Woken;

/// How long a visitor waits for an answer before it is worth nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The origin.
    pub model: Model,
    /// The load.
    pub shape: Shape,
    /// A limit that is not to move.
    pub fixed: Option<u32>,
    /// How long it lasts.
    pub length: Duration,
    /// From when it counts.
    pub counts_from: Duration,
    /// Chance.
    pub seed: u64,
}

/// What came of a run, from when it counts.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Visitors who came.
    pub came: u64,
    /// Good answers within the visitors' patience.
    pub good: u64,
    /// Writes that came, and those of them that were answered well in time.
    pub writes: (u64, u64),
    /// The limit at each thousandth of the run.
    pub limits: Vec<u32>,
    /// Times the origin was asked.
    pub asked: u64,
    /// What must never happen and did.
    pub violations: Vec<String>,
}

/// What happens next, in the order of time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Event {
    Arrival,
    Deadline(u64),
    End { id: u64, fails: bool },
    Late(u64),
    Look,
    TimedOut(u64),
}

/// A visitor.
#[derive(Debug)]
struct Visit {
    came: Instant,
    is_write: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The origin has the request.
    Asking(Fetch),
    Waiting(Box<Ticket>, Waker),
}

struct World {
    run: Run,
    site: Site,
    origin: Origin,
    rng: Rng,
    now: Instant,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    visits: BTreeMap<u64, Visit>,
    /// Writes that wait, with their deadlines.
    writes: BTreeMap<u64, Instant>,
    /// Writes that were let in since the last read.
    writes_gone: u32,
    woken: Woken,
    next: u64,
    capacity: f64,
    outcome: Outcome,
}

/// Carries a run out.
#[must_use]
pub fn run(run: Run) -> Outcome {
    let mut settings = Settings::default();
    if let Some(limit) = run.fixed {
        settings.site.admission.in_flight_min = limit;
        settings.site.admission.in_flight_max = limit;
    }
    // What is measured here is the gate alone.
    settings.site.breaker.consecutive_failures = u32::MAX;
    settings.site.breaker.failure_rate = 1.0;
    settings.site.breaker.origin_outcomes_min = u32::MAX;
    settings.site.breaker.path_outcomes_min = u32::MAX;
    settings.site.breaker.slow_rate = None;
    let config = settings.validate().expect("they are valid");
    let site = Site::new(&config, run.seed, Instant::ZERO);
    site.set_wall_clock(Duration::from_secs(1_709_208_000), Instant::ZERO);
    let middle = Instant::ZERO + run.length / 2;
    let mut rng = Rng::new(run.seed);
    let world = World {
        origin: Origin::new(run.model, middle, rng.next()),
        capacity: f64::from(run.model.workers) / run.model.service.as_secs_f64(),
        run,
        site,
        rng,
        now: Instant::ZERO,
        events: BinaryHeap::new(),
        visits: BTreeMap::new(),
        writes: BTreeMap::new(),
        writes_gone: 0,
        woken: Woken::default(),
        next: 0,
        outcome: Outcome::default(),
    };
    world.play()
}

impl World {
    fn play(mut self) -> Outcome {
        let end = Instant::ZERO + self.run.length;
        self.plan(Duration::ZERO, Event::Arrival);
        self.plan(Duration::ZERO, Event::Look);
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > end {
                break;
            }
            self.now = at;
            match event {
                Event::Arrival => self.arrive(),
                Event::Deadline(id) => self.ask_again(id),
                Event::End { id, fails } => self.end(id, fails),
                Event::Late(id) => self.late(id),
                Event::Look => self.look(),
                Event::TimedOut(id) => self.time_out(id),
            }
            self.wake();
        }
        self.outcome
    }

    fn plan(&mut self, after: Duration, event: Event) {
        self.next += 1;
        let order = self.next;
        self.events.push(Reverse((self.now + after, order, event)));
    }

    fn counts(&self) -> bool {
        self.now >= Instant::ZERO + self.run.counts_from
    }

    fn arrive(&mut self) {
        let Run { shape, length, .. } = self.run;
        let gap = shape.gap(self.capacity, self.now, length, &mut self.rng);
        self.plan(gap, Event::Arrival);
        let is_write = self.rng.unit() < shape.writes;
        self.next += 1;
        let id = self.next;
        let path = match shape.pages {
            Pages::One => "/page".to_owned(),
            Pages::Unique => format!("/page/{id}"),
        };
        let method = if is_write { Method::POST } else { Method::GET };
        let mut fields = FieldsBuilder::default();
        fields.push("host", b"h");
        let request = Arc::new(RequestHead::new(method, &path, fields.build()));
        if self.counts() {
            self.outcome.came += 1;
            self.outcome.writes.0 += u64::from(is_write);
        }
        match self.site.decide(&request, self.now) {
            Ruling::Now(decision) => self.carry_out(id, self.now, is_write, decision),
            Ruling::Wait(ticket) => self.wait(id, is_write, ticket),
        }
    }

    fn wait(&mut self, id: u64, is_write: bool, mut ticket: Ticket) {
        let waker = self.woken.waker(id);
        // Its waker is known from now on.
        if let Poll::Ready(decision) = ticket.poll(&waker, self.now) {
            return self.carry_out(id, self.now, is_write, decision);
        }
        let wait = ticket.deadline().saturating_since(self.now);
        self.plan(wait, Event::Deadline(id));
        if is_write {
            self.writes.insert(id, ticket.deadline());
        }
        let visit = Visit {
            came: self.now,
            is_write,
            stage: Stage::Waiting(Box::new(ticket), waker),
        };
        self.visits.insert(id, visit);
    }

    fn carry_out(&mut self, id: u64, came: Instant, is_write: bool, decision: Decision) {
        let stage = match decision {
            Decision::Fetch(mut fetch) => {
                self.check_writes_go_first(id, is_write);
                fetch.on_sent(self.now);
                if let Some(at) = fetch.poll_timeout() {
                    self.plan(at.saturating_since(self.now), Event::Late(id));
                }
                if self.counts() {
                    self.outcome.asked += 1;
                }
                let mut ends = Vec::new();
                self.origin.take(id, self.now, &mut ends);
                self.plan_ends(ends);
                let patience = self.site.snapshot().config().origin.head_timeout;
                self.plan(patience, Event::TimedOut(id));
                Stage::Asking(fetch)
            }
            Decision::Refuse(_) => return,
            Decision::Serve(_) => return self.answered(came, is_write),
        };
        let visit = Visit {
            came,
            is_write,
            stage,
        };
        self.visits.insert(id, visit);
    }

    /// Those whose wakers were called ask again.
    fn wake(&mut self) {
        loop {
            let woken = self.woken.take();
            if woken.is_empty() {
                return;
            }
            for id in &woken {
                self.writes.remove(id);
            }
            for id in woken {
                self.ask_again(id);
            }
        }
    }

    fn ask_again(&mut self, id: u64) {
        let Some(visit) = self.visits.get_mut(&id) else {
            return;
        };
        let Stage::Waiting(ticket, waker) = &mut visit.stage else {
            return;
        };
        let deadline = ticket.deadline();
        match ticket.poll(waker, self.now) {
            Poll::Ready(decision) => {
                let (came, is_write) = (visit.came, visit.is_write);
                self.visits.remove(&id);
                self.writes.remove(&id);
                self.carry_out(id, came, is_write, decision);
            }
            Poll::Pending if deadline <= self.now => {
                let text = format!("{id} waits past its deadline");
                self.outcome.violations.push(text);
            }
            Poll::Pending => {}
        }
    }

    /// A request is at the origin for long.
    fn late(&mut self, id: u64) {
        if let Some(Visit {
            stage: Stage::Asking(fetch),
            ..
        }) = self.visits.get_mut(&id)
        {
            let slow = fetch.handle_timeout(self.now);
            assert!(slow.is_none(), "there are no copies here: {slow:?}");
            if let Some(at) = fetch.poll_timeout() {
                self.plan(at.saturating_since(self.now), Event::Late(id));
            }
        }
    }

    /// A request has a slot: two writes go before a read for which one is passed over.
    fn check_writes_go_first(&mut self, id: u64, is_write: bool) {
        if is_write {
            self.writes_gone += 1;
            return;
        }
        let passed = {
            let mut writes = self.writes.iter();
            let waits = |(write, deadline): &(&u64, &Instant)| {
                **deadline > self.now && !self.woken.has(**write)
            };
            writes.find(waits).map(|(write, _)| *write)
        };
        let gone = std::mem::take(&mut self.writes_gone);
        // Where all take longer than a second, those that may wait at the origin stand apart.
        let is_quick = self.run.model.service < Duration::from_millis(500);
        if let Some(write) = passed
            && gone < 2
            && is_quick
            && self.counts()
        {
            let text = format!("read {id} goes before write {write}");
            self.outcome.violations.push(text);
        }
    }

    fn plan_ends(&mut self, ends: Vec<(Instant, Job)>) {
        for (at, Job { id, fails }) in ends {
            self.plan(at.saturating_since(self.now), Event::End { id, fails });
        }
    }

    fn end(&mut self, id: u64, fails: bool) {
        let mut ends = Vec::new();
        self.origin.end(fails, self.now, &mut ends);
        self.plan_ends(ends);
        let Some(visit) = self.visits.remove(&id) else {
            return;
        };
        let Stage::Asking(fetch) = visit.stage else {
            return;
        };
        let status = if fails {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::OK
        };
        let mut fields = FieldsBuilder::default();
        if matches!(self.run.shape.pages, Pages::Unique) {
            fields.push("cache-control", b"no-store");
        }
        let head = ResponseHead::new(status, fields.build());
        match fetch.on_head(&head, self.now) {
            Verdict::Forward(holding) => holding.pass_on().on_end(self.now),
            Verdict::Serve(_) => return self.answered(visit.came, visit.is_write),
        }
        if !fails {
            self.answered(visit.came, visit.is_write);
        }
    }

    fn time_out(&mut self, id: u64) {
        let is_asking = matches!(
            self.visits.get(&id),
            Some(Visit {
                stage: Stage::Asking(_),
                ..
            })
        );
        if is_asking
            && let Some(Visit {
                stage: Stage::Asking(fetch),
                ..
            }) = self.visits.remove(&id)
        {
            drop(fetch.on_failure(Failure::Timeout, self.now));
        }
    }

    fn answered(&mut self, came: Instant, is_write: bool) {
        let in_time = self.now.saturating_since(came) <= PATIENCE;
        if in_time && came >= Instant::ZERO + self.run.counts_from {
            self.outcome.good += 1;
            self.outcome.writes.1 += u64::from(is_write);
        }
    }

    fn look(&mut self) {
        self.plan(self.run.length / 1000, Event::Look);
        let stats = self.site.stats(self.now).admission;
        if self.counts() {
            self.outcome.limits.push(stats.limit);
        }
        let places = self
            .visits
            .values()
            .filter(|visit| matches!(visit.stage, Stage::Waiting(..)));
        if places.count() != stats.waiting {
            let text = format!("{} wait by the gate's count", stats.waiting);
            self.outcome.violations.push(text);
        }
    }
}
