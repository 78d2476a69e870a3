//! Owns what an error page looks like that comes with status 200: its signs, beside the copy of
//! the very page that was asked for.
//! Never decides what becomes of the copy, and knows nothing of other pages: the site does.
//!
//! A third of honest pages has no `</html>`, articles print error texts, and lists are emptied. So
//! nothing is a sign by itself: only what the page has lost since the copy was made.

mod reader;
#[cfg(test)]
mod tests;
mod texts;

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hasher as _};

use memchr::memmem;
use smallvec::SmallVec;

use crate::message::{Fields, RequestHead};
use crate::report::{Sign, Signs};

pub(crate) use reader::{Coding, Reader, Sample, holds, look};
pub(crate) use texts::Texts;

/// A page that is shorter may be no page at all.
const EMPTY_BELOW: u64 = 256;
/// Different texts looked into in one page: one that has more of them is about such texts.
const TEXTS_MAX: usize = 8;
/// What a copy must have that such a page is held against.
const FULL_FROM: u64 = 1024;

/// What is remembered of a page: enough to tell whether another one has lost something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Look {
    /// `</html>` stands in the last KiB.
    is_closed: bool,
    length: u64,
    /// A hash of the title; `None` where there is none in the first 4 KiB.
    title: Option<u64>,
}

/// What a page looks like beside its copy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Finding {
    /// Something is odd: it may be an honest change as well as a failure.
    Doubtful(Signs),
    /// It is an error page, or what is left of a page.
    Failed(Signs),
    /// It is as good as the copy, as far as can be told.
    Well,
}

/// The texts by which error pages are known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    /// Each of them a failure by itself: the operator says so.
    pub(crate) own: Option<&'a Texts>,
    pub(crate) texts: &'a Texts,
}

/// The copy of a page.
#[derive(Clone, Copy)]
pub(crate) struct Witness<'a> {
    /// Whether a text stands in it: then it is no news.
    pub(crate) holds: &'a dyn Fn(&str) -> bool,
    /// It is one visitor's: the page may have become another for them in many ways, so that only an
    /// error text counts, with what else there is.
    pub(crate) is_own: bool,
    /// It is a page, and no list or data at the same address: those have no title to lose.
    pub(crate) is_page: bool,
    pub(crate) look: Look,
}

/// Where a text that was found may have come from.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Found {
    Nowhere,
    /// In a field of the request too: whoever sends it may have made the page say it.
    InField,
    InPage,
}

impl Look {
    /// That of a whole page.
    pub(crate) fn of(page: &[u8]) -> Self {
        let head = &page[..page.len().min(Sample::HEAD_BYTES)];
        let tail = &page[page.len().saturating_sub(Sample::TAIL_BYTES)..];
        Self::new(page.len() as u64, head, tail)
    }

    fn new(length: u64, head: &[u8], tail: &[u8]) -> Self {
        Self {
            is_closed: closes(tail),
            length,
            title: title(head),
        }
    }

    /// Whether both are the same page but for what differs with each answer, as tokens and times do.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let differ = self.length.abs_diff(other.length);
        self.title == other.title
            && self.is_closed == other.is_closed
            && differ <= self.length / 16 + 64
    }
}

/// Whether an answer with these fields is a page, or nothing that says what it is.
pub(crate) fn is_page(answer: &Fields) -> bool {
    let Some(media_type) = answer.get("content-type") else {
        return true;
    };
    let end = memchr::memchr(b';', media_type).unwrap_or(media_type.len());
    let media_type = media_type[..end].trim_ascii();
    media_type.eq_ignore_ascii_case(b"text/html")
        || media_type.eq_ignore_ascii_case(b"application/xhtml+xml")
}

