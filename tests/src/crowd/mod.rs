//! Owns the simulation of a crowd: honest visitors and others, who each ask again when they have their
//! answer, before a model application, with the real policy between them.
//! Never opens a socket or reads a clock; the same seed is the same run.

mod application;
mod habit;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use http::StatusCode;
use retter_core::config::Settings;
use retter_core::message::{FieldsBuilder, ResponseHead};
use retter_core::rng::Rng;
use retter_core::time::Instant;
use retter_core::{Decision, Fetch, Ruling, Site, Ticket, Verdict};

pub use application::Application;
use application::{Inside, Work};
use habit::{Answer, Wish};
pub use habit::{Group, Habit, Sessions};

use crate::woken::Woken;

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
    /// Whether failures and slowness open circuits; else what is seen is the gate's doing alone.
    pub has_circuits: bool,
    /// Whether what others ask for may be kept, and in how many bytes; else every answer is asked for.
    pub copies: Option<usize>,
    /// From when on the application fails on everything.
    pub fails_from: Option<Duration>,
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
    /// Those of them that the application gave, and no copy.
    pub made: u64,
    /// The times of good answers.
    pub times: Vec<Duration>,
    /// The good answers of each.
    pub each: BTreeMap<usize, u64>,
}

/// What came of a run, from when it counts.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    /// By group.
    pub groups: Vec<Outcome>,
    /// Most places that were taken beyond the limit.
    pub beyond: u32,
    /// What must never happen and did.
    pub violations: Vec<String>,
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
    /// Its answer takes long.
    Late(u64),
    OutOfPatience(u64),
}

#[derive(Debug)]
struct Visit {
    asked: Asked,
    stage: Stage,
}

/// A request of somebody.
#[derive(Clone, Copy, Debug)]
struct Asked {
    came: Instant,
    visitor: usize,
    work: Work,
    fails: bool,
    bytes: usize,
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
    /// Whether the event has let somebody in.
    has_entered: bool,
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

    /// The time within which `part` in a hundred of the good answers came.
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
    if !run.has_circuits {
        settings.site.breaker.consecutive_failures = u32::MAX;
        settings.site.breaker.failure_rate = 1.0;
        settings.site.breaker.origin_outcomes_min = u32::MAX;
        settings.site.breaker.path_outcomes_min = u32::MAX;
        settings.site.breaker.slow_rate = None;
    }
    if let Some(bytes) = run.copies {
        settings.site.cache.bytes_max = bytes;
        settings.site.cache.object_bytes_max = bytes / 4;
    }
    let config = settings.validate().expect("they are valid");
    let site = Site::new(&config, run.seed, Instant::ZERO);
    site.set_wall_clock(Duration::from_secs(1_709_208_000), Instant::ZERO);
    let mut rng = Rng::new(run.seed);
    let mut visitors = Vec::new();
    let mut network = 0_u32;
    for (index, group) in run.groups.iter().enumerate() {
        for one in 0..group.size {
            visitors.push((index, group.address(one, network)));
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
        has_entered: false,
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
            self.has_entered = false;
            let before = (self.site.gate().in_flight(), self.site.gate().limit());
            match event {
                Event::Ask(visitor) => self.ask(visitor),
                Event::Deadline(id) => self.ask_again(id),
                Event::Ends(asked) => {
                    if asked == self.outcomes.trace {
                        self.pass();
                        self.plan_end();
                    }
                }
                Event::OutOfPatience(id) => self.give_up(id),
                Event::Late(id) => self.late(id),
            }
            self.wake();
            self.check(before);
        }
        self.visits.clear();
        let stats = self.site.stats(self.now).admission;
        if (stats.in_flight, stats.parked, stats.waiting) != (0, 0, 0) {
            let text = format!("nobody is there, and still {stats:?}");
            self.outcomes.violations.push(text);
        }
        self.outcomes
    }

    /// Nobody enters beyond the limit, but for the one who finds out whether the others only wait.
    fn check(&mut self, (in_flight, limit): (u32, u32)) {
        let gate = self.site.gate();
        let (now, most) = (gate.in_flight(), gate.limit().max(limit).max(in_flight));
        // Those who only wait may be too many all at once; they take half of the places at most.
        let parked = self.site.stats(self.now).admission.parked;
        let most = if parked > 0 { most + limit / 2 } else { most };
        self.outcomes.beyond = self.outcomes.beyond.max(now.saturating_sub(gate.limit()));
        if self.has_entered && now > most + 1 {
            let text = format!("{in_flight} became {now} of {most}");
            self.outcomes.violations.push(text);
        }
    }

    fn plan(&mut self, after: Duration, event: Event) {
        self.next += 1;
        let order = self.next;
        self.events.push(Reverse((self.now + after, order, event)));
    }

    fn seconds(&mut self, from: f64, to: f64) -> Duration {
        Duration::from_secs_f64(from + (to - from) * self.rng.unit())
    }

    fn group(&self, visitor: usize) -> Group {
        self.run.groups[self.visitors[visitor].0]
    }

