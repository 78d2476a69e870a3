//! Owns an answer as a client saw it, and what can be told of it by itself and its page.
//! Never knows what else happened.

use std::borrow::Cow;
use std::io::Read;
use std::time::Duration;

use retter_strict::Head;

use crate::ledger::{ANSWER, Answer, AnswerId, Asked, Ledger, Page, UNCHANGED};
use crate::requests::RANGE;

/// An answer as a client saw it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// It ended as its head announced.
    pub(crate) is_whole: bool,
    /// If it did not, that may be the client's or the network's doing.
    pub(crate) is_excused: bool,
}

/// An answer from a copy that has nothing of it: 304 or 416.
pub(crate) fn check_bodiless(asked: &Asked, seen: &Seen) -> Result<(), String> {
    holds(seen.body.is_empty(), "a body where none may be")?;
    if status(seen) == 416 {
        return holds(asked.range, "416 for one who wants it all");
    }
    // RFC 9110 §13.1.2: compared weakly.
    let etag = seen
        .head
        .fields
        .get("etag")
        .map(version)
        .unwrap_or_default();
    let known = asked
        .if_none_match
        .as_deref()
        .map(version)
        .unwrap_or_default();
    holds(known == etag && !etag.is_empty(), "304 for another version")
}

/// The version that a tag names, whatever form of the page it is of: the program marks compressed ones.
fn version(etag: &str) -> String {
    etag.trim_start_matches("W/")
        .replace("-retter-gzip\"", "\"")
}

/// The answer of the origin that this answer says it is.
pub(crate) fn find_answer<'a>(seen: &Seen, ledger: &'a Ledger) -> Result<&'a Answer, String> {
    let id = number(&seen.head, ANSWER).or_else(|| number(&seen.head, UNCHANGED));
    id.and_then(|id| ledger.answers.get(id))
        .ok_or_else(|| "no answer of the origin".to_owned())
}

/// What an answer from a copy that has nothing of it may be about: each answer that brought such a
/// page, with each that said of it since what this one says. A 304 tells the page by its `ETag`, a
/// 416 by its length.
pub(crate) fn bodiless<'a>(
    seen: &'a Seen,
    ledger: &'a Ledger,
) -> impl Iterator<Item = (&'a Answer, &'a Answer)> {
    let fields = &seen.head.fields;
    let etag = fields.get("etag").map(version).unwrap_or_default();
    let is_unchanged = status(seen) == 304;
    let says = fields.get("cache-control").unwrap_or_default();
    let range = fields.get("content-range").unwrap_or_default();
    let is_meant = move |answer: &&Answer| {
        let page = &answer.page;
        answer.status == 200
            && if is_unchanged {
                page.etag() == etag
            } else {
                range == format!("bytes */{}", page.len)
            }
    };
    let is_basis = move |answer: &&Answer| {
        // See `Plan::head`: an origin that leaves a page as it is never says nothing.
        let directives = answer.directives;
        matches!(answer.status, 200 | 304)
            && (!is_unchanged || directives == says || directives.is_empty() && says == "public")
    };
    let brought = ledger.answers.iter().filter(is_meant);
    brought.flat_map(move |answer| {
        let same = move |basis: &&Answer| basis.page == answer.page;
        let bases = ledger.answers.iter().filter(same).filter(is_basis);
        bases.map(move |basis| (answer, basis))
    })
}

/// The number of the answer that made a copy what it is: the one that said last that the page is
/// unchanged, or the one that brought it.
pub(crate) fn basis(head: &Head) -> Option<AnswerId> {
    number(head, UNCHANGED).or_else(|| number(head, ANSWER))
}

pub(crate) fn check_body(asked: &Asked, page: &Page, seen: &Seen) -> Result<(), String> {
    if asked.method == "HEAD" || matches!(status(seen), 204 | 304) {
        return holds(seen.body.is_empty(), "a body where none may be");
    }
    let mut whole = page.body();
    if status(seen) == 206 {
        holds(asked.range, "a part for one who wants it all")?;
        let (from, to) = (RANGE.0.min(whole.len()), RANGE.1.min(whole.len()));
        whole = whole[from..to].to_vec();
    }
    let body = plain(asked, seen)?;
    if seen.is_whole {
        holds(*body == whole, "the body is not that of the page")
    } else {
        holds(
            whole.starts_with(&body),
            "the part of a body is not that of the page",
        )
    }
}

/// The body as its reader sees it.
pub(crate) fn plain<'a>(asked: &Asked, seen: &'a Seen) -> Result<Cow<'a, [u8]>, String> {
    if seen.body.is_empty() || seen.head.fields.get("content-encoding") != Some("gzip") {
        return Ok(Cow::Borrowed(&seen.body));
    }
    holds(asked.gzip, "gzip for one who cannot read it")?;
    let mut plain = Vec::new();
    let read = flate2::read::GzDecoder::new(&seen.body[..]).read_to_end(&mut plain);
    holds(read.is_ok() || !seen.is_whole, "broken gzip")?;
    Ok(Cow::Owned(plain))
}

pub(crate) fn is_failure(status: u16) -> bool {
    status >= 500 && !matches!(status, 501 | 505)
}

/// How long the origin said that an answer is fresh, if it said so.
pub(crate) fn lifetime(answer: &Answer) -> Option<Duration> {
    seconds(answer, "s-maxage=").or_else(|| seconds(answer, "max-age="))
}

/// The value of a directive of an answer, whose name ends in `=`.
pub(crate) fn seconds(answer: &Answer, name: &str) -> Option<Duration> {
    let mut words = answer.directives.split(", ");
    let secs = words.find_map(|word| word.strip_prefix(name)?.parse().ok())?;
    Some(Duration::from_secs(secs))
}

pub(crate) fn cache_status(seen: &Seen) -> &str {
    seen.head.fields.get("cache-status").unwrap_or_default()
}

/// Why an answer is what it is, by the last parameter of its `Cache-Status`.
pub(crate) fn detail(says: &str) -> Option<&str> {
    says.split("; ")
        .find_map(|part| part.strip_prefix("detail="))
}

pub(crate) fn status(seen: &Seen) -> u16 {
    let code = seen
        .head
        .start
        .get(9..12)
        .and_then(|code| code.parse().ok());
    code.unwrap_or(0)
}

pub(crate) fn number(head: &Head, name: &str) -> Option<usize> {
    head.fields.get(name)?.parse().ok()
}

pub(crate) fn holds(holds: bool, text: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(text.to_owned()) }
}
