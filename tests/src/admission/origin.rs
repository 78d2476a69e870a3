//! Owns the model origins: how long they take for what, and how they break.
//! Never knows who asks: it is told how many there are.

use std::collections::VecDeque;
use std::time::Duration;

use retter_core::rng::Rng;
use retter_core::time::Instant;

/// An origin: a pool of workers with a queue before it.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// What it is called in tables.
    pub name: &'static str,
    /// Requests that are worked on at one time.
    pub workers: u32,
    /// Mean time of the work, with nobody else there.
    pub service: Duration,
    /// How these times vary.
    pub spread: Spread,
    /// Requests at one time that double the time; `None` where they do not disturb each other.
    pub thrash: Option<f64>,
    /// Requests at one time above which it answers 500.
    pub breaks_above: u32,
    /// Part of the requests that it answers with 500 however few there are.
    pub broken: f64,
    /// It stands still for the second time at the end of every first time.
    pub stall: Option<(Duration, Duration)>,
    /// What changes in the middle of the run.
    pub change: Change,
}

/// How service times vary.
#[derive(Clone, Copy, Debug)]
pub enum Spread {
    /// Half to one and a half of the mean.
    Even,
    /// Exponentially.
    Exponential,
    /// Nine of ten requests take a fifth of the mean, the tenth eight times as much.
    Mixed,
}

/// What changes in the middle of a run.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// Nothing.
    None,
    /// The work takes this many times longer.
    Service(f64),
    /// How many workers it has.
    Workers(u32),
    /// It answers nothing for so long.
    Dead(Duration),
}

/// A request that the origin has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    /// Who waits for it.
    pub(super) id: u64,
    /// Whether it ends with 500.
    pub(super) fails: bool,
}

/// A model at work.
#[derive(Debug)]
pub(super) struct Origin {
    model: Model,
    /// When the change comes.
    middle: Instant,
    busy: u32,
    queued: VecDeque<Job>,
    inside: u32,
    rng: Rng,
}

impl Origin {
    /// Makes an idle origin that changes at `middle`.
    #[must_use]
    pub(super) const fn new(model: Model, middle: Instant, seed: u64) -> Self {
        Self {
            model,
            middle,
            busy: 0,
            queued: VecDeque::new(),
            inside: 0,
            rng: Rng::new(seed),
        }
    }

    /// Takes a request; what is begun is told with its end.
    pub(super) fn take(&mut self, id: u64, now: Instant, ends: &mut Vec<(Instant, Job)>) {
        self.inside += 1;
        let is_broken = self.model.broken > 0.0 && self.rng.unit() < self.model.broken;
        if is_broken || self.inside > self.model.breaks_above {
            let job = Job { id, fails: true };
            ends.push((now + Duration::from_millis(1), job));
            return;
        }
        self.queued.push_back(Job { id, fails: false });
        self.begin(now, ends);
    }

    /// A request has ended, or its client has left: then it is worked on all the same.
    pub(super) fn end(&mut self, failed: bool, now: Instant, ends: &mut Vec<(Instant, Job)>) {
        self.inside -= 1;
        self.busy -= u32::from(!failed);
        self.begin(now, ends);
    }

    fn begin(&mut self, now: Instant, ends: &mut Vec<(Instant, Job)>) {
        while self.busy < self.workers(now)
            && let Some(job) = self.queued.pop_front()
        {
            self.busy += 1;
            let took = self.service(now);
            ends.push((self.without_stalls(now, took), job));
        }
    }

    fn workers(&self, now: Instant) -> u32 {
        match self.model.change {
            Change::Workers(workers) if now >= self.middle => workers,
            Change::Dead(_) | Change::None | Change::Service(_) | Change::Workers(_) => {
                self.model.workers
            }
        }
    }

    fn service(&mut self, now: Instant) -> Duration {
        let spread = match self.model.spread {
            Spread::Even => 0.5 + self.rng.unit(),
            Spread::Exponential => -(1.0 - self.rng.unit()).ln(),
            Spread::Mixed if self.rng.unit() < 0.9 => 0.2 * (0.5 + self.rng.unit()),
            Spread::Mixed => 8.2 * (0.5 + self.rng.unit()),
        };
        let slowed = match self.model.change {
            Change::Service(factor) if now >= self.middle => factor,
            Change::Dead(_) | Change::None | Change::Service(_) | Change::Workers(_) => 1.0,
        };
        let crowd = self.model.thrash.map_or(1.0, |double| {
            1.0 + (f64::from(self.inside) / double).powi(2)
        });
        self.model.service.mul_f64(spread * slowed * crowd)
    }

    /// The end of work that begins now, with the times in which nothing moves.
    fn without_stalls(&self, now: Instant, took: Duration) -> Instant {
        if let Change::Dead(length) = self.model.change
            && now < self.middle + length
            && now + took > self.middle
        {
            let done = self.middle.saturating_since(now);
            return self.middle + length + took.saturating_sub(done);
        }
        let Some((every, length)) = self.model.stall else {
            return now + took;
        };
        let (every, length) = (every.as_nanos(), length.as_nanos());
        let phase = u128::from(now.as_nanos()) % every;
        let still = every - length;
        let (mut at, mut left) = (phase.min(still), took.as_nanos());
        let mut passed = at - phase.min(at);
        if phase > still {
            // It begins to be worked on when the stall is over.
            passed = every - phase;
            at = 0;
        }
        while left > still - at {
            left -= still - at;
            passed += still - at + length;
            at = 0;
        }
        now + Duration::from_nanos(u64::try_from(passed + left).unwrap_or(u64::MAX))
    }
}
