//! Owns whether a response may be stored, how long it is fresh, how old it is, and whether it
//! may be used when stale (RFC 9111 §3, §4.2; RFC 5861 §4).
//! Never knows whether a response was complete, nor whether a circuit is open.

use std::time::Duration;

use http::{Method, StatusCode};

use super::cache_control::{CacheControl, DELTA_SECONDS_MAX, delta_seconds, effective};
use crate::config::{FreshMode, RescueMode};
use crate::message::{Fields, RequestHead, ResponseHead};
use crate::time::UnixTime;

/// In whose partition a copy would be.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Scope {
    /// Cookies or fields that may identify who asks, none of which is known to carry a session, or
    /// a credential that many may have.
    Marked,
    /// Whoever is taken for a stranger, as which the origin was asked for it.
    Public,
    /// One session or one bearer token.
    Session,
    /// Everybody.
    Shared,
}

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum NotStorable {
    /// RFC 9111 §3.5.
    #[error("the request had credentials and the response does not allow to share it")]
    Authorization,
    /// Only answers to GET are kept.
    #[error("the request was not a GET")]
    Method,
    /// It would be stale at once and may not be used stale.
    #[error("the response could never be used again")]
    NeverUsable,
    /// RFC 9111 §5.2.2.4: usable only after validation.
    #[error("the response says no-cache")]
    NoCache,
    /// RFC 9111 §5.2.2.5.
    #[error("the response says no-store")]
    NoStore,
    /// RFC 9111 §3.3: a part of a representation.
    #[error("the response is partial")]
    Partial,
    /// RFC 9111 §5.2.2.7.
    #[error("the response says private")]
    Private,
    /// RFC 9111 §5.2.1.5.
    #[error("the request says no-store")]
    RequestNoStore,
    /// A 200 is kept to rescue, another final status only while fresh; some never.
    #[error("the status is not kept")]
    Status,
    /// RFC 9111 §4.1: `Vary: *` matches no request.
    #[error("the response varies on everything")]
    VaryStar,
}

impl NotStorable {
    /// One lower-case word, for labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Method => "method",
            Self::NeverUsable => "never-usable",
            Self::NoCache => "no-cache",
            Self::NoStore => "no-store",
            Self::Partial => "partial",
            Self::Private => "private",
            Self::RequestNoStore => "request-no-store",
            Self::Status => "status",
            Self::VaryStar => "vary-star",
        }
    }
}

/// What a response is assessed by beside itself.
#[derive(Clone, Copy, Debug)]
pub struct Criteria {
    /// What may be kept against its directives.
    pub rescue: RescueMode,
    /// What counts as fresh.
    pub fresh: FreshMode,
    /// The longest freshness that is not explicit.
    pub ttl: Duration,
    /// Who would see the copy.
    pub scope: Scope,
}

