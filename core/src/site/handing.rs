//! Owns what the cookies of an answer mean for copies: which are handed out, to whom; which session
//! they go on with, open or end; and whether the answer may be kept for whoever has them from now on.
//! Never looks at a copy.

use std::sync::Arc;

use http::{Method, StatusCode};

use super::chains::Given;
use super::course::Course;
use super::outdated::is_no;
use super::sake::Sake;
use crate::canary::{Plant, is_planted};
use crate::key::{CacheKey, Handout, Links, Partition, SessionChange};
use crate::message::ResponseHead;
use crate::time::Instant;

/// Notes the cookies of an answer of which the head says no more than that, and of whose session nothing
/// is known. An answer with a cookie that counts is kept for nobody: it may be the first to a new
/// visitor, whatever the cookie is called, and the value that it replaces may have been planted by
/// somebody.
pub(super) fn note_cookies(course: &mut Course, head: &ResponseHead, now: Instant) {
    if !head.fields.contains("set-cookie") {
        return;
    }
    let (cache, keyer) = (&course.snapshot.config().cache, course.snapshot.keyer());
    // Where cookies are no part of the key, no cookie makes a copy one visitor's.
    let mut is_own = !cache.detect_session && keyer.sets_cookie(&head.fields);
    let mut forgets = false;
    for mark in keyer.handed_out(&course.request.fields, &head.fields) {
        is_own = true;
        forgets |= mark.is_none();
        // What answers no client is handed out to nobody.
        if let Some(mark) = mark
            && course.is_clients()
        {
            course.parts.handed.note(mark);
        }
    }
    course.keeps &= !is_own || is_planted(Plant::KeptWithCookie);
    end_forgotten(course, forgets, now);
}

/// A session was that of a cookie, however short, that its client is to forget at its end.
fn end_forgotten(course: &Course, forgets: bool, now: Instant) {
    if forgets && course.ends_session {
        let (parts, fields) = (&course.parts, &course.request.fields);
        let partition = parts.partition(course.snapshot.keyer(), fields, now);
        parts.drop_session(partition);
        parts.end_chains(course.snapshot.keyer(), fields, now);
    }
}

/// What an answer does to the session of its visitor, and to whom it may be shown. `reaches` is whether
/// the visitor gets it.
pub(super) fn take(
    course: &mut Course,
    head: &ResponseHead,
    reaches: bool,
    now: Instant,
) -> SessionChange {
    let change = {
        let keyer = course.snapshot.keyer();
        keyer.session_change(&course.request.fields, &head.fields)
    };
    let cache = &course.snapshot.config().cache;
    let is_clients = matches!(course.sake, Sake::Client);
    if !is_clients || !reaches || !cache.has_chains() {
        note_cookies(course, head, now);
        if is_clients && reaches && change == SessionChange::ChangesSession {
            course.drop_session(now);
        }
        return change;
    }
    if change == SessionChange::None {
        return change;
    }
    let given = give(course, head, change, now);
    if let Some(partition) = given.ended {
        end_session(course, partition, now);
    }
    for value in given.opens {
        course.parts.chains.open(value, now);
    }
    end_forgotten(course, given.forgets, now);
    if !given.any {
        return change;
    }
    course.keep_as = keep_as(course, head, now);
    course.keeps &= course.keep_as.is_some() || is_planted(Plant::KeptWithCookie);
    change
}

/// What became of the cookies of an answer.
struct Taken {
    /// There were some.
    any: bool,
    /// The session that has ended.
    ended: Option<Partition>,
    /// Its client is to forget one.
    forgets: bool,
    /// Marks of values that open chains.
    opens: Vec<u64>,
}

/// The session of the request has ended by its answer, which is of the next one.
fn end_session(course: &mut Course, partition: Partition, now: Instant) {
    let parts = Arc::clone(&course.parts);
    match &course.key {
        None => {
            parts.drop_session(partition);
        }
        Some(key) => {
            course.mark = parts.copies.end_by_answer(partition, key, course.mark);
            let is_over = |key: &CacheKey| key.partition() == partition;
            parts.renewals.wants().forget_where(&is_over);
        }
    }
    parts.end_chains(course.snapshot.keyer(), &course.request.fields, now);
}

