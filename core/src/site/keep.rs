//! Owns what is kept of a response: new copies, and what a 304 or a HEAD says of an old one.
//! Never decides what answers a client.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{Method, StatusCode};

use super::asks;
use super::course::Course;
use super::errand::Errand;
use super::preflights;
use super::sake::Sake;
use super::served::Served;
use super::wants::Ended;
use crate::admission::Flown;
use crate::canary::{Plant, is_planted};
use crate::copies::{Collector, Making, StoredResponse, Times};
use crate::key::{CacheKey, Kind, Language, Partition, SessionChange};
use crate::message::{Fields, FieldsBuilder, ResponseHead};
use crate::network::Network;
use crate::report::Obstacle;
use crate::rules::cache_control::CacheControl;
use crate::rules::freshness::{self, Criteria, Lifetimes, NotStorable, Scope};
use crate::rules::label::Handling;
use crate::rules::{conditional, credentials, forwarding, media};
use crate::store::{Entry, Vary};
use crate::time::Instant;

/// RFC 9111 §4.3.3 and §4.3.4: a 304 to our condition makes the copy usable and renews it.
pub(super) fn validated(
    course: &mut Course,
    head: &ResponseHead,
    session: SessionChange,
    now: Instant,
) -> Option<Served> {
    let (copy, key) = (course.copy.take()?, course.key.take()?);
    let renewed = Arc::new(renewed(course, &copy, &key, head, now));
    let may_keep = is_current(course) && may_keep(course, &key, head, session);
    let copies = &course.parts.copies;
    let kept = if !may_keep {
        false
    } else if renewed.lifetimes() == &Lifetimes::NEVER {
        // What this request asks for itself is no news of the page.
        if !wants_nothing_kept(course, head) {
            copies.drop_variant(&key, &copy);
        }
        false
    } else {
        copies.renew(&key, &copy, Arc::clone(&renewed))
    };
    if kept {
        note_kept(course, key.clone());
    }
    course.land(if kept { Flown::Kept } else { Flown::Unfit });
    let ttl = renewed.ttl_seconds(now);
    let handling = Handling::Validated {
        ttl,
        why: course.why,
    };
    let circuit = course.circuit;
    let served = Served::new(
        &course.parts,
        &course.snapshot,
        key,
        renewed,
        circuit,
        handling,
        now,
    );
    Some(served.with_cookies_of(head))
}

/// RFC 9111 §4.3.5: a 200 to HEAD renews the copy of the same representation; that of another
/// one is stale from now on, but still the last good one. Where no validator shows that it is
/// the same, the copy has what the head says, and its own age: or a page that is only ever
/// asked for its head would be fresh for ever.
pub(super) fn note_head(
    course: &Course,
    head: &ResponseHead,
    session: SessionChange,
    now: Instant,
) {
    let (Some(copy), Some(key)) = (&course.copy, &course.key) else {
        return;
    };
    if course.request.method != Method::HEAD
        || head.status != StatusCode::OK
        || !may_keep(course, key, head, session)
    {
        return;
    }
    let length = copy.body().len();
    let noted = if conditional::same_representation(&head.fields, copy.fields(), length) {
        let renewed = renewed(course, copy, key, head, now);
        // Nor may it end one that it does not let keep.
        if renewed.lifetimes() == &Lifetimes::NEVER {
            return;
        }
        match conditional::has_validator(&head.fields) {
            true => renewed,
            false => renewed.not_younger_than(copy),
        }
    } else {
        copy.expired()
    };
    course.parts.copies.renew(key, copy, Arc::new(noted));
}

/// What the origin allows to scripts of other sites, or does not any more.
pub(super) fn note_preflight(course: &Course, head: &ResponseHead, now: Instant) {
    if course.request.method != Method::OPTIONS {
        return;
    }
    let Some(question) = preflights::question(&course.snapshot, &course.request) else {
        return;
    };
    let parts = &course.parts;
    let allows = head
        .status
        .is_success()
        .then(|| preflights::allowing(&head.fields));
    let answer = allows
        .flatten()
        .and_then(|head| parts.answer_of(&head, now));
    match answer {
        Some(answer) => parts.preflights.keep(question, answer),
        None => parts.preflights.forget(&question),
    }
}

