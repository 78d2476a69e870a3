//! Owns [`Target`]: what a request asks for, as the circuits tell it apart, and the numbers that stand
//! for it.
//! Never decides which circuit is asked.

use std::hash::Hasher;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use smallvec::SmallVec;

use super::names::NAME_BYTES_MAX;

/// What a request asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Target<'a> {
    /// What comes before the `?`.
    pub path: &'a [u8],
    /// What comes after it.
    pub query: Option<&'a [u8]>,
    /// It asks for the head alone. Some applications fail on that, and on nothing else.
    pub is_head: bool,
}

/// The numbers of a target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids {
    /// Of the circuit: the path, with the query where that is asked for, and the method.
    pub(super) circuit: u64,
    /// Of the page: path, query and method.
    pub(super) page: u64,
    /// Of what the site's pages are told apart by: the path, with the query where that is asked for.
    pub(super) part: u64,
    /// Of the path alone.
    pub(super) path: u64,
    /// Of the query alone.
    pub(super) query: u64,
}

/// Makes numbers, by one seed.
#[derive(Debug)]
pub(super) struct Numbers {
    seed: u64,
    shared: SharedSeed,
}

/// A path, as it is compared.
type Path = SmallVec<[u8; 128]>;

impl<'a> Target<'a> {
    /// A GET for this path, with its query if it has one.
    #[must_use]
    pub fn get(path_and_query: &'a [u8]) -> Self {
        let mut parts = path_and_query.splitn(2, |byte| *byte == b'?');
        Self {
            path: parts.next().unwrap_or_default(),
            query: parts.next(),
            is_head: false,
        }
    }

    /// How it is called: its first bytes, of which most fit without an allocation. One more than is
    /// shown, so that it shows that something was cut.
    pub(super) fn name(&self, by_query: bool) -> SmallVec<[u8; 64]> {
        let head: &[u8] = if self.is_head { b"HEAD " } else { b"" };
        let mut name = SmallVec::from_slice(head);
        let room = |name: &SmallVec<[u8; 64]>| (NAME_BYTES_MAX + 1).saturating_sub(name.len());
        name.extend_from_slice(&self.path[..self.path.len().min(room(&name))]);
        if by_query && let Some(query) = self.query {
            name.push(b'?');
            name.extend_from_slice(&query[..query.len().min(room(&name))]);
        }
        name
    }
}

impl Numbers {
    pub(super) fn new(seed: u64, shared: u64) -> Self {
        Self {
            seed,
            shared: SharedSeed::from_u64(shared),
        }
    }

    pub(super) fn of(&self, target: &Target<'_>, is_by_query: impl Fn(u64) -> bool) -> Ids {
        let is_plain = is_plain(target.path);
        let path = match is_plain {
            true => self.hash(target.path, 0),
            false => self.hash(&normal(target.path), 0),
        };
        let query = target.query.map_or(0, |query| self.hash(query, 1));
        let mix = |query: u64, is_head: bool| match is_head || query != 0 {
            false => path,
            true => {
                let mut hasher = FoldHasher::with_seed(path, &self.shared);
                hasher.write_u64(query);
                hasher.write_u8(is_head.into());
                hasher.finish()
            }
        };
        let by_query = query != 0 && is_by_query(path);
        let chosen = if by_query { query } else { 0 };
        Ids {
            circuit: mix(chosen, target.is_head),
            page: mix(query, target.is_head),
            part: mix(chosen, false),
            path,
            query,
        }
    }

    /// Paths that differ in digits only are one kind: `/item/17`, `/2024/05`.
    pub(super) fn kind(&self, is_write: bool, path: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hasher.write_u8(is_write.into());
        let parts = path.split(u8::is_ascii_digit);
        for part in parts.filter(|part| !part.is_empty()) {
            hasher.write(part);
            hasher.write_u8(b'0');
        }
        hasher.finish()
    }

    fn hash(&self, bytes: &[u8], what: u64) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed ^ what, &self.shared);
        hasher.write(bytes);
        hasher.finish()
    }
}

/// Whether a path is written as it is compared.
fn is_plain(path: &[u8]) -> bool {
    let is_odd = |pair: &[u8]| pair[0] == b'/' && matches!(pair[1], b'/' | b'.');
    !path.windows(2).any(is_odd) && memchr::memchr(b'%', path).is_none()
}

/// A path as it is compared: without the ways in which one page can be written that most applications
/// take for the same (RFC 3986 §6.2.2, and slashes that are doubled).
fn normal(path: &[u8]) -> Path {
    let decoded = decoded(path);
    let mut kept = SmallVec::<[&[u8]; 16]>::new();
    let mut ends_open = false;
    for segment in decoded.split(|byte| *byte == b'/') {
        ends_open = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let mut normal = Path::new();
    for segment in kept {
        normal.push(b'/');
        normal.extend_from_slice(segment);
    }
    if ends_open {
        normal.push(b'/');
    }
    normal
}

/// With the escapes undone that mean nothing, and the others in capitals.
fn decoded(path: &[u8]) -> Path {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let mut decoded = Path::new();
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(tens), Some(ones)) = (digit(high), digit(low))
        {
            let byte = u8::try_from(tens * 16 + ones).unwrap_or_default();
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                decoded.push(byte);
            } else {
                let escape = [b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()];
                decoded.extend_from_slice(&escape);
            }
            rest = after;
            continue;
        }
        decoded.push(*first);
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_page_is_one_however_it_is_written() {
        #[track_caller]
        fn check(path: &str, expected: &str) {
            let path = path.as_bytes();
            let normal = if is_plain(path) {
                path.to_vec()
            } else {
                normal(path).to_vec()
            };
            assert_eq!(String::from_utf8(normal).unwrap(), expected);
        }
        for path in ["/s", "//s", "/./s", "///s", "/x/../s", "/%73", "/.//./s"] {
            check(path, "/s");
        }
        for path in ["/s/", "//s//", "/s/.", "/s/x/.."] {
            check(path, "/s/");
        }
        check("/%2f%c3%a9", "/%2F%C3%A9");
        check("/%zz%4", "/%zz%4");
        check("/../..", "/");
        check("/.well-known/x", "/.well-known/x");
        check("", "");
        check("*", "*");
    }

    #[test]
    fn methods_and_queries_have_numbers_of_their_own_where_they_are_asked_for() {
        let numbers = Numbers::new(1, 2);
        let of = |target: &str, is_head, by_query| {
            let target = Target {
                is_head,
                ..Target::get(target.as_bytes())
            };
            let Ids { circuit, page, .. } = numbers.of(&target, |_| by_query);
            (circuit, page)
        };
        assert_eq!(of("/a?b", false, false).0, of("/a", false, true).0);
        assert_ne!(of("/a?b", false, false).1, of("/a?c", false, false).1);
        assert_eq!(of("//a?b", false, true), of("/a?b", false, true));
        assert_ne!(of("/a?b", false, true).0, of("/a?c", false, true).0);
        assert_ne!(of("/a", true, false).0, of("/a", false, false).0);
        assert_ne!(of("/a?b", true, true).0, of("/a?b", false, true).0);
    }
}
