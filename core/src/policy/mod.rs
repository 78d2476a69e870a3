//! Owns [`Retter`]: whether a request is sent on, served from a copy, or refused.
//! Never sees bytes of a wire: it is the same object for [`Session`](crate::session::Session) and
//! for a program that brings its own HTTP.
//!
//! A page is answered by the application, then the application is gone, and the copy answers:
//!
//! ```
//! use std::sync::Arc;
//!
//! use retter_core::config::Settings;
//! use retter_core::message::{Fields, RequestHead, ResponseHead};
//! use retter_core::policy::{Decision, Retter, Verdict};
//! use retter_core::report::Failure;
//! use retter_core::time::Instant;
//!
//! let now = Instant::ZERO; // your clock
//! let config = Settings::default().validate().expect("the defaults are valid");
//! let retter = Retter::new(config, 42, now); // a seed that nobody can guess
//! let request = http::Request::get("http://example/page").body(()).unwrap();
//! let request = Arc::new(RequestHead::from_http(&request));
//!
//! let Decision::Fetch(mut fetch) = retter.decide(&request, now) else {
//!     panic!("the circuit is closed, there is room, and there is no copy yet");
//! };
//! let head = ResponseHead::new(http::StatusCode::OK, Fields::default());
//! let Verdict::Forward = fetch.on_head(&head, now) else { panic!("200 is no failure") };
//! fetch.on_data(b"the page", now);
//! fetch.on_end(now); // from here on there is a copy
//!
//! let Decision::Fetch(fetch) = retter.decide(&request, now) else { panic!("as above") };
//! let answer = fetch.answer_failure(Failure::Connect, now); // an `http::Response`
//! assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"the page"[..]));
//! assert_eq!(answer.headers()["x-retter"], "cache");
//! ```

mod changes;
mod content;
mod copy;
mod fetch;
#[cfg(all(test, loom))]
mod interleavings;
mod interop;
mod keep;
mod purge;
mod refresh;
mod refusal;
mod served;
mod ticket;
mod unasked;
mod wants;
mod writes;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use http::Method;

pub use fetch::{Fetch, Verdict};
pub use purge::Purge;
pub use refresh::Refresh;
pub use refusal::Refusal;
pub use served::{Answer, Served};
pub use ticket::Ticket;

use crate::admission::{Class, Entry, Gate, Lead, Slot};
use crate::breaker::{Outcome, State, TierPermit, Tiers, Transition};
use crate::canary::{Plant, is_planted};
use crate::config::{Config, FreshMode};
use crate::key::{CacheKey, Keyer, Partition};
use crate::limits::STORE_SHARDS_MAX;
use crate::message::{Fields, RequestHead};
use crate::report::{AdmissionStats, Stats};
use crate::reserve::Reserve;
use crate::rng::Rng;
use crate::rules::coding::GzipPool;
use crate::rules::freshness::{Allowed, Wishes};
use crate::rules::label::{self, Forward, Handling, Refused};
use crate::rules::{conditional, forwarding};
use crate::store::{Bounds, Entry as _, Store};
use crate::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard};
use crate::time::{Instant, UnixTime};

use changes::Changes;
use content::Budget;
use copy::StoredResponse;
use wants::Wants;
use writes::Writes;

