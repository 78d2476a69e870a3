//! Owns who may be at the origin: the adaptive limit ([`Limit`]), who is inside ([`Slot`]), and
//! who waits in which order ([`Place`]).
//! Never decides what happens to a request that does not fit: `policy` does.

mod growth;
#[cfg(all(test, loom))]
mod interleavings;
mod limit;
mod measure;
mod queue;
mod quiet;
mod service;
mod surge;
#[cfg(test)]
mod tests;
mod way;
mod words;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::breaker::Outcome;
use crate::config::AdmissionSettings;
use crate::key::CacheKey;
use crate::report::{AdmissionStats, ShedCounts};
use crate::sync::{AtomicU32, AtomicU64, Mutex, MutexGuard};
use crate::time::Instant;

pub use limit::{Limit, LimitBounds, Sample};
use queue::{Fate, Queue, Turnover, Wakers};
pub use words::{Class, Flown, Shed};

/// The gate before the origin. Shared by reference.
///
/// Who finds room and nobody waiting enters with one compare-and-swap. Who leaves takes a short
/// lock, which is a leaf: no waker is called and nothing foreign dropped inside.
///
/// ```
/// use std::time::Duration;
/// use retter_core::admission::{Class, Entered, Gate};
/// use retter_core::breaker::Outcome;
/// use retter_core::config::AdmissionSettings;
/// use retter_core::time::Instant;
///
/// let settings = AdmissionSettings { in_flight_max: 1, ..AdmissionSettings::default() };
/// let now = Instant::ZERO;
/// let gate = Gate::new(&settings, now);
/// let slot = gate.try_enter(now).ok_or("full")?;
/// let Entered::Place(mut place) = gate.enter(Class::Read, None, now) else { return Err("room") };
/// slot.release(Outcome::Success, now + Duration::from_millis(20));
/// let waker = std::task::Waker::noop();
/// assert!(place.poll(waker, now + Duration::from_millis(20)).is_ready());
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug)]
pub struct Gate(Arc<Shared>);

/// How entering went.
#[derive(Debug)]
#[must_use]
pub enum Entered {
    /// There is room later, perhaps.
    Place(Place),
    /// It is no use waiting.
    Shed(Shed),
    /// There is room.
    Slot(Slot),
}

/// How a wait ended.
#[derive(Debug)]
#[must_use]
pub enum Admitted {
    /// The fetch that it followed has ended.
    Flown(Flown),
    /// It waited in vain.
    Shed(Shed),
    /// There is room; with the duty to those who follow, if it leads.
    Slot(Slot, Option<Lead>),
}

/// A request at the origin. Give it back with its outcome; dropped, it is free all the same, but
/// nothing is learnt.
#[must_use = "dropping a slot gives it back"]
#[derive(Debug)]
pub struct Slot {
    shared: Arc<Shared>,
    background: bool,
    /// Requests at the origin when this one came, itself among them.
    found: u32,
    /// From when the origin is at work.
    since: Instant,
    is_free: bool,
}

/// A place in the queue. Dropped, it is free at once.
#[must_use = "dropping a place gives it up"]
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    id: u64,
    deadline: Instant,
    is_over: bool,
}

/// The duty to say how a fetch ended that others wait for; dropped, it was abandoned.
#[must_use = "others wait for it"]
#[derive(Debug)]
pub struct Lead {
    shared: Arc<Shared>,
    /// `None` once said.
    key: Option<CacheKey>,
}

/// Apart from the gate, so that a slot needs no lifetime and may outlive it.
struct Shared {
    /// Requests that wait in order, and those at the origin: one word, so that nobody enters past
    /// those who wait.
    count: AtomicU64,
    /// The limit as those see it who enter without the lock.
    limit: AtomicU32,
    inner: Mutex<Inner>,
    overflows: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    background: u32,
    background_share: f64,
    limit: Limit,
    queue: Queue,
    shed: ShedCounts,
    timeout: Duration,
    /// The time of the last call, for a drop.
    last: Instant,
}

