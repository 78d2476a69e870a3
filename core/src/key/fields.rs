//! Owns what each request field means to copies: whether it is harmless, shapes the page, asks for
//! a fragment of it, or identifies who asks. A field that is not on these lists identifies.
//! Never reads what a field says, but for `X-Requested-With`, which means two things.

use super::known::{FRAGMENT, HARMLESS, SHAPING};
use crate::config::FieldNames;

/// What a request field means to copies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Meaning {
    /// The class of `Accept` is part of the key, its value is not.
    Accept,
    /// The class of `Sec-Fetch-Dest` is part of the key.
    Destination,
    /// `Forwarded`: what it says of host and scheme shapes.
    Forwarded,
    /// Asks for a part of a page; the number is its place in [`FRAGMENT`].
    Fragment(u8),
    /// Changes no page: no copy is kept apart by it.
    Harmless,
    /// Whoever sends another value is another visitor.
    Identity,
    /// Changes the page for everybody who sends it; the number is its place in [`SHAPING`].
    Shaping(u8),
}

/// What the names of fields mean, with the operator's additions.
#[derive(Clone, Debug, Default)]
pub(super) struct Meanings {
    harmless: FieldNames,
    identity: FieldNames,
}

impl Meanings {
    pub(super) fn new(harmless: &FieldNames, identity: &FieldNames) -> Self {
        Self {
            harmless: harmless.clone(),
            identity: identity.clone(),
        }
    }

    /// What the field `name` means. To applications behind CGI and its heirs `_` is the same as
    /// `-` (RFC 3875 §4.1.18), so it is here.
    pub(super) fn of(&self, name: &[u8]) -> Meaning {
        if !self.identity.is_empty() && self.identity.contain(name) {
            return Meaning::Identity;
        }
        match known(name) {
            Meaning::Identity if self.harmless.contain(name) => Meaning::Harmless,
            meaning => meaning,
        }
    }
}

/// Client hints (RFC 8942), which an answer names in `Vary`. Scripts cannot set names that begin so.
const HINTS: &[u8] = b"sec-ch-";

/// What RETTER knows of the name itself.
fn known(name: &[u8]) -> Meaning {
    if let Some(meaning) = look_up(name) {
        return meaning;
    }
    let is_hint = name
        .get(..HINTS.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(HINTS));
    if is_hint {
        return Meaning::Harmless;
    }
    if memchr::memchr(b'_', name).is_some() {
        let dashed: smallvec::SmallVec<[u8; 64]> = name.iter().map(|&byte| dash(byte)).collect();
        return known(&dashed);
    }
    Meaning::Identity
}

fn look_up(name: &[u8]) -> Option<Meaning> {
    let mut at = slot(name);
    while let Some((known, meaning)) = TABLE[at] {
        if is_same(known, name) {
            return Some(meaning);
        }
        at = (at + 1) % SLOTS;
    }
    None
}

/// Whether `name`, a token (RFC 9110 §5.6.2), is `known` but for case: no other two bytes of tokens
/// and of these names differ in that bit only. Without an early end the compiler compares many
/// bytes at a time.
fn is_same(known: &str, name: &[u8]) -> bool {
    let differs = |all: u8, (known, byte): (u8, &u8)| all | (known ^ (byte | 0x20));
    known.len() == name.len() && known.bytes().zip(name).fold(0, differs) == 0
}

const fn dash(byte: u8) -> u8 {
    match byte {
        b'_' => b'-',
        byte => byte,
    }
}

const SLOTS: usize = 1024;

/// All names by their [`slot`], the next free one where that is taken.
static TABLE: [Option<(&str, Meaning)>; SLOTS] = table();

/// Where a name is looked for first: its length and five of its bytes, in lower case.
const fn slot(name: &[u8]) -> usize {
    const SPREAD: u32 = 0x9E37_79B1;
    let len = name.len();
    if len == 0 {
        return 0;
    }
    let mut mixed = len as u32;
    let mut part = 0;
    while part < 5 {
        let byte = name[(len - 1) * part / 4] | 0x20;
        mixed = mixed.wrapping_mul(31).wrapping_add(byte as u32);
        part += 1;
    }
    (mixed.wrapping_mul(SPREAD) >> 22) as usize
}

const fn table() -> [Option<(&'static str, Meaning)>; SLOTS] {
    let mut table = [None; SLOTS];
    let mut at = 0;
    while at < HARMLESS.len() {
        put(&mut table, HARMLESS[at], Meaning::Harmless);
        at += 1;
    }
    at = 0;
    while at < SHAPING.len() {
        put(&mut table, SHAPING[at], Meaning::Shaping(at as u8));
        at += 1;
    }
    at = 0;
    while at < FRAGMENT.len() {
        put(&mut table, FRAGMENT[at], Meaning::Fragment(at as u8));
        at += 1;
    }
    put(&mut table, "accept", Meaning::Accept);
    put(&mut table, "forwarded", Meaning::Forwarded);
    put(&mut table, "sec-fetch-dest", Meaning::Destination);
    table
}

const fn put(
    table: &mut [Option<(&'static str, Meaning)>; SLOTS],
    name: &'static str,
    meaning: Meaning,
) {
    let mut at = slot(name.as_bytes());
    while table[at].is_some() {
        at = (at + 1) % SLOTS;
    }
    table[at] = Some((name, meaning));
}