/// The policy: breaker, admission and copies of one origin, shared by all its sessions.
///
/// The contract with an embedder:
///
/// 1. [`decide`](Self::decide) once for each request. A [`Ticket`] is a decision that comes later,
///    within the time-out of the queue: await it, or drop it when the client leaves.
/// 2. A [`Fetch`] is permission to ask the origin once, with the conditions that
///    [`Fetch::validators`] gives, and the duty to say how it went: [`Fetch::on_sent`] when the
///    whole request is at the origin, [`Fetch::on_head`], [`Fetch::on_data`] for each piece of the
///    body, then [`Fetch::on_end`] or [`Fetch::on_failure`]; [`Fetch::unasked`] where the origin
///    could not be asked for want of something here. Bound each wait for the origin: a fetch has
///    its slot until it is told or dropped.
///
///    From `on_sent` on a hanging origin is found while it hangs: wait for the head until
///    [`Fetch::slow_at`] only, then call [`Fetch::on_slow`]; a copy that it gives is the answer, and
///    without one the wait goes on. Tell [`Fetch::on_behalf_of`] whom, if the late answer shall
///    still renew the copy.
/// 3. [`set_wall_clock`](Self::set_wall_clock) at start and about once a second.
/// 4. [`poll_transition`](Self::poll_transition) whenever convenient; nothing depends on it.
/// 5. Who wants copies renewed and circuits probed in the background calls
///    [`poll_refresh`](Self::poll_refresh), and [`Served::want`] for each answer from a copy.
pub struct Retter {
    /// Whether somebody renews copies in the background.
    attended: AtomicBool,
    budget: Arc<Budget>,
    /// No circuit is other than closed: then a copy is served without asking the breaker's lock.
    calm: AtomicBool,
    changes: Changes,
    config: Config,
    gate: Gate,
    gzip: Arc<GzipPool>,
    keyer: Keyer,
    reserve: Reserve,
    /// Answers from copies because the origin was full.
    overload_copies: AtomicU64,
    store: Store<StoredResponse>,
    tiers: Mutex<Tiers>,
    wants: Mutex<Wants>,
    /// Wall-clock nanoseconds at the adapter's epoch.
    wall_epoch: AtomicU64,
    writes: Writes,
}

/// What to do with a request.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// Ask the origin.
    Fetch(Box<Fetch>),
    /// Answer 503 with `Retry-After`, or 504.
    Refuse(Refusal),
    /// Answer from a copy.
    Serve(Served),
    /// The origin is full: [`Ticket::poll`] until it says what to do.
    Wait(Ticket),
}

impl Retter {
    /// Builds the policy. `seed` must be unpredictable for clients: hashes and jitter come
    /// from it.
    #[must_use]
    pub fn new(config: Config, seed: u64, now: Instant) -> Arc<Self> {
        let mut rng = Rng::new(seed);
        let cache = &config.cache;
        let bounds = Bounds {
            bytes_max: cache.bytes_max,
            entries_max: cache.entries_max,
            object_bytes_max: cache.object_bytes_max,
            shards_max: STORE_SHARDS_MAX,
        };
        Arc::new(Self {
            attended: AtomicBool::new(false),
            budget: Arc::new(Budget::new(cache.bytes_max / 2)),
            calm: AtomicBool::new(true),
            changes: Changes::new(),
            gate: Gate::new(&config.admission, now),
            gzip: Arc::new(GzipPool::default()),
            keyer: Keyer::new(cache, rng.next()),
            overload_copies: AtomicU64::new(0),
            reserve: Reserve::new(config.client.send_bytes_max),
            store: Store::new(bounds),
            tiers: Mutex::new(Tiers::new(&config.breaker, rng.next(), now)),
            wall_epoch: AtomicU64::new(0),
            wants: Mutex::default(),
            writes: Writes::new(),
            config,
        })
    }

    /// Says how `request` is to be answered.
    pub fn decide(self: &Arc<Self>, request: &Arc<RequestHead>, now: Instant) -> Decision {
        let reads = matches!(request.method, Method::GET | Method::HEAD);
        if !reads || forwarding::upgrade(request).is_some() {
            return self.decide_write(request, now);
        }
        // Content of a GET has no meaning (RFC 9110 §9.3.1), but some applications read it all the
        // same: what they answer is for nobody else, and no copy is the answer to it.
        let mut key = if forwarding::has_content(&request.fields) {
            None
        } else {
            self.keyer.key(request)
        };
        let fields = &request.fields;
        let mut copy = key.as_ref().and_then(|key| self.store.get(key, fields));
        let wishes = Wishes::of(fields);
        let usable = copy.as_ref().zip(key.as_ref());
        let usable = usable.and_then(|(copy, key)| self.usable(copy, key, &wishes, fields, now));
        if let Some(handling) = usable
            && let (Some(copy), Some(key)) = (copy.take(), key.take())
        {
            let circuit = self.circuit_of(request.path(), now);
            return Decision::Serve(Served::new(self, key, copy, circuit, handling, now));
        }
        let why = self.reason(copy.as_deref(), key.as_ref(), now);
        if wishes.only_if_cached() {
            let circuit = self.circuit_of(request.path(), now);
            let refusal = Refusal::new(why, Refused::OnlyIfCached, circuit, Duration::ZERO);
            return Decision::Refuse(refusal);
        }
        if copy.as_ref().is_some_and(|copy| !copy.is_good()) {
            copy = key
                .as_ref()
                .and_then(|key| self.store.get_good(key, fields));
        }
        let age_max = self.config.cache.rescue_age_max;
        let may_rescue = copy
            .as_ref()
            .is_some_and(|copy| copy.may_rescue(age_max, now));
        let ask = Ask {
            copy,
            key,
            may_rescue,
            request,
            why,
        };
        self.ask_origin(ask, now)
    }

