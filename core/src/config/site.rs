//! Owns the settings of one site: one application and its protection.
//! Never knows who listens for it.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::check::{Check, HEAD, HEAD_FIELDS, HEAD_FIELDS_WORDS, HEADS, RATE_MIN, YEAR};
use super::{
    ConfigError, ConfigErrors, FailTexts, FieldNames, NamePatterns, PathPatterns, SoftMode,
    StatusSet,
};
use crate::limits::RESPONSE_FIELDS_MAX;

/// Settings of one application and its protection, with their defaults.
#[derive(Clone, Debug, Default)]
pub struct SiteSettings {
    /// How many requests may be at the origin.
    pub admission: AdmissionSettings,
    /// When the circuit opens and closes.
    pub breaker: BreakerSettings,
    /// What is kept, and which clients may see it.
    pub cache: CacheSettings,
    /// The protocol toward the origin.
    pub origin: OriginSettings,
}

/// Settings of the admission gate.
#[derive(Clone, Debug)]
pub struct AdmissionSettings {
    /// Most requests at the origin at one time, whatever it seems to bear.
    pub in_flight_max: u32,
    /// Fewest, however little it seems to bear. The same as the most fixes the limit.
    pub in_flight_min: u32,
    /// How many before anything is known.
    pub in_flight_start: u32,
    /// Part of the limit that renewing copies may use while others wait, 0 to 1.
    pub background_share: f64,
    /// Most requests that may wait at the origin, as long polls do, without taking a place there;
    /// how many it bears is found out. With 0 every request counts as work.
    pub parked_max: u32,
    /// Longest time that a request waits for the origin to have room.
    pub queue_timeout: Duration,
    /// How long after the first connection that failed a request waits for the origin to take
    /// connections, where no copy answers; zero for not at all.
    pub restart_wait: Duration,
    /// Whether visitors who want a page get a place in the waiting room while the origin is full.
    pub waiting_room: bool,
}

/// Settings of the breaker.
#[derive(Clone, Debug)]
pub struct BreakerSettings {
    /// Length of the sliding window of outcomes.
    pub window: Duration,
    /// Share of failures that opens a circuit, above 0 and up to 1.
    pub failure_rate: f64,
    /// Failures in a row that open a path's circuit, and connect failures in a row that open
    /// the origin's; slow calls in a row that open either.
    pub consecutive_failures: u32,
    /// Share of slow calls that opens a circuit, above 0 and up to 1; `None` when no call is
    /// ever slow.
    pub slow_rate: Option<f64>,
    /// What a call may take in any case. A call is slow when it has taken longer, and longer than
    /// four times what is usual.
    pub slow_min: Duration,
    /// Outcomes in the window before a path's failure rate counts.
    pub path_outcomes_min: u32,
    /// Outcomes in the window before the origin's failure rate counts.
    pub origin_outcomes_min: u32,
    /// Different failing paths in the window before the origin's failure rate counts.
    pub origin_paths_min: u32,
    /// Shortest open time.
    pub open_min: Duration,
    /// Longest open time of a path; it doubles from the shortest with each probe that fails. That of
    /// the whole origin is 2 s at most, or the shortest.
    pub open_max: Duration,
    /// Random part of the open time, ± this share, 0 to below 1.
    pub jitter: f64,
    /// How long a probe may take before its lease ends and another may go.
    pub probe_lease: Duration,
    /// Successful probes in a row that close the origin's circuit (a path's closes at the first).
    pub origin_probes: u32,
    /// Paths with a circuit of their own; the least recently failing gives way.
    pub paths_max: usize,
    /// Response status codes that are failures.
    pub failure_statuses: StatusSet,
    /// Texts of the application's own error pages that come with status 200, beside those that are
    /// known.
    pub failure_texts: FailTexts,
    /// What is done about error pages that come with status 200.
    pub soft: SoftMode,
}

