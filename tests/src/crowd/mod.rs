//! Owns the simulation of a crowd: honest visitors and others, who each ask again when they have their
//! answer, before a model application, with the real policy between them.
//! Never opens a socket or reads a clock; the same seed is the same run.

mod application;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use http::{Method, StatusCode};
use retter_core::config::Settings;
use retter_core::message::{FieldsBuilder, RequestHead, ResponseHead};
use retter_core::rng::Rng;
use retter_core::time::Instant;
use retter_core::{Decision, Fetch, Ruling, Site, Ticket, Verdict};

pub use application::Application;
use application::{Inside, Work};

use crate::woken::Woken;

/// Some who behave alike.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// How many ask at a time.
    pub size: u32,
    /// From how many networks they come.
    pub networks: u32,
    /// When they begin.
    pub from: Duration,
    /// What they do.
    pub habit: Habit,
}

/// What one of a group does, again and again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Habit {
    /// Asks for one of some pages each 2 to 5 s.
    Honest,
    /// Asks for a page that nobody else wants, at once again.
    Crawl,
    /// Asks for what takes 12 s of work, at once again.
    Export,
    /// Asks for what comes in 10 to 20 s, at once again.
    Poll,
    /// Posts, at once again.
    Post,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The application.
    pub application: Application,
    /// Who comes.
    pub groups: Vec<Group>,
    /// How long it lasts, and from when it counts.
    pub length: Duration,
    /// From when it counts.
    pub counts_from: Duration,
    /// Chance.
    pub seed: u64,
}

/// What became of one group's requests.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Requests that ended, however.
    pub asked: u64,
    /// Good answers within the visitors' patience.
    pub good: u64,
    /// The times of good answers.
    pub times: Vec<Duration>,
}

/// What came of a run, from when it counts.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    /// By group.
    pub groups: Vec<Outcome>,
    /// Most places that were taken beyond the limit.
    pub beyond: u32,
    /// What everything came to: equal for equal runs.
    pub trace: u64,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Event {
    /// One of the crowd asks.
    Ask(usize),
    Deadline(u64),
    /// Something ends at the application, if nothing has come since.
    Ends(u64),
    Late(u64),
    OutOfPatience(u64),
}

#[derive(Debug)]
struct Visit {
    came: Instant,
    visitor: usize,
    work: Work,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Asking(Box<Fetch>),
    Waiting(Box<Ticket>, Waker),
}

struct World {
    run: Run,
    site: Site,
    inside: Inside,
    rng: Rng,
    now: Instant,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    /// The group of each visitor, and the address.
    visitors: Vec<(usize, IpAddr)>,
    visits: BTreeMap<u64, Visit>,
    woken: Woken,
    next: u64,
    outcomes: Outcomes,
}

impl Outcome {
    /// Part of the requests that were answered well in time.
    #[must_use]
    pub fn part(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let part = self.good as f64 / self.asked.max(1) as f64;
        part
    }

    /// The time within which so many in a hundred of the good answers came.
    #[must_use]
    pub fn within(&self, part: usize) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        times
            .get(times.len() * part / 100)
            .copied()
            .unwrap_or_default()
    }
}

/// Carries a run out.
#[must_use]
pub fn run(run: Run) -> Outcomes {
    let mut settings = Settings::default();
    // What is measured here is the gate alone.
    settings.site.breaker.consecutive_failures = u32::MAX;
    settings.site.breaker.failure_rate = 1.0;
    settings.site.breaker.origin_outcomes_min = u32::MAX;
    settings.site.breaker.path_outcomes_min = u32::MAX;
    settings.site.breaker.slow_rate = None;
    let config = settings.validate().expect("they are valid");
    let site = Site::new(&config, run.seed, Instant::ZERO);
    site.set_wall_clock(Instant::ZERO, Duration::from_secs(1_709_208_000));
    let mut rng = Rng::new(run.seed);
    let mut visitors = Vec::new();
    let mut network = 0_u32;
    for (index, group) in run.groups.iter().enumerate() {
        for one in 0..group.size {
            let number = network + one % group.networks;
            let address = Ipv4Addr::from_bits(0x0a00_0000 + (number << 8) + 1);
            visitors.push((index, IpAddr::V4(address)));
        }
        network += group.networks;
    }
    let world = World {
        inside: Inside::new(run.application, rng.next()),
        outcomes: Outcomes {
            groups: vec![Outcome::default(); run.groups.len()],
            ..Outcomes::default()
        },
        run,
        site,
        rng,
        now: Instant::ZERO,
        events: BinaryHeap::new(),
        visitors,
        visits: BTreeMap::new(),
        woken: Woken::default(),
        next: 0,
    };
    world.play()
}