    /// How a copy answers without the origin being asked, if it may.
    fn usable(
        &self,
        copy: &StoredResponse,
        key: &CacheKey,
        wishes: &Wishes,
        request: &Fields,
        now: Instant,
    ) -> Option<Handling> {
        if self.config.cache.fresh == FreshMode::Off
            || conditional::is_for_origin(request)
            || self.is_written(copy, key)
        {
            return None;
        }
        let ttl = copy.ttl_seconds(now);
        match copy.allow(wishes, now)? {
            // Where nobody fetches it again it would only be stale.
            Allowed::Behind => self.may_renew(request).then_some(Handling::Behind { ttl }),
            Allowed::Fresh => Some(Handling::Fresh { ttl }),
            Allowed::MaxStale => Some(Handling::MaxStale { ttl }),
        }
    }

    /// Whether somebody has changed the resource since the origin was asked for the copy. The
    /// writer's copies and everybody's are dropped by then; those of other users may still rescue
    /// them.
    fn is_written(&self, copy: &StoredResponse, key: &CacheKey) -> bool {
        let resource = || self.keyer.resource(key);
        key.partition() != Partition::Shared && self.writes.hit(resource, copy.times().asked)
    }

    /// Why a request goes past the copies (RFC 9211 §2.2).
    fn reason(
        &self,
        copy: Option<&StoredResponse>,
        key: Option<&CacheKey>,
        now: Instant,
    ) -> Forward {
        match (copy, key) {
            (_, None) => Forward::Bypass,
            (Some(copy), Some(key)) if !copy.is_fresh(now) || self.is_written(copy, key) => {
                Forward::Stale
            }
            (Some(_), Some(_)) if self.config.cache.fresh == FreshMode::Off => Forward::Bypass,
            (Some(_), Some(_)) => Forward::Request,
            (None, Some(key)) if self.store.contains(key) => Forward::VaryMiss,
            (None, Some(_)) => Forward::UriMiss,
        }
    }

    /// RFC 9111 §4: an unsafe method is written through; also while the circuit is open.
    fn decide_write(self: &Arc<Self>, request: &Arc<RequestHead>, now: Instant) -> Decision {
        let why = if request.method == Method::GET {
            Forward::Bypass
        } else {
            Forward::Method
        };
        let ask = Ask {
            copy: None,
            key: None,
            may_rescue: false,
            request,
            why,
        };
        match self.gate.try_enter(now) {
            Some(slot) => self.go(ask, Class::Write, slot, None, now),
            None => self.wait(ask, Class::Write, now),
        }
    }

    /// Asks breaker and gate; a usable copy answers what they refuse.
    fn ask_origin(self: &Arc<Self>, mut ask: Ask<'_>, now: Instant) -> Decision {
        let (circuit, acquired) = self.acquire(&ask, now);
        let permit = match acquired {
            Ok(permit) => permit,
            Err(retry_at) => return self.stand_in(ask, circuit, retry_at, now),
        };
        if !(ask.may_rescue && is_planted(Plant::OverloadWithRoom))
            && let Some(slot) = self.gate.try_enter(now)
        {
            let grant = Grant {
                lead: None,
                permit,
                slot,
            };
            return Decision::Fetch(Fetch::new(self, ask, grant, circuit, now));
        }
        // Who waits must not hold a probe back.
        self.record(permit, Outcome::Ignore, now);
        match self.serve(&mut ask, circuit, now, |ttl| Handling::Overload { ttl }) {
            Some(served) => {
                self.overload_copies.fetch_add(1, Ordering::Relaxed);
                Decision::Serve(served)
            }
            None => self.wait(ask, Class::Read, now),
        }
    }

