//! Owns what an answer makes wrong: the copies of a session that ends or changes, of a page that
//! was written, and of one that its visitor is refused.
//! Never decides what answers a client.

use http::{Method, StatusCode};

use super::asks::Ended;
use super::course::Course;
use super::parts::Parts;
use super::sake::Sake;
use crate::canary::{Plant, is_planted};
use crate::copies::{Copies, Outdated};
use crate::key::{CacheKey, Partition};
use crate::message::known::{Is, is, look_up};
use crate::message::{Fields, RequestHead, ResponseHead};
use crate::report::Obstacle;
use crate::rules::reference;
use crate::time::Instant;

/// Notes what the answer says of its visitor, and what it says to a stranger.
pub(super) fn note_visitor(course: &mut Course, head: &ResponseHead, now: Instant) {
    match course.sake {
        Sake::Client => note_client(course, head, now),
        Sake::Renewal(_) => {}
        Sake::Stranger(_) => note_stranger(course, head, now),
    }
}

fn note_client(course: &mut Course, head: &ResponseHead, now: Instant) {
    let (parts, keyer) = (&course.parts, course.snapshot.keyer());
    let (request, key) = (&course.request, course.key.as_ref());
    let (visitors, fields) = (&parts.visitors, &request.fields);
    let has_public = course.snapshot.config().cache.has_public();
    visitors.note_write(keyer, request, course.address, head.status, now);
    if has_public {
        visitors.note_answer(keyer, request, key, head, now);
    }
    let (Some(key), true) = (key, matches!(request.method, Method::GET | Method::HEAD)) else {
        return;
    };
    let is_no = is_no(head.status);
    let is_ok = head.status == StatusCode::OK;
    // It may lead to where its parameter is not in the way, or to the plain name of the site.
    let is_other = keyer.has_ignored_query(request) || !key.is_named_by(request);
    let leads_on = head.status.is_redirection() && is_other;
    if (is_ok || is_no) && !leads_on {
        visitors.note_refusal(keyer, key, (course.address, fields), is_no, now);
    }
    if !has_public || !parts.renewals.is_attended() {
        return;
    }
    course.is_page = is_ok && request.method == Method::GET;
    // A page that takes a cookie away has an effect.
    let takes_away = head.fields.contains("set-cookie")
        && keyer
            .handed_out(fields, &head.fields)
            .any(|mark| mark.is_none());
    if !(is_no || takes_away) {
        return;
    }
    let public = keyer.public_key(key);
    let shared = || keyer.key_of(request, key.path_and_query(), Partition::Shared);
    let is_shared = parts.copies.contains(&public)
        || shared().is_some_and(|shared| parts.copies.contains(&shared));
    if is_no && is_shared {
        parts.ask_for(|asks| asks.hasten(&public, true, now));
    } else if takes_away || head.status.is_redirection() {
        parts.asks().leave_alone(&public);
        course.is_page = false;
    }
}

/// What a stranger may not see is nobody's to share, and its copy goes.
fn note_stranger(course: &mut Course, head: &ResponseHead, now: Instant) {
    let is_no = is_no(head.status);
    let Some(visit) = course.visit_mut() else {
        return;
    };
    // It has come with what it was given: such an answer is not kept, but a "no" is one.
    let is_trial = visit.is_trial();
    visit.ended = match head.status {
        _ if is_trial => Ended::Unfit(Obstacle::InBody),
        _ if is_no => Ended::Refused,
        StatusCode::TOO_MANY_REQUESTS => Ended::Failed,
        // Until it is kept.
        _ => Ended::Unfit(Obstacle::Directives),
    };
    let key = visit.key.clone();
    if is_no || head.status == StatusCode::OK && !is_trial {
        course.parts.visitors.note_public(&key, is_no, now);
    }
    if is_no {
        let keys = std::slice::from_ref(&key);
        course.parts.copies.drop_outdated(Outdated::Pages(keys));
        // That nothing is shared of it is known to this process only.
        let keyer = course.snapshot.keyer();
        let shared = keyer.key_of(&course.request, key.path_and_query(), Partition::Shared);
        if let Some(shared) = shared {
            course.parts.copies.drop_beside(shared.hash());
        }
        if is_trial {
            // It was another stranger's page before: whoever comes without cookies may still see it.
            course.parts.ask_for(|asks| asks.hasten(&key, true, now));
        }
    }
}

