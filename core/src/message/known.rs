//! Owns what is known of a field by its name: one row for each name, one look for all its meanings.
//! Never reads a value, and never decides what follows from a meaning.

mod meaning;
mod table;

use std::hash::BuildHasher;
use std::sync::LazyLock;

use foldhash::quality::FixedState;
use smallvec::SmallVec;

pub(crate) use self::meaning::{Is, Known, is};
use self::table::ROWS;
use super::text::folded;

/// All rows, with the numbers of those that have one.
static FIELDS: [Known; ROWS.len()] = {
    let mut fields = ROWS;
    let (mut shaping, mut fragment) = (0, 0);
    let mut at = 0;
    while at < fields.len() {
        let count = match (fields[at].is(Is::Shaping), fields[at].is(Is::Fragment)) {
            (true, _) => &mut shaping,
            (false, true) => &mut fragment,
            (false, false) => &mut 0,
        };
        fields[at].number = *count;
        *count += 1;
        at += 1;
    }
    fields
};

/// Fields that shape, by their numbers.
pub(crate) static SHAPING: Kind<113> = Kind::of(Is::Shaping);

/// Fields that tell the address of a visitor, beside the usual ones.
pub(crate) static ADDRESSES: Kind<31> = Kind::of(Is::Address);

/// The names of one kind, with the number of each in its kind.
pub(crate) struct Kind<const N: usize>([Known; N]);

impl<const N: usize> Kind<N> {
    /// Those that are `what`, which are exactly `N`.
    const fn of(what: Is) -> Self {
        let mut all = [ROWS[0]; N];
        let (mut at, mut count) = (0, 0);
        while at < ROWS.len() {
            if ROWS[at].is(what) {
                all[count] = ROWS[at];
                count += 1;
            }
            at += 1;
        }
        assert!(count == N, "a kind says how many there are");
        Self(all)
    }

    /// The field with a number.
    pub(crate) fn get(&self, number: u8) -> Option<&Known> {
        self.0.get(usize::from(number))
    }

    /// All names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|known| known.name)
    }
}

/// A number that is another one for another table: there fields mean something else, and so do keys that
/// were made of them.
pub(crate) fn mark_of_table() -> u64 {
    static MARK: LazyLock<u64> = LazyLock::new(|| {
        let table = format!("{FIELDS:?}");
        FixedState::with_seed(0).hash_one(table)
    });
    *MARK
}

/// All names that are `what`.
#[cfg(any(test, fuzzing))]
pub(crate) fn names(what: Is) -> impl Iterator<Item = &'static str> {
    let rows = FIELDS.iter().filter(move |row| row.is(what));
    rows.map(|row| row.name)
}

/// What is known of `name`, spelled with `-`, in any case.
#[inline(always)]
pub(crate) fn look_up(name: &[u8]) -> Option<&'static Known> {
    let mut at = slot(name);
    while let Some(place) = TABLE[at % SLOTS] {
        let known = &FIELDS[usize::from(place)];
        if is_same(known.name.as_bytes(), name) {
            return Some(known);
        }
        at += 1;
    }
    None
}

/// A name as applications behind CGI and its heirs see it, to whom `_` and `-` are the same
/// (RFC 3875 §4.1.18); `None` where it has no `_`.
pub(crate) fn dashed(name: &[u8]) -> Option<SmallVec<[u8; 64]>> {
    memchr::memchr(b'_', name)?;
    Some(name.iter().copied().map(folded).collect())
}

/// What every `X-Forwarded-*` field begins with.
const PREFIX: &[u8] = b"x-forwarded";

/// What fields begin with in which proxies that sign people in pass on whom they found.
const USERS: [&str; 16] = [
    "cf-access-",
    "remote-email",
    "remote-groups",
    "remote-name",
    "remote-user",
    "tailscale-user-",
    "x-amzn-oidc-",
    "x-auth-request-",
    "x-authenticated-",
    "x-authentik-",
    "x-goog-authenticated-",
    "x-ms-client-principal",
    "x-pomerium-",
    "x-remote-",
    "x-vouch-",
    "x-webauth-",
];

/// Whether `name`, with `-`, is one in which proxies that sign people in pass on whom they found.
pub(crate) fn is_user(name: &[u8]) -> bool {
    let begins = |start: &str| {
        let part = name.get(..start.len());
        part.is_some_and(|part| part.eq_ignore_ascii_case(start.as_bytes()))
    };
    USERS.into_iter().any(begins)
}

