//! Owns the judgement whether a GET could be answered if the origin failed now, and if not, why.
//! Never decides what answers a request.

use std::sync::Arc;

use super::ask::Ask;
use super::parts::Parts;
use super::public::look_up_public;
use super::unrescued::Unrescued;
use crate::key::{CacheKey, Kind, Language, Partition};
use crate::report::{Failure, Obstacle, Way};
use crate::rules::label::{Cause, ForwardReason, Instead};
use crate::time::Instant;

/// Which copy a copy of this key is to whoever asks with it.
pub(super) fn way_of(key: &CacheKey) -> Way {
    match key.partition() {
        Partition::Public => Way::Public,
        Partition::Shared => Way::Bare,
        Partition::Marked(_) | Partition::Session(_) => match key.line() {
            Some(_) => Way::Chain,
            None => Way::Own,
        },
    }
}

/// Counts a GET that could be answered, or notes that it could not. `why_not` says why no copy of its
/// own was looked for.
pub(super) fn judge(
    parts: &Arc<Parts>,
    ask: &Ask<'_>,
    why_not: Option<Obstacle>,
    now: Instant,
) -> Option<Unrescued> {
    match could_rescue(parts, ask, why_not, now) {
        Ok(way) => {
            parts.coverage.note(Ok(way), now);
            None
        }
        Err(why) => Some(Unrescued::new(parts, why, now)),
    }
}

fn could_rescue(
    parts: &Arc<Parts>,
    ask: &Ask<'_>,
    why_not: Option<Obstacle>,
    now: Instant,
) -> Result<Way, Obstacle> {
    if ask.may_rescue
        && let Some(key) = &ask.key
    {
        return Ok(way_of(key));
    }
    let instead = Instead::Rescued(Cause::Failure(Failure::Connect));
    if ask.wanting(parts).find(instead, now).is_some() {
        return Ok(Way::Public);
    }
    Err(why_not.unwrap_or_else(|| obstacle(parts, ask, now)))
}

/// Why there is no copy for a request whose key names one.
fn obstacle(parts: &Parts, ask: &Ask<'_>, now: Instant) -> Obstacle {
    let Some(key) = &ask.key else {
        return Obstacle::Unnamed;
    };
    let (keyer, fields) = (ask.snapshot.keyer(), &ask.request.fields);
    let is_closed = parts.visitors.is_closed(keyer, key, now);
    if !ask.may_share {
        return match is_closed {
            true => Obstacle::Closed,
            false => Obstacle::Refused,
        };
    }
    if let Some(copy) = &ask.copy {
        return match copy.lifetimes().forbids_stale() {
            true => Obstacle::Directives,
            false => Obstacle::TooOld,
        };
    }
    if ask.why == ForwardReason::VaryMiss {
        return Obstacle::Vary;
    }
    if parts.copies.was_evicted(key) {
        return Obstacle::Evicted;
    }
    if key.has_identity() {
        if let Some(name) = keyer.unknown_identity(fields) {
            parts.coverage.note_field(name);
        }
        return Obstacle::Identity;
    }
    let is_bare = key.partition() == Partition::Shared;
    if !ask.snapshot.config().cache.has_public() {
        return Obstacle::NotSeen;
    }
    match key.kind() {
        Kind::Data | Kind::Fragment if is_bare => return Obstacle::NotSeen,
        Kind::Data | Kind::Fragment => return Obstacle::Data,
        Kind::Any | Kind::Asset | Kind::Document => {}
    }
    if is_closed {
        return Obstacle::Closed;
    }
    if !is_bare && parts.visitors.is_personal(keyer, key, fields, now) {
        let who = (ask.address, fields);
        return match parts.visitors.has_written(keyer, who, now) {
            true => Obstacle::Written,
            false => Obstacle::Personal,
        };
    }
    let public = keyer.public_key(key);
    let language = || Language::of(fields);
    let why = parts.asks().obstacle(public.hash(), language);
    // What should be there may be, but not for this request.
    if why != Obstacle::Evicted {
        return why;
    }
    let is_there = look_up_public(parts, &public, fields).is_some();
    match is_there {
        true => Obstacle::TooOld,
        false if parts.copies.contains(&public) => Obstacle::Vary,
        false => why,
    }
}

#[cfg(test)]
mod tests;