/// A "no" to a reader ends what that reader could see of the page: what the application gave
/// before it gives no longer. Of a visitor's own copies those of every kind of answer go: a
/// program that is signed out is told so by its data, and a person by a redirect. Of what several
/// visitors share only the very copy goes that this reader would have had.
pub(super) fn drop_refused(course: &mut Course, status: StatusCode, now: Instant) {
    let (true, Some(own)) = (is_no(status), &course.key) else {
        return;
    };
    if own.partition() == Partition::Public {
        return;
    }
    if !course
        .snapshot
        .keyer()
        .names_visitor(&course.request.fields)
    {
        // To another name of the site it may say where the plain one is.
        let asks_page = course.request.method == Method::GET
            && own.is_named_by(&course.request)
            && !course.snapshot.keyer().has_ignored_query(&course.request)
            && !course.request.fields.contains("range");
        // Not only the one that was there when the origin was asked.
        let copies = &course.parts.copies;
        let fields = &course.request.fields;
        if asks_page {
            // One may be there that has left memory, or has not come back yet.
            copies.drop_beside(own.hash());
        }
        // What rescues, and what is merely fresh.
        for look_up in [Copies::look_up_good, Copies::look_up] {
            if asks_page && let Some(copy) = look_up(copies, own, fields) {
                copies.drop_variant(own, &copy);
            }
        }
        return;
    }
    if !matches!(course.request.method, Method::GET | Method::HEAD) {
        return;
    }
    let (copies, keyer) = (&course.parts.copies, course.snapshot.keyer());
    let whole = keyer.keys_of(&course.request, own.path_and_query(), own.partition());
    let fragment = own.is_fragment().then(|| own.clone());
    let mut keys: Vec<_> = whole.chain(fragment).collect();
    for other in course.parts.spellings().others(course.request.authority()) {
        let others = keys.iter().filter_map(|key| keyer.key_on(key, &other));
        let others: Vec<_> = others.filter(|key| !keys.contains(key)).collect();
        keys.extend(others);
    }
    // Other parts of the page, of this visitor, who has had some of it.
    let held = keys.iter().find(|key| copies.contains(key));
    if let Some(held) = held {
        copies.note_refusal(held, now);
    }
    // Whoever may not see any more what there was is signed out, as far as anybody can tell; but not
    // by an answer that nobody gets.
    let is_session = matches!(own.partition(), Partition::Session(_));
    if held.is_some() && is_session && course.is_clients() && status != StatusCode::NOT_FOUND {
        course.drop_session(now);
    }
    course.mark = copies.drop_by_answer(&keys, own, course.mark);
    // A renewal ends by itself.
    let renewed = course.renewal().map(|renewal| &renewal.key);
    let is_over = |key: &CacheKey| keys.contains(key) && renewed != Some(key);
    course.parts.renewals.wants().forget_where(&is_over);
}

