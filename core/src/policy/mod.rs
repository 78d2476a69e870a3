//! Owns [`Retter`]: whether a request is sent on, served from a copy, or refused (`decide`).
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

mod decide;
mod fetch;
mod handed;
#[cfg(all(test, loom))]
mod interleavings;
mod interop;
mod keep;
mod outdated;
mod purge;
mod refresh;
mod refusal;
mod served;
mod snapshot;
mod ticket;
mod unasked;
mod wants;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

pub use decide::Decision;
pub use fetch::{Fetch, Verdict};
pub use purge::Purge;
pub use refresh::Refresh;
pub use refusal::Refusal;
pub use served::{Answer, Served};
pub use snapshot::Snapshot;
pub use ticket::Ticket;

use arc_swap::ArcSwap;

use crate::admission::Gate;
use crate::breaker::{Outcome, State, TierPermit, Tiers, Transition};
use crate::config::{Config, SiteConfig};
use crate::copies::{Copies, Outdated};
use crate::report::{AdmissionStats, Stats};
use crate::reserve::Reserve;
use crate::rng::Rng;
use crate::rules::coding::GzipPool;
use crate::rules::label::{self, Handling};
use crate::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard};
use crate::time::{Instant, UnixTime};

use decide::{Ask, Grant};
use handed::Handed;
use wants::Wants;

/// The policy: breaker, admission and copies of one origin, shared by all its sessions.
///
/// The contract with an embedder:
///
/// 1. [`decide`](Self::decide) once for each request, after
///    [`View::receive`](crate::rules::forwarded::View::receive) has removed what the peer may not say
///    from its head. A [`Ticket`] is a decision that comes later,
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
///
///    Some applications sign a user in on the connection, not by the request (NTLM, Negotiate):
///    [`login::binds_connection`](crate::rules::login::binds_connection) tells it of the fields of
///    a request and of an answer. Whoever keeps connections to the origin gives the one that
///    carried such a message to no other client, asks [`decide_bound`](Self::decide_bound) for all
///    later requests of the same client's connection, and closes both together; where a
///    [proxy](crate::rules::forwarded::View::is_relayed) passes requests of several users on, it is closed
///    after the exchange.
/// 3. [`set_wall_clock`](Self::set_wall_clock) at start and about once a second.
/// 4. [`poll_transition`](Self::poll_transition) whenever convenient; nothing depends on it.
/// 5. Who wants copies renewed and circuits probed in the background calls
///    [`poll_refresh`](Self::poll_refresh), and [`Served::want`] for each answer from a copy.
pub struct Retter {
    /// Whether somebody renews copies in the background.
    attended: AtomicBool,
    /// No circuit is other than closed: then a copy is served without asking the breaker's lock.
    calm: AtomicBool,
    config: Config,
    copies: Copies,
    gate: Gate,
    gzip: Arc<GzipPool>,
    handed: Handed,
    key_seed: u64,
    /// The origin has signed somebody in by connection, or wanted to.
    logins: AtomicBool,
    reserve: Reserve,
    snapshot: ArcSwap<Snapshot>,
    /// Answers from copies because the origin was full.
    overload_copies: AtomicU64,
    tiers: Mutex<Tiers>,
    wants: Mutex<Wants>,
    /// Wall-clock nanoseconds at the adapter's epoch.
    wall_epoch: AtomicU64,
}

impl Retter {
    /// Builds the policy. `seed` must be unpredictable for clients: hashes and jitter come
    /// from it.
    #[must_use]
    pub fn new(config: Config, seed: u64, now: Instant) -> Arc<Self> {
        let mut rng = Rng::new(seed);
        let key_seed = rng.next();
        let site = config.site();
        let snapshot = Snapshot::new(site.clone(), key_seed);
        let tiers = Tiers::new(&site.breaker, rng.next(), now);
        Arc::new(Self {
            attended: AtomicBool::new(false),
            calm: AtomicBool::new(true),
            copies: Copies::new(&site.cache, rng.next()),
            gate: Gate::new(&site.admission, now),
            gzip: Arc::new(GzipPool::default()),
            handed: Handed::new(),
            key_seed,
            logins: AtomicBool::new(false),
            overload_copies: AtomicU64::new(0),
            reserve: Reserve::new(config.client().send_bytes_max),
            snapshot: ArcSwap::from_pointee(snapshot),
            tiers: Mutex::new(tiers),
            wall_epoch: AtomicU64::new(0),
            wants: Mutex::default(),
            config,
        })
    }

    /// Goes on by other settings. Exchanges that have begun end by those that they began with;
    /// what was learnt stays. Where requests have [other keys](crate::config::CacheSettings::same_keys) from now
    /// on, all copies go: by the old ones nobody would find them.
    ///
    /// Returns the settings that differ from those of the start and count from the next one only.
    #[must_use = "the operator has to know which settings do not count yet"]
    pub fn reconfigure(&self, config: &SiteConfig, now: Instant) -> Vec<&'static str> {
        let before = self.snapshot();
        let before = before.config();
        let snapshot = Snapshot::new(config.clone(), self.key_seed);
        self.snapshot.store(Arc::new(snapshot));
        self.gate.reconfigure(&config.admission, now);
        self.with_tiers(|tiers| tiers.reconfigure(&config.breaker, now));
        if !before.cache.same_keys(&config.cache) {
            self.outdate(Outdated::Chosen(&|_| true));
        }
        let start = self.config.site();
        let (cache, was) = (&config.cache, &start.cache);
        [
            (
                "breaker.paths_max",
                config.breaker.paths_max != start.breaker.paths_max,
            ),
            ("cache.bytes_max", cache.bytes_max != was.bytes_max),
            ("cache.entries_max", cache.entries_max != was.entries_max),
            (
                "cache.object_bytes_max",
                cache.object_bytes_max != was.object_bytes_max,
            ),
        ]
        .into_iter()
        .filter_map(|(setting, differs)| differs.then_some(setting))
        .collect()
    }

    /// The settings that count now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Tells the wall clock: how long ago 1970-01-01 UTC was at `now`, as exactly as is known. Whole
    /// seconds would make a `Date` up to one second older than it is. The time between two calls is
    /// taken from `now`.
    pub fn set_wall_clock(&self, now: Instant, since_1970: Duration) {
        let nanos = Instant::from_epoch(since_1970).as_nanos();
        let nanos = nanos.saturating_sub(now.as_nanos());
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
        let copies = self.copies.stats();
        Stats {
            circuit,
            paths_open,
            slow_calls,
            usual,
            copies: copies.len,
            copies_bytes: copies.bytes,
            collecting_bytes: copies.collecting_bytes,
            leaving_bytes: copies.leaving_bytes,
            queued_bytes: self.reserve.used(),
            evictions: copies.evictions,
            insertions: copies.insertions,
            admission: self.admission(now),
            refresh: self.refresh_stats(),
        }
    }

    /// Checks every link, weight and count of the store, for tests and simulation.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), &'static str> {
        self.copies.validate()
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

    /// Whether an answer of the origin has shown that it signs people in by connection. Before
    /// that a client that claims to sign in is no reason to keep a connection for it.
    #[must_use]
    pub fn has_logins_by_connection(&self) -> bool {
        self.logins.load(Ordering::Relaxed)
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
            let probes = self.snapshot.load().config().breaker.origin_probes;
            self.gate.restart(probes, now);
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
            .field("copies", &self.copies)
            .finish_non_exhaustive()
    }
}

const NANOS_PER_SEC: u64 = 1_000_000_000;

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
