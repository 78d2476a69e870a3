//! Owns what an answer makes wrong: the copies of a session that ends or changes, of a page that
//! was written, and of one that its visitor is refused.
//! Never decides what answers a client.

use http::{Method, StatusCode};
use smallvec::SmallVec;

use super::{Fetch, Retter};
use crate::canary::{Plant, is_planted};
use crate::copies::Outdated;
use crate::key::{CacheKey, Partition, SessionChange};
use crate::message::ResponseHead;
use crate::rules::reference;
use crate::time::Instant;

impl Retter {
    /// Drops copies, and the wish to renew them. Returns how many there were.
    pub(super) fn outdate(&self, outdated: Outdated<'_>) -> usize {
        let dropped = self.copies.drop_outdated(outdated);
        self.wants().forget_where(&|key| outdated.has(key));
        dropped
    }

    /// Drops all copies of a session; what everybody sees is no session's. Returns how many.
    pub(super) fn drop_session(&self, partition: Partition) -> usize {
        match partition {
            Partition::Shared => 0,
            Partition::Marked(_) | Partition::Session(_) => {
                self.outdate(Outdated::Partition(partition))
            }
        }
    }
}

impl Fetch {
    /// Notes the cookies that the answer hands out. It may be kept only where each of them replaces
    /// one that the request had and nobody else was given: an answer with another cookie is the
    /// first to a new visitor, whatever the cookie is called, and may be that visitor's alone.
    pub(super) fn note_cookies(&mut self, head: &ResponseHead) {
        if !head.fields.contains("set-cookie") || is_planted(Plant::KeptWithCookie) {
            return;
        }
        let handed = &self.retter.handed;
        let (config, keyer) = (self.snapshot.config(), self.snapshot.keyer());
        for cookie in keyer.handed_out(&self.request.fields, &head.fields) {
            let is_shared = cookie.replaces.iter().any(|&mark| handed.is_several(mark));
            // Where cookies are no part of the key, no cookie makes a copy one visitor's.
            let is_own = config.cache.detect_session && !cookie.replaces.is_empty() && !is_shared;
            self.keeps &= is_own;
            // What answers no client is handed out to nobody.
            if let (Some(mark), None) = (cookie.value, &self.renewal) {
                handed.note(mark);
            }
        }
    }

    /// A request that says in its target that its session ends may have ended it, whatever the
    /// answer is: what was asked for before, and came meanwhile, goes too.
    pub(super) fn drop_ended(&self) {
        let keyer = self.snapshot.keyer();
        // A visitor without a session has a key.
        if self.key.is_none() && keyer.ends_session(&self.request) {
            self.retter
                .drop_session(keyer.partition(&self.request.fields));
        }
    }

    /// A response that starts, replaces or ends a session makes the old session's copies wrong.
    /// A failing one that its client never gets does not: the client goes on with the old session.
    pub(super) fn drop_changed(&self, session: SessionChange) {
        if session == SessionChange::ChangesSession {
            let partition = self.snapshot.keyer().partition(&self.request.fields);
            self.retter.drop_session(partition);
        }
    }

    /// A "no" to a reader ends what that reader could see of the page: what the application gave
    /// before it gives no longer. Whatever kind of answer was asked for: a program that is signed
    /// out is told so by its data, and a person by a redirect.
    pub(super) fn drop_refused(&mut self, status: StatusCode, now: Instant) {
        let is_no = matches!(
            status.as_u16(),
            301..=303 | 307 | 308 | 401 | 403 | 404 | 410 | 451
        );
        let reads = matches!(self.request.method, Method::GET | Method::HEAD);
        let (true, true, Some(own)) = (is_no, reads, &self.key) else {
            return;
        };
        let (copies, keyer) = (&self.retter.copies, self.snapshot.keyer());
        let is_shared = own.partition() == Partition::Shared;
        let whole = keyer.keys_of(&self.request, own.path_and_query(), own.partition());
        let keys: SmallVec<[_; 4]> = whole
            .chain(own.is_fragment().then(|| own.clone()))
            // Of what bare visitors get, nothing is anybody's own: what another of them is given
            // meanwhile may stay.
            .filter(|key| !is_shared || copies.contains(key))
            .collect();
        let Some(first) = keys.first() else {
            return;
        };
        // Other parts of the page.
        copies.note_write(first, now);
        self.mark = copies.drop_by_answer(&keys, own, self.mark);
        // A renewal ends by itself.
        let renewed = self.renewal.as_ref().map(|renewal| &renewal.key);
        let is_over = |key: &CacheKey| keys.contains(key) && renewed != Some(key);
        self.retter.wants().forget_where(&is_over);
    }

    /// RFC 9111 §4.4: a successful unsafe request invalidates its target, `Location` and
    /// `Content-Location`: what this user sees of them, and what everybody sees. What other users
    /// have of them is asked about before it answers.
    pub(super) fn invalidate(&self, head: &ResponseHead, now: Instant) {
        let succeeded = head.status.is_success() || head.status.is_redirection();
        if self.request.method.is_safe() || !succeeded || is_planted(Plant::KeptAfterWrite) {
            return;
        }
        let (authority, asked) = (self.request.authority(), self.request.path_and_query());
        let own = self.snapshot.keyer().partition(&self.request.fields);
        let named = ["location", "content-location"].iter().filter_map(|name| {
            let reference = head.fields.get(name)?;
            reference::same_origin(reference, asked, authority)
        });
        for target in named.chain([asked.to_vec()]) {
            for partition in [own, Partition::Shared] {
                let keyer = self.snapshot.keyer();
                let keys: SmallVec<[_; 4]> =
                    keyer.keys_of(&self.request, &target, partition).collect();
                if let Some(first) = keys.first() {
                    self.retter.copies.note_write(first, now);
                }
                self.retter.outdate(Outdated::Pages(&keys));
            }
        }
    }
}