/// Decides, once, whether a response may be stored and what its times are.
///
/// A 200 is stored to rescue with, to be validated, or while fresh; any other final status only
/// while fresh. Whether the response is complete is the caller's to check (RFC 9111 §3.3).
///
/// # Errors
/// Why it may not be stored.
pub fn assess(
    terms: &Criteria,
    request: &RequestHead,
    response: &ResponseHead,
    received: UnixTime,
) -> Result<Lifetimes, NotStorable> {
    keepable_at_all(request, response)?;
    let control = effective(&response.fields);
    let is_good = response.status == StatusCode::OK;
    let objection = shared_cache_objection(request, response.status, &control);
    let lenient = is_good
        && match (terms.rescue, terms.scope) {
            (RescueMode::All, _) | (RescueMode::Session, Scope::Session) => true,
            // What is meant for one visitor was sent to a stranger who is none. A field that speaks
            // to this program alone is obeyed all the same.
            (RescueMode::Session, Scope::Public) => !control.targeted,
            (RescueMode::Session, Scope::Marked | Scope::Shared) | (RescueMode::Strict, _) => false,
        };
    let may_ask = matches!(objection, None | Some(NotStorable::NoCache));
    let validates = is_good && may_ask && has_validator(&response.fields);
    // RFC 9111 §3.5 is about sharing: those who send the same credential may see what one of them
    // was sent, unless the answer says otherwise.
    let has_credential = is_good
        && terms.rescue == RescueMode::Session
        && terms.scope == Scope::Marked
        && objection == Some(NotStorable::Authorization)
        && !control.no_cache
        && !CacheControl::of(&request.fields, "cache-control").no_store;
    // RFC 9111 §5.2.2.4: no-cache may be stored, and used after validation.
    let excused = lenient || validates || has_credential;
    let fresh = match objection {
        Some(reason) if !excused => return Err(reason),
        // A copy kept against its directives is there to rescue only: it is never fresh.
        Some(_) => 0,
        // That of a stranger too.
        None if terms.scope == Scope::Public => 0,
        None => lifetime(terms, &control, response, received),
    };
    let within = control
        .stale_if_error
        .map_or(StaleRule::Always, StaleRule::Within);
    let stale = match terms.rescue {
        _ if !is_good => StaleRule::Never,
        RescueMode::All => StaleRule::Always,
        RescueMode::Session | RescueMode::Strict if !lenient && forbids_stale(&control) => {
            StaleRule::Never
        }
        RescueMode::Session | RescueMode::Strict => within,
    };
    let behind = if objection.is_none() && terms.scope != Scope::Public && stale != StaleRule::Never
    {
        control.stale_while_revalidate.unwrap_or(0)
    } else {
        0
    };
    let age = age_at_receipt(&response.fields, received);
    let lifetimes = Lifetimes {
        fresh,
        age_at_receipt: age,
        in_doubt: doubted_age(&response.fields, age),
        stale,
        behind,
        validates,
        tolerates: objection.is_none() && terms.scope != Scope::Public,
    };
    // Its first moment is over before it could serve anybody.
    if validates || lifetimes.may_rescue(Duration::from_nanos(1), Duration::MAX) {
        Ok(lifetimes)
    } else {
        Err(NotStorable::NeverUsable)
    }
}

/// What a client asks of copies (RFC 9111 §5.2.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Wishes {
    control: CacheControl,
}

impl Wishes {
    /// Reads the directives of a request.
    #[must_use]
    pub fn of(request: &Fields) -> Self {
        let mut control = CacheControl::of(request, "cache-control");
        // RFC 9111 §5.4: Pragma counts only where Cache-Control is absent.
        control.no_cache |=
            !request.contains("cache-control") && request.has_token("pragma", "no-cache");
        Self { control }
    }

    /// Whether nothing but a copy is wanted (§5.2.1.7).
    #[must_use]
    pub const fn only_if_cached(&self) -> bool {
        self.control.only_if_cached
    }

    /// Whether the origin has to have a say in the answer (§5.2.1.4). A mere reload (`max-age=0`)
    /// is content with what others have just been given.
    #[must_use]
    pub const fn no_cache(&self) -> bool {
        self.control.no_cache
    }

    /// Whether a copy with these times may answer without asking the origin first, `resident`
    /// after it was received; and in which way.
    #[must_use]
    pub fn allow(&self, times: &Lifetimes, resident: Duration) -> Option<Allowed> {
        let Self { control } = self;
        let age = times.age(resident);
        let too_old = control.max_age.is_some_and(|max| age > seconds(max));
        if control.no_cache || control.max_age == Some(0) || too_old {
            return None;
        }
        if times.is_fresh(resident) {
            // §5.2.1.3: fresh for at least this many seconds more.
            let left = seconds(times.fresh).saturating_sub(age);
            let enough = control.min_fresh.is_none_or(|min| left >= seconds(min));
            return enough.then_some(Allowed::Fresh);
        }
        let plain = control.min_fresh.is_none() && control.max_stale.is_none();
        if plain && times.may_refresh_behind(resident) {
            return Some(Allowed::Behind);
        }
        let stale_for = age.saturating_sub(seconds(times.fresh));
        let wanted = control.min_fresh.is_none()
            && control
                .max_stale
                .is_some_and(|max| stale_for <= seconds(max));
        // §5.2.1.2, and §4.2.4: not against the response's own directives.
        (wanted && times.tolerates && times.stale != StaleRule::Never).then_some(Allowed::MaxStale)
    }
}