/// Settings of the store and of partitions.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// Age below which a copy is labelled `cache`, above it `last-known-success`.
    pub ttl: Duration,
    /// Whether the query is part of the key.
    pub detect_query: bool,
    /// Whether cookies and credentials partition the copies.
    pub detect_session: bool,
    /// Which copies answer without asking the origin.
    pub fresh: FreshMode,
    /// Which responses are kept, and for whom.
    pub rescue: RescueMode,
    /// Age above which a copy rescues nobody.
    pub rescue_age_max: Duration,
    /// Bytes of all copies.
    pub bytes_max: usize,
    /// Number of all copies.
    pub entries_max: usize,
    /// Body bytes of one copy.
    pub object_bytes_max: usize,
    /// Paths of which nothing is kept, and which nothing but the origin answers.
    pub excluded_paths: PathPatterns,
    /// Names of cookies that carry a session.
    pub session_cookies: NamePatterns,
    /// Names of cookies that never change a page.
    pub ignored_cookies: NamePatterns,
    /// Names of query parameters that never change a page: the key is made without them, and who
    /// sends one makes no copy.
    pub ignored_query: NamePatterns,
    /// Whether the origin is asked as a stranger for pages that visitors want, and what it sends is
    /// kept for those who have no copy of their own; only where `rescue` is
    /// [`Session`](RescueMode::Session) and cookies partition the copies.
    pub public: bool,
    /// Address that the origin is told when it is asked as a stranger: a global one that is nobody's.
    pub public_address: IpAddr,
    /// Part of one worker's time at the origin that asking as a stranger may take, above 0 and up
    /// to 1.
    pub public_share: f64,
    /// Request fields that change no page, beside those that are known.
    pub harmless_fields: FieldNames,
    /// Request fields that identify who asks, though they are known as harmless or as shaping.
    pub identity_fields: FieldNames,
}

/// Settings of the origin side of a session.
#[derive(Clone, Debug)]
pub struct OriginSettings {
    /// `host[:port]` of the origin, sent as `Host` when the client sent none.
    pub authority: String,
    /// Path prefix put before every request path: empty or `/prefix` without a last `/`.
    pub path_prefix: String,
    /// Bytes of a response head.
    pub head_bytes_max: usize,
    /// Fields of a response head, and of a trailer section.
    pub head_fields_max: usize,
    /// Longest time to connect.
    pub connect_timeout: Duration,
    /// Longest time from the request to the response head.
    pub head_timeout: Duration,
    /// Longest time until the head of a response to a request that only waits at the origin, as a
    /// long poll does, while others are answered.
    pub wait_timeout: Duration,
    /// Longest time between two pieces of a body, in either direction.
    pub body_timeout: Duration,
    /// Longest silence of a tunnel or an event stream.
    pub tunnel_timeout: Duration,
    /// Bytes a second that a response body of known length must reach in the long run; `None`
    /// for no such rate. Bodies without one may be live: only their silence is bounded.
    pub rate_min: Option<u32>,
}

impl OriginSettings {
    fn has_valid_prefix(&self) -> bool {
        let prefix = &self.path_prefix;
        prefix.is_empty()
            || prefix.starts_with('/')
                && !prefix.ends_with('/')
                && prefix.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        Self {
            // More than a small server works on at one time: whoever needs it says so.
            in_flight_max: 256,
            in_flight_min: 1,
            // Few enough for one PHP worker's queue, enough to learn from within a second.
            in_flight_start: 8,
            background_share: 0.25,
            // Each is a connection and a few kilobytes.
            parked_max: 256,
            queue_timeout: Duration::from_secs(1),
            // Most applications restart in less.
            restart_wait: Duration::from_secs(5),
            waiting_room: true,
        }
    }
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            failure_rate: 0.66,
            consecutive_failures: 5,
            slow_rate: Some(0.66),
            slow_min: Duration::from_secs(1),
            path_outcomes_min: 5,
            origin_outcomes_min: 20,
            origin_paths_min: 3,
            open_min: Duration::from_secs(1),
            open_max: Duration::from_secs(10),
            jitter: 0.2,
            probe_lease: Duration::from_secs(15),
            origin_probes: 3,
            paths_max: 1024,
            failure_statuses: StatusSet::default(),
            failure_texts: FailTexts::default(),
            soft: SoftMode::Rescue,
        }
    }
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(5),
            detect_query: true,
            detect_session: true,
            fresh: FreshMode::Origin,
            rescue: RescueMode::Session,
            rescue_age_max: Duration::from_secs(24 * 60 * 60),
            bytes_max: 64 << 20,
            entries_max: 100_000,
            object_bytes_max: 4 << 20,
            excluded_paths: PathPatterns::default(),
            session_cookies: NamePatterns::session_cookies(),
            ignored_cookies: NamePatterns::ignored_cookies(),
            ignored_query: NamePatterns::ignored_query(),
            public: true,
            public_address: IpAddr::from([192, 31, 196, 1]),
            public_share: 0.1,
            harmless_fields: FieldNames::default(),
            identity_fields: FieldNames::default(),
        }
    }
}