/// RFC 9111 §4.4: a successful unsafe request invalidates its target, `Location` and
/// `Content-Location`: what this user sees of them goes, and of the target what everybody sees. So it
/// does of the other resource that MOVE and COPY write (RFC 4918 §9.8, §9.9).
/// All other copies of them are asked about before they answer: each sign-in that leads to the
/// front page must not take its copy from everybody. Nor must anybody who sends a method of which
/// nobody knows what it does: by that, all copies are asked about, and none goes.
pub(super) fn invalidate(course: &Course, head: &ResponseHead, now: Instant) {
    let succeeded = head.status.is_success() || head.status.is_redirection();
    if course.request.method.is_safe() || !succeeded || is_planted(Plant::KeptAfterWrite) {
        return;
    }
    let keyer = course.snapshot.keyer();
    let (authority, asked) = (course.request.authority(), course.request.path_and_query());
    let own = reader(course, now);
    let named = ["location", "content-location"].iter().filter_map(|name| {
        let reference = head.fields.get(name)?;
        reference::same_origin(reference, asked, authority)
    });
    if course.snapshot.config().cache.has_public()
        && let Some(own) = keyer.key_of(&course.request, asked, Partition::Shared)
    {
        // What a stranger is sent changes by it only when a stranger is sent it.
        let public = keyer.public_key(&own);
        course
            .parts
            .ask_for(|asks| asks.hasten(&public, false, now));
    }
    let written = [Some(asked.to_vec()), destination(&course.request)];
    let written = written.into_iter().flatten().map(|target| (target, true));
    let drop_written = match writes(&course.request.method) {
        true => drop_written,
        false => note_written,
    };
    let named = named.map(|target| (target, false));
    for (target, is_written) in written.chain(named) {
        let shared = is_written.then_some(Partition::Shared);
        for partition in [own].into_iter().chain(shared) {
            let keys: Vec<_> = keyer.keys_of(&course.request, &target, partition).collect();
            drop_written(&course.parts, &keys, now);
            for other in course.parts.spellings().others(authority) {
                let keys = keys.iter().filter_map(|key| keyer.key_on(key, &other));
                drop_written(&course.parts, &keys.collect::<Vec<_>>(), now);
            }
        }
    }
}

/// Whose copies a writer reads: who moves a page reads without what only writes have.
fn reader(course: &Course, now: Instant) -> Partition {
    let (parts, keyer) = (&course.parts, course.snapshot.keyer());
    let writer = &course.request.fields;
    let is_of_writes = |name: &str| is(look_up(name.as_bytes()), Is::OfWrites);
    if !writer.iter().any(|(name, _)| is_of_writes(name)) {
        return parts.partition(keyer, writer, now);
    }
    let others = writer.iter().filter(|(name, _)| !is_of_writes(name));
    parts.partition(keyer, &Fields::from_pairs(others), now)
}

/// What MOVE and COPY write, beside their target (RFC 4918 §10.3).
fn destination(request: &RequestHead) -> Option<Vec<u8>> {
    if !matches!(request.method.as_str(), "MOVE" | "COPY") {
        return None;
    }
    let reference = request.fields.get("destination")?;
    reference::same_origin(reference, request.path_and_query(), request.authority())
}

/// Whether a method is one that is known to change what it names (RFC 9110 §9.3, RFC 5789, RFC 4918).
fn writes(method: &Method) -> bool {
    const WRITES: [&str; 12] = [
        "COPY",
        "DELETE",
        "LOCK",
        "MKCALENDAR",
        "MKCOL",
        "MOVE",
        "PATCH",
        "POST",
        "PROPPATCH",
        "PUT",
        "UNLOCK",
        "UPDATE",
    ];
    WRITES.contains(&method.as_str())
}

/// Lets the copies of one page be asked about, by its keys.
fn note_written(parts: &Parts, keys: &[CacheKey], now: Instant) {
    if let Some(first) = keys.first() {
        parts.copies.note_write(first, now);
    }
}

/// Drops the copies of one written page, by its keys.
fn drop_written(parts: &Parts, keys: &[CacheKey], now: Instant) {
    note_written(parts, keys, now);
    parts.outdate(Outdated::Pages(keys));
}

/// Whether a status says that its reader may not have the page, or that there is none: with the codes
/// of Laravel (419), IIS (440) and others (498) for a session that is over.
pub(super) fn is_no(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        301..=303 | 307 | 308 | 401..=404 | 407 | 410 | 419 | 423 | 440 | 451 | 498 | 511
    )
}