/// How a copy may answer without the origin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Allowed {
    /// It is stale, but may be used while it is fetched again (RFC 5861 §3).
    Behind,
    /// It is fresh.
    Fresh,
    /// It is stale, and the client takes it (`max-stale`).
    MaxStale,
}

/// The times of one copy: how long it is fresh, how old it came, how long it may be used stale.
///
/// `resident` is always the time since the response was received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lifetimes {
    /// Seconds.
    fresh: u32,
    /// Seconds.
    age_at_receipt: u32,
    /// Seconds of that age which only a `Date` says that is too old to be believed.
    in_doubt: u32,
    stale: StaleRule,
    /// Seconds past freshness in which it may be used while it is fetched again (RFC 5861 §3).
    behind: u32,
    /// Whether a 304 of the origin makes it usable (RFC 9111 §4.3).
    validates: bool,
    /// Whether a client's `max-stale` counts: not for what is kept against its directives.
    tolerates: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum StaleRule {
    Always,
    Never,
    /// Up to this many seconds past freshness.
    Within(u32),
}

impl Lifetimes {
    /// Of what may never be used again.
    pub const NEVER: Self = Self {
        fresh: 0,
        age_at_receipt: 0,
        in_doubt: 0,
        stale: StaleRule::Never,
        behind: 0,
        validates: false,
        tolerates: false,
    };

    /// These, of what was at least as old when it was received as `other`.
    #[must_use]
    pub fn not_younger_than(self, other: &Self) -> Self {
        let believed = |it: &Self| it.age_at_receipt - it.in_doubt;
        let age = self.age_at_receipt.max(other.age_at_receipt);
        Self {
            age_at_receipt: age,
            in_doubt: age - believed(&self).max(believed(other)),
            ..self
        }
    }

    /// What counts of these for a copy that outlives the process: it is fresh no more, and rescues for
    /// as long as it would have done. `None` where it may not be used stale. For
    /// [`from_rescuing`](Self::from_rescuing).
    #[must_use]
    pub fn rescuing(&self) -> Option<[u32; 4]> {
        let stale = match self.stale {
            StaleRule::Always => u32::MAX,
            StaleRule::Never => return None,
            StaleRule::Within(bound) => bound.saturating_add(self.fresh).min(u32::MAX - 1),
        };
        let validates = u32::from(self.validates);
        Some([self.age_at_receipt, self.in_doubt, stale, validates])
    }

    /// Those of which [`rescuing`](Self::rescuing) made these numbers.
    #[must_use]
    pub fn from_rescuing([age_at_receipt, in_doubt, stale, validates]: [u32; 4]) -> Self {
        Self {
            age_at_receipt,
            in_doubt: in_doubt.min(age_at_receipt),
            stale: match stale {
                u32::MAX => StaleRule::Always,
                bound => StaleRule::Within(bound),
            },
            validates: validates != 0,
            ..Self::NEVER
        }
    }

    /// The current age (RFC 9111 §4.2.3), the value of `Age`.
    #[must_use]
    pub fn age(&self, resident: Duration) -> Duration {
        seconds(self.age_at_receipt).saturating_add(resident)
    }

    /// Whether the copy may be used without asking the origin (RFC 9111 §4.2).
    #[must_use]
    pub fn is_fresh(&self, resident: Duration) -> bool {
        seconds(self.fresh) > self.age(resident)
    }

    /// Whether the copy may be used when the origin fails, is refused or is full: it is fresh, or
    /// it is not older than `age_max` and its directives allow its staleness. An origin whose clock
    /// is hours behind is no reason to let its visitors down: its `Date` does not count here.
    #[must_use]
    pub fn may_rescue(&self, resident: Duration, age_max: Duration) -> bool {
        let age = self.age(resident).saturating_sub(seconds(self.in_doubt));
        let stale_for = age.saturating_sub(seconds(self.fresh));
        let allowed = match self.stale {
            StaleRule::Always => true,
            StaleRule::Never => false,
            StaleRule::Within(bound) => stale_for <= seconds(bound),
        };
        self.is_fresh(resident) || allowed && age <= age_max
    }

    /// By how much the origin's clock seems to be behind, where that is more than can be believed.
    #[must_use]
    pub fn clock_behind(&self) -> Option<Duration> {
        (self.in_doubt > 0).then(|| seconds(self.in_doubt))
    }

