//! Owns what each request field means to copies: whether it is harmless, shapes the page, asks for
//! a fragment of it, or identifies who asks. A field that is not on these lists identifies.
//! Never reads what a field says, but for `X-Requested-With`, which means two things.

use super::known::{FRAGMENT, HARMLESS, SHAPING};
use crate::canary::{Plant, is_planted};
use crate::config::FieldNames;
use crate::message::folded;

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
    #[inline(always)]
    pub(super) fn of(&self, name: &[u8]) -> Meaning {
        if !self.identity.is_empty() && self.identity.contain(name) {
            return Meaning::Identity;
        }
        let meaning = known(name);
        if meaning == Meaning::Identity && self.harmless.contain(name) {
            return Meaning::Harmless;
        }
        meaning
    }
}

/// What RETTER knows of the name itself.
#[inline(always)]
fn known(name: &[u8]) -> Meaning {
    look_up(name).unwrap_or_else(|| unlisted(name))
}

/// What a name means that is not on the lists in this spelling.
#[cold]
fn unlisted(name: &[u8]) -> Meaning {
    if memchr::memchr(b'_', name).is_some() {
        let dashed: smallvec::SmallVec<[u8; 64]> = name.iter().copied().map(folded).collect();
        // A harmless field in that spelling comes from no browser, and no `Vary` speaks of it, but
        // some applications read it as the other: nobody shares a page that it may have shaped.
        match look_up(&dashed) {
            Some(meaning @ (Meaning::Fragment(_) | Meaning::Shaping(_))) => return meaning,
            Some(
                Meaning::Accept
                | Meaning::Destination
                | Meaning::Forwarded
                | Meaning::Harmless
                | Meaning::Identity,
            )
            | None => {}
        }
    }
    if is_planted(Plant::UnknownIsHarmless) {
        return Meaning::Harmless;
    }
    Meaning::Identity
}

#[inline(always)]
fn look_up(name: &[u8]) -> Option<Meaning> {
    let mut at = slot(name);
    while let Some((known, meaning)) = TABLE[at % SLOTS] {
        if is_same(known.as_bytes(), name) {
            return Some(meaning);
        }
        at += 1;
    }
    None
}

/// Whether `name`, a token (RFC 9110 §5.6.2), is `known` but for case: no other two bytes of tokens
/// and of these names differ in that bit only. Compares as many bytes at a time as there are.
#[inline(always)]
fn is_same(known: &[u8], name: &[u8]) -> bool {
    if known.len() != name.len() {
        return false;
    }
    if let (Some(start), Some(end)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        let ends = lower(start) == word(known)
            && known
                .last_chunk()
                .is_some_and(|known| lower(end) == u64::from_le_bytes(*known));
        return ends && (name.len() <= 16 || is_same_inside(known, name));
    }
    if let (Some(start), Some(end)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        return known
            .first_chunk()
            .is_some_and(|known| half(start) == u32::from_le_bytes(*known))
            && known
                .last_chunk()
                .is_some_and(|known| half(end) == u32::from_le_bytes(*known));
    }
    known
        .iter()
        .zip(name)
        .all(|(known, byte)| *known == byte | 0x20)
}

fn is_same_inside(known: &[u8], name: &[u8]) -> bool {
    let mut pairs = known.chunks_exact(8).zip(name.chunks_exact(8));
    pairs.all(|(known, name)| {
        name.first_chunk()
            .is_some_and(|name| lower(name) == word(known))
    })
}

/// Eight bytes as one number.
fn word(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The same in lower case.
fn lower(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes) | u64::from_le_bytes([0x20; 8])
}

/// Four bytes as one number, in lower case.
fn half(bytes: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*bytes) | u32::from_le_bytes([0x20; 4])
}

const SLOTS: usize = 2048;

/// All names by their [`slot`], the next free one where that is taken.
static TABLE: [Option<(&str, Meaning)>; SLOTS] = table();

/// Where a name is looked for first: by its length and its first and last four bytes, in lower
/// case.
const fn slot(name: &[u8]) -> usize {
    const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
    let (first, last) = match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        (Some(first), Some(last)) => (u32::from_le_bytes(*first), u32::from_le_bytes(*last)),
        _ => match name {
            [one, .., two] => (*one as u32, *two as u32),
            _ => (0, 0),
        },
    };
    let lower = (first as u64) << 32 | last as u64 | 0x2020_2020_2020_2020;
    let mixed = (lower ^ name.len() as u64).wrapping_mul(SPREAD);
    (mixed >> 53) as usize
}

const fn table() -> [Option<(&'static str, Meaning)>; SLOTS] {
    let mut table = [None; SLOTS];
    let mut at = 0;
    while at < HARMLESS.len() {
        put(&mut table, HARMLESS[at], Meaning::Harmless);
        at += 1;
    }
    let mut number: u8 = 0;
    while (number as usize) < SHAPING.len() {
        put(
            &mut table,
            SHAPING[number as usize],
            Meaning::Shaping(number),
        );
        number += 1;
    }
    number = 0;
    while (number as usize) < FRAGMENT.len() {
        put(
            &mut table,
            FRAGMENT[number as usize],
            Meaning::Fragment(number),
        );
        number += 1;
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
    let mut at = slot(name.as_bytes()) % SLOTS;
    while table[at].is_some() {
        at = (at + 1) % SLOTS;
    }
    table[at] = Some((name, meaning));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_any_case_and_with_underscores() {
        let meanings = Meanings::default();
        let lists = [&HARMLESS[..], &SHAPING, &FRAGMENT, &["accept", "forwarded"]];
        for name in lists.into_iter().flatten() {
            let expected = meanings.of(name.as_bytes());
            assert_ne!(expected, Meaning::Identity, "{name}");
            assert_eq!(meanings.of(name.to_uppercase().as_bytes()), expected);
            let spelled = meanings.of(name.replace('-', "_").as_bytes());
            let is_in_key = matches!(expected, Meaning::Fragment(_) | Meaning::Shaping(_));
            match is_in_key || !name.contains('-') {
                true => assert_eq!(spelled, expected, "{name}"),
                false => assert_eq!(spelled, Meaning::Identity, "{name}"),
            }
            for other in [
                format!("{name}x"),
                format!("x{name}"),
                name.replace('e', "E1"),
            ] {
                let is_known = known(other.as_bytes()) != Meaning::Identity;
                let is_listed = |list: &[&str]| list.contains(&&*other.to_lowercase());
                let is_listed = lists.into_iter().any(is_listed);
                assert_eq!(is_known, is_listed, "{other}");
            }
        }
        for unknown in ["", "x", "xy", "x-", "sec-ch-", "acceptx", "sec-token"] {
            assert_eq!(
                meanings.of(unknown.as_bytes()),
                Meaning::Identity,
                "{unknown}"
            );
        }
        assert_eq!(meanings.of(b"SEC_CH_UA"), Meaning::Identity);
    }
}
