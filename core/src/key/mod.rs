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

mod cache_key;
mod cookies;
mod fields;
mod handout;
mod kind;
mod language;
mod line;
mod login;
mod logout;
mod partition;
mod query;
mod random;
mod rules;
mod shaping;
mod spelling;
mod stranger;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::quality::FixedState;

use self::cache_key::AUTHORITY_LEN_BYTES;
pub use self::cache_key::CacheKey;
pub(crate) use self::cache_key::KeyParts;
pub(crate) use self::cookies::handed_pairs;
#[cfg(any(test, fuzzing))]
pub(crate) use self::cookies::is_nothing;
pub use self::cookies::logs_in_once;
use self::fields::{Meaning, Meanings};
pub(crate) use self::handout::Handout;
pub use self::kind::Kind;
pub(crate) use self::language::Language;
pub(crate) use self::line::{Cuts, Line, Link};
pub(crate) use self::login::says_login;
pub(crate) use self::partition::Links;
pub use self::partition::Partition;
use self::partition::Partitioner;
use self::rules::CookieRules;
pub use self::rules::SessionChange;
use self::shaping::{KIND_BYTES, Read, Shape};
pub(crate) use self::spelling::{Spellings, canonical, plain};
pub(crate) use self::stranger::{may_be_asked, request_of};
use crate::config::{CacheSettings, NamePatterns};
use crate::limits::KEY_BYTES_MAX;
use crate::message::known::{is_forwarding, look_up};
use crate::message::{Fields, Line as FieldLine, RequestHead};
use crate::rng::Rng;