    /// The circuit refuses: a copy answers, or nothing does.
    fn stand_in(
        self: &Arc<Self>,
        mut ask: Ask<'_>,
        circuit: State,
        retry_at: Instant,
        now: Instant,
    ) -> Decision {
        match self.serve(&mut ask, circuit, now, |ttl| Handling::CircuitOpen { ttl }) {
            Some(served) => Decision::Serve(served),
            None => {
                let wait = retry_at.saturating_since(now);
                Decision::Refuse(Refusal::new(ask.why, Refused::CircuitOpen, circuit, wait))
            }
        }
    }

    /// The origin is full and no copy can answer: the request waits, if that is of use.
    fn wait(self: &Arc<Self>, ask: Ask<'_>, class: Class, now: Instant) -> Decision {
        // Only what may become a copy can be the answer to others.
        let shares = ask.request.method == Method::GET && !ask.request.fields.contains("range");
        let key = ask.key.as_ref().filter(|_| shares);
        match self.gate.enter(class, key, now) {
            Entry::Place(place) => Decision::Wait(Ticket::new(self, ask, class, place, now)),
            Entry::Shed(_) => self.shed(&ask, class, now),
            Entry::Slot(slot) => self.go(ask, class, slot, None, now),
        }
    }

    /// There is no room for a request that nothing can stand in for.
    fn shed(&self, ask: &Ask<'_>, class: Class, now: Instant) -> Decision {
        /// By then things have changed, whatever the queue looks like now.
        const WAIT_MAX: Duration = Duration::from_secs(30);
        let circuit = self.circuit_of(ask.request.path(), now);
        let wait = self.gate.wait(class, now).min(WAIT_MAX);
        Decision::Refuse(Refusal::new(ask.why, Refused::Overload, circuit, wait))
    }

    /// The origin has room: asks the breaker, which for a write has no say.
    fn go(
        self: &Arc<Self>,
        ask: Ask<'_>,
        class: Class,
        slot: Slot,
        lead: Option<Lead>,
        now: Instant,
    ) -> Decision {
        let path = ask.request.path();
        let (circuit, acquired) = match class {
            Class::Read => self.acquire(&ask, now),
            Class::Write => {
                let tiers = self.tiers();
                (tiers.state(path, now), Ok(tiers.pass(path)))
            }
        };
        match acquired {
            Ok(permit) => {
                let grant = Grant { lead, permit, slot };
                Decision::Fetch(Fetch::new(self, ask, grant, circuit, now))
            }
            Err(retry_at) => self.stand_in(ask, circuit, retry_at, now),
        }
    }

    /// Asks the breaker for a visitor's request, or tells when to ask again; with the circuit as
    /// it was at that moment.
    fn acquire(&self, ask: &Ask<'_>, now: Instant) -> (State, Result<TierPermit, Instant>) {
        let path = ask.request.path();
        let circuit = self.circuit_of(path, now);
        // No visitor is the guinea pig where a copy can be.
        if circuit == State::HalfOpen && self.probes_by_itself(path, ask.may_rescue, now) {
            return (circuit, Err(now));
        }
        self.with_tiers(|tiers| match tiers.try_acquire(path, now) {
            Ok(permit) => (permit.circuit(), Ok(permit)),
            Err(rejected) => (tiers.state(path, now), Err(rejected.retry_at)),
        })
    }

    fn serve(
        self: &Arc<Self>,
        ask: &mut Ask<'_>,
        circuit: State,
        now: Instant,
        handling: impl FnOnce(i64) -> Handling,
    ) -> Option<Served> {
        if !ask.may_rescue {
            return None;
        }
        let (copy, key) = (ask.copy.take()?, ask.key.take()?);
        let handling = handling(copy.ttl_seconds(now));
        Some(Served::new(self, key, copy, circuit, handling, now))
    }

    /// Tells the wall clock; the time between two calls is taken from `now`.
    pub fn set_wall_clock(&self, now: Instant, unix: UnixTime) {
        let nanos = unix
            .0
            .saturating_mul(NANOS_PER_SEC)
            .saturating_sub(now.as_nanos());
        self.wall_epoch.store(nanos, Ordering::Relaxed);
    }

    /// The wall clock at `now`.
    #[must_use]
    pub fn wall_clock(&self, now: Instant) -> UnixTime {
        let nanos = self
            .wall_epoch
            .load(Ordering::Relaxed)
            .saturating_add(now.as_nanos());
        UnixTime(nanos / NANOS_PER_SEC)
    }

    /// The memory for what peers are slow to take.
    pub(crate) const fn reserve(&self) -> &Reserve {
        &self.reserve
    }