impl Gate {
    /// Makes a gate that nobody is in.
    #[must_use]
    pub fn new(settings: &AdmissionSettings, now: Instant) -> Self {
        let bounds = LimitBounds {
            start: settings.in_flight_start,
            min: settings.in_flight_min,
            max: settings.in_flight_max,
        };
        let limit = Limit::new(bounds, now);
        Self(Arc::new(Shared {
            count: AtomicU64::new(0),
            limit: AtomicU32::new(limit.current()),
            inner: Mutex::new(Inner {
                background: 0,
                background_share: settings.background_share,
                limit,
                queue: Queue::new(settings.queue_timeout),
                shed: ShedCounts::default(),
                timeout: settings.queue_timeout,
                last: now,
            }),
            overflows: AtomicU64::new(0),
        }))
    }

    /// Goes on by other settings. How many were let in at the start means nothing any more; the
    /// limit stays what was learnt, within the bounds.
    pub fn reconfigure(&self, settings: &AdmissionSettings, now: Instant) {
        let mut wakers = Wakers::new();
        let mut inner = self.0.lock(now);
        inner.background_share = settings.background_share;
        inner.timeout = settings.queue_timeout;
        inner.queue.set_timeout(settings.queue_timeout);
        let (min, max) = (settings.in_flight_min, settings.in_flight_max);
        inner.limit.set_bounds(min, max, now);
        self.0.dispatch(&mut inner, now, &mut wakers);
        drop(inner);
        wake(wakers);
    }

    /// Takes a slot if there is room and nobody waits; else counts an overflow.
    #[must_use]
    pub fn try_enter(&self, now: Instant) -> Option<Slot> {
        let shared = &self.0;
        if let Some(found) = shared.try_count(Counts::entered) {
            return Some(Slot::new(shared, found, now));
        }
        shared.overflows.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Takes a slot or a place in the queue, for who was not let in by
    /// [`try_enter`](Self::try_enter). Those with the same key share one fetch.
    pub fn enter(&self, class: Class, key: Option<&CacheKey>, now: Instant) -> Entered {
        let shared = &self.0;
        let mut wakers = Wakers::new();
        let mut inner = shared.lock(now);
        if let Some(found) = shared.try_count(Counts::entered) {
            return Entered::Slot(Slot::new(shared, found, now));
        }
        let pace = inner.pace();
        let joined = inner.queue.join(class, key, pace, now, &mut wakers);
        if let Err(shed) = joined {
            count_shed(&mut inner.shed, shed);
        }
        // Somebody may have left since: nobody waits where there is room.
        shared.dispatch(&mut inner, now, &mut wakers);
        let deadline = now + inner.timeout;
        drop(inner);
        wake(wakers);
        match joined {
            Ok(id) => Entered::Place(Place {
                shared: Arc::clone(shared),
                id,
                deadline,
                is_over: false,
            }),
            Err(shed) => Entered::Shed(shed),
        }
    }

    /// Takes a slot for work that nobody waits for, as renewing a copy.
    ///
    /// Such work gets a share of the limit, also when it is used up: others give way as they
    /// leave. Where the share is less than one, it gets one slot as long as there is room.
    #[must_use]
    pub fn try_enter_background(&self, now: Instant) -> Option<Slot> {
        let shared = &self.0;
        let mut inner = shared.lock(now);
        let share = f64::from(inner.limit.settled()) * inner.background_share;
        let found = if f64::from(inner.background) + 1.0 <= share {
            Counts::from(shared.count.fetch_add(1, Ordering::Relaxed)).in_flight + 1
        } else if inner.background == 0 {
            shared.try_count(Counts::entered)?
        } else {
            return None;
        };
        inner.background += 1;
        let mut slot = Slot::new(shared, found, now);
        slot.background = true;
        Some(slot)
    }

    /// Starts the limit again at `from`, as when the origin comes back.
    pub fn restart(&self, from: u32, now: Instant) {
        let mut wakers = Wakers::new();
        let mut inner = self.0.lock(now);
        inner.limit.restart(from, now);
        self.0.dispatch(&mut inner, now, &mut wakers);
        drop(inner);
        wake(wakers);
    }

    /// Time until a request that comes now would be let in, as far as can be told.
    #[must_use]
    pub fn wait(&self, class: Class, now: Instant) -> Duration {
        let inner = self.0.lock(now);
        inner.queue.wait(class, inner.pace())
    }

    /// Requests at the origin now.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.0.counts().in_flight
    }