/// The copy with what `head` says now.
fn renewed(
    course: &Course,
    copy: &StoredResponse,
    key: &CacheKey,
    head: &ResponseHead,
    now: Instant,
) -> StoredResponse {
    let unix = course.parts.wall.at(now);
    let Some(updated) = copy.updated_head(head, unix) else {
        // It stays as it was, and is asked about again.
        return copy.expired();
    };
    let vary = vary(course, &updated);
    let lifetimes = match (&vary, assess(course, key.partition(), &updated, now)) {
        (Some(_), Ok(lifetimes)) => lifetimes,
        (None, _) | (_, Err(_)) => Lifetimes::NEVER,
    };
    let vary = vary.unwrap_or_else(|| copy.vary().clone());
    let renewed = copy.renewed(Making {
        head: &updated,
        lifetimes,
        others: key.others(),
        owner: 0,
        times: times(course, now),
        unix,
        vary,
    });
    if renewed.is_cut() {
        return copy.expired();
    }
    renewed
}

/// Whether the answer to a renewal may be kept: another one may have begun since.
pub(super) fn is_current(course: &mut Course) -> bool {
    let Sake::Renewal(renewal) = &mut course.sake else {
        return true;
    };
    let is_current = course.parts.renewals.is_current(renewal);
    if is_current && renewal.ended == Ended::Dropped {
        renewal.ended = Ended::Passed;
    }
    is_current
}

/// Keeps a new copy; returns whether it is there.
pub(super) fn keep(course: &mut Course, key: CacheKey, copy: StoredResponse, now: Instant) -> bool {
    let is_good = copy.is_good();
    if let Some(visit) = course.visit_mut()
        && !visit.is_anybodys(&copy)
    {
        return false;
    }
    let key = match is_planted(Plant::PublicOfVisitor) && course.is_clients() {
        true => {
            course.parts.has_public.store(true, Ordering::Relaxed);
            course.snapshot.keyer().public_key(&key)
        }
        false => key,
    };
    let key = match says_goodbye(course, &key, &copy) {
        true => {
            course.drop_session(now);
            course.mark = course.parts.copies.mark();
            course
                .parts
                .key_now(course.snapshot.keyer(), &key, &course.request.fields, now)
        }
        false => key,
    };
    // Of what only some may see the content is theirs.
    let is_told =
        is_good && key.partition() == Partition::Shared && key.path_and_query().contains(&b'?');
    let content = is_told.then(|| copy.body().clone());
    let is_kept = course.parts.copies.keep(&key, copy, course.mark);
    if is_kept {
        course.parts.note_spelling(key.authority());
        if let Some(content) = content {
            course.parts.queries.note(key.path_and_query(), &content);
        }
    }
    if is_kept && is_good {
        note_kept(course, key);
    }
    is_kept
}

/// Whether a visitor's own page says that its session is over, as only pages do that come with status 200:
/// it is what a stranger is sent, or it does nothing but lead elsewhere, and was another before.
fn says_goodbye(course: &Course, key: &CacheKey, copy: &StoredResponse) -> bool {
    if !matches!(key.partition(), Partition::Session(_)) || !course.is_clients() || !copy.is_good()
    {
        return false;
    }
    let (parts, fields) = (&course.parts, &course.request.fields);
    let before = parts.copies.look_up_good(key, fields);
    let Some(before) = before.filter(|before| before.body() != copy.body()) else {
        return false;
    };
    if leads_elsewhere(copy.body()) && !leads_elsewhere(before.body()) {
        return true;
    }
    if !parts.has_public.load(Ordering::Relaxed) {
        return false;
    }
    let public = course.snapshot.keyer().public_key(key);
    let public = parts.copies.look_up_good(&public, fields);
    public.is_some_and(|public| public.body() == copy.body())
}

/// Whether a page is a short one by which a browser goes to another at once.
fn leads_elsewhere(body: &[u8]) -> bool {
    const BYTES_MAX: usize = 512;
    const WORDS: [&[u8]; 4] = [b"location=", b"location.", b"location =", b"http-equiv"];
    let is_short = body.len() <= BYTES_MAX;
    is_short && {
        let body = body.to_ascii_lowercase();
        WORDS
            .iter()
            .any(|word| memchr::memmem::find(&body, word).is_some())
    }
}