    /// The next state change that nobody has taken yet.
    pub fn poll_transition(&self) -> Option<Transition> {
        self.tiers().poll_transition()
    }

    /// The state of the origin's circuit.
    #[must_use]
    pub fn circuit(&self, now: Instant) -> State {
        self.tiers().origin_state(now)
    }

    /// What there is to count at this moment.
    #[must_use]
    pub fn stats(&self, now: Instant) -> Stats {
        let (circuit, paths_open, slow_calls, usual) = {
            let tiers = self.tiers();
            (
                tiers.origin_state(now),
                tiers.paths_open(),
                tiers.slow_calls(),
                tiers.usual(),
            )
        };
        Stats {
            circuit,
            paths_open,
            slow_calls,
            usual,
            copies: self.store.len(),
            copies_bytes: self.store.bytes(),
            collecting_bytes: self.budget.collecting(),
            leaving_bytes: self.budget.leaving(),
            queued_bytes: self.reserve.used(),
            evictions: self.store.evictions(),
            insertions: self.store.insertions(),
            admission: self.admission(now),
            refresh: self.refresh_stats(),
        }
    }

    /// Checks every link, weight and count of the store, for tests and simulation.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), &'static str> {
        self.store.validate()
    }

    fn admission(&self, now: Instant) -> AdmissionStats {
        let mut stats = self.gate.stats(now);
        stats.shed.copy = self.overload_copies.load(Ordering::Relaxed);
        stats
    }

    /// The gate before the origin.
    #[must_use]
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Who may see which copy.
    #[must_use]
    pub fn keyer(&self) -> &Keyer {
        &self.keyer
    }

    /// The compressors.
    #[must_use]
    pub fn gzip_pool(&self) -> &Arc<GzipPool> {
        &self.gzip
    }

    fn circuit_of(&self, path: &[u8], now: Instant) -> State {
        if self.calm.load(Ordering::Relaxed) {
            return State::Closed;
        }
        self.tiers().state(path, now)
    }

    fn record(&self, permit: TierPermit, outcome: Outcome, now: Instant) {
        let returned = self.with_tiers(|tiers| {
            let was_closed = tiers.is_origin_closed();
            tiers.record(permit, outcome, now);
            !was_closed && tiers.is_origin_closed()
        });
        if returned {
            // From what the probes have shown; it finds out by itself what more it bears.
            self.gate.restart(self.config.breaker.origin_probes, now);
        }
    }

    /// Lets something change the circuits, and notes whether all are closed now: under the lock,
    /// so that the newest state is noted last.
    fn with_tiers<T>(&self, change: impl FnOnce(&mut Tiers) -> T) -> T {
        let mut tiers = self.tiers();
        let before = tiers.changes();
        let changed = change(&mut tiers);
        self.calm.store(tiers.is_calm(), Ordering::Relaxed);
        let has_changed = tiers.changes() != before;
        drop(tiers);
        if has_changed {
            self.wake_refresher();
        }
        changed
    }

    fn tiers(&self) -> MutexGuard<'_, Tiers> {
        // A panic while it is held would be a bug of ours; the state stays usable all the same.
        self.tiers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Retter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retter")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// A request on its way through the decision.
struct Ask<'a> {
    /// The last good copy.
    copy: Option<Arc<StoredResponse>>,
    /// `None` for what is never kept.
    key: Option<CacheKey>,
    /// Whether the copy may answer when the origin does not.
    may_rescue: bool,
    request: &'a Arc<RequestHead>,
    why: Forward,
}

/// What a fetch needs: room at the origin, the breaker's leave, and perhaps others' trust.
struct Grant {
    lead: Option<Lead>,
    permit: TierPermit,
    slot: Slot,
}

/// Writes `X-Retter`, `X-Circuit` and `Cache-Status`; `source` when a copy answers.
pub(crate) fn put_labels(
    circuit: State,
    handling: &Handling,
    source: Option<crate::report::Source>,
    put: &mut dyn FnMut(&str, &[u8]),
) {
    let source = source.unwrap_or_else(|| handling.source(Duration::ZERO, Duration::ZERO));
    put(label::X_RETTER, source.as_str().as_bytes());
    put(label::X_CIRCUIT, circuit.as_str().as_bytes());
    put(label::CACHE_STATUS, &handling.cache_status());
}