/// Holds `page`, the answer to `request`, against its copy.
pub(crate) fn judge(
    copy: Witness<'_>,
    page: &Sample,
    known: Known<'_>,
    request: &RequestHead,
) -> Finding {
    let Witness {
        is_own, is_page, ..
    } = copy;
    let find = |texts| find(texts, page, request, copy.holds);
    let copy = copy.look;
    let look = page.look();
    let is_less = look.length.saturating_mul(2) < copy.length;
    let own = known.own.map_or(Found::Nowhere, find);
    let found = match is_less {
        true => own.max(find(known.texts)),
        false => own,
    };
    if is_own && found == Found::Nowhere {
        return Finding::Well;
    }
    // It tells the browser where to go, or the visitor to sign in: a "no", and no error.
    let speaks = look.length < FULL_FROM && speaks_to_browsers(page.head());
    let mut signs = Signs::default();
    signs.note(Sign::Text, found != Found::Nowhere);
    let is_empty = look.length < EMPTY_BELOW && copy.length >= FULL_FROM;
    signs.note(Sign::Empty, is_empty && !speaks);
    signs.note(Sign::Cut, copy.is_closed && !look.is_closed);
    let is_other = !is_page || look.title != copy.title;
    let is_shrunk = look.length.saturating_mul(4) < copy.length && is_other;
    signs.note(Sign::Shrunk, is_shrunk);
    if signs.is_empty() {
        return Finding::Well;
    }
    let is_said = found == Found::InPage;
    // What only its sender may have brought in counts for nothing but doubt.
    let count = signs.len() - u32::from(found == Found::InField);
    let fails =
        own == Found::InPage || signs.contains(Sign::Empty) || count >= 2 && (is_said || !speaks);
    // On one visitor's page the text has to be the application's own.
    match fails && (is_said || !is_own) {
        true => Finding::Failed(signs),
        false => Finding::Doubtful(signs),
    }
}

/// Whether one of `texts` stands where error pages have it, though it did not before, and not because
/// it was asked for.
fn find(
    texts: &Texts,
    page: &Sample,
    request: &RequestHead,
    stood_before: &dyn Fn(&str) -> bool,
) -> Found {
    let mut found = Found::Nowhere;
    let mut seen: SmallVec<[&str; TEXTS_MAX]> = SmallVec::new();
    for text in texts.find(page.head()).chain(texts.find(page.tail())) {
        if seen.contains(&text) {
            continue;
        }
        if seen.len() == TEXTS_MAX {
            break;
        }
        seen.push(text);
        if has(&request.target, text) || stood_before(text) {
            continue;
        }
        let mut fields = request.fields.iter();
        let is_sent = fields.any(|(_, value)| has(value, text));
        found = found.max(match is_sent {
            true => Found::InField,
            false => return Found::InPage,
        });
    }
    found
}

/// Whether `text` stands in what a client sent, as it came or decoded.
fn has(sent: impl AsRef<[u8]>, text: &str) -> bool {
    let sent = sent.as_ref();
    let text = text.to_ascii_lowercase();
    let holds = |sent: &[u8]| memmem::find(&sent.to_ascii_lowercase(), text.as_bytes()).is_some();
    holds(sent) || matches!(decoded(sent), Cow::Owned(decoded) if holds(&decoded))
}

/// What stands behind `%20` and `+`, in the way of forms.
fn decoded(sent: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'%', b'+', sent).is_none() {
        return Cow::Borrowed(sent);
    }
    let digit = |at: usize| {
        let digit = sent.get(at).copied().map(char::from)?.to_digit(16)?;
        u8::try_from(digit).ok()
    };
    let mut decoded = Vec::with_capacity(sent.len());
    let mut at = 0;
    while let Some(&byte) = sent.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high << 4 | low);
                at += 2;
            }
            (b'+', ..) => decoded.push(b' '),
            _ => decoded.push(byte),
        }
        at += 1;
    }
    Cow::Owned(decoded)
}

/// Whether `</html>` stands in `tail`. It mostly is the last tag of it.
fn closes(tail: &[u8]) -> bool {
    const END: &[u8] = b"</html";
    let mut rest = tail;
    while let Some(at) = memchr::memrchr(b'<', rest) {
        let tag = tail.get(at..at + END.len());
        if tag.is_some_and(|tag| tag.eq_ignore_ascii_case(END)) {
            return true;
        }
        rest = &rest[..at];
    }
    false
}

/// A hash of what stands between `<title>` and `</title>`.
fn title(head: &[u8]) -> Option<u64> {
    let start = tag(head, b"<title")?;
    let start = start + memchr::memchr(b'>', &head[start..])? + 1;
    let end = start + tag(&head[start..], b"</title")?;
    let mut hasher = DefaultHasher::new();
    hasher.write(head[start..end].trim_ascii());
    Some(hasher.finish())
}

/// Where a tag that begins so begins, in letters of either case.
fn tag(page: &[u8], begins: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'<', page).find(|&at| {
        let found = page.get(at..at + begins.len());
        found.is_some_and(|found| found.eq_ignore_ascii_case(begins))
    })
}

fn speaks_to_browsers(page: &[u8]) -> bool {
    [b"<script".as_slice(), b"<meta", b"<form"]
        .iter()
        .any(|begins| tag(page, begins).is_some())
}
