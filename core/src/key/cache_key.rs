//! Owns [`CacheKey`]: the name of a copy.
//! Never makes one: [`Keyer`](super::Keyer) does.

use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;

use bytes::Bytes;

use super::{Kind, Line, Partition};
use crate::limits::KEY_BYTES_MAX;
use crate::message::RequestHead;
use crate::time::Instant;

/// The name of a copy: authority, path, query and partition, with their hash.
///
/// Equal only when all of it is equal; the hash alone never decides. Clones share their bytes.
#[derive(Clone)]
pub struct CacheKey {
    /// Length of the authority in two bytes, authority, path, `?` and query: no two different
    /// URIs have the same bytes, as a path holds no `?`. Then shaping fields, each behind a line
    /// feed, which is in no URI and no value; last the kind of answer, likewise.
    pub(super) bytes: Bytes,
    pub(super) hash: u64,
    pub(super) partition: Partition,
    /// Where the kind of answer begins in the bytes.
    pub(super) kind_at: usize,
    /// How many of the bytes name the resource, whatever shapes it and the kind of answer.
    pub(super) resource_len: usize,
    /// Whether a field, and not only cookies, says who asks.
    pub(super) has_identity: bool,
    /// Where a chain of cookie values says who asks: which of its copies this request may see. It names
    /// nothing.
    pub(super) line: Option<Arc<Line>>,
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

    /// Whether it names the site as `request` does, and not in another way.
    pub(crate) fn is_named_by(&self, request: &RequestHead) -> bool {
        self.authority().eq_ignore_ascii_case(request.authority())
    }

    /// Path and query as they are in the key.
    #[must_use]
    pub fn path_and_query(&self) -> &[u8] {
        // Shaping fields come behind a line feed, which is in no URI.
        let rest = self.split().1;
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        &rest[..end]
    }

    /// The kind of answer.
    pub(crate) fn kind(&self) -> Kind {
        match self.bytes[self.kind_at..].get(1) {
            None => Kind::Any,
            Some(b'!') => Kind::Asset,
            Some(b'"') => Kind::Data,
            Some(b'$') => Kind::Document,
            Some(_) => Kind::Fragment,
        }
    }

    /// Whether the request that it was made for has a field that says who asks.
    pub(crate) fn has_identity(&self) -> bool {
        self.has_identity
    }

    /// What its request may see of the copies of its chains, where it has any.
    pub(crate) fn line(&self) -> Option<&Line> {
        self.line.as_deref()
    }

    /// Whether its request may see a copy for which the origin was asked then.
    pub(crate) fn shows(&self, asked: Instant) -> bool {
        self.line.as_ref().is_none_or(|line| line.shows(asked))
    }

    /// A hash of the cookies that came with its request and name nothing beside its chains.
    pub(crate) fn others(&self) -> u64 {
        self.line.as_ref().map_or(0, |line| line.others())
    }

    /// Whether it names a part of a page, of which there may be any number.
    pub(crate) fn is_fragment(&self) -> bool {
        self.kind() == Kind::Fragment
    }

    /// Whether fields shape what it names: there may be any number of others beside it.
    pub(crate) fn is_shaped(&self) -> bool {
        self.kind_at > self.resource_len
    }

    /// What shapes what it names: pieces behind line feeds.
    pub(super) fn shaping(&self) -> &[u8] {
        &self.bytes[self.resource_len..self.kind_at]
    }

    /// The bytes that name the resource.
    pub(crate) fn resource(&self) -> &[u8] {
        &self.bytes[..self.resource_len]
    }

    /// What it is made of, to be written down.
    pub(crate) fn parts(&self) -> KeyParts {
        KeyParts {
            bytes: self.bytes.clone(),
            partition: self.partition,
            kind_at: self.kind_at,
            resource_len: self.resource_len,
            has_identity: self.has_identity,
        }
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

/// A key as it is written down: whoever reads it makes the hash anew
/// ([`Keyer::key_from`](super::Keyer::key_from)).
#[derive(Debug)]
pub(crate) struct KeyParts {
    pub(crate) bytes: Bytes,
    pub(crate) partition: Partition,
    pub(crate) kind_at: usize,
    pub(crate) resource_len: usize,
    pub(crate) has_identity: bool,
}

impl KeyParts {
    /// Whether the places are in the bytes, in their order, and a path is there.
    pub(super) fn is_sound(&self) -> bool {
        let authority_len = self.bytes.first_chunk().map(|len| u16::from_be_bytes(*len));
        let path_at = authority_len.map(|len| AUTHORITY_LEN_BYTES + usize::from(len));
        let has_path =
            path_at.is_some_and(|at| at < self.resource_len && self.bytes.get(at) == Some(&b'/'));
        has_path
            && self.resource_len <= self.kind_at
            && self.kind_at <= self.bytes.len()
            && self.bytes.len() <= KEY_BYTES_MAX
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

pub(super) const AUTHORITY_LEN_BYTES: usize = 2;
