//! Owns [`Retter`]: whether a request is sent on, served from a copy, or refused.
//! Never sees bytes of a wire: it is the same object for [`Session`](crate::session::Session) and
//! for a program that brings its own HTTP.

mod copy;
mod fetch;
mod refresh;
mod served;
mod wants;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Method;

pub use fetch::{Fetch, Verdict};
pub use refresh::Refresh;
pub use served::{Answer, Served};

use crate::admission::Gate;
use crate::breaker::{Outcome, State, Tiers, Transition};
use crate::config::Config;
use crate::key::{CacheKey, Keyer};
use crate::limits::STORE_SHARDS_MAX;
use crate::message::RequestHead;
use crate::report::Stats;
use crate::rng::Rng;
use crate::rules::coding::GzipPool;
use crate::rules::label::{self, Forward, Handling, Refused};
use crate::rules::{forwarding, freshness};
use crate::store::{Bounds, Store};
use crate::time::{Instant, UnixTime};

use copy::{Budget, StoredResponse};
use wants::Wants;

/// The policy: breaker, admission and copies of one origin, shared by all its sessions.
///
/// The contract with an embedder:
///
/// 1. [`decide`](Self::decide) once for each request.
/// 2. A [`Fetch`] is permission to ask the origin once and the duty to say how it went:
///    [`Fetch::on_head`], [`Fetch::on_data`] for each piece of the body, then
///    [`Fetch::on_end`] or [`Fetch::on_failure`].
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
    config: Config,
    gate: Gate,
    gzip: Arc<GzipPool>,
    keyer: Keyer,
    store: Store<StoredResponse>,
    tiers: Mutex<Tiers>,
    wants: Mutex<Wants>,
    /// Wall-clock nanoseconds at the adapter's epoch.
    wall_epoch: AtomicU64,
}

/// What to do with a request.
#[derive(Debug)]
#[must_use]
#[expect(
    clippy::large_enum_variant,
    reason = "moved once, into the exchange that runs it"
)]
pub enum Decision {
    /// Ask the origin.
    Fetch(Fetch),
    /// Answer 503 with `Retry-After`.
    Refuse(Refusal),
    /// Answer from a copy.
    Serve(Served),
}

/// Why a request is neither sent on nor served.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// The circuit, as the answer shows it.
    pub circuit: State,
    /// What the answer says of itself.
    pub handling: Handling,
    refused: Refused,
    retry_after_secs: u64,
}

impl Refusal {
    /// Seconds for `Retry-After`, at least one.
    #[must_use]
    pub const fn retry_after_secs(&self) -> u64 {
        self.retry_after_secs
    }

