//! Owns [`Fetch`]: permission to ask the origin once, and what its answer means for breaker and
//! store.
//! Never holds up a byte: a response is collected while it passes.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{Method, StatusCode};

use super::refresh::{self, Renewal};
use super::wants::{Ended, Errand};
use super::{Ask, Grant, Retter, Served, Snapshot, put_labels};
use crate::admission::{Flown, Lead, Slot};
use crate::breaker::{Outcome, State, TierPermit};
use crate::canary::{Plant, is_planted};
use crate::copies::{Collector, Mark, StoredResponse};
use crate::key::{CacheKey, SessionChange};
use crate::limits::WORK_BYTES_MAX;
use crate::message::{RequestHead, ResponseHead};
use crate::report::Failure;
use crate::rules::conditional::{self, Validators};
use crate::rules::forwarding;
use crate::rules::label::{Cause, Forward, Handling};
use crate::rules::login;
use crate::rules::retry_after::retry_after;
use crate::time::Instant;

/// Permission to ask the origin once, and the duty to say how it went.
///
/// Dropped without a word, it counts as abandoned: the breaker ignores it, nothing is kept.
#[derive(Debug)]
#[must_use = "say how it went with on_head, on_data, and on_end or on_failure"]
pub struct Fetch {
    /// When it was allowed.
    pub(super) asked: Instant,
    pub(super) circuit: State,
    pub(super) collector: Option<Collector>,
    /// The last good copy.
    pub(super) copy: Option<Arc<StoredResponse>>,
    /// The request says in its target that its session ends.
    pub(super) ends_session: bool,
    pub(super) handling: Option<Handling>,
    /// Whether the answer may become a copy, as far as the request tells.
    pub(super) keeps: bool,
    pub(super) key: Option<CacheKey>,
    /// The kind of page, for what is usual.
    pub(super) kind: u64,
    /// The time of the last call, for a drop.
    pub(super) last: Instant,
    /// Others wait for this fetch.
    pub(super) lead: Option<Lead>,
    /// What had changed before the origin was asked.
    pub(super) mark: Mark,
    /// Whether the copy may answer when the origin does not.
    pub(super) may_rescue: bool,
    /// What the limit learns when the origin is done: the status counts even where the breaker has
    /// learnt it before.
    pub(super) outcome: Outcome,
    /// Body bytes so far.
    pub(super) passed: u64,
    /// On whose behalf the origin is asked, once that is known.
    pub(super) peer: Option<IpAddr>,
    /// `None` once the outcome is recorded.
    pub(super) permit: Option<TierPermit>,
    /// Of a request for which nobody waits.
    pub(super) renewal: Option<Renewal>,
    /// When the request had left as a whole.
    pub(super) sent_at: Option<Instant>,
    pub(super) request: Arc<RequestHead>,
    pub(super) retter: Arc<Retter>,
    /// `None` once the origin is not kept busy any more.
    pub(super) slot: Option<Slot>,
    /// The settings of when it began.
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) why: Forward,
}

/// What to do with a response head.
#[derive(Debug)]
#[must_use]
#[expect(
    clippy::large_enum_variant,
    reason = "moved once, into the answer that it is"
)]
pub enum Verdict {
    /// Pass the response on.
    Forward,
    /// Answer from this copy instead: the origin failed, or said that the copy is still right. The
    /// fetch has ended, and the response may be thrown away.
    Serve(Served),
}

impl Fetch {
    pub(super) fn new(
        retter: &Arc<Retter>,
        ask: Ask<'_>,
        grant: Grant,
        circuit: State,
        now: Instant,
    ) -> Box<Self> {
        let Grant { lead, permit, slot } = grant;
        let mark = retter.copies.mark();
        Box::new(Self {
            asked: now,
            circuit,
            collector: None,
            copy: ask.copy,
            ends_session: ask.ends_session,
            handling: None,
            keeps: ask.key.is_some() && !ask.snapshot.keyer().has_ignored_query(ask.request),
            key: ask.key,
            kind: permit.kind(),
            last: now,
            lead,
            mark,
            may_rescue: ask.may_rescue,
            outcome: Outcome::Success,
            passed: 0,
            peer: None,
            permit: Some(permit),
            renewal: None,
            sent_at: None,
            request: Arc::clone(ask.request),
            retter: Arc::clone(retter),
            slot: Some(slot),
            snapshot: ask.snapshot,
            why: ask.why,
        })
    }