    /// How many are thought to be borne, whatever is tried now.
    #[must_use]
    pub fn settled_limit(&self) -> u32 {
        let inner = self.0.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.limit.settled()
    }

    /// How many may be there now.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.0.limit.load(Ordering::Relaxed)
    }

    /// What there is to count at this moment.
    #[must_use]
    pub fn stats(&self, now: Instant) -> AdmissionStats {
        let inner = self.0.lock(now);
        AdmissionStats {
            limit: inner.limit.settled(),
            in_flight: self.in_flight(),
            waiting: inner.queue.len() + inner.queue.following(),
            following: inner.queue.following(),
            service_time: inner.limit.service_time(),
            overflows: self.0.overflows.load(Ordering::Relaxed),
            shed: inner.shed,
        }
    }
}

impl Slot {
    fn new(shared: &Arc<Shared>, found: u32, since: Instant) -> Self {
        Self {
            shared: Arc::clone(shared),
            background: false,
            found,
            since,
            is_free: false,
        }
    }

    /// The origin is at work only from now: until now it waited for its client.
    pub fn begin(&mut self, now: Instant) {
        self.since = now;
    }

    /// Gives the slot back: the limit learns from it, and who is next is let in.
    pub fn release(mut self, outcome: Outcome, now: Instant) {
        self.free(Some((outcome, now)));
    }

    fn free(&mut self, learnt: Option<(Outcome, Instant)>) {
        if std::mem::replace(&mut self.is_free, true) {
            return;
        }
        let shared = &*self.shared;
        let mut wakers = Wakers::new();
        let mut inner = shared.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((outcome, now)) = learnt {
            inner.last = inner.last.max(now);
            let in_flight = shared.counts().in_flight;
            let leaves_idle = in_flight == 1 && inner.queue.len() == 0;
            inner.limit.record(Sample {
                started: self.since,
                ended: now,
                found: self.found,
                in_flight,
                leaves_idle,
                outcome,
            });
        }
        if self.background {
            inner.background -= 1;
        }
        shared.count.fetch_sub(1, Ordering::Relaxed);
        let now = inner.last;
        shared.dispatch(&mut inner, now, &mut wakers);
        drop(inner);
        wake(wakers);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.free(None);
    }
}

