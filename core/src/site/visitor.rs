//! Owns what a site remembers of visitors for a while, to know who is given what a stranger was sent:
//! who is somebody, who has written, and who was refused which page.
//! Never keeps an address, a cookie or a page: only marks.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Duration;

use foldhash::quality::FixedState;
use http::StatusCode;
use smallvec::SmallVec;

use super::known::Known;
use super::lately::Lately;
use crate::canary::{Plant, is_planted};
use crate::key::{self, CacheKey, Keyer, Partition};
use crate::message::{Fields, RequestHead, ResponseHead};
use crate::rules::own_cookies::Claim;
use crate::time::Instant;

/// How long somebody is taken for more than a stranger, and how long a writer waits for the
/// application rather than get an older page.
const PERSONAL: Duration = Duration::from_secs(30 * 60);

/// How long whoever was refused a page gets no copy of it.
const REFUSED: Duration = Duration::from_secs(60 * 60);

/// How long nothing is shared of a page that a stranger may not see. Each time that the application
/// says so it begins anew.
const CLOSED: Duration = Duration::from_secs(24 * 60 * 60);

/// Everything that is remembered of visitors.
#[derive(Debug)]
pub(super) struct Visitors {
    /// Pages of which nothing is shared.
    closed: Lately,
    hash: FixedState,
    /// Cookies of those who are somebody.
    personal: Lately,
    /// Addresses and cookies, each with a page.
    refused: Lately,
    /// Addresses and cookies of those who have written.
    writers: Lately,
}

/// What is known of the visitor beside the request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asker {
    /// The client's address; `None` where it is not known, as behind a proxy that is not declared.
    pub(crate) address: Option<IpAddr>,
    /// Whether it has chosen to see what strangers are sent while the origin does not answer.
    pub(crate) chose_public: bool,
    /// Where it can keep a number of the waiting room.
    pub(crate) guest: Option<Guest>,
    /// It has signed in by its connection.
    pub(crate) is_bound: bool,
    /// The address that the request comes from: the client's, or that of a proxy that is not declared.
    pub(crate) peer: Option<IpAddr>,
}

/// By what a client is known that can keep a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guest {
    /// The number that it shows, if it is one.
    pub(crate) claim: Option<Claim>,
    /// The address that the request comes from: the client's, or that of a proxy that is not declared.
    pub(crate) peer: IpAddr,
}

