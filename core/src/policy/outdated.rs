//! Owns what an answer makes wrong: the copies of a session that ends or changes, of a page that
//! was written, and of one that its visitor is refused.
//! Never decides what answers a client.

use http::{Method, StatusCode};

use super::{Fetch, Retter};
use crate::canary::{Plant, is_planted};
use crate::copies::{Copies, Outdated};
use crate::key::{CacheKey, Keyer, Partition, SessionChange};
use crate::message::{Fields, ResponseHead};
use crate::rules::reference;
use crate::time::Instant;

impl Retter {
    /// Drops copies, and the wish to renew them. Returns how many there were.
    pub(super) fn outdate(&self, outdated: Outdated<'_>) -> usize {
        let dropped = self.copies.drop_outdated(outdated);
        self.wants().forget_where(&|key| outdated.has(key));
        dropped
    }

    /// Drops all copies of the session of a request with these fields, if it has one: what all who
    /// send `theme=dark` see is no session's.
    pub(super) fn drop_session_of(&self, keyer: &Keyer, request: &Fields) {
        if keyer.names_visitor(request) {
            self.drop_session(keyer.partition(request));
        }
    }

    /// Drops all copies of a partition; what everybody sees is no session's. Returns how many.
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
    /// Notes the cookies that the answer hands out. An answer with a cookie that counts is kept for
    /// nobody: it may be the first to a new visitor, whatever the cookie is called, and the value
    /// that it replaces may have been planted by somebody.
    pub(super) fn note_cookies(&mut self, head: &ResponseHead) {
        if !head.fields.contains("set-cookie") {
            return;
        }
        let (cache, keyer) = (&self.snapshot.config().cache, self.snapshot.keyer());
        // Where cookies are no part of the key, no cookie makes a copy one visitor's.
        let mut is_own = !cache.detect_session && keyer.sets_cookie(&head.fields);
        let mut forgets = false;
        for mark in keyer.handed_out(&self.request.fields, &head.fields) {
            is_own = true;
            forgets |= mark.is_none();
            // What answers no client is handed out to nobody.
            if let (Some(mark), None) = (mark, &self.renewal) {
                self.retter.handed.note(mark);
            }
        }
        self.keeps &= !is_own || is_planted(Plant::KeptWithCookie);
        // A session was that of a cookie, however short, that its client is to forget at its end.
        if forgets && self.ends_session {
            self.retter
                .drop_session(keyer.partition(&self.request.fields));
        }
    }

    /// A request that says in its target that its session ends may have ended it, whatever the
    /// answer is: what was asked for before, and came meanwhile, goes too.
    pub(super) fn drop_ended(&self) {
        if self.ends_session {
            self.drop_session();
        }
    }

    /// A response that starts, replaces or ends a session makes the old session's copies wrong.
    /// A failing one that its client never gets does not: the client goes on with the old session.
    pub(super) fn drop_changed(&self, session: SessionChange) {
        if session == SessionChange::ChangesSession {
            self.drop_session();
        }
    }

    fn drop_session(&self) {
        let fields = &self.request.fields;
        self.retter.drop_session_of(self.snapshot.keyer(), fields);
    }

    /// A "no" to a reader ends what that reader could see of the page: what the application gave
    /// before it gives no longer. Of a visitor's own copies those of every kind of answer go: a
    /// program that is signed out is told so by its data, and a person by a redirect. Of what several
    /// visitors share only the very copy goes that this reader would have had.
    pub(super) fn drop_refused(&mut self, status: StatusCode, now: Instant) {
        let (true, Some(own)) = (is_no(status), &self.key) else {
            return;
        };
        if !self.snapshot.keyer().names_visitor(&self.request.fields) {
            let asks_page = self.request.method == Method::GET
                && !self.snapshot.keyer().has_ignored_query(&self.request)
                && !self.request.fields.contains("range");
            // Not only the one that was there when the origin was asked.
            let copies = &self.retter.copies;
            let fields = &self.request.fields;
            // What rescues, and what is merely fresh.
            for look_up in [Copies::look_up_good, Copies::look_up] {
                if asks_page && let Some(copy) = look_up(copies, own, fields) {
                    copies.drop_variant(own, &copy);
                }
            }
            return;
        }
        if !matches!(self.request.method, Method::GET | Method::HEAD) {
            return;
        }
        let (copies, keyer) = (&self.retter.copies, self.snapshot.keyer());
        let whole = keyer.keys_of(&self.request, own.path_and_query(), own.partition());
        let fragment = own.is_fragment().then(|| own.clone());
        let keys: Vec<_> = whole.chain(fragment).collect();
        // Other parts of the page, of this visitor, who has had some of it.
        if let Some(held) = keys.iter().find(|key| copies.contains(key)) {
            copies.note_refusal(held, now);
        }
        self.mark = copies.drop_by_answer(&keys, own, self.mark);
        // A renewal ends by itself.
        let renewed = self.renewal.as_ref().map(|renewal| &renewal.key);
        let is_over = |key: &CacheKey| keys.contains(key) && renewed != Some(key);
        self.retter.wants().forget_where(&is_over);
    }

    /// RFC 9111 §4.4: a successful unsafe request invalidates its target, `Location` and
    /// `Content-Location`: what this user sees of them goes, and of the target what everybody sees.
    /// All other copies of them are asked about before they answer: each sign-in that leads to the
    /// front page must not take its copy from everybody.
    pub(super) fn invalidate(&self, head: &ResponseHead, now: Instant) {
        let succeeded = head.status.is_success() || head.status.is_redirection();
        if self.request.method.is_safe() || !succeeded || is_planted(Plant::KeptAfterWrite) {
            return;
        }
        let keyer = self.snapshot.keyer();
        let (authority, asked) = (self.request.authority(), self.request.path_and_query());
        let own = keyer.partition(&self.request.fields);
        let named = ["location", "content-location"].iter().filter_map(|name| {
            let reference = head.fields.get(name)?;
            reference::same_origin(reference, asked, authority)
        });
        for target in named.chain([asked.to_vec()]) {
            let shared = (target == asked).then_some(Partition::Shared);
            for partition in [own].into_iter().chain(shared) {
                let keys: Vec<_> = keyer.keys_of(&self.request, &target, partition).collect();
                if let Some(first) = keys.first() {
                    self.retter.copies.note_write(first, now);
                }
                self.retter.outdate(Outdated::Pages(&keys));
            }
        }
    }
}

/// Whether a status says that its reader may not have the page, or that there is none: with the codes
/// of Laravel (419), IIS (440) and others (498) for a session that is over.
fn is_no(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        301..=303 | 307 | 308 | 401..=404 | 407 | 410 | 419 | 423 | 440 | 451 | 498 | 511
    )
}