impl Default for OriginSettings {
    fn default() -> Self {
        Self {
            authority: "localhost:8088".to_owned(),
            path_prefix: String::new(),
            head_bytes_max: 60 << 10,
            head_fields_max: RESPONSE_FIELDS_MAX,
            connect_timeout: Duration::from_secs(2),
            head_timeout: Duration::from_secs(15),
            // Twice what most long polls last.
            wait_timeout: Duration::from_secs(120),
            body_timeout: Duration::from_secs(60),
            tunnel_timeout: Duration::from_secs(60 * 60),
            rate_min: Some(RATE_MIN),
        }
    }
}

/// Which copies answer without asking the origin (RFC 9111 §4.2).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum FreshMode {
    /// None: copies are there to rescue only.
    Off,
    /// Those that the origin calls fresh, and for at most the TTL setting those that changed long
    /// ago (a tenth of the time since `Last-Modified`).
    #[default]
    Origin,
    /// Also every 200 without explicit freshness that may be stored, for the TTL setting.
    Ttl,
}

/// Which responses are kept to rescue with.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RescueMode {
    /// Every 200, whatever its directives, as the original program did.
    All,
    /// `private`, `no-store` and `no-cache` responses only inside the session's own partition;
    /// shared copies by RFC 9111.
    #[default]
    Session,
    /// RFC 9111 to the letter everywhere.
    Strict,
}

/// Settings of a site that were checked and can be trusted. Made only by
/// [`SiteSettings::validate`]; clones share them.
#[derive(Clone, Debug)]
pub struct SiteConfig(Arc<SiteSettings>);

impl Deref for SiteConfig {
    type Target = SiteSettings;

    fn deref(&self) -> &SiteSettings {
        &self.0
    }
}

impl SiteSettings {
    /// Checks every setting.
    ///
    /// # Errors
    /// All settings that cannot work, at once.
    pub fn validate(self) -> Result<SiteConfig, ConfigErrors> {
        let errors = self.errors().collect();
        ConfigErrors::or(errors, self.checked())
    }

    /// For whoever has looked for errors.
    pub(super) fn checked(self) -> SiteConfig {
        SiteConfig(Arc::new(self))
    }

    /// What cannot work.
    pub(super) fn errors(&self) -> impl Iterator<Item = ConfigError> {
        let requirements = self.requirements().into_iter();
        let counts = self.counts().into_iter();
        let checks = requirements.chain(counts).chain(self.durations());
        checks.filter_map(Check::error)
    }

