//! Owns whether a response may be stored, how long it is fresh, how old it is, and whether it
//! may be used when stale (RFC 9111 §3, §4.2; RFC 5861 §4).
//! Never knows whether a response was complete, nor whether a circuit is open.

use std::time::Duration;

use http::{Method, StatusCode};

use super::cache_control::{CacheControl, DELTA_SECONDS_MAX, delta_seconds, effective};
use crate::config::RescueMode;
use crate::message::{Fields, RequestHead, ResponseHead};
use crate::time::UnixTime;

/// In whose partition a copy would be.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Scope {
    /// Cookies that may change a page, none of which is known to carry a session.
    Cookies,
    /// One session or one credential.
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
    /// Only 200 is kept.
    #[error("the status is not 200")]
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

/// Decides, once, whether a response may be stored and what its times are.
///
/// Whether the response is complete is the caller's to check (RFC 9111 §3.3).
///
/// # Errors
/// Why it may not be stored.
pub fn assess(
    mode: RescueMode,
    scope: Scope,
    request: &RequestHead,
    response: &ResponseHead,
    received: UnixTime,
) -> Result<Lifetimes, NotStorable> {
    keepable_at_all(request, response)?;
    let control = effective(&response.fields);
    let objection = shared_cache_objection(request, &control);
    let lenient = match (mode, scope) {
        (RescueMode::All, _) | (RescueMode::Session, Scope::Session) => true,
        (RescueMode::Session, Scope::Cookies | Scope::Shared) | (RescueMode::Strict, _) => false,
    };
    // A copy kept against its directives is there to rescue only: it is never fresh.
    let fresh = match objection {
        Some(reason) if !lenient => return Err(reason),
        Some(_) => 0,
        None => explicit_lifetime(&control, &response.fields, received),
    };
    let within = control
        .stale_if_error
        .map_or(StaleRule::Always, StaleRule::Within);
    let stale = match mode {
        RescueMode::All => StaleRule::Always,
        RescueMode::Session | RescueMode::Strict if !lenient && forbids_stale(&control) => {
            StaleRule::Never
        }
        RescueMode::Session | RescueMode::Strict => within,
    };
    let lifetimes = Lifetimes {
        fresh,
        age_at_receipt: age_at_receipt(&response.fields, received),
        stale,
    };
    // Its first moment is over before it could serve anybody.
    if lifetimes.may_rescue(Duration::from_nanos(1), Duration::MAX) {
        Ok(lifetimes)
    } else {
        Err(NotStorable::NeverUsable)
    }
}

/// Whether the client asks that its request goes to the origin although a copy is fresh:
/// `no-cache`, `max-age=0` or `Pragma: no-cache`.
#[must_use]
pub fn request_wants_origin(request: &RequestHead) -> bool {
    let fields = &request.fields;
    if fields.contains("cache-control") {
        let control = CacheControl::of(fields, "cache-control");
        return control.no_cache || control.max_age == Some(0);
    }
    // RFC 9111 §5.4: Pragma counts only where Cache-Control is absent.
    fields.has_token("pragma", "no-cache")
}

/// The times of one copy: how long it is fresh, how old it came, how long it may be used stale.
///
/// `resident` is always the time since the response was received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lifetimes {
    /// Seconds. Explicit only: nothing is guessed from `Last-Modified`.
    fresh: u32,
    /// Seconds.
    age_at_receipt: u32,
    stale: StaleRule,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum StaleRule {
    Always,
    Never,
    /// Up to so many seconds past freshness.
    Within(u32),
}

impl Lifetimes {
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
    /// it is not older than `age_max` and its directives allow its staleness.
    #[must_use]
    pub fn may_rescue(&self, resident: Duration, age_max: Duration) -> bool {
        let age = self.age(resident);
        let stale_for = age.saturating_sub(seconds(self.fresh));
        let allowed = match self.stale {
            StaleRule::Always => true,
            StaleRule::Never => false,
            StaleRule::Within(bound) => stale_for <= seconds(bound),
        };
        self.is_fresh(resident) || allowed && age <= age_max
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
    // RFC 9110 §14.4: Content-Range has no meaning in a 200; one that has it is not to be trusted.
    if response.status == StatusCode::PARTIAL_CONTENT || response.fields.contains("content-range") {
        return Err(NotStorable::Partial);
    }
    if response.status != StatusCode::OK {
        return Err(NotStorable::Status);
    }
    if response.fields.has_token("vary", "*") {
        return Err(NotStorable::VaryStar);
    }
    Ok(())
}

/// Why RFC 9111 §3 forbids a shared cache to store, or to use without validation, an answer.
fn shared_cache_objection(request: &RequestHead, control: &CacheControl) -> Option<NotStorable> {
    // RFC 9111 §5.2.2.3: must-understand lifts no-store where the status is understood; 200 is.
    if control.no_store && !control.must_understand {
        return Some(NotStorable::NoStore);
    }
    if control.private {
        return Some(NotStorable::Private);
    }
    if control.no_cache {
        return Some(NotStorable::NoCache);
    }
    let shareable = control.public || control.must_revalidate || control.s_maxage.is_some();
    if request.fields.contains("authorization") && !shareable {
        return Some(NotStorable::Authorization);
    }
    CacheControl::of(&request.fields, "cache-control")
        .no_store
        .then_some(NotStorable::RequestNoStore)
}

/// RFC 9111 §4.2.4: the directives that prohibit stale responses of a shared cache
/// (`s-maxage` implies `proxy-revalidate`, §5.2.2.10).
fn forbids_stale(control: &CacheControl) -> bool {
    control.must_revalidate || control.proxy_revalidate || control.s_maxage.is_some()
}

/// RFC 9111 §4.2.1 without heuristics.
fn explicit_lifetime(control: &CacheControl, fields: &Fields, received: UnixTime) -> u32 {
    if let Some(seconds) = control.s_maxage.or(control.max_age) {
        return seconds;
    }
    // RFC 9213 §2.2: a targeted field stands for Expires too.
    if control.targeted {
        return 0;
    }
    let mut lines = fields.get_all("expires");
    // RFC 9111 §5.3: an invalid date, `0` first of all, is in the past. So are two of them.
    let expires = lines.next().and_then(UnixTime::parse);
    match (expires, lines.next()) {
        (Some(expires), None) => {
            saturating_seconds(expires.saturating_since(date(fields, received)))
        }
        (Some(_), Some(_)) | (None, _) => 0,
    }
}

/// RFC 9111 §4.2.3 `corrected_initial_age`, with a response delay of zero: the origin is near.
fn age_at_receipt(fields: &Fields, received: UnixTime) -> u32 {
    let apparent = saturating_seconds(received.saturating_since(date(fields, received)));
    // RFC 9111 §5.1: of several members the first counts, an invalid one does not.
    let told = fields.tokens("age").next().and_then(delta_seconds);
    apparent.max(told.unwrap_or(0))
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