/// Whether only a proxy has a reason to send the field `name`, in either spelling.
#[inline(always)]
pub(crate) fn is_forwarding(name: &[u8]) -> bool {
    match name {
        [first, second, ..] => may_begin_so(*first, *second) && is_one(name),
        _ => false,
    }
}

/// Whether a field speaks to this program alone.
#[must_use]
pub fn is_retter_field(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"retter-";
    name.get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// A quick look at the first two letters of a name, five bits of each whatever their case: most
/// fields of a browser do not get past it.
#[inline(always)]
pub(super) fn may_begin_so(first: u8, second: u8) -> bool {
    const SECOND: [u32; 32] = {
        let mut second = [0; 32];
        second[(b'x' & 31) as usize] |= 1 << (b'-' & 31) | 1 << (b'_' & 31);
        let mut at = 0;
        while at < FIELDS.len() {
            if FIELDS[at].is(Is::Forwarding) {
                let name = FIELDS[at].name.as_bytes();
                second[(name[0] & 31) as usize] |= 1 << (name[1] & 31);
            }
            at += 1;
        }
        second
    };
    SECOND[usize::from(first & 31)] >> (second & 31) & 1 == 1
}

/// Looks at the whole name.
#[inline(never)]
fn is_one(name: &[u8]) -> bool {
    match dashed(name) {
        Some(dashed) => is_spelled_so(&dashed),
        None => is_spelled_so(name),
    }
}

fn is_spelled_so(name: &[u8]) -> bool {
    let start = name.get(..PREFIX.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
        || is(look_up(name), Is::Forwarding)
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

/// The places of all rows by their [`slot`], the next free one where that is taken.
static TABLE: [Option<u16>; SLOTS] = {
    let mut table = [None; SLOTS];
    let mut place: u16 = 0;
    while (place as usize) < FIELDS.len() {
        let mut at = slot(FIELDS[place as usize].name.as_bytes()) % SLOTS;
        while table[at].is_some() {
            at = (at + 1) % SLOTS;
        }
        table[at] = Some(place);
        place += 1;
    }
    table
};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_one_row_and_is_found_in_any_case() {
        for row in &FIELDS {
            let name = row.name;
            assert_eq!(name, name.to_ascii_lowercase());
            assert_eq!(
                FIELDS.iter().filter(|row| row.name == name).count(),
                1,
                "{name}"
            );
            for spelled in [name.to_owned(), name.to_uppercase()] {
                let found = look_up(spelled.as_bytes()).map(|known| known.name);
                assert_eq!(found, Some(name));
            }
        }
    }

    #[test]
    fn neighbours_of_a_name_are_not_it() {
        for row in &FIELDS {
            for other in [
                format!("{}x", row.name),
                format!("x{}", row.name),
                row.name.replace('e', "E1"),
            ] {
                let is_listed = FIELDS
                    .iter()
                    .any(|row| row.name.eq_ignore_ascii_case(&other));
                assert_eq!(look_up(other.as_bytes()).is_some(), is_listed, "{other}");
            }
        }
        for unknown in ["", "x", "xy", "x-", "sec-ch-", "acceptx", "sec-token"] {
            assert!(look_up(unknown.as_bytes()).is_none(), "{unknown}");
        }
    }

    #[test]
    fn a_name_means_one_thing_to_copies() {
        use Is::{Accept, Destination, Elements, Fragment, Harmless, Shaping};
        for row in &FIELDS {
            let meanings = [Harmless, Shaping, Fragment, Accept, Destination, Elements];
            let count = meanings.into_iter().filter(|&it| row.is(it)).count();
            assert!(count < 2, "{}", row.name);
            let shapes = row.is(Shaping);
            assert!(
                shapes || !row.is(Is::OfItsRequest) && !row.is(Is::Unasked),
                "{}",
                row.name
            );
        }
    }

    #[test]
    fn names_of_proxies_are_forwarding_in_either_spelling() {
        let listed = FIELDS.iter().filter(|row| row.is(Is::Forwarding));
        let others = ["x-forwarded-any", "x-forwardedfor"];
        for name in listed.map(|row| row.name).chain(others) {
            assert!(is_forwarding(name.as_bytes()), "{name}");
            assert!(is_forwarding(name.to_ascii_uppercase().as_bytes()));
            assert!(is_forwarding(name.replace('-', "_").as_bytes()), "{name}");
        }
        for name in [
            "Host",
            "Via",
            "X-Custom",
            "Cookie",
            "X_Own",
            "X-Forward",
            "X",
            "",
        ] {
            assert!(!is_forwarding(name.as_bytes()), "{name}");
        }
    }
}
