//! Owns who may see a copy: [`Partition`], and the keyed hashes that it is made of.
//! Never keeps a cookie or a credential: only their hash leaves this module.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};
use smallvec::SmallVec;

use super::cookies::Cookie;
use super::rules::{CookieRules, is_nothing};
use crate::canary::{Plant, is_planted};
use crate::message::{Fields, Line, folded};
use crate::rng::Rng;

/// The set of copies that one request may see.
///
/// The number is a keyed hash of every cookie that may change a page and of every field that may
/// say who asks. It means nothing outside this process and gives nothing away.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Partition {
    /// No cookie that could change a page, no field that could identify: everybody.
    Shared,
    /// Cookies or fields of unknown meaning, or a credential that many may have (an API key, a
    /// password of `Basic`): whoever sends the same.
    Marked(u128),
    /// What the origin sent to RETTER itself, which asked as a stranger: whoever is taken for one.
    /// No request has this partition.
    Public,
    /// A session cookie, or a bearer token (RFC 6750), with a value: one user.
    Session(u128),
}

/// Makes partitions, by one seed.
#[derive(Clone)]
pub(super) struct Partitioner {
    hash: SipHasher24,
}

impl Partitioner {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self {
            hash: SipHasher24::new_with_keys(rng.next(), rng.next()),
        }
    }

    /// The partition of a request with these cookies, where cookies count, and these identity
    /// fields, which always do (RFC 9111 §3.5).
    pub(super) fn partition<'a>(
        &self,
        cookies: Option<(&CookieRules, &Fields)>,
        identity: impl Iterator<Item = Line<'a>>,
    ) -> Partition {
        let mut hash = self.hash;
        let mut is_session = false;
        let mut is_shared = true;
        if let Some((rules, request)) = cookies {
            let mut relevant: SmallVec<[_; 16]> = rules.counting(request).collect();
            // The order of cookies with different names means nothing (RFC 6265 §4.2.2); that of
            // cookies with one name decides which of them the origin sees: a stable sort keeps it.
            relevant.sort_by_key(|cookie| cookie.name);
            for cookie in relevant {
                is_shared = false;
                is_session = is_session || rules.is_session(&cookie);
                write_cookie(&mut hash, &cookie);
            }
        }
        for line in identity {
            is_shared = false;
            is_session = is_session || is_bearer(&line);
            let folded: SmallVec<[u8; 64]> = line.name.iter().copied().map(folded).collect();
            hash.write_u8(TAG_IDENTITY);
            write_framed(&mut hash, &folded);
            write_framed(&mut hash, line.value);
        }
        match (is_shared, is_session) {
            (true, _) => Partition::Shared,
            (false, false) => Partition::Marked(hash.finish128().as_u128()),
            (false, true) if is_planted(Plant::MixedPartitions) => Partition::Session(0),
            (false, true) => Partition::Session(hash.finish128().as_u128()),
        }
    }

    /// A number for one cookie, in no relation to any partition.
    pub(super) fn mark(&self, name: &[u8], value: &[u8]) -> u64 {
        let mut hash = self.hash;
        hash.write_u8(TAG_MARK);
        write_framed(&mut hash, name);
        write_framed(&mut hash, value);
        hash.finish128().h1
    }
}

/// Whether a field is `Authorization` with a bearer token (RFC 6750 §2.1).
fn is_bearer(line: &Line<'_>) -> bool {
    const SCHEME: &[u8] = b"bearer ";
    let scheme = line.value.get(..SCHEME.len());
    line.is("authorization")
        && scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
        && !is_nothing(line.value[SCHEME.len()..].trim_ascii())
}

/// Whether an identity field says the same for many: the key or the version of a program, or that
/// nobody is signed in.
pub(super) fn is_of_many(line: &Line<'_>) -> bool {
    const ENDS: [&[u8]; 3] = [b"api-key", b"apikey", b"version"];
    let name: SmallVec<[u8; 64]> = line.name.iter().copied().map(folded).collect();
    // Behind the name of a scheme.
    let value = line.value.trim_ascii();
    let start = memchr::memrchr(b' ', value).map_or(0, |space| space + 1);
    is_nothing(&value[start..]) || ENDS.iter().any(|end| name.ends_with(end))
}

// Each hashed item begins with its kind and frames its parts, so that no two different lists of
// cookies and fields are the same stream of bytes.
const TAG_COOKIE: u8 = 1;
const TAG_NAMELESS: u8 = 2;
const TAG_IDENTITY: u8 = 3;
const TAG_MARK: u8 = 4;

fn write_cookie(hash: &mut SipHasher24, cookie: &Cookie<'_>) {
    hash.write_u8(if cookie.has_name {
        TAG_COOKIE
    } else {
        TAG_NAMELESS
    });
    write_framed(hash, cookie.name);
    write_framed(hash, cookie.value);
}

fn write_framed(hash: &mut SipHasher24, part: &[u8]) {
    hash.write(&(part.len() as u64).to_le_bytes());
    hash.write(part);
}