/// Hands out the cookies of an answer, one by one.
fn give(course: &Course, head: &ResponseHead, change: SessionChange, now: Instant) -> Taken {
    let (parts, keyer) = (&course.parts, course.snapshot.keyer());
    let (request, response) = (&course.request.fields, &head.fields);
    let handouts: Vec<Handout> = keyer.handouts(request, response).collect();
    let forgets = handouts.iter().any(|handout| handout.is_deletion);
    // Of the time before anything changes.
    let partition = course.partition(now);
    let mut ends = change == SessionChange::ChangesSession && handouts.is_empty();
    let mut opens = Vec::new();
    for handout in &handouts {
        let before = match handout.had[..] {
            [one] => Some(one),
            _ => None,
        };
        let was_linked = || {
            handout
                .had
                .iter()
                .any(|had| parts.chains.look(*had, now).is_some())
        };
        if handout.is_deletion {
            ends |= handout.is_session || was_linked();
            continue;
        }
        let is_linked = was_linked();
        // A value that could be guessed stands for nobody, whatever it replaces.
        let goes_on = is_linked && handout.is_random && goes_on(course, head, handout, now);
        match parts.chains.give(handout.value, before, goes_on, now) {
            Given::Next => continue,
            Given::Several => parts.handed.note_several(handout.value),
            Given::First => {
                let is_first =
                    parts.handed.note(handout.value) && !parts.carried.has(handout.value);
                if is_first && handout.is_random {
                    opens.push(handout.value);
                    if let Some(before) = before {
                        parts.successors.note(before, handout.value, now);
                    }
                }
            }
        }
        let is_write = !course.request.method.is_safe();
        ends |= handout.is_session || is_linked || is_write && handout.is_random;
    }
    let ends = ends && keyer.names_visitor(request) && !is_planted(Plant::UnendedSession);
    Taken {
        any: !handouts.is_empty() || response.is_cut(),
        ended: ends.then_some(partition),
        forgets,
        opens,
    }
}

/// Notes what a stranger is handed: values that others are given too are nobody's.
pub(super) fn note_visit(course: &mut Course, head: &ResponseHead, now: Instant) {
    let (parts, snapshot) = (Arc::clone(&course.parts), Arc::clone(&course.snapshot));
    let request = Arc::clone(&course.request);
    let Some(visit) = course.visit_mut() else {
        return;
    };
    visit.note_head(head, &|name| snapshot.keyer().name_of(name));
    let keyer = snapshot.keyer();
    for handout in keyer.handouts(&request.fields, &head.fields) {
        if handout.is_deletion || !handout.is_random {
            continue;
        }
        if parts.chains.dissolve(handout.value) {
            parts.handed.note_several(handout.value);
        } else {
            parts.handed.note(handout.value);
        }
        if visit.is_first() && parts.rolls.is_due(visit.key.authority(), handout.name, now) {
            visit.may_roll(handout.name);
        }
    }
}

/// Whether a new value stands in the place of the one that its visitor had: the application gives another
/// one with each answer to a stranger too, and nothing else says that the session is another one.
fn goes_on(course: &Course, head: &ResponseHead, handout: &Handout, now: Instant) -> bool {
    let is_read = course.request.method == Method::GET;
    let says_no = is_no(head.status) && head.status != StatusCode::NOT_FOUND;
    let rolls = || {
        let key = course.key.as_ref();
        key.is_some_and(|key| {
            course
                .parts
                .rolls
                .is_rolling(key.authority(), handout.name, now)
        })
    };
    is_read && !says_no && !course.ends_session && rolls()
}

/// The key under which an answer is kept that hands out cookies: that of whoever has them now, where a
/// chain says who that is. Most of those who come without any cookie do not come back.
fn keep_as(course: &Course, head: &ResponseHead, now: Instant) -> Option<CacheKey> {
    let (parts, keyer) = (&course.parts, course.snapshot.keyer());
    let key = course.key.as_ref()?;
    if !course.keeps || parts.chains.is_empty() || !course.request.fields.contains("cookie") {
        return None;
    }
    let look = |mark| parts.chains.look(mark, now);
    let links: Links<'_> = Some(&look);
    let key = keyer.key_after(key, (&course.request.fields, &head.fields), links)?;
    debug_assert!(matches!(key.partition(), Partition::Session(_)));
    Some(key)
}