    /// Makes it a renewal.
    pub(super) fn renews(&mut self, renewal: Renewal) {
        self.renewal = Some(renewal);
    }

    /// Tells on whose behalf the origin is asked, so that what it answers can be renewed in the
    /// background for the same client.
    pub fn on_behalf_of(&mut self, peer: IpAddr) {
        self.peer = Some(peer);
    }

    /// The circuit when the request was let through.
    #[must_use]
    pub fn circuit(&self) -> State {
        self.circuit
    }

    /// The settings by which it was allowed, and by which it ends.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The request that this fetch is for.
    #[must_use]
    pub fn request(&self) -> &Arc<RequestHead> {
        &self.request
    }

    /// Whether a copy would answer if the origin failed now.
    #[must_use]
    pub fn can_rescue(&self) -> bool {
        let (true, Some(copy), Some(key)) = (self.may_rescue, &self.copy, &self.key) else {
            return false;
        };
        let copies = &self.retter.copies;
        copies.still_holds(copy, key, &self.request.fields, self.mark)
    }

    /// The conditions to ask the origin with, in place of the client's own `If-None-Match` and
    /// `If-Modified-Since` (RFC 9111 §4.3.1): with them a 304 is about the copy.
    #[must_use]
    pub fn validators(&self) -> Option<Validators<'_>> {
        let copy = self.copy.as_ref()?;
        let asks = self.request.method == Method::GET
            && copy.lifetimes().validates()
            && !conditional::is_for_origin(&self.request.fields);
        asks.then(|| Validators::of(copy.fields()))
    }

    /// The status of an answer that says that the origin failed in this way below HTTP.
    #[must_use]
    pub fn error_status(&self, failure: Failure) -> StatusCode {
        match &self.copy {
            // RFC 9111 §5.2.2.2: "the cache MUST generate an error response rather than reuse a
            // stale response. The generated response SHOULD have a 504".
            Some(copy) if copy.lifetimes().forbids_stale() => StatusCode::GATEWAY_TIMEOUT,
            Some(_) | None => failure.status_hint(),
        }
    }

    /// Whether the response is being collected into a copy.
    #[must_use]
    pub fn is_collecting(&self) -> bool {
        self.collector.is_some()
    }

    /// What a 502 or 504 for this fetch says of itself.
    #[must_use]
    pub fn failed(&self, failure: Failure) -> Handling {
        Handling::Failed {
            why: self.why,
            failure,
        }
    }

    /// The request is on its way as a whole: from now on the origin is at work. Without this call
    /// it is from the start, and never slow.
    pub fn on_sent(&mut self, now: Instant) {
        self.last = now;
        self.sent_at = Some(now);
        if let Some(slot) = &mut self.slot {
            slot.begin(now);
        }
    }

    /// The client takes long to send the request's content, for which the origin can only wait: its
    /// slot is free.
    pub fn on_late_content(&mut self, now: Instant) {
        self.last = now;
        // Nothing is to be learnt from it.
        self.slot = None;
    }

    /// Whether it counts as a request at the origin.
    #[must_use]
    pub fn has_slot(&self) -> bool {
        self.slot.is_some()
    }

    /// When to call [`on_slow`](Self::on_slow), unless a final head comes before; `None` for never.
    #[must_use]
    pub fn slow_at(&self) -> Option<Instant> {
        let after = self.permit.as_ref()?.slow_after()?;
        Some(self.sent_at? + after)
    }

    /// The response takes longer than it should. The copy answers, where one may; then the fetch
    /// either [goes on](Self::is_renewal) to renew it, though nobody waits any more, or is to
    /// be dropped.
    pub fn on_slow(&mut self, now: Instant) -> Option<Served> {
        self.last = now;
        self.record_slow(now);
        if let Some(renewal) = &self.renewal {
            self.retter.renewal_is_slow(renewal, &self.request, now);
            return None;
        }
        if !self.can_rescue() {
            return None;
        }
        // A 304 may still renew it.
        let (copy, key) = (self.copy.clone()?, self.key.clone()?);
        if let Some(peer) = self.peer
            && self.keeps
            && refresh::renews(&self.request)
        {
            let request = Arc::clone(&self.request);
            let errand = Errand {
                key: key.clone(),
                peer,
                request,
            };
            self.renewal = self.retter.adopt(&errand, now);
        }
        let handling = Handling::Rescued {
            ttl: copy.ttl_seconds(now),
            cause: Cause::Slow,
        };
        Some(Served::new(
            &self.retter,
            &self.snapshot,
            key,
            copy,
            self.circuit,
            handling,
            now,
        ))
    }

    /// Whether it renews a copy though no client waits for it.
    #[must_use]
    pub fn is_renewal(&self) -> bool {
        self.renewal.is_some()
    }

    /// Takes the final response head. Where it is passed on, no copy rescues any more: bytes of
    /// two answers would be one.
    pub fn on_head(&mut self, head: &ResponseHead, now: Instant) -> Verdict {
        let verdict = self.on_head_held(head, now);
        if matches!(verdict, Verdict::Forward) {
            self.pass_on();
        }
        verdict
    }

    /// An interim response came (RFC 9110 §15.2). What it hands out is for its client only, and so is
    /// what follows.
    pub fn on_interim(&mut self, head: &ResponseHead) {
        self.note_cookies(head);
    }

    /// As [`on_head`](Self::on_head), for a response of which nothing goes out before it is complete:
    /// should it break off, the copy answers still. Say when it goes out: [`pass_on`](Self::pass_on).
    pub fn on_head_held(&mut self, head: &ResponseHead, now: Instant) -> Verdict {
        self.last = now;
        if self.slow_at().is_some_and(|at| at <= now) {
            self.record_slow(now);
        }
        self.obey_retry_after(head, now);
        if login::binds_connection(&head.fields) && head.status != StatusCode::NOT_MODIFIED {
            self.retter.logins.store(true, Ordering::Relaxed);
            self.keep_nothing();
        }
        let session = self.session_change(head);
        self.note_cookies(head);
        self.drop_ended();
        let fails = &self.snapshot.config().breaker.failure_statuses;
        if fails.contains(head.status) {
            self.record(Outcome::Failure, now);
            self.outcome = Outcome::Failure;
            self.land(Flown::Failed(Cause::Status(head.status)));
            if let Some(served) = self.rescue(Cause::Status(head.status), now) {
                self.free(now);
                return Verdict::Serve(served);
            }
            if !self.is_renewal() {
                self.drop_changed(session);
            }
        } else {
            self.drop_changed(session);
            self.drop_refused(head.status, now);
            if let Some(sent_at) = self.sent_at {
                let took = now.saturating_since(sent_at);
                self.retter
                    .with_tiers(|tiers| tiers.took(self.kind, took, now));
            }
            self.invalidate(head, now);
            if head.status == StatusCode::NOT_MODIFIED
                && self.validators().is_some()
                && let Some(served) = self.validated(head, session, now)
            {
                self.record(Outcome::Success, now);
                self.free(now);
                return Verdict::Serve(served);
            }
            self.note_head(head, session, now);
        }
        let is_stream = forwarding::is_event_stream(&head.fields);
        if !is_stream {
            self.collector = self.collect(head, session, now);
        }
        let is_anybodys = session == SessionChange::None || is_planted(Plant::KeptWithCookie);
        if self.collector.is_none() || !is_anybodys {
            self.land(Flown::Unfit);
        }
        if is_stream || head.status == StatusCode::SWITCHING_PROTOCOLS {
            // It lasts as long as its client wants: that is no work and no sign of trouble.
            self.record(Outcome::Success, now);
            self.free(now);
        }
        self.handling = Some(Handling::Forwarded {
            why: self.why,
            status: head.status,
            stored: false,
            collapsed: false,
        });
        Verdict::Forward
    }

    /// What [`put_labels`](Self::put_labels) writes, for later.
    pub(crate) const fn labels(&self) -> Option<(State, Handling)> {
        match self.handling {
            Some(handling) => Some((self.circuit, handling)),
            None => None,
        }
    }

    /// Writes `X-Retter`, `X-Circuit` and `Cache-Status` of a forwarded response.
    pub fn put_labels(&self, put: &mut dyn FnMut(&str, &[u8])) {
        if let Some(handling) = &self.handling {
            put_labels(self.circuit, handling, None, put);
        }
    }

    /// The response is on its way to the client: the copy cannot rescue any more, and others may
    /// replace it.
    pub fn pass_on(&mut self) {
        self.copy = None;
    }

    /// Takes a piece of the response body.
    pub fn on_data(&mut self, data: &[u8], now: Instant) {
        self.last = now;
        self.passed = self.passed.saturating_add(data.len() as u64);
        if self.passed > WORK_BYTES_MAX {
            self.free(now);
        }
        if let Some(collector) = &mut self.collector
            && !collector.push(data)
        {
            self.collector = None;
            self.land(Flown::Unfit);
        }
    }

    /// The client does not read, so the rest of the body may be long in coming. Clients that stall
    /// may hold half of the memory in which copies are made, not more: the rest is for those who
    /// read.
    ///
    /// Nor does the origin work for a client that does not read: its slot is free.
    pub fn on_pause(&mut self, now: Instant) {
        self.free(now);
        if self.collector.as_ref().is_some_and(Collector::is_short) {
            self.collector = None;
            self.land(Flown::Unfit);
        }
    }

    /// The response is complete.
    pub fn on_end(mut self: Box<Self>, now: Instant) {
        self.record(Outcome::Success, now);
        // Kept first, so that those who are let in now find it.
        self.keep_collected();
        self.free(now);
    }

    /// The response is complete and nothing of it is on its way yet: it is kept first, so that its
    /// labels can say whether it was.
    pub(crate) fn keep_unsent(&mut self) {
        self.pass_on();
        let kept = self.keep_collected();
        if let Some(Handling::Forwarded { stored, .. }) = &mut self.handling {
            *stored = kept;
        }
    }

    /// Keeps what was collected, once; whether it is kept now.
    fn keep_collected(&mut self) -> bool {
        let stored = self.collector.take().zip(self.key.take());
        let kept = self.is_current()
            && stored.is_some_and(|(collector, key)| self.keep(key, collector.finish()));
        self.land(if kept { Flown::Kept } else { Flown::Unfit });
        kept
    }

    /// The origin failed below HTTP. The copy answers, unless it was
    /// [forgotten](Self::pass_on) because a head was passed on before.
    pub fn on_failure(mut self: Box<Self>, failure: Failure, now: Instant) -> Option<Served> {
        if is_planted(Plant::TruncatedCopy) {
            self.on_end(now);
            return None;
        }
        let outcome = match failure {
            Failure::Connect => Outcome::ConnectFailure,
            Failure::Protocol | Failure::Reset | Failure::Timeout | Failure::Truncated => {
                Outcome::Failure
            }
        };
        self.drop_ended();
        self.record(outcome, now);
        self.outcome = outcome;
        self.free(now);
        self.land(Flown::Failed(Cause::Failure(failure)));
        self.rescue(Cause::Failure(failure), now)
    }

    /// The client went away: the breaker learns nothing from it.
    pub fn abandon(mut self: Box<Self>, now: Instant) {
        self.give_up(now);
    }

    fn give_up(&mut self, now: Instant) {
        self.drop_ended();
        self.record(Outcome::Ignore, now);
        self.outcome = Outcome::Ignore;
        self.free(now);
        // The lead is dropped: who waits for this fetch has to look for another.
        self.lead = None;
    }

    /// The origin is done with this request, or works on it no more.
    fn free(&mut self, now: Instant) {
        if self.outcome == Outcome::Failure && is_planted(Plant::LostSlot) {
            return std::mem::forget(self.slot.take());
        }
        if let Some(slot) = self.slot.take() {
            slot.release(self.outcome, now);
        }
    }

    /// Tells those who wait for this fetch how it ended for them.
    pub(super) fn land(&mut self, flown: Flown) {
        if let Some(lead) = self.lead.take() {
            lead.land(flown);
        }
    }

    fn record(&mut self, outcome: Outcome, now: Instant) {
        self.last = now;
        if let Some(renewal) = &mut self.renewal {
            renewal.ended = match outcome {
                Outcome::ConnectFailure => Ended::NotReached,
                Outcome::Failure => Ended::Failed,
                Outcome::Ignore | Outcome::Slow { .. } | Outcome::Success => renewal.ended,
            };
        }
        if let Some(permit) = self.permit.take() {
            let renewal = self.renewal.as_ref();
            if permit.is_probe() && renewal.is_some_and(|renewal| !renewal.is_counted) {
                self.retter.count_probe(outcome);
            }
            self.retter.record(permit, outcome, now);
        }
    }

    /// The origin's own word on when to come back: to probes on a 503, to renewals on a 429. One
    /// that a visitor gets speaks of that visitor (RFC 6585 §4).
    fn obey_retry_after(&mut self, head: &ResponseHead, now: Instant) {
        let is_429 = head.status == StatusCode::TOO_MANY_REQUESTS;
        if !is_429 && head.status != StatusCode::SERVICE_UNAVAILABLE {
            return;
        }
        let Some(wait) = retry_after(&head.fields, self.retter.wall_clock(now)) else {
            return;
        };
        let at = now + wait.min(self.snapshot.config().breaker.open_max);
        if is_429 {
            if self.is_renewal() {
                self.retter.wants().pause(at);
            }
        } else if let Some(permit) = &mut self.permit {
            permit.hold(at);
        }
    }

    /// The answer is for nobody but whoever holds the connection: no copy stands in for it or
    /// comes of it.
    fn keep_nothing(&mut self) {
        (self.copy, self.key, self.may_rescue) = (None, None, false);
        self.land(Flown::Unfit);
    }

    fn record_slow(&mut self, now: Instant) {
        let Some(permit) = &mut self.permit else {
            return;
        };
        if let Some(renewal) = &mut self.renewal
            && permit.slow_after().is_some()
            && permit.is_probe()
        {
            renewal.is_counted = true;
            self.retter.count_probe(Outcome::Failure);
        }
        self.retter
            .with_tiers(|tiers| tiers.record_slow(permit, now));
    }

    /// The copy that answers where the origin does not.
    pub(super) fn take_copy(&mut self) -> Option<(Arc<StoredResponse>, CacheKey)> {
        let can_rescue = self.can_rescue();
        can_rescue.then(|| self.copy.take().zip(self.key.take()))?
    }

    fn rescue(&mut self, cause: Cause, now: Instant) -> Option<Served> {
        let (copy, key) = self.take_copy()?;
        let handling = Handling::Rescued {
            ttl: copy.ttl_seconds(now),
            cause,
        };
        Some(Served::new(
            &self.retter,
            &self.snapshot,
            key,
            copy,
            self.circuit,
            handling,
            now,
        ))
    }

    fn session_change(&self, head: &ResponseHead) -> SessionChange {
        let keyer = self.snapshot.keyer();
        keyer.session_change(&self.request.fields, &head.fields)
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.give_up(self.last);
        if let Some(renewal) = self.renewal.take() {
            self.retter.renewal_ended(renewal, &self.request, self.last);
        }
    }
}