impl Visitors {
    /// The same `seed` gives the same marks.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            closed: Lately::new(),
            hash: FixedState::with_seed(seed),
            personal: Lately::new(),
            refused: Lately::new(),
            writers: Lately::new(),
        }
    }

    /// What is remembered, and what that says of a mark.
    pub(super) const fn tables(&self) -> [(Known, &Lately); 4] {
        [
            (Known::Closed, &self.closed),
            (Known::Personal, &self.personal),
            (Known::Refused, &self.refused),
            (Known::Wrote, &self.writers),
        ]
    }

    /// Whether a copy that several see is for this visitor: the page is not closed, and the visitor
    /// was not refused it.
    pub(super) fn may_share(
        &self,
        keyer: &Keyer,
        key: &CacheKey,
        (address, request): (Option<IpAddr>, &Fields),
        now: Instant,
    ) -> bool {
        if !self.closed.has_any(now) && !self.refused.has_any(now) {
            return true;
        }
        let page = keyer.public_hash(key);
        !self.closed.has(page, now)
            && !self
                .marks_on(keyer, page, address, request)
                .any(|mark| self.refused.has(mark, now))
    }

    /// Whether a visitor may be given what a stranger was sent, as far as is known of the visitor: not
    /// who is somebody; nor one who has just written, unless the origin `fails`.
    pub(super) fn is_stranger(
        &self,
        keyer: &Keyer,
        key: &CacheKey,
        (address, request): (Option<IpAddr>, &Fields),
        fails: bool,
        now: Instant,
    ) -> bool {
        if is_planted(Plant::PublicForPersonal) {
            return true;
        }
        !self.is_personal(keyer, key, request, now)
            && (fails || !self.has_written(keyer, (address, request), now))
    }

    /// Whether a visitor is somebody: the one that asks for that key with these fields.
    pub(super) fn is_personal(
        &self,
        keyer: &Keyer,
        key: &CacheKey,
        request: &Fields,
        now: Instant,
    ) -> bool {
        let is_known = || {
            let mut tokens = keyer.tokens(request);
            self.personal.has_any(now) && tokens.any(|(mark, _)| self.personal.has(mark, now))
        };
        key.has_identity() || key::says_login(request) || is_known()
    }

    /// Whether a visitor has written of late.
    pub(super) fn has_written(
        &self,
        keyer: &Keyer,
        (address, request): (Option<IpAddr>, &Fields),
        now: Instant,
    ) -> bool {
        let mut marks = self.marks(keyer, address, request);
        self.writers.has_any(now) && marks.any(|mark| self.writers.has(mark, now))
    }

    /// Whether nothing is shared of a page, as a stranger may not see it.
    pub(super) fn is_closed(&self, keyer: &Keyer, key: &CacheKey, now: Instant) -> bool {
        self.closed.has_any(now) && self.closed.has(keyer.public_hash(key), now)
    }

    /// Takes note of a write of a visitor that the origin did not refuse.
    pub(super) fn note_write(
        &self,
        keyer: &Keyer,
        request: &RequestHead,
        address: Option<IpAddr>,
        status: StatusCode,
        now: Instant,
    ) {
        if request.method.is_safe() || status.is_client_error() || status.is_server_error() {
            return;
        }
        for mark in self.marks(keyer, address, &request.fields) {
            self.writers.note(mark, now + PERSONAL);
        }
    }

    /// Whether a visitor, known by cookies, has written since `asked`, when an own copy was asked for: it
    /// may not show what was written. Within a second of it the copy counts as the older one.
    pub(super) fn has_written_since(
        &self,
        keyer: &Keyer,
        request: &Fields,
        asked: Instant,
        now: Instant,
    ) -> bool {
        const SECOND: Duration = Duration::from_secs(1);
        self.writers.has_any(now)
            && self.marks(keyer, None, request).any(|mark| {
                let left = self.writers.left(mark, now);
                left.is_some_and(|left| now.saturating_since(asked) + left + SECOND > PERSONAL)
            })
    }

    /// Takes note of an answer to a visitor: by what it hands out, and to what.
    pub(super) fn note_answer(
        &self,
        keyer: &Keyer,
        request: &RequestHead,
        key: Option<&CacheKey>,
        head: &ResponseHead,
        now: Instant,
    ) {
        let is_write = !request.method.is_safe();
        if key.is_some_and(CacheKey::has_identity) {
            for (mark, _) in keyer.tokens(&request.fields) {
                self.personal.note(mark, now + PERSONAL);
            }
        }
        if !head.fields.contains("set-cookie") {
            return;
        }
        // What comes in the place of somebody's cookie is somebody's.
        let left = match is_write {
            true => Some(PERSONAL),
            false if !self.personal.has_any(now) => None,
            false => {
                let tokens = keyer.tokens(&request.fields);
                let left = tokens.filter_map(|(mark, _)| self.personal.left(mark, now));
                left.max()
            }
        };
        let Some(left) = left else { return };
        for mark in keyer.handed_tokens(&request.fields, &head.fields) {
            self.personal.note(mark, now + left);
            if is_write {
                self.writers.note(self.mark(mark), now + PERSONAL);
            }
        }
    }

    /// Takes note that a visitor was refused a page, or got it.
    pub(super) fn note_refusal(
        &self,
        keyer: &Keyer,
        key: &CacheKey,
        (address, request): (Option<IpAddr>, &Fields),
        is_no: bool,
        now: Instant,
    ) {
        if !is_no && !self.refused.has_any(now) {
            return;
        }
        let page = keyer.public_hash(key);
        for mark in self.marks_on(keyer, page, address, request) {
            match is_no {
                true => self.refused.note(mark, now + REFUSED),
                false => self.refused.forget(mark),
            }
        }
    }

    /// Takes note whether a stranger may see a page.
    pub(super) fn note_public(&self, public: &CacheKey, is_no: bool, now: Instant) {
        debug_assert_eq!(public.partition(), Partition::Public);
        if is_no {
            self.closed.note(public.hash(), now + CLOSED);
        } else if self.closed.has_any(now) {
            self.closed.forget(public.hash());
        }
    }

    /// By what a visitor is known again: address, and cookies that should be one visitor's.
    fn marks(
        &self,
        keyer: &Keyer,
        address: Option<IpAddr>,
        request: &Fields,
    ) -> impl Iterator<Item = u64> {
        let tokens = keyer.tokens(request).map(|(mark, _)| self.mark(mark));
        let tokens: SmallVec<[u64; 4]> = tokens.collect();
        // Of many at one address each has a cookie of its own.
        let address = address.filter(|_| tokens.is_empty());
        let address = address.map(|address| self.hash.hash_one(address));
        tokens.into_iter().chain(address)
    }

    /// The same on one page, where the address counts in any case: a visitor refused by it may come
    /// without the cookie.
    fn marks_on(
        &self,
        keyer: &Keyer,
        page: u64,
        address: Option<IpAddr>,
        request: &Fields,
    ) -> impl Iterator<Item = u64> {
        let tokens = keyer.tokens(request);
        let tokens = tokens.map(|(mark, _)| self.hash.hash_one((page, mark)));
        let tokens: SmallVec<[u64; 4]> = tokens.collect();
        let address = address.map(|address| self.hash.hash_one((page, address)));
        tokens.into_iter().chain(address)
    }

    fn mark(&self, token: u64) -> u64 {
        self.hash.hash_one(token)
    }
}
