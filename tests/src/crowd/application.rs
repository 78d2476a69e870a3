//! Owns the model applications of a crowd: what a request keeps busy there, and for how long.
//! Never knows who asks.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use retter_core::rng::Rng;

/// An application that does about 50 pages a second, by what limits it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Application {
    /// One processor that all requests at work share, as with asyncio.
    Shared,
    /// Eight workers, each kept by its request until that ends, as with PHP.
    Workers,
    /// Eight connections to a database; a request that waits keeps none.
    Database,
    /// One processor that slows down by all who are inside.
    Thrashing,
    /// One thread, which some pages block for 200 ms, as with Node.js; what takes longer lets others in
    /// between.
    Blocking,
    /// As with the database, and 500 for whatever comes while 30 are inside.
    Refusing,
}

impl Application {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Shared,
        Self::Workers,
        Self::Database,
        Self::Thrashing,
        Self::Blocking,
        Self::Refusing,
    ];
}

/// What a request wants.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    /// To be worked on for as long as a page.
    Page,
    /// To be worked on for so long.
    Long(Duration),
    /// To wait for so long.
    Wait(Duration),
}

/// Requests inside, and their progress. Times are in seconds.
#[derive(Debug)]
pub(super) struct Inside {
    application: Application,
    rng: Rng,
    now: f64,
    count: usize,
    /// Requests that are worked on all together, with the work that is left.
    shared: BTreeMap<u64, f64>,
    /// Those that have a worker, until when.
    working: BTreeMap<u64, f64>,
    /// The work that is left of those that let others in between.
    rest: BTreeMap<u64, f64>,
    queued: VecDeque<(u64, Work)>,
    /// Those that only wait, until when.
    waiting: BTreeMap<u64, f64>,
}

/// A page's time where it is alone, in seconds.
const PAGE: f64 = 0.02;

/// How long one thread is kept by one of many, in seconds.
const BLOCK: f64 = 0.2;

/// Requests that a worker application works on at a time; each takes this many times longer.
const WORKERS: usize = 8;

impl Inside {
    pub(super) const fn new(application: Application, seed: u64) -> Self {
        Self {
            application,
            rng: Rng::new(seed),
            now: 0.0,
            count: 0,
            shared: BTreeMap::new(),
            working: BTreeMap::new(),
            rest: BTreeMap::new(),
            queued: VecDeque::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Takes a request; `false` if it is answered with 500.
    pub(super) fn take(&mut self, id: u64, work: Work) -> bool {
        const INSIDE_MAX: usize = 30;
        if self.application == Application::Refusing && self.count >= INSIDE_MAX {
            return false;
        }
        self.count += 1;
        match (self.application, work) {
            (Application::Shared | Application::Thrashing, Work::Page) => {
                let spread = 0.5 + self.rng.unit();
                self.shared.insert(id, PAGE * spread);
            }
            (Application::Shared | Application::Thrashing, Work::Long(long)) => {
                self.shared.insert(id, long.as_secs_f64());
            }
            (Application::Workers, _) | (_, Work::Long(_) | Work::Page) => {
                self.queued.push_back((id, work));
            }
            (_, Work::Wait(wait)) => {
                self.waiting.insert(id, self.now + wait.as_secs_f64());
            }
        }
        self.begin();
        true
    }

    /// When the next request ends, if nobody comes.
    pub(super) fn next_end(&self) -> Option<f64> {
        let left = self.shared.values().copied().reduce(f64::min);
        let shared = left.map(|left| self.now + left / self.speed());
        let others = self.working.values().chain(self.waiting.values()).copied();
        shared.into_iter().chain(others).reduce(f64::min)
    }

    /// Lets time pass until `now`; nobody ends before. Returns who has ended.
    pub(super) fn pass(&mut self, now: f64) -> Vec<u64> {
        const NOTHING: f64 = 1e-9;
        let done = (now - self.now).max(0.0) * self.speed();
        self.now = self.now.max(now);
        let mut ended = Vec::new();
        for (id, left) in &mut self.shared {
            *left -= done;
            if *left <= NOTHING {
                ended.push(*id);
            }
        }
        let is_over = |until: &f64| *until <= now + NOTHING;
        let timed = self.working.iter().chain(&self.waiting);
        ended.extend(timed.filter(|(_, until)| is_over(until)).map(|(id, _)| *id));
        for id in &ended {
            self.shared.remove(id);
            self.working.remove(id);
            self.waiting.remove(id);
        }
        ended.retain(|id| match self.rest.remove(id) {
            Some(rest) => {
                let rest = Duration::from_secs_f64(rest);
                self.queued.push_back((*id, Work::Long(rest)));
                false
            }
            None => true,
        });
        self.count -= ended.len();
        self.begin();
        ended
    }

    fn begin(&mut self) {
        let workers = match self.application == Application::Blocking {
            true => 1,
            false => WORKERS,
        };
        while self.working.len() < workers
            && let Some((id, work)) = self.queued.pop_front()
        {
            let took = match work {
                Work::Page => self.page(),
                Work::Long(time) if self.application == Application::Blocking => {
                    let rest = time.as_secs_f64() - BLOCK;
                    if rest > 0.0 {
                        self.rest.insert(id, rest);
                    }
                    BLOCK.min(time.as_secs_f64())
                }
                Work::Long(time) | Work::Wait(time) => time.as_secs_f64(),
            };
            self.working.insert(id, self.now + took);
        }
    }

    /// How long a worker takes for a page.
    fn page(&mut self) -> f64 {
        let spread = 0.5 + self.rng.unit();
        // One in twelve blocks for 200 ms, the others for 4 ms.
        match self.application == Application::Blocking {
            true if self.rng.unit() < 1.0 / 12.0 => BLOCK,
            true => 0.004 * spread,
            false => PAGE * 8.0 * spread,
        }
    }

    /// How fast each of those goes on that are worked on all together.
    fn speed(&self) -> f64 {
        const DOUBLE: f64 = 24.0;
        #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
        let (shared, all) = (self.shared.len().max(1) as f64, self.count as f64);
        match self.application == Application::Thrashing {
            true => 1.0 / shared / (1.0 + (all / DOUBLE).powi(2)),
            false => 1.0 / shared,
        }
    }
}