    /// Whether the copy may answer while it is fetched again behind the answer.
    #[must_use]
    pub fn may_refresh_behind(&self, resident: Duration) -> bool {
        let stale_for = self.age(resident).saturating_sub(seconds(self.fresh));
        self.behind > 0 && !self.is_fresh(resident) && stale_for <= seconds(self.behind)
    }

    /// Whether the origin may be asked whether the copy is still right.
    #[must_use]
    pub const fn validates(&self) -> bool {
        self.validates
    }

    /// Whether the copy's directives forbid every stale use: a cache that cannot reach the origin then
    /// has to say so (RFC 9111 §5.2.2.2).
    #[must_use]
    pub fn forbids_stale(&self) -> bool {
        self.stale == StaleRule::Never
    }

    /// The same, stale at once.
    #[must_use]
    pub fn expired(mut self) -> Self {
        self.fresh = 0;
        self
    }

    /// Remaining freshness in whole seconds, negative when stale (RFC 9211 §2.4). Together with
    /// `Age` it is the freshness lifetime.
    #[must_use]
    pub fn ttl_seconds(&self, resident: Duration) -> i64 {
        let age = i64::try_from(self.age(resident).as_secs()).unwrap_or(i64::MAX);
        i64::from(self.fresh).saturating_sub(age)
    }
}

/// What no mode keeps.
fn keepable_at_all(request: &RequestHead, response: &ResponseHead) -> Result<(), NotStorable> {
    if request.method != Method::GET {
        return Err(NotStorable::Method);
    }
    // RFC 9110 §14.4: in a 200, Content-Range has no meaning and the response is whole.
    if response.status == StatusCode::PARTIAL_CONTENT {
        return Err(NotStorable::Partial);
    }
    if is_of_one_request(response.status) {
        return Err(NotStorable::Status);
    }
    if response.fields.has_token("vary", "*") {
        return Err(NotStorable::VaryStar);
    }
    Ok(())
}

/// Whether a status speaks of the request that it answers, or of who sent it, and not of the page:
/// of its form, its sender's rights, its conditions, its range, its other fields, or how often its
/// client came (RFC 6585 §3 to §6
/// say "MUST NOT be stored" of theirs).
fn is_of_one_request(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        ..200 | 304 | 400..=403 | 406..=409 | 411..=413 | 415..=417 | 421..=426 | 428 | 429 | 431 | 511
    )
}

/// Why RFC 9111 §3 forbids a shared cache to store, or to use without validation, an answer.
fn shared_cache_objection(
    request: &RequestHead,
    status: StatusCode,
    control: &CacheControl,
) -> Option<NotStorable> {
    // RFC 9111 §5.2.2.3: must-understand lifts no-store where the status is understood.
    if control.must_understand && !is_understood(status) {
        return Some(NotStorable::Status);
    }
    if control.no_store && !control.must_understand {
        return Some(NotStorable::NoStore);
    }
    if control.private {
        return Some(NotStorable::Private);
    }
    let shareable = control.public || control.must_revalidate || control.s_maxage.is_some();
    if request.fields.contains("authorization") && !shareable {
        return Some(NotStorable::Authorization);
    }
    if CacheControl::of(&request.fields, "cache-control").no_store {
        return Some(NotStorable::RequestNoStore);
    }
    // The last one: it allows to store, and must not hide one that does not.
    control.no_cache.then_some(NotStorable::NoCache)
}

/// RFC 9111 §4.2.4: the directives that prohibit stale responses of a shared cache
/// (`s-maxage` implies `proxy-revalidate`, §5.2.2.10).
fn forbids_stale(control: &CacheControl) -> bool {
    control.no_cache
        || control.must_revalidate
        || control.proxy_revalidate
        || control.s_maxage.is_some()
}

