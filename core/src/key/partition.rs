//! Owns who may see a copy: [`Partition`], and the keyed hashes that it is made of.
//! Never keeps a cookie or a credential: only their hash leaves this module.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};
use smallvec::SmallVec;

use super::cookies::{Cookie, is_nothing};
use super::line::{Line as Lineage, Link};
use super::rules::CookieRules;
use crate::canary::{Plant, is_planted};
use crate::message::{Line, folded};
use crate::rng::Rng;

/// The set of copies that one request may see.
///
/// The number is a keyed hash of every cookie that may change a page and of every field that may
/// say who asks. It means nothing outside this process and gives nothing away. Where a cookie has a
/// value that the origin has given to one browser only, the number of its chain stands for it, and
/// cookies that tell nobody apart do not count beside it.
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

impl Partition {
    /// Whether no copy in it belongs to a visitor, or to some of them.
    #[must_use]
    pub const fn is_everybodys(self) -> bool {
        matches!(self, Self::Public | Self::Shared)
    }
}

/// Tells of a value, by its mark, whether it is in a chain; `None` where nothing is.
pub(crate) type Links<'a> = Option<&'a dyn Fn(u64) -> Option<Link>>;

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
    /// fields, which always do (RFC 9111 §3.5); `links` tells of values that are in chains.
    pub(super) fn partition<'a>(
        &self,
        cookies: Option<(&CookieRules, &mut dyn Iterator<Item = Cookie<'a>>)>,
        links: Links<'_>,
        identity: impl Iterator<Item = Line<'a>>,
    ) -> (Partition, Option<Lineage>) {
        let mut hash = self.hash;
        let mut is_session = false;
        let mut is_shared = true;
        let mut lineage = None;
        if let Some((rules, cookies)) = cookies {
            let mut relevant: SmallVec<[_; 16]> = cookies.collect();
            // The order of cookies with different names means nothing (RFC 6265 §4.2.2); that of
            // cookies with one name decides which of them the origin sees: a stable sort keeps it.
            relevant.sort_by_key(|cookie| cookie.name);
            is_shared = relevant.is_empty();
            let linked = match links {
                Some(links) => self.links(rules, &relevant, links),
                None => SmallVec::new(),
            };
            if linked.iter().any(Option::is_some) {
                is_session = true;
                lineage = Some(self.write_linked(&mut hash, rules, &relevant, linked));
            } else {
                for cookie in relevant {
                    is_session = is_session || rules.is_session(&cookie);
                    write_cookie(&mut hash, &cookie);
                }
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
        let partition = match (is_shared, is_session) {
            (true, _) => Partition::Shared,
            (false, false) => Partition::Marked(hash.finish128().as_u128()),
            (false, true) if is_planted(Plant::MixedPartitions) => Partition::Session(0),
            (false, true) => Partition::Session(hash.finish128().as_u128()),
        };
        (partition, lineage)
    }

    /// The marks and links of those cookies that are in chains.
    fn links(
        &self,
        rules: &CookieRules,
        cookies: &[Cookie<'_>],
        links: &dyn Fn(u64) -> Option<Link>,
    ) -> SmallVec<[Option<(u64, Link)>; 8]> {
        let link = |cookie: &Cookie<'_>| {
            let mark = rules
                .is_token(cookie)
                .then(|| self.mark(cookie.name, cookie.value))?;
            Some((mark, links(mark)?))
        };
        cookies.iter().map(link).collect()
    }

    /// Hashes the cookies of a request of which some are in chains.
    fn write_linked(
        &self,
        hash: &mut SipHasher24,
        rules: &CookieRules,
        cookies: &[Cookie<'_>],
        linked: SmallVec<[Option<(u64, Link)>; 8]>,
    ) -> Lineage {
        let mut lineage = Lineage::default();
        let mut others = self.hash;
        for (cookie, linked) in cookies.iter().zip(linked) {
            if let Some((mark, link)) = linked {
                hash.write_u8(TAG_CHAIN);
                write_framed(hash, cookie.name);
                hash.write_u64(link.chain);
                lineage.push(mark, link);
            } else if rules.tells_nobody(cookie) {
                write_cookie(&mut others, cookie);
            } else {
                write_cookie(hash, cookie);
            }
        }
        lineage.set_others(others.finish128().h1);
        lineage
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
const TAG_CHAIN: u8 = 5;

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
