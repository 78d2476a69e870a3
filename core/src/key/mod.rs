//! Owns who may see a copy ([`Partition`]) and under what name it is kept ([`CacheKey`]);
//! RFC 9111 §2 and §4.1.
//! Never keeps a cookie or a credential: only their keyed hash leaves this module.
//!
//! ```
//! use retter_core::config::CacheSettings;
//! use retter_core::key::{Keyer, Partition};
//! use retter_core::message::{Fields, RequestHead};
//!
//! let keyer = Keyer::new(&CacheSettings::default(), 42);
//! let get = |cookie: &str| {
//!     let fields = Fields::from_pairs([("Host", &b"example"[..]), ("Cookie", cookie.as_bytes())]);
//!     RequestHead::new(http::Method::GET, "/page?a=b", fields)
//! };
//! let (anna, bert) = (keyer.key(&get("PHPSESSID=anna")), keyer.key(&get("PHPSESSID=bert")));
//! assert_ne!(anna, bert, "no page of one is found for the other");
//! assert!(matches!(anna.unwrap().partition(), Partition::Session(_)));
//! let visitor = keyer.key(&get("_ga=GA1.2.3")).unwrap();
//! assert_eq!(visitor.partition(), Partition::Shared, "analytics change no page");
//! ```

mod cookies;
mod credentials;
mod shaping;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{BuildHasher, Hasher};

use bytes::Bytes;
use foldhash::quality::FixedState;
use siphasher::sip128::{Hasher128, SipHasher24};
use smallvec::SmallVec;

pub use self::cookies::logs_in_once;
use self::cookies::{SetCookie, cookies};
#[cfg(any(test, fuzzing))]
pub(crate) use self::{credentials::CREDENTIALS, shaping::SHAPING};
use crate::canary::{Plant, is_planted};
use crate::config::{CacheSettings, NamePatterns};
use crate::limits::KEY_BYTES_MAX;
use crate::message::{Fields, RequestHead};
use crate::rng::Rng;

/// The set of copies that one request may see.
///
/// The number is a keyed hash of every cookie that may change a page and of the credentials. It
/// means nothing outside this process and gives nothing away.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Partition {
    /// No cookie that could change a page, no credentials: everybody.
    Shared,
    /// Cookies of unknown meaning, none of which is known to carry a session.
    Cookies(u128),
    /// A session cookie that is not empty, `Authorization`, or another field that tells who
    /// asks: one user.
    Session(u128),
}

/// What a response does to the client's cookies.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum SessionChange {
    /// Nothing that matters: no `Set-Cookie`, an ignored one, or the value the client has.
    None,
    /// It sets a cookie that may change pages; the session stays.
    SetsCookie,
    /// It starts, replaces or ends a session.
    ChangesSession,
}

/// Builds keys and partitions by the settings and one seed.
#[derive(Clone)]
pub struct Keyer {
    detect_query: bool,
    detect_session: bool,
    session_cookies: NamePatterns,
    ignored_cookies: NamePatterns,
    ignored_query: NamePatterns,
    partition_hash: SipHasher24,
    key_hash: FixedState,
}

impl Keyer {
    /// Takes the settings over. The same `seed` gives the same hashes; it must be unpredictable
    /// where clients are not trusted.
    #[must_use]
    pub fn new(settings: &CacheSettings, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        Self {
            detect_query: settings.detect_query,
            detect_session: settings.detect_session,
            session_cookies: settings.session_cookies.clone(),
            ignored_cookies: settings.ignored_cookies.clone(),
            ignored_query: settings.ignored_query.clone(),
            partition_hash: SipHasher24::new_with_keys(rng.next(), rng.next()),
            key_hash: FixedState::with_seed(rng.next()),
        }
    }

    /// The partition of a request with these fields.
    ///
    /// Credentials always count (RFC 9111 §3.5); cookies do when sessions are detected.
    #[must_use]
    pub fn partition(&self, request: &Fields) -> Partition {
        let mut hash = self.partition_hash;
        let mut is_session = false;
        let mut is_shared = true;
        if self.detect_session {
            let mut relevant: SmallVec<[_; 16]> = cookies(request)
                .filter(|cookie| !self.is_ignored(cookie.name))
                .collect();
            // The order of cookies with different names means nothing (RFC 6265 §4.2.2); that of
            // cookies with one name decides which of them the origin sees: a stable sort keeps it.
            relevant.sort_by_key(|cookie| cookie.name);
            for cookie in relevant {
                is_shared = false;
                is_session = is_session
                    || (!cookie.value.is_empty() && self.session_cookies.matches(cookie.name));
                hash.write_u8(if cookie.has_name {
                    TAG_COOKIE
                } else {
                    TAG_NAMELESS
                });
                write_framed(&mut hash, cookie.name);
                write_framed(&mut hash, cookie.value);
            }
        }
        for line in request.lines() {
            if let Some(known) = credentials::known(line.name) {
                (is_shared, is_session) = (false, true);
                hash.write_u8(TAG_CREDENTIALS);
                write_framed(&mut hash, known.as_bytes());
                write_framed(&mut hash, line.value);
            }
        }
        match (is_shared, is_session) {
            (true, _) => Partition::Shared,
            (false, false) => Partition::Cookies(hash.finish128().as_u128()),
            (false, true) if is_planted(Plant::MixedPartitions) => Partition::Session(0),
            (false, true) => Partition::Session(hash.finish128().as_u128()),
        }
    }