/// RFC 9111 §4.2.1 and §4.2.2, in seconds.
fn lifetime(
    terms: &Criteria,
    control: &CacheControl,
    response: &ResponseHead,
    received: UnixTime,
) -> u32 {
    let fields = &response.fields;
    let ttl = saturating_seconds(terms.ttl.as_secs());
    if let Some(seconds) = explicit_lifetime(control, fields, received) {
        // A web server that calls all its answers fresh does so with its error pages too: those
        // must not outlive the trouble by more than an operator said.
        return if response.status.is_server_error() {
            seconds.min(ttl)
        } else {
            seconds
        };
    }
    match terms.fresh {
        FreshMode::Ttl if response.status == StatusCode::OK => ttl,
        FreshMode::Off | FreshMode::Origin | FreshMode::Ttl => {
            heuristic_lifetime(terms.scope, control, response, received).min(ttl)
        }
    }
}

/// RFC 9111 §4.2.2: a tenth of the time since the last change; the caller bounds it by the TTL
/// setting, so that no change is hidden for longer than an operator said. Only where everybody
/// sees the copy: what a user has just done must show at once.
fn heuristic_lifetime(
    scope: Scope,
    control: &CacheControl,
    response: &ResponseHead,
    received: UnixTime,
) -> u32 {
    let fields = &response.fields;
    let may_guess = is_cacheable_by_default(response.status) || control.public;
    if scope != Scope::Shared || !may_guess || fields.has_token("pragma", "no-cache") {
        return 0;
    }
    let modified = fields.get("last-modified").and_then(UnixTime::parse);
    modified.map_or(0, |modified| {
        saturating_seconds(date(fields, received).saturating_since(modified) / 10)
    })
}

/// RFC 9110 §15.1. 206 is among them, but no part is kept.
fn is_cacheable_by_default(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// Whether this program knows all that a status means for caches (RFC 9111 §3).
fn is_understood(status: StatusCode) -> bool {
    is_cacheable_by_default(status) || matches!(status.as_u16(), 302 | 303 | 307)
}

fn has_validator(fields: &Fields) -> bool {
    let modified = fields.get("last-modified").and_then(UnixTime::parse);
    fields.get("etag").is_some_and(|etag| !etag.is_empty()) || modified.is_some()
}

/// RFC 9111 §4.2.1 without heuristics; `None` where the response says nothing.
fn explicit_lifetime(control: &CacheControl, fields: &Fields, received: UnixTime) -> Option<u32> {
    if let Some(seconds) = control.s_maxage.or(control.max_age) {
        return Some(seconds);
    }
    // RFC 9213 §2.2: a targeted field stands for Expires too.
    if control.targeted || !fields.contains("expires") {
        return None;
    }
    let mut lines = fields.get_all("expires");
    // RFC 9111 §5.3: an invalid date, `0` first of all, is in the past. So are two of them.
    let expires = lines.next().and_then(UnixTime::parse);
    Some(match (expires, lines.next()) {
        (Some(expires), None) => {
            saturating_seconds(expires.saturating_since(date(fields, received)))
        }
        (Some(_), Some(_)) | (None, _) => 0,
    })
}

/// RFC 9111 §4.2.3 `corrected_initial_age`, with a response delay of zero: the origin is near.
fn age_at_receipt(fields: &Fields, received: UnixTime) -> u32 {
    let apparent = saturating_seconds(received.saturating_since(date(fields, received)));
    // RFC 9111 §5.1: of several members the first counts, an invalid one does not.
    let told = fields.tokens("age").next().and_then(delta_seconds);
    apparent.max(told.unwrap_or(0))
}

/// How much of an age of `age` seconds is not to be believed. A cache between us and the origin
/// would say `Age` (RFC 9111 §5.1): where nothing does, and the `Date` is hours old, the clock that
/// it came from is wrong.
fn doubted_age(fields: &Fields, age: u32) -> u32 {
    const PLAUSIBLE: u32 = 60 * 60;
    if age > PLAUSIBLE && !fields.contains("age") {
        age
    } else {
        0
    }
}

/// RFC 9110 §6.6.1: a response without a (valid) date is dated when it was received.
fn date(fields: &Fields, received: UnixTime) -> UnixTime {
    fields
        .get("date")
        .and_then(UnixTime::parse)
        .unwrap_or(received)
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

fn saturating_seconds(seconds: u64) -> u32 {
    u32::try_from(seconds).map_or(DELTA_SECONDS_MAX, |seconds| seconds.min(DELTA_SECONDS_MAX))
}

#[cfg(test)]
mod tests;