impl Place {
    /// When the wait is over in any case.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Asks how the wait ended; `waker` is called when asking again can help, or at the deadline
    /// nobody is called: the caller has a timer. Not to be asked again after it was ready.
    pub fn poll(&mut self, waker: &Waker, now: Instant) -> Poll<Admitted> {
        let shared = &self.shared;
        let mut wakers = Wakers::new();
        // Dropped without the lock, as foreign code runs in it.
        let mut replaced = None;
        let mut inner = shared.lock(now);
        let fate = inner
            .queue
            .poll(self.id, waker, now, &mut wakers, &mut replaced);
        if let Some(Fate::Shed(shed)) = fate {
            count_shed(&mut inner.shed, shed);
        }
        shared.dispatch(&mut inner, now, &mut wakers);
        drop(inner);
        wake(wakers);
        let Some(fate) = fate else {
            return Poll::Pending;
        };
        self.is_over = true;
        Poll::Ready(match fate {
            Fate::Enter(key) => {
                let lead = key.map(|key| Lead {
                    shared: Arc::clone(shared),
                    key: Some(key),
                });
                Admitted::Slot(Slot::new(shared, shared.counts().in_flight, now), lead)
            }
            Fate::Flown(flown) => Admitted::Flown(flown),
            Fate::Shed(shed) => Admitted::Shed(shed),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let shared = &*self.shared;
        let mut wakers = Wakers::new();
        let mut inner = shared.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.queue.leave(self.id, &mut wakers) {
            shared.count.fetch_sub(1, Ordering::Relaxed);
        }
        let now = inner.last;
        shared.dispatch(&mut inner, now, &mut wakers);
        drop(inner);
        wake(wakers);
    }
}

impl Lead {
    /// Says how the fetch ended.
    pub fn land(mut self, flown: Flown) {
        self.end(flown);
    }

    fn end(&mut self, flown: Flown) {
        let Some(key) = self.key.take() else { return };
        let shared = &*self.shared;
        let mut wakers = Wakers::new();
        let mut inner = shared.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.queue.land(&key, flown, &mut wakers);
        let now = inner.last;
        shared.dispatch(&mut inner, now, &mut wakers);
        drop(inner);
        wake(wakers);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.end(Flown::Abandoned);
    }
}

impl Shared {
    fn lock(&self, now: Instant) -> MutexGuard<'_, Inner> {
        // A panic while it is held would be a bug of ours; the state stays usable all the same.
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.last = inner.last.max(now);
        inner
    }

    /// Lets in who is next, as long as there is room; publishes the limit and who still waits.
    fn dispatch(&self, inner: &mut Inner, now: Instant, wakers: &mut Wakers) {
        self.limit.store(inner.limit.current(), Ordering::Relaxed);
        // Those who enter without the lock look at `waiting`: it is right before anybody is let
        // in, so no slot goes to two.
        self.publish(inner);
        while inner.queue.len() > 0 && self.try_count(Counts::admitted).is_some() {
            if !inner.queue.admit(now, wakers) {
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
            self.publish(inner);
        }
        debug_assert!(
            inner.queue.len() == 0 || self.counts().in_flight >= self.limit.load(Ordering::Relaxed),
            "nobody waits where there is room"
        );
    }

    /// Tells those who enter without the lock how many wait.
    fn publish(&self, inner: &Inner) {
        let waiting = u32::try_from(inner.queue.len()).unwrap_or(u32::MAX);
        // It changes here alone, under the lock.
        if self.counts().waiting == waiting {
            return;
        }
        let update = |word| {
            let counts = Counts::from(word);
            Some(Counts { waiting, ..counts }.word())
        };
        // Relaxed here and everywhere: the word guards no other memory, and who waits is changed
        // under the lock alone.
        let _ = self
            .count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    /// Counts one more at the origin, if `change` allows it; returns how many that makes.
    fn try_count(&self, change: fn(Counts, u32) -> Option<Counts>) -> Option<u32> {
        let limit = self.limit.load(Ordering::Relaxed);
        let update = |word| change(Counts::from(word), limit).map(Counts::word);
        self.count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, update)
            .ok()
            .map(|before| Counts::from(before).in_flight + 1)
    }

    fn counts(&self) -> Counts {
        Counts::from(self.count.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn pace(&self) -> Turnover {
        Turnover {
            service: self.limit.service_time(),
            limit: self.limit.current(),
        }
    }
}

fn count_shed(counts: &mut ShedCounts, shed: Shed) {
    *match shed {
        Shed::Deadline => &mut counts.deadline,
        Shed::Early => &mut counts.early,
        Shed::Full => &mut counts.full,
    } += 1;
}

/// The two numbers of the one word.
#[derive(Clone, Copy, Debug)]
struct Counts {
    in_flight: u32,
    waiting: u32,
}

impl Counts {
    const fn from(word: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
        Self {
            in_flight: word as u32,
            waiting: (word >> 32) as u32,
        }
    }

    const fn word(self) -> u64 {
        (self.waiting as u64) << 32 | self.in_flight as u64
    }

    /// One more is at the origin, unless it is full or others wait.
    fn entered(self, limit: u32) -> Option<Self> {
        (self.waiting == 0).then(|| self.admitted(limit)).flatten()
    }

    /// One more is at the origin, unless it is full.
    fn admitted(self, limit: u32) -> Option<Self> {
        let in_flight = self.in_flight + 1;
        (in_flight <= limit).then_some(Self { in_flight, ..self })
    }
}

/// Calls wakers, none of them with a lock held.
fn wake(wakers: Wakers) {
    for waker in wakers {
        waker.wake();
    }
}