impl World {
    fn play(mut self) -> Outcomes {
        let end = Instant::ZERO + self.run.length;
        for visitor in 0..self.visitors.len() {
            let (group, _) = self.visitors[visitor];
            let from = self.run.groups[group].from + self.seconds(0.0, 3.0);
            self.plan(from, Event::Ask(visitor));
        }
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > end {
                break;
            }
            self.now = at;
            match event {
                Event::Ask(visitor) => self.ask(visitor),
                Event::Deadline(id) => self.ask_again(id),
                Event::Ends(asked) => {
                    if asked == self.outcomes.trace {
                        self.pass();
                        self.plan_end();
                    }
                }
                Event::Late(id) => {
                    if let Some(visit) = self.visits.get_mut(&id)
                        && let Stage::Asking(fetch) = &mut visit.stage
                    {
                        fetch.on_late(self.now);
                    }
                }
                Event::OutOfPatience(id) => self.give_up(id),
            }
            self.wake();
            let gate = self.site.gate();
            let beyond = gate.in_flight().saturating_sub(gate.limit());
            self.outcomes.beyond = self.outcomes.beyond.max(beyond);
        }
        self.outcomes
    }

    fn plan(&mut self, after: Duration, event: Event) {
        self.next += 1;
        let order = self.next;
        self.events.push(Reverse((self.now + after, order, event)));
    }

    fn seconds(&mut self, from: f64, to: f64) -> Duration {
        Duration::from_secs_f64(from + (to - from) * self.rng.unit())
    }

    fn habit(&self, visitor: usize) -> Habit {
        self.run.groups[self.visitors[visitor].0].habit
    }

    fn ask(&mut self, visitor: usize) {
        let (_, address) = self.visitors[visitor];
        self.next += 1;
        let id = self.next;
        let habit = self.habit(visitor);
        let words = [
            "shop", "cart", "news", "about", "help", "team", "blog", "jobs",
        ];
        let word = words[usize::try_from(self.rng.next() % 8).expect("below eight")];
        let (path, work) = match habit {
            Habit::Crawl => (format!("/{word}/{id}"), Work::Page),
            Habit::Export => ("/export".to_owned(), Work::Long(Duration::from_secs(12))),
            Habit::Honest => (format!("/{word}"), Work::Page),
            Habit::Poll => (
                format!("/poll?t={id}"),
                Work::Wait(self.seconds(10.0, 20.0)),
            ),
            Habit::Post => ("/order".to_owned(), Work::Page),
        };
        let method = match habit == Habit::Post {
            true => Method::POST,
            false => Method::GET,
        };
        let mut fields = FieldsBuilder::default();
        fields.push("host", b"h");
        let request = Arc::new(RequestHead::new(method, &path, fields.build()));
        if habit == Habit::Honest {
            const PATIENCE: Duration = Duration::from_secs(2);
            self.plan(PATIENCE, Event::OutOfPatience(id));
        }
        let (came, asked) = (self.now, (visitor, work));
        match self.site.decide_for(&request, address, self.now) {
            Ruling::Now(decision) => self.carry_out(id, came, asked, decision),
            Ruling::Wait(mut ticket) => {
                let waker = self.woken.waker(id);
                if let Poll::Ready(decision) = ticket.poll(&waker, self.now) {
                    return self.carry_out(id, came, asked, decision);
                }
                let wait = ticket.deadline().saturating_since(self.now);
                self.plan(wait, Event::Deadline(id));
                let visit = Visit {
                    came,
                    visitor,
                    work,
                    stage: Stage::Waiting(Box::new(ticket), waker),
                };
                self.visits.insert(id, visit);
            }
        }
    }

    fn carry_out(
        &mut self,
        id: u64,
        came: Instant,
        (visitor, work): (usize, Work),
        decision: Decision,
    ) {
        let mut fetch = match decision {
            Decision::Fetch(fetch) => fetch,
            Decision::Refuse(_) => return self.answered(came, visitor, false),
            Decision::Serve(_) => return self.answered(came, visitor, true),
        };
        fetch.on_sent(self.now);
        if let Some(at) = fetch.late_at() {
            self.plan(at.saturating_since(self.now), Event::Late(id));
        }
        let visit = Visit {
            came,
            visitor,
            work,
            stage: Stage::Asking(Box::new(fetch)),
        };
        self.visits.insert(id, visit);
        self.pass();
        if !self.inside.take(id, work) {
            self.end(id, false);
        }
        self.plan_end();
    }

    /// Those who have ended at the application by now get their answers.
    fn pass(&mut self) {
        let now = self.now.saturating_since(Instant::ZERO).as_secs_f64();
        for id in self.inside.pass(now) {
            self.end(id, true);
        }
    }

    /// Whatever was planned before is not right any more.
    fn plan_end(&mut self) {
        self.outcomes.trace += 1;
        let number = self.outcomes.trace;
        if let Some(at) = self.inside.next_end() {
            let now = self.now.saturating_since(Instant::ZERO).as_secs_f64();
            let after = Duration::from_secs_f64((at - now).max(0.0)) + Duration::from_nanos(1);
            self.plan(after, Event::Ends(number));
        }
    }

    fn wake(&mut self) {
        loop {
            let ids = self.woken.take();
            if ids.is_empty() {
                return;
            }
            for id in ids {
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
        if let Poll::Ready(decision) = ticket.poll(waker, self.now) {
            let (came, asked) = (visit.came, (visit.visitor, visit.work));
            self.visits.remove(&id);
            self.carry_out(id, came, asked, decision);
        }
    }

    fn end(&mut self, id: u64, is_good: bool) {
        let Some(visit) = self.visits.remove(&id) else {
            return;
        };
        let Stage::Asking(fetch) = visit.stage else {
            return;
        };
        let status = match is_good {
            true => StatusCode::OK,
            false => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut fields = FieldsBuilder::default();
        fields.push("cache-control", b"no-store");
        let head = ResponseHead::new(status, fields.build());
        if let Verdict::Forward(holding) = fetch.on_head(&head, self.now) {
            holding.pass_on().on_end(self.now);
        }
        self.answered(visit.came, visit.visitor, is_good);
    }

    /// The application works on all the same.
    fn give_up(&mut self, id: u64) {
        if let Some(visit) = self.visits.remove(&id) {
            match visit.stage {
                Stage::Asking(fetch) => fetch.abandon(self.now),
                Stage::Waiting(..) => {}
            }
            self.answered(visit.came, visit.visitor, false);
        }
    }

    fn answered(&mut self, came: Instant, visitor: usize, is_good: bool) {
        let took = self.now.saturating_since(came);
        if came >= Instant::ZERO + self.run.counts_from {
            let outcome = &mut self.outcomes.groups[self.visitors[visitor].0];
            outcome.asked += 1;
            outcome.good += u64::from(is_good);
            if is_good {
                outcome.times.push(took);
            }
        }
        let rest = match (self.habit(visitor), is_good) {
            (Habit::Honest, _) => self.seconds(2.0, 5.0),
            (_, true) => Duration::from_millis(1),
            (_, false) => self.seconds(0.1, 0.3),
        };
        self.plan(rest, Event::Ask(visitor));
    }
}