    /// The key of a request's copies. The method is not in it: HEAD uses the key of GET.
    ///
    /// `None` when the key would be longer than [`KEY_BYTES_MAX`], when the target has neither
    /// origin form nor absolute form (RFC 9112 §3.2), or when fields of the request
    /// [are missing](Fields::is_cut).
    #[must_use]
    pub fn key(&self, request: &RequestHead) -> Option<CacheKey> {
        if request.fields.is_cut() {
            return None;
        }
        let partition = self.partition(&request.fields);
        self.key_of(request, request.path_and_query(), partition)
    }

    /// The key that `request` would have for another target, as one in `Location`, and for
    /// another partition.
    #[must_use]
    pub fn key_of(
        &self,
        request: &RequestHead,
        path_and_query: &[u8],
        partition: Partition,
    ) -> Option<CacheKey> {
        let authority = request.authority();
        // RFC 9110 §4.2.3: an empty path is `/`. Nothing else is rewritten: `%2F`, `//` and the
        // order of a query may mean something to the origin. Nor is a default port taken off: the
        // origin sees it, and behind TLS its links to `https://host:80/` would be everybody's.
        let root: &[u8] = match path_and_query.first() {
            Some(b'/') => b"",
            Some(b'?') => b"/",
            Some(_) | None => return None,
        };
        let mark = memchr::memchr(b'?', path_and_query).unwrap_or(path_and_query.len());
        let (path, query) = path_and_query.split_at(mark);
        let query = if self.detect_query { query } else { b"" };
        let length = AUTHORITY_LEN_BYTES + authority.len() + root.len() + path.len() + query.len();
        if length > KEY_BYTES_MAX {
            return None;
        }
        let authority_len = u16::try_from(authority.len()).ok()?;
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&authority_len.to_be_bytes());
        bytes.extend(authority.iter().map(u8::to_ascii_lowercase));
        bytes.extend_from_slice(root);
        bytes.extend_from_slice(path);
        self.put_query(query, &mut bytes);
        debug_assert!(bytes.len() <= length, "one allocation");
        shaping::put(request, &mut bytes);
        if bytes.len() > KEY_BYTES_MAX {
            return None;
        }
        Some(CacheKey {
            hash: self.key_hash.hash_one((&bytes[..], partition)),
            bytes: Bytes::from(bytes),
            partition,
        })
    }

    /// A hash of what a key names, whoever it is for.
    #[must_use]
    pub fn resource(&self, key: &CacheKey) -> u64 {
        self.key_hash.hash_one(&key.bytes[..])
    }

    /// Path and query as a key holds them.
    #[must_use]
    pub fn path_and_query_of(&self, path_and_query: &[u8]) -> Vec<u8> {
        let mark = memchr::memchr(b'?', path_and_query).unwrap_or(path_and_query.len());
        let (path, query) = path_and_query.split_at(mark);
        let mut kept = path.to_vec();
        if self.detect_query {
            self.put_query(query, &mut kept);
        }
        kept
    }

    /// Appends a query, which begins with `?` or is empty, without the parameters that never
    /// change a page. Their names are compared as they are sent; the others keep their order.
    fn put_query(&self, query: &[u8], bytes: &mut Vec<u8>) {
        let Some((mark, pairs)) = query.split_first() else {
            return;
        };
        let is_ignored = |pair: &&[u8]| {
            // To some applications `;` begins another parameter, which this one must not hide.
            if pair.contains(&b';') {
                return false;
            }
            let name = pair.split(|&byte| byte == b'=').next().unwrap_or_default();
            self.ignored_query.matches(name)
        };
        let each = || pairs.split(|&byte| byte == b'&');
        if !each().any(|pair| is_ignored(&pair)) {
            return bytes.extend_from_slice(query);
        }
        let mut separator = *mark;
        for pair in each().filter(|pair| !is_ignored(pair)) {
            bytes.push(separator);
            bytes.extend_from_slice(pair);
            separator = b'&';
        }
    }

    /// What a response does to the cookies of the request that it answers.
    #[must_use]
    pub fn session_change(&self, request: &Fields, response: &Fields) -> SessionChange {
        // Clear-Site-Data §3.1: the types are quoted; `"*"` includes cookies.
        let clears = response
            .tokens("clear-site-data")
            .any(|kind| kind == b"\"cookies\"" || kind == b"\"*\"");
        // A line that is missing may be one that begins a session.
        if clears || response.is_cut() {
            return SessionChange::ChangesSession;
        }
        response
            .get_all("set-cookie")
            .map(|line| SetCookie::parse(line, response.get("date")))
            .map(|cookie| self.change_by(&cookie, request))
            .max()
            .unwrap_or(SessionChange::None)
    }

    fn change_by(&self, set: &SetCookie<'_>, request: &Fields) -> SessionChange {
        if self.is_ignored(set.name) {
            return SessionChange::None;
        }
        // A name may come twice (for two paths); then only equal values are surely unchanged.
        let mut is_present = false;
        let mut is_same = true;
        for cookie in cookies(request).filter(|cookie| cookie.name == set.name) {
            is_present = true;
            is_same &= cookie.value == set.value;
        }
        if is_present && is_same && !set.is_deletion {
            return SessionChange::None;
        }
        let is_session = self.session_cookies.matches(set.name);
        let changes = is_present || !set.is_deletion;
        if is_session && changes {
            SessionChange::ChangesSession
        } else {
            SessionChange::SetsCookie
        }
    }

    /// A name on both lists carries a session: to keep users apart is the safe reading.
    fn is_ignored(&self, name: &[u8]) -> bool {
        self.ignored_cookies.matches(name) && !self.session_cookies.matches(name)
    }
}