/// Notes what a copy can be renewed with.
fn note_kept(course: &mut Course, key: CacheKey) {
    match (&mut course.sake, course.peer) {
        (Sake::Renewal(renewal), _) => renewal.ended = Ended::Renewed,
        (Sake::Stranger(visit), _) => {
            visit.ended = asks::Ended::Kept;
            course.parts.has_public.store(true, Ordering::Relaxed);
        }
        (Sake::Client, Some(peer)) => course.parts.remember(Errand {
            key,
            peer,
            request: Arc::clone(&course.request),
        }),
        (Sake::Client, None) => {}
    }
}

/// A visitor got a page: one without a copy of it should be able to get what a stranger is sent. Where
/// there is one for everybody (`is_kept` in that `partition`), nobody lacks it but those who bring
/// cookies.
pub(super) fn want_public(course: &Course, key: &CacheKey, is_kept: bool, now: Instant) {
    let is_everybodys = is_kept && key.partition() == Partition::Shared;
    if is_everybodys || key.is_fragment() {
        return;
    }
    course.parts.address_fields.note(&course.request.fields);
    let keyer = course.snapshot.keyer();
    let hash = keyer.public_hash(key);
    let language = || Language::of(&course.request.fields);
    course.parts.ask_for(|asks| {
        if asks.has_languages(hash)
            && let Some(wakes) = asks.want_in(&keyer.public_key(key), language, now)
        {
            return wakes;
        }
        let again = asks.want_again(key.authority(), key.has_identity(), hash);
        again.unwrap_or_else(|| asks.want(&keyer.public_key(key), now))
    });
}

/// Begins to make a copy of an answer.
///
/// # Errors
/// Why there will be none; of a request that lets nothing be kept that is not asked.
pub(super) fn collect(
    course: &Course,
    head: &ResponseHead,
    session: SessionChange,
    now: Instant,
) -> Result<Collector, Obstacle> {
    let cache = &course.snapshot.config().cache;
    let key = course.keep_as.as_ref().or(course.key.as_ref());
    let key = key.ok_or(Obstacle::Unnamed)?;
    if !course.keeps {
        return Err(Obstacle::SetsCookie);
    }
    let too_long = |length: &str| {
        length
            .parse()
            .is_ok_and(|n: usize| n > cache.object_bytes_max)
    };
    if head.fields.get_str("content-length").is_some_and(too_long)
        || course.request.method != Method::GET
    {
        return Err(Obstacle::TooLarge);
    }
    let why_not = |why| match why == NotStorable::VaryStar {
        true => Obstacle::Vary,
        false => Obstacle::Directives,
    };
    let lifetimes = assess(course, key.partition(), head, now).map_err(why_not)?;
    if let Some(behind) = lifetimes.clock_behind() {
        let behind = behind.as_secs();
        course.parts.clock_behind.store(behind, Ordering::Relaxed);
    }
    // Nobody who navigates is to be answered with data, though the application gave it; and what a
    // program is told when nobody is signed in would sign its user out.
    let is_page = key.kind() == Kind::Document || key.partition() == Partition::Public;
    if is_page && media::is_data(&head.fields) {
        return Err(Obstacle::Data);
    }
    if !may_keep(course, key, head, session) {
        return Err(match credentials::are_in(&head.fields) {
            true => Obstacle::Credentials,
            false => Obstacle::SetsCookie,
        });
    }
    let vary = vary(course, head).ok_or(Obstacle::Vary)?;
    let collector = course.parts.copies.collect(Making {
        head,
        lifetimes,
        others: key.others(),
        owner: course.parts.copies.owner(course.address.map(Network::of)),
        times: times(course, now),
        unix: course.parts.wall.at(now),
        vary,
    });
    collector.ok_or(Obstacle::TooLarge)
}

fn times(course: &Course, received: Instant) -> Times {
    Times {
        asked: course.asked,
        received,
        before: 0,
    }
}

/// Whether the request, and what the response does to cookies, let it be kept under `key`.
fn may_keep(course: &Course, key: &CacheKey, head: &ResponseHead, session: SessionChange) -> bool {
    // What its visitor is handed is not in the way where the chain says whose it is from now on.
    let session = match &course.keep_as {
        Some(as_) if as_ == key => SessionChange::None,
        Some(_) | None => session,
    };
    let may_be_kept = match (session, key.partition()) {
        (SessionChange::ChangesSession, _) | (SessionChange::SetsCookie, Partition::Shared) => {
            false
        }
        (
            SessionChange::SetsCookie,
            Partition::Marked(_) | Partition::Public | Partition::Session(_),
        )
        | (SessionChange::None, _) => true,
    };
    course.keeps && may_be_kept && !credentials::are_in(&head.fields)
}