    /// A sentence for the person who waits.
    #[must_use]
    pub const fn text(&self) -> &'static str {
        match self.refused {
            Refused::CircuitOpen => {
                "the application is not answering and no copy of this page is held; \
                 please try again soon"
            }
            Refused::Overload => {
                "the application is busy and no copy of this page is held; please try again soon"
            }
        }
    }

    /// Writes `Retry-After` and the labels.
    pub fn put_fields(&self, put: &mut dyn FnMut(&str, &[u8])) {
        put("retry-after", self.retry_after_secs.to_string().as_bytes());
        put_labels(self.circuit, &self.handling, None, put);
    }
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
            gate: Gate::new(config.admission.in_flight_max),
            gzip: Arc::new(GzipPool::default()),
            keyer: Keyer::new(cache, rng.next()),
            store: Store::new(bounds),
            tiers: Mutex::new(Tiers::new(&config.breaker, rng.next(), now)),
            wall_epoch: AtomicU64::new(0),
            wants: Mutex::default(),
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
        let key = if forwarding::has_content(&request.fields) {
            None
        } else {
            self.keyer.key(request)
        };
        let copy = key
            .as_ref()
            .and_then(|key| self.store.get(key, &request.fields));
        let wants_origin = freshness::request_wants_origin(request);
        let is_fresh = copy.as_ref().is_some_and(|copy| copy.is_fresh(now));
        let age_max = self.config.cache.rescue_age_max;
        let copy = copy.filter(|copy| copy.may_rescue(age_max, now));
        let mut ask = Ask {
            copy,
            key,
            request,
            why: Forward::UriMiss,
        };
        if is_fresh && !wants_origin && !request.fields.contains("range") {
            let circuit = self.circuit_of(request.path(), now);
            if let Some(served) = self.serve(&mut ask, circuit, now, |ttl| Handling::Fresh { ttl })
            {
                return Decision::Serve(served);
            }
        }
        ask.why = match (&ask.copy, is_fresh) {
            (None, _) if ask.key.is_none() => Forward::Bypass,
            (None, _) => Forward::UriMiss,
            (Some(_), true) => Forward::Request,
            (Some(_), false) => Forward::Stale,
        };
        self.ask_origin(ask, now)
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
            request,
            why,
        };
        let permit = self.tiers().pass(request.path());
        let circuit = self.circuit_of(request.path(), now);
        match self.gate.try_enter() {
            Some(slot) => Decision::Fetch(Fetch::new(self, ask, permit, slot, circuit, now)),
            None => {
                self.record(permit, Outcome::Ignore, now);
                Decision::Refuse(refusal(ask.why, Refused::Overload, circuit, 1))
            }
        }
    }

    /// Asks breaker and gate; a usable copy answers what they refuse.
    fn ask_origin(self: &Arc<Self>, mut ask: Ask<'_>, now: Instant) -> Decision {
        let path = ask.request.path();
        let circuit = self.circuit_of(path, now);
        // No visitor is the guinea pig where a copy can be.
        let acquired = if circuit == State::HalfOpen && self.probes_by_itself(path, now) {
            // Soon, and no sooner than a `Retry-After` can say.
            Err(now)
        } else {
            let acquired = self.with_tiers(|tiers| tiers.try_acquire(path, now));
            acquired.map_err(|rejected| rejected.retry_at)
        };
        let permit = match acquired {
            Ok(permit) => permit,
            Err(retry_at) => {
                if let Some(served) =
                    self.serve(&mut ask, circuit, now, |ttl| Handling::CircuitOpen { ttl })
                {
                    return Decision::Serve(served);
                }
                let wait = retry_at.saturating_since(now);
                let secs = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                return Decision::Refuse(refusal(ask.why, Refused::CircuitOpen, circuit, secs));
            }
        };
        if let Some(slot) = self.gate.try_enter() {
            return Decision::Fetch(Fetch::new(self, ask, permit, slot, circuit, now));
        }
        self.record(permit, Outcome::Ignore, now);
        match self.serve(&mut ask, circuit, now, |ttl| Handling::Overload { ttl }) {
            Some(served) => Decision::Serve(served),
            None => Decision::Refuse(refusal(ask.why, Refused::Overload, circuit, 1)),
        }
    }

    fn serve(
        self: &Arc<Self>,
        ask: &mut Ask<'_>,
        circuit: State,
        now: Instant,
        handling: impl FnOnce(i64) -> Handling,
    ) -> Option<Served> {
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
            evictions: self.store.evictions(),
            insertions: self.store.insertions(),
            in_flight: self.gate.in_flight(),
            in_flight_max: self.config.admission.in_flight_max,
            overflows: self.gate.overflows(),
            refresh: self.refresh_stats(),
        }
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
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

    fn record(&self, permit: crate::breaker::TierPermit, outcome: Outcome, now: Instant) {
        self.with_tiers(|tiers| tiers.record(permit, outcome, now));
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
    /// A copy that may answer when the origin does not.
    copy: Option<Arc<StoredResponse>>,
    /// `None` for what is never kept.
    key: Option<CacheKey>,
    request: &'a Arc<RequestHead>,
    why: Forward,
}

fn refusal(why: Forward, refused: Refused, circuit: State, secs: u64) -> Refusal {
    let handling = Handling::NoCopy { why, refused };
    Refusal {
        circuit,
        handling,
        refused,
        retry_after_secs: secs.max(1),
    }
}

/// Writes `X-Retter`, `X-Circuit` and `Cache-Status`; `source` when a copy answers.
pub(crate) fn put_labels(
    circuit: State,
    handling: &Handling,
    source: Option<crate::report::Source>,
    put: &mut dyn FnMut(&str, &[u8]),
) {
    use std::time::Duration;
    let source = source.unwrap_or_else(|| handling.source(Duration::ZERO, Duration::ZERO));
    put(label::X_RETTER, source.as_str().as_bytes());
    put(label::X_CIRCUIT, circuit.as_str().as_bytes());
    put(label::CACHE_STATUS, &handling.cache_status());
}