impl fmt::Debug for Keyer {
    /// Leaves the hash keys out: with them, partitions could be guessed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyer")
            .field("detect_query", &self.detect_query)
            .field("detect_session", &self.detect_session)
            .finish_non_exhaustive()
    }
}

/// The name of a copy: authority, path, query and partition, with their hash.
///
/// Equal only when all of it is equal; the hash alone never decides. Clones share their bytes.
#[derive(Clone)]
pub struct CacheKey {
    /// Length of the authority in two bytes, authority, path, `?` and query: no two different
    /// URIs have the same bytes, as a path holds no `?`. Then shaping fields, each behind a line
    /// feed, which is in no URI and no value.
    bytes: Bytes,
    hash: u64,
    partition: Partition,
}

impl CacheKey {
    /// The keyed hash of everything in the key.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Who may see the copies.
    #[must_use]
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// Bytes that this key keeps alive.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        self.bytes.len()
    }

    /// The host, in lower case, as the client named it.
    #[must_use]
    pub fn authority(&self) -> &[u8] {
        self.split().0
    }

    /// Path and query as they are in the key.
    #[must_use]
    pub fn path_and_query(&self) -> &[u8] {
        // Shaping fields come behind a line feed, which is in no URI.
        let rest = self.split().1;
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        &rest[..end]
    }

    fn split(&self) -> (&[u8], &[u8]) {
        let length = self
            .bytes
            .first_chunk()
            .map_or(0, |len| u16::from_be_bytes(*len));
        let rest = self.bytes.get(AUTHORITY_LEN_BYTES..).unwrap_or_default();
        rest.split_at_checked(usize::from(length))
            .unwrap_or((rest, b""))
    }
}

impl PartialEq for CacheKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.partition == other.partition && self.bytes == other.bytes
    }
}

impl Eq for CacheKey {}

impl std::hash::Hash for CacheKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for CacheKey {
    /// Shows authority and path. A query may hold a secret (a reset token): only its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (authority, target) = self.split();
        let mut parts = target.splitn(2, |&byte| byte == b'?');
        let path = parts.next().unwrap_or_default();
        f.debug_struct("CacheKey")
            .field("authority", &authority.escape_ascii().to_string())
            .field("path", &path.escape_ascii().to_string())
            .field("query_bytes", &parts.next().map(<[u8]>::len))
            .field("partition", &self.partition)
            .finish_non_exhaustive()
    }
}

const AUTHORITY_LEN_BYTES: usize = 2;

// Each hashed item begins with its kind and frames its parts, so that no two different lists of
// cookies and credentials are the same stream of bytes.
const TAG_COOKIE: u8 = 1;
const TAG_NAMELESS: u8 = 2;
const TAG_CREDENTIALS: u8 = 3;

fn write_framed(hash: &mut SipHasher24, part: &[u8]) {
    hash.write(&(part.len() as u64).to_le_bytes());
    hash.write(part);
}