fn assess(
    course: &Course,
    partition: Partition,
    head: &ResponseHead,
    now: Instant,
) -> Result<Lifetimes, NotStorable> {
    let cache = &course.snapshot.config().cache;
    let scope = match partition {
        Partition::Shared => Scope::Shared,
        Partition::Marked(_) => Scope::Marked,
        Partition::Public => Scope::Public,
        Partition::Session(_) => Scope::Session,
    };
    let terms = Criteria {
        rescue: cache.rescue,
        fresh: cache.fresh,
        ttl: cache.ttl,
        scope,
    };
    // A request for a HEAD asks about the GET.
    let mut request = Arc::clone(&course.request);
    if request.method == Method::HEAD {
        Arc::make_mut(&mut request).method = Method::GET;
    }
    freshness::assess(&terms, &request, head, course.parts.wall.at(now))
}

/// Whether it is this request, and not the answer, that lets nothing be kept: it says `no-store`,
/// or keeps a field from the origin that the answer varies by.
fn wants_nothing_kept(course: &Course, head: &ResponseHead) -> bool {
    let fields = &course.request.fields;
    let forwarded = forwarding::HopByHop::of(fields);
    CacheControl::of(fields, "cache-control").no_store
        || head
            .fields
            .tokens("vary")
            .any(|name| !forwarded.keeps(name))
}

/// The secondary key that `head` gives a copy for this request.
fn vary(course: &Course, head: &ResponseHead) -> Option<Vary> {
    if let Sake::Stranger(_) = course.sake {
        return vary_of_stranger(&course.request.fields, &head.fields);
    }
    // A client may keep a field from the origin by naming it in `Connection`: then the origin
    // chose the variant without it, and it is not the one for those who send that value.
    let forwarded = forwarding::HopByHop::of(&course.request.fields);
    // Nor is it known what others send in a field that identifies them to the origin.
    let is_seen =
        |name: &[u8]| name.is_ascii() && forwarded.keeps(name) && !forwarding::tells_client(name);
    if !head.fields.tokens("vary").all(is_seen) {
        return None;
    }
    let detect_session = course.snapshot.config().cache.detect_session;
    Vary::of(&course.request.fields, &head.fields, detect_session)
}

/// The secondary key of what a stranger was sent. It has no cookie, and takes any page or part of one
/// in its plainest coding, as all can read that: what depends on these is for everybody. What depends
/// on anything else that it has, or that nearly every visitor has, would be for nobody.
fn vary_of_stranger(request: &Fields, response: &Fields) -> Option<Vary> {
    let is_plain = !response.contains("content-encoding");
    let is_same = |name: &[u8]| {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        is("accept") || is("accept-encoding") && is_plain || is("authorization") || is("cookie")
    };
    let others = || response.tokens("vary").filter(|name| !is_same(name));
    // It has come in the language that its visitors want.
    let is_asked = |name: &[u8]| is_language(name) && request.contains(Language::FIELD);
    let is_of_visitors = |name: &[u8]| {
        if is_asked(name) {
            return false;
        }
        let has = std::str::from_utf8(name).is_ok_and(|name| request.contains(name));
        let is = |known: &&str| name.eq_ignore_ascii_case(known.as_bytes());
        has || [
            "accept-encoding",
            "accept-language",
            "referer",
            "sec-ch-ua",
            "sec-ch-ua-mobile",
            "sec-ch-ua-platform",
            "user-agent",
        ]
        .iter()
        .any(is)
            || forwarding::tells_client(name)
    };
    if others().any(is_of_visitors) {
        return None;
    }
    let mut named = FieldsBuilder::default();
    for name in others() {
        named.push("vary", name);
    }
    Vary::of(request, &named.build(), true)
}

fn is_language(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(Language::FIELD.as_bytes())
}

/// Whether what a stranger was sent could be kept if the stranger had asked for a language.
pub(super) fn differs_by_language(course: &Course, response: &Fields) -> bool {
    let request = &course.request.fields;
    if request.contains(Language::FIELD) || !response.tokens("vary").any(is_language) {
        return false;
    }
    let asked = request.iter().chain([(Language::FIELD, &b"en"[..])]);
    vary_of_stranger(&Fields::from_pairs(asked), response).is_some()
}

#[cfg(test)]
mod tests;