    fn ask(&mut self, visitor: usize) {
        let (_, address) = self.visitors[visitor];
        self.next += 1;
        let id = self.next;
        let group = self.group(visitor);
        let Wish {
            request,
            work,
            fails,
            bytes,
        } = group.wish(id, visitor, &mut self.rng);
        if let Some(patience) = group.habit.patience() {
            self.plan(patience, Event::OutOfPatience(id));
        }
        let asked = Asked {
            came: self.now,
            visitor,
            work,
            fails,
            bytes,
        };
        match self.site.decide_for(&Arc::new(request), address, self.now) {
            Ruling::Now(decision) => self.carry_out(id, asked, decision),
            Ruling::Wait(mut ticket) => {
                let waker = self.woken.waker(id);
                if let Poll::Ready(decision) = ticket.poll(&waker, self.now) {
                    return self.carry_out(id, asked, decision);
                }
                let wait = ticket.deadline().saturating_since(self.now);
                self.plan(wait, Event::Deadline(id));
                let stage = Stage::Waiting(Box::new(ticket), waker);
                self.visits.insert(id, Visit { asked, stage });
            }
        }
    }

    fn carry_out(&mut self, id: u64, asked: Asked, decision: Decision) {
        let mut fetch = match decision {
            Decision::Fetch(fetch) => fetch,
            Decision::Refuse(_) => return self.answered(asked, Answer::Bad),
            Decision::Serve(_) => return self.answered(asked, Answer::Copy),
        };
        self.has_entered = true;
        fetch.on_sent(self.now);
        if let Some(at) = fetch.poll_timeout() {
            self.plan(at.saturating_since(self.now), Event::Late(id));
        }
        let stage = Stage::Asking(Box::new(fetch));
        self.visits.insert(id, Visit { asked, stage });
        self.pass();
        if self.is_down() || !self.inside.take(id, asked.work) {
            self.end(id, false);
        }
        self.plan_end();
    }

    fn is_down(&self) -> bool {
        let from = self.run.fails_from;
        from.is_some_and(|from| self.now >= Instant::ZERO + from)
    }

    /// The answer takes long: a copy answers, where one may.
    fn late(&mut self, id: u64) {
        let Some(visit) = self.visits.get_mut(&id) else {
            return;
        };
        let Stage::Asking(fetch) = &mut visit.stage else {
            return;
        };
        if fetch.handle_timeout(self.now).is_some() {
            if let Some(visit) = self.visits.remove(&id) {
                self.answered(visit.asked, Answer::Copy);
            }
        } else if let Some(at) = fetch.poll_timeout() {
            self.plan(at.saturating_since(self.now), Event::Late(id));
        }
    }

    /// Those who have ended at the application by now get their answers.
    fn pass(&mut self) {
        let now = self.now.saturating_since(Instant::ZERO).as_secs_f64();
        for id in self.inside.pass(now) {
            let fails = self.visits.get(&id).is_some_and(|visit| visit.asked.fails);
            self.end(id, !fails && !self.is_down());
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
            let asked = visit.asked;
            self.visits.remove(&id);
            self.carry_out(id, asked, decision);
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
        let (name, value) = match self.run.copies {
            Some(_) => ("vary", &b"Accept-Language"[..]),
            None => ("cache-control", &b"no-store"[..]),
        };
        fields.push(name, value);
        let head = ResponseHead::new(status, fields.build());
        let answer = match fetch.on_head(&head, self.now) {
            Verdict::Forward(holding) => {
                let mut passing = holding.pass_on();
                if self.run.copies.is_some() {
                    passing.on_data(&vec![b'a'; visit.asked.bytes], self.now);
                }
                passing.on_end(self.now);
                match is_good {
                    true => Answer::Made,
                    false => Answer::Bad,
                }
            }
            Verdict::Serve(_) => Answer::Copy,
        };
        self.answered(visit.asked, answer);
    }

    /// The application works on all the same.
    fn give_up(&mut self, id: u64) {
        if let Some(visit) = self.visits.remove(&id) {
            match visit.stage {
                Stage::Asking(fetch) => fetch.abandon(self.now),
                Stage::Waiting(..) => {}
            }
            self.answered(visit.asked, Answer::Bad);
        }
    }

    fn answered(&mut self, asked: Asked, answer: Answer) {
        let Asked { came, visitor, .. } = asked;
        let is_good = answer != Answer::Bad;
        let took = self.now.saturating_since(came);
        if came >= Instant::ZERO + self.run.counts_from {
            let outcome = &mut self.outcomes.groups[self.visitors[visitor].0];
            outcome.asked += 1;
            outcome.good += u64::from(is_good);
            outcome.made += u64::from(answer == Answer::Made);
            *outcome.each.entry(visitor).or_default() += u64::from(is_good);
            if is_good {
                outcome.times.push(took);
            }
        }
        let (least, most) = self.group(visitor).habit.rest(answer);
        let rest = match least < most {
            true => self.seconds(least, most),
            false => Duration::from_secs_f64(least),
        };
        self.plan(rest, Event::Ask(visitor));
    }
}
