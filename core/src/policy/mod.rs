//! Owns [`Retter`]: whether a request is sent on, served from a copy, or refused.
//! Never sees bytes of a wire: it is the same object for [`Session`](crate::session::Session) and
//! for a program that brings its own HTTP.

mod copy;
mod fetch;
mod keep;
mod purge;
mod refresh;
mod served;
mod wants;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, StatusCode};

pub use fetch::{Fetch, Verdict};
pub use purge::Purge;
pub use refresh::Refresh;
pub use served::{Answer, Served};

use crate::admission::Gate;
use crate::breaker::{Outcome, State, Tiers, Transition};
use crate::config::{Config, FreshMode};
use crate::key::{CacheKey, Keyer};
use crate::limits::STORE_SHARDS_MAX;
use crate::message::{Fields, RequestHead};
use crate::report::Stats;
use crate::rng::Rng;
use crate::rules::coding::GzipPool;
use crate::rules::freshness::{Allowed, Wishes};
use crate::rules::label::{self, Forward, Handling, Refused};
use crate::rules::{conditional, forwarding};
use crate::store::{Bounds, Entry, Store};
use crate::time::{Instant, UnixTime};

use copy::{Budget, StoredResponse};
use wants::Wants;

/// The policy: breaker, admission and copies of one origin, shared by all its sessions.
///
/// The contract with an embedder:
///
/// 1. [`decide`](Self::decide) once for each request.
/// 2. A [`Fetch`] is permission to ask the origin once, with the conditions that
///    [`Fetch::validators`] gives, and the duty to say how it went: [`Fetch::on_head`], [`Fetch::on_data`] for each piece of the body, then
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
    /// Answer 503 with `Retry-After`, or 504.
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
    /// 503, or 504 where the client wanted a copy or nothing (RFC 9111 §5.2.1.7).
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self.refused {
            Refused::CircuitOpen | Refused::Overload => StatusCode::SERVICE_UNAVAILABLE,
            Refused::OnlyIfCached => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Seconds for `Retry-After`, at least one; `None` where waiting would not help.
    #[must_use]
    pub const fn retry_after_secs(&self) -> Option<u64> {
        match self.refused {
            Refused::CircuitOpen | Refused::Overload => Some(self.retry_after_secs),
            Refused::OnlyIfCached => None,
        }
    }

    /// A sentence for the person who waits.
    #[must_use]
    pub const fn text(&self) -> &'static str {
        match self.refused {
            Refused::CircuitOpen => {
                "the application is not answering and no copy of this page is held; \
                 please try again soon"
            }
            Refused::OnlyIfCached => {
                "no fresh copy of this page is held, and nothing else was wanted"
            }
            Refused::Overload => {
                "the application is busy and no copy of this page is held; please try again soon"
            }
        }
    }

    /// Writes `Retry-After` and the labels.
    pub fn put_fields(&self, put: &mut dyn FnMut(&str, &[u8])) {
        if let Some(secs) = self.retry_after_secs() {
            put("retry-after", secs.to_string().as_bytes());
        }
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
        let mut key = if forwarding::has_content(&request.fields) {
            None
        } else {
            self.keyer.key(request)
        };
        let fields = &request.fields;
        let mut copy = key.as_ref().and_then(|key| self.store.get(key, fields));
        let wishes = Wishes::of(fields);
        let usable = copy.as_ref();
        let usable = usable.and_then(|copy| self.usable(copy, &wishes, fields, now));
        if let Some(handling) = usable
            && let (Some(copy), Some(key)) = (copy.take(), key.take())
        {
            let circuit = self.circuit_of(request.path(), now);
            return Decision::Serve(Served::new(self, key, copy, circuit, handling, now));
        }
        let why = self.reason(copy.as_deref(), key.as_ref(), now);
        if wishes.only_if_cached() {
            let circuit = self.circuit_of(request.path(), now);
            return Decision::Refuse(refusal(why, Refused::OnlyIfCached, circuit, 1));
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
        wishes: &Wishes,
        request: &Fields,
        now: Instant,
    ) -> Option<Handling> {
        if self.config.cache.fresh == FreshMode::Off || conditional::is_for_origin(request) {
            return None;
        }
        let ttl = copy.ttl_seconds(now);
        match copy.allow(wishes, now)? {
            // Where nobody fetches it again it would only be stale.
            Allowed::Behind => self.is_attended().then_some(Handling::Behind { ttl }),
            Allowed::Fresh => Some(Handling::Fresh { ttl }),
            Allowed::MaxStale => Some(Handling::MaxStale { ttl }),
        }
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
            (Some(copy), Some(_)) if !copy.is_fresh(now) => Forward::Stale,
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
    /// The last good copy.
    copy: Option<Arc<StoredResponse>>,
    /// `None` for what is never kept.
    key: Option<CacheKey>,
    /// Whether the copy may answer when the origin does not.
    may_rescue: bool,
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