    fn requirements(&self) -> [Check; 12] {
        let Self {
            admission,
            breaker,
            cache,
            origin,
        } = self;
        let is_share = |rate: f64| rate > 0.0 && rate <= 1.0;
        [
            Check::that(
                admission.in_flight_min <= admission.in_flight_max,
                "admission.in_flight_min",
                "a whole number from 1 up to admission.in_flight_max",
            ),
            Check::that(
                (0.0..=1.0).contains(&admission.background_share),
                "admission.background_share",
                "a number from 0 to 1",
            ),
            Check::that(
                admission.restart_wait <= YEAR,
                "admission.restart_wait",
                "a duration up to a year",
            ),
            Check::that(
                is_share(breaker.failure_rate),
                "breaker.failure_rate",
                "a number above 0 and up to 1",
            ),
            Check::that(
                breaker.slow_rate.is_none_or(is_share),
                "breaker.slow_rate",
                "off, or a number above 0 and up to 1",
            ),
            Check::that(
                (0.0..1.0).contains(&breaker.jitter),
                "breaker.jitter",
                "a number from 0 to below 1",
            ),
            Check::that(
                breaker.open_max >= breaker.open_min && breaker.open_max <= YEAR,
                "breaker.open_max",
                "a duration not shorter than breaker.open_min, up to a year",
            ),
            Check::that(
                HEADS.contains(&origin.head_bytes_max),
                "origin.head_bytes_max",
                HEAD,
            ),
            Check::that(
                HEAD_FIELDS.contains(&origin.head_fields_max),
                "origin.head_fields_max",
                HEAD_FIELDS_WORDS,
            ),
            Check::that(
                is_share(cache.public_share),
                "cache.public_share",
                "a number above 0 and up to 1",
            ),
            Check::that(
                cache.object_bytes_max <= cache.bytes_max,
                "cache.object_bytes_max",
                "a size not above cache.bytes_max",
            ),
            Check::that(
                !origin.authority.is_empty() && origin.has_valid_prefix(),
                "origin.path_prefix",
                "empty, or a path that begins with / and does not end with it",
            ),
        ]
    }

    fn counts(&self) -> [Check; 9] {
        let Self {
            admission, breaker, ..
        } = self;
        let count = |setting, count: u32| {
            Check::count(setting, usize::try_from(count).unwrap_or(usize::MAX))
        };
        [
            count("admission.in_flight_max", admission.in_flight_max),
            count("admission.in_flight_min", admission.in_flight_min),
            count("admission.in_flight_start", admission.in_flight_start),
            count("breaker.consecutive_failures", breaker.consecutive_failures),
            count("breaker.path_outcomes_min", breaker.path_outcomes_min),
            count("breaker.origin_outcomes_min", breaker.origin_outcomes_min),
            count("breaker.origin_paths_min", breaker.origin_paths_min),
            count("breaker.origin_probes", breaker.origin_probes),
            Check::count("breaker.paths_max", breaker.paths_max),
        ]
    }

    fn durations(&self) -> [Check; 11] {
        let Self {
            admission,
            breaker,
            cache,
            origin,
        } = self;
        [
            Check::duration("breaker.slow_min", breaker.slow_min),
            Check::duration("admission.queue_timeout", admission.queue_timeout),
            Check::duration("breaker.window", breaker.window),
            Check::duration("breaker.open_min", breaker.open_min),
            Check::duration("breaker.probe_lease", breaker.probe_lease),
            Check::duration("cache.rescue_age_max", cache.rescue_age_max),
            Check::duration("origin.connect_timeout", origin.connect_timeout),
            Check::duration("origin.head_timeout", origin.head_timeout),
            Check::duration("origin.wait_timeout", origin.wait_timeout),
            Check::duration("origin.body_timeout", origin.body_timeout),
            Check::duration("origin.tunnel_timeout", origin.tunnel_timeout),
        ]
    }
}

impl CacheSettings {
    /// Whether there are copies of what a stranger is sent.
    #[must_use]
    pub fn has_public(&self) -> bool {
        self.public && self.detect_session && self.rescue == RescueMode::Session
    }

    /// Whether a session's copies are found by a cookie value that one browser only was given, whatever
    /// becomes of its other cookies.
    #[must_use]
    pub fn has_chains(&self) -> bool {
        self.detect_session && self.rescue == RescueMode::Session
    }

    /// Whether keys made by these settings and by `other` are the same for every request: where
    /// they are not, copies made by one are not found by the other.
    #[must_use]
    pub fn same_keys(&self, other: &Self) -> bool {
        self.detect_query == other.detect_query
            && self.detect_session == other.detect_session
            && self.session_cookies == other.session_cookies
            && self.ignored_cookies == other.ignored_cookies
            && self.ignored_query == other.ignored_query
            && self.harmless_fields == other.harmless_fields
            && self.identity_fields == other.identity_fields
    }
}