/// Builds keys and partitions by the settings and one seed.
#[derive(Clone)]
pub struct Keyer {
    detect_query: bool,
    detect_session: bool,
    cookie_rules: CookieRules,
    ignored_query: NamePatterns,
    key_hash: FixedState,
    meanings: Meanings,
    partitioner: Partitioner,
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
            cookie_rules: CookieRules::new(settings),
            ignored_query: settings.ignored_query.clone(),
            meanings: Meanings::new(&settings.harmless_fields, &settings.identity_fields),
            partitioner: Partitioner::new(&mut rng),
            key_hash: FixedState::with_seed(rng.next()),
        }
    }

    /// The partition of a request with these fields.
    ///
    /// Every field counts that is not known to be harmless or to shape the page for all who send
    /// it; cookies do when sessions are detected.
    #[must_use]
    pub fn partition(&self, request: &Fields) -> Partition {
        self.partition_by(request, None)
    }

    /// The same where `links` tells of values that are in chains.
    pub(crate) fn partition_by(&self, request: &Fields, links: Links<'_>) -> Partition {
        let read = Read::of(&self.meanings, request);
        self.partition_of(request, &read, links).0
    }

    fn partition_of(
        &self,
        request: &Fields,
        read: &Read<'_>,
        links: Links<'_>,
    ) -> (Partition, Option<Line>) {
        let rules = &self.cookie_rules;
        let mut cookies = rules.counting(request);
        let cookies: Option<(_, &mut dyn Iterator<Item = _>)> =
            self.detect_session.then_some((rules, &mut cookies));
        self.partitioner.partition(cookies, links, read.identity())
    }

    /// The key of a request's copies. The method is not in it: HEAD uses the key of GET.
    ///
    /// `None` when the key would be longer than [`KEY_BYTES_MAX`], when the target has neither
    /// origin form nor absolute form (RFC 9112 §3.2), when fields of the request
    /// [are missing](Fields::is_cut), or when its `Connection` takes one away that the key has.
    #[must_use]
    pub fn key(&self, request: &RequestHead) -> Option<CacheKey> {
        self.key_by(request, None)
    }

    /// The same where `links` tells of values that are in chains.
    pub(crate) fn key_by(&self, request: &RequestHead, links: Links<'_>) -> Option<CacheKey> {
        if request.fields.is_cut() {
            return None;
        }
        let read = Read::of(&self.meanings, &request.fields);
        if self.hides_shaping(&request.fields) {
            return None;
        }
        let (partition, line) = self.partition_of(&request.fields, &read, links);
        let target = request.path_and_query();
        let kind = read.kind();
        let key = self.build(request, &read, Shape::Asked, (target, partition, kind))?;
        Some(CacheKey {
            line: line.map(Arc::new),
            ..key
        })
    }

    /// The key of the same thing for a client that has taken the cookies that `response` hands out, where a chain
    /// says who that is.
    pub(crate) fn key_after(
        &self,
        key: &CacheKey,
        (request, response): (&Fields, &Fields),
        links: Links<'_>,
    ) -> Option<CacheKey> {
        let read = Read::of(&self.meanings, request);
        let rules = &self.cookie_rules;
        let mut left = handout::left(rules, request, response).into_iter();
        let cookies: (_, &mut dyn Iterator<Item = _>) = (rules, &mut left);
        let cookies = self.detect_session.then_some(cookies);
        let (partition, line) = self.partitioner.partition(cookies, links, read.identity());
        Some(CacheKey {
            hash: self.key_hash.hash_one((&key.bytes[..], partition)),
            line: Some(Arc::new(line?)),
            partition,
            ..key.clone()
        })
    }

    /// Whether a request keeps a field from the origin that its key would have
    /// (RFC 9110 §7.6.1): the origin answers as if it were not there.
    fn hides_shaping(&self, request: &Fields) -> bool {
        request.tokens("connection").any(|name| {
            let is_kept = matches!(
                self.meanings.of(name),
                Meaning::Harmless | Meaning::Identity
            );
            // What proxies say of the client passes all the same.
            let may_hide = !is_kept && !is_forwarding(name);
            let is_it = |line: FieldLine<'_>| line.name.eq_ignore_ascii_case(name);
            may_hide && request.lines().any(is_it)
        })
    }

    /// The key that `request` would have for another target, as one in `Location`, and for another
    /// partition.
    #[must_use]
    pub fn key_of(
        &self,
        request: &RequestHead,
        path_and_query: &[u8],
        partition: Partition,
    ) -> Option<CacheKey> {
        let read = Read::of(&self.meanings, &request.fields);
        let what = (path_and_query, partition, read.kind());
        self.build(request, &read, Shape::Asked, what)
    }

    /// Those that its client may have had for other requests for that target: for each kind of answer
    /// that is told apart by nothing else, with and without the fields by which it shapes this one.
    /// None is there twice.
    pub fn keys_of(
        &self,
        request: &RequestHead,
        path_and_query: &[u8],
        partition: Partition,
    ) -> impl Iterator<Item = CacheKey> {
        let read = Read::of(&self.meanings, &request.fields);
        let mut keys: Vec<CacheKey> = Vec::new();
        for shape in Shape::ALL {
            for kind in Kind::WHOLE {
                let what = (path_and_query, partition, kind);
                let key = self.build(request, &read, shape, what);
                keys.extend(key.filter(|key| !keys.contains(key)));
            }
        }
        keys.into_iter()
    }

    /// The key that was written down as `parts`; `None` where they are no key's.
    pub(crate) fn key_from(&self, parts: KeyParts) -> Option<CacheKey> {
        let is_sound = parts.is_sound();
        let KeyParts {
            bytes,
            partition,
            kind_at,
            resource_len,
            has_identity,
        } = parts;
        is_sound.then(|| CacheKey {
            hash: self.key_hash.hash_one((&bytes[..], partition)),
            bytes,
            partition,
            kind_at,
            resource_len,
            has_identity,
            line: None,
        })
    }

    /// A number that is another one wherever keys mean something else: by the seed, or by how they
    /// are hashed.
    pub(crate) fn mark_of_keys(&self) -> u64 {
        let cookie = self.partitioner.mark(b"probe", b"probe");
        self.key_hash.hash_one((&b"probe"[..], cookie))
    }

    /// The key of what the origin sends to a stranger who asks for what `key` names.
    pub(crate) fn public_key(&self, key: &CacheKey) -> CacheKey {
        CacheKey {
            hash: self.public_hash(key),
            line: None,
            partition: Partition::Public,
            ..key.clone()
        }
    }

    /// The hash of that key.
    pub(crate) fn public_hash(&self, key: &CacheKey) -> u64 {
        self.key_hash.hash_one((&key.bytes[..], Partition::Public))
    }

    fn build(
        &self,
        request: &RequestHead,
        read: &Read<'_>,
        shape: Shape,
        (path_and_query, partition, kind): (&[u8], Partition, Kind),
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
        let mut bytes = Vec::with_capacity(length + KIND_BYTES);
        bytes.extend_from_slice(&authority_len.to_be_bytes());
        bytes.extend(authority.iter().map(u8::to_ascii_lowercase));
        bytes.extend_from_slice(root);
        bytes.extend_from_slice(path);
        query::put(&self.ignored_query, query, &mut bytes);
        debug_assert!(bytes.len() <= length, "one allocation");
        let resource_len = bytes.len();
        read.put_shaping(shape, request, &mut bytes);
        let kind_at = bytes.len();
        read.put_kind(kind, &mut bytes);
        debug_assert!(kind == Kind::Fragment || bytes.len() <= kind_at + KIND_BYTES);
        if bytes.len() > KEY_BYTES_MAX {
            return None;
        }
        Some(CacheKey {
            hash: self.key_hash.hash_one((&bytes[..], partition)),
            bytes: Bytes::from(bytes),
            partition,
            kind_at,
            resource_len,
            has_identity: read.identity().next().is_some(),
            line: None,
        })
    }

    /// The key of the same thing on a site that is called so.
    pub(crate) fn key_on(&self, key: &CacheKey, authority: &[u8]) -> Option<CacheKey> {
        let authority_len = u16::try_from(authority.len()).ok()?;
        let before = AUTHORITY_LEN_BYTES + key.authority().len();
        let rest = key.bytes.get(before..)?;
        let bytes = [&authority_len.to_be_bytes(), authority, rest].concat();
        let moved = |at: usize| at - before + AUTHORITY_LEN_BYTES + authority.len();
        (bytes.len() <= KEY_BYTES_MAX).then(|| CacheKey {
            hash: self.key_hash.hash_one((&bytes[..], key.partition)),
            bytes: Bytes::from(bytes),
            partition: key.partition,
            kind_at: moved(key.kind_at),
            resource_len: moved(key.resource_len),
            has_identity: key.has_identity,
            line: key.line.clone(),
        })
    }

    /// The key of the same thing on the same site by its plain name; `None` where that is this one.
    pub(crate) fn plain_key(&self, key: &CacheKey) -> Option<CacheKey> {
        let plain = plain(key.authority());
        (plain.len() < key.authority().len()).then(|| self.key_on(key, plain))?
    }

    /// Path and query as a key holds them.
    #[must_use]
    pub fn path_and_query_of(&self, path_and_query: &[u8]) -> Vec<u8> {
        if self.detect_query {
            return self.without_ignored(path_and_query);
        }
        let mark = memchr::memchr(b'?', path_and_query).unwrap_or(path_and_query.len());
        path_and_query[..mark].to_vec()
    }

    /// Path and query without the parameters that choose no page.
    pub(crate) fn without_ignored(&self, path_and_query: &[u8]) -> Vec<u8> {
        let mark = memchr::memchr(b'?', path_and_query).unwrap_or(path_and_query.len());
        let (path, query) = path_and_query.split_at(mark);
        let mut kept = path.to_vec();
        query::put(&self.ignored_query, query, &mut kept);
        kept
    }

    /// Whether a request has parameters that its key has not. Such a page may say what they said,
    /// in a link to itself, so none becomes a copy.
    #[must_use]
    pub fn has_ignored_query(&self, request: &RequestHead) -> bool {
        let query = request.query();
        query.is_some_and(|query| query::has_ignored(&self.ignored_query, query))
    }

    /// Whether a request says in its target that it ends its session; parameters that the key has
    /// not say nothing.
    #[must_use]
    pub fn ends_session(&self, request: &RequestHead) -> bool {
        let target = request.path_and_query();
        if !logout::says_logout(target) {
            return false;
        }
        logout::says_logout(&self.without_ignored(target))
    }

    /// Whether a request has a cookie or a field that should be one visitor's only. What all who
    /// send `theme=dark`, or an application's own key, see is nobody's to end.
    pub(crate) fn names_visitor(&self, request: &Fields) -> bool {
        self.tokens(request).next().is_some()
            || Read::of(&self.meanings, request)
                .identity()
                .any(|line| !partition::is_of_many(&line))
    }

    /// The name of a field that says who asks only because nothing is known of it.
    #[cold]
    pub(crate) fn unknown_identity<'a>(&self, request: &'a Fields) -> Option<&'a [u8]> {
        let mut names = request.names();
        names.find(|name| look_up(name).is_none() && self.meanings.of(name) == Meaning::Identity)
    }

    /// What a response does to the cookies of the request that it answers.
    #[must_use]
    pub fn session_change(&self, request: &Fields, response: &Fields) -> SessionChange {
        self.cookie_rules.change(request, response)
    }

    /// Marks of the request's cookies that should each be one visitor's only: numbers that say
    /// nothing but whether two cookies are the same; and whether they carry a session.
    pub(crate) fn tokens<'a>(
        &'a self,
        request: &'a Fields,
    ) -> impl Iterator<Item = (u64, bool)> + 'a {
        let rules = &self.cookie_rules;
        let tokens = rules
            .counting(request)
            .filter(|cookie| rules.is_token(cookie));
        tokens.filter(|_| self.detect_session).map(|cookie| {
            let mark = self.partitioner.mark(cookie.name, cookie.value);
            (mark, rules.is_session(&cookie))
        })
    }

    /// The cookies that count and that a response sets to values that its client does not have:
    /// the mark of each value, `None` where the client is to forget it.
    pub(crate) fn handed_out<'a>(
        &'a self,
        request: &'a Fields,
        response: &'a Fields,
    ) -> impl Iterator<Item = Option<u64>> + 'a {
        let set = self.cookie_rules.set(request, response);
        set.map(|set| (!set.is_surely_deletion).then(|| self.partitioner.mark(set.name, set.value)))
    }

    /// Those of the handed out values that should each be one visitor's only.
    pub(crate) fn handed_tokens<'a>(
        &'a self,
        request: &'a Fields,
        response: &'a Fields,
    ) -> impl Iterator<Item = u64> + 'a {
        let set = self.cookie_rules.set_tokens(request, response);
        set.map(|cookie| self.partitioner.mark(cookie.name, cookie.value))
    }

    /// What a response does to the cookies that count, one by one.
    pub(crate) fn handouts<'a>(
        &'a self,
        request: &'a Fields,
        response: &'a Fields,
    ) -> impl Iterator<Item = Handout> + 'a {
        handout::handouts(&self.cookie_rules, &self.partitioner, request, response)
    }

    /// The hash of a cookie's name, as [`Handout::name`] has it.
    pub(crate) fn name_of(&self, name: &[u8]) -> u64 {
        self.partitioner.mark(name, b"")
    }

    /// Whether a response sets a cookie that counts, be it one that its client has.
    pub(crate) fn sets_cookie(&self, response: &Fields) -> bool {
        self.cookie_rules.sets_any(response)
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
