//! Owns [`Kind`]: which pages are alike in how long the origin takes for them.
//! Never knows how long that is.

use std::hash::Hasher;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;

use super::words::Class;

/// Kinds that are told apart. Beyond that some share what is usual for them.
pub(super) const KINDS: usize = 512;

/// A kind of page, as a number below [`KINDS`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Kind(u16);

/// Names the kinds.
#[derive(Debug)]
pub(super) struct Naming {
    seed: u64,
    shared_seed: SharedSeed,
}

impl Naming {
    /// The same `seed` gives the same kinds: visitors cannot choose pages that count as one with
    /// another.
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            seed,
            shared_seed: SharedSeed::from_u64(seed),
        }
    }

    /// The kind of a request. Paths that differ in digits only are of one kind, and so are queries
    /// that do not differ in names, nor in values that are plain words: `/?page=poll&t=Pq3x8`. What
    /// stands alone and is no plain word tells nothing, as in `/?1733011200`.
    pub(super) fn kind(&self, class: Class, target: &[u8]) -> Kind {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared_seed);
        hasher.write_u8(u8::from(class == Class::Write));
        let query_at = memchr::memchr(b'?', target).unwrap_or(target.len());
        let (path, query) = target.split_at(query_at);
        for part in path.split(u8::is_ascii_digit) {
            if !part.is_empty() {
                hasher.write(part);
                hasher.write_u8(b'0');
            }
        }
        for parameter in query
            .get(1..)
            .unwrap_or_default()
            .split(|&byte| byte == b'&')
        {
            let equals = memchr::memchr(b'=', parameter).unwrap_or(parameter.len());
            let (name, value) = parameter.split_at(equals);
            let is_plain = value.get(1..).unwrap_or_default().iter().all(is_of_words);
            let is_bare = value.is_empty();
            let says_kind = is_plain && !MADE_UP.contains(&name);
            hasher.write_u8(b'&');
            match (says_kind, is_bare) {
                (true, true) if !name.iter().all(is_of_words) => {}
                (true, _) => hasher.write(parameter),
                (false, _) => hasher.write(name),
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is below a u16")]
        Kind((hasher.finish() % KINDS as u64) as u16)
    }
}

impl Kind {
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }

    /// A kind of its own for each number below [`KINDS`], for tests.
    #[cfg(test)]
    pub(super) const fn at(number: u16) -> Self {
        Self(number)
    }
}

/// Parameters whose values clients make up so that no address is asked for twice. A random value in small letters
/// looks like a word now and then, and a poll with one would be of a kind of its own.
const MADE_UP: [&[u8]; 12] = [
    b"_",
    b"_t",
    b"cb",
    b"cachebust",
    b"cachebuster",
    b"nonce",
    b"rand",
    b"random",
    b"rnd",
    b"t",
    b"timestamp",
    b"ts",
];

/// What applications call their pages, not what counts or tells users apart.
const fn is_of_words(byte: &u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'/' | b'-' | b'_' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, other: &str) -> bool {
        let naming = Naming::new(3);
        let of = |target: &str| naming.kind(Class::Read, target.as_bytes());
        of(one) == of(other)
    }

    #[test]
    fn kinds_of_pages() {
        assert!(same("/item/17", "/item/4"));
        assert!(same("/s?t=Pq3x8&a=poll", "/s?t=Zk&a=poll"));
        assert!(same("/?a=poll&t=pkxqzrfb", "/?a=poll&t=mwvd3k"));
        assert!(same("/?q=2", "/?q=3"));
        assert!(same("/?q=2&1733011200", "/?q=3&0.81"));
        assert!(!same("/?poll", "/?page"));
        assert!(!same("/item", "/items"));
        assert!(!same("/i.php?route=shop/list", "/i.php?route=shop/poll"));
        assert!(!same("/i.php", "/i.php?a="));
        let naming = Naming::new(3);
        let of = |class| naming.kind(class, b"/order");
        assert_ne!(of(Class::Read), of(Class::Write));
    }
}
