//! Owns [`Course`]: what one request to the origin holds from its permission to its end: a slot, a
//! breaker permit, perhaps followers, and the copy that it began with.
//! Never knows how far the request is: [`Fetch`](super::Fetch), [`Holding`](super::Holding) and
//! [`Passing`](super::Passing) do.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};

use super::ask::Ask;
use super::asks::Ended;
use super::parts::Parts;
use super::public::Wanting;
use super::renewals::Renewal;
use super::sake::Sake;
use super::served::Served;
use super::snapshot::Snapshot;
use super::soft::Judging;
use super::unrescued::Unrescued;
use super::visit::Visit;
use crate::admission::{Bid, Flown, Lead, Slot};
use crate::breaker::{Outcome, State, TierPermit, Visitor};
use crate::canary::{Plant, is_planted};
use crate::copies::{Collector, Mark, StoredResponse};
use crate::key::{CacheKey, Line, Partition};
use crate::limits::WORK_BYTES_MAX;
use crate::message::{RequestHead, ResponseHead};
use crate::report::{Failure, Obstacle};
use crate::rules::conditional::{self, Validators};
use crate::rules::label::{Cause, ForwardReason, Handling, Instead};
use crate::rules::retry_after::retry_after;
use crate::time::Instant;

/// What a request to the origin needs: room there, the breaker's leave, and perhaps others' trust.
pub(super) struct Grant {
    pub(super) lead: Option<Lead>,
    pub(super) permit: TierPermit,
    pub(super) slot: Slot,
}

/// Of a path, what is told of a page that keeps the origin busy.
const PAGE_CHARS_MAX: usize = 200;

/// Up to how many requests at a time failures are not the many's: the origin has at least so many in
/// any case.
fn calm(snapshot: &Snapshot) -> u32 {
    const CALM: u32 = 2;
    snapshot.config().admission.in_flight_min.max(CALM)
}

/// One request to the origin. Dropped without a word, it counts as given up.
#[derive(Debug)]
pub(super) struct Course {
    /// The client's address, where it is known.
    pub(super) address: Option<IpAddr>,
    /// Whether it has chosen to see what strangers are sent while the origin does not answer.
    chose_public: bool,
    /// When it was allowed.
    pub(super) asked: Instant,
    /// What it is to the gate.
    pub(super) bid: Bid,
    pub(super) circuit: State,
    pub(super) collector: Option<Collector>,
    /// The last good copy.
    pub(super) copy: Option<Arc<StoredResponse>>,
    /// The request says in its target that its session ends.
    pub(super) ends_session: bool,
    /// It is said already what the answer turned out to be.
    pub(super) is_judged: bool,
    /// The answer, where it may turn out to be an error page, until that is said.
    pub(super) judging: Option<Box<Judging>>,
    /// The answer is a page, or a part of one with a URL of its own, that a stranger may get too.
    pub(super) is_page: bool,
    /// It is told that it is slow, or nobody knows what that would be.
    pub(super) is_never_slow: bool,
    /// Whether the answer may become a copy, as far as the request tells.
    pub(super) keeps: bool,
    /// Under which key it is kept, where its visitor has other cookies by it.
    pub(super) keep_as: Option<CacheKey>,
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
    /// Whether it may see what others like its client see, and they what it is sent.
    pub(super) may_share: bool,
    /// What the limit learns when the origin is done: the status counts even where the breaker has
    /// learnt it before.
    pub(super) outcome: Outcome,
    /// Body bytes so far.
    pub(super) passed: u64,
    /// On whose behalf the origin is asked, once that is known.
    pub(super) peer: Option<IpAddr>,
    /// `None` once the outcome is recorded.
    pub(super) permit: Option<TierPermit>,
    /// For whom.
    pub(super) sake: Sake,
    /// When the request had left as a whole.
    pub(super) sent_at: Option<Instant>,
    pub(super) request: Arc<RequestHead>,
    pub(super) parts: Arc<Parts>,
    /// Until it is known why.
    pub(super) unrescued: Option<Unrescued>,
    /// Whose word its outcome is.
    visitor: Option<Visitor>,
    waits_until: Option<Instant>,
    /// `None` once the origin is not kept busy any more.
    pub(super) slot: Option<Slot>,
    /// The settings of when it began.
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) why: ForwardReason,
}

impl Course {
    pub(super) fn new(
        parts: &Arc<Parts>,
        ask: Ask<'_>,
        grant: Grant,
        circuit: State,
        now: Instant,
    ) -> Box<Self> {
        let Grant {
            lead,
            mut permit,
            slot,
        } = grant;
        permit.note_crowd(parts.gate.in_flight(), calm(&ask.snapshot));
        let mark = parts.copies.mark();
        Box::new(Self {
            address: ask.address,
            chose_public: ask.chose_public,
            asked: now,
            bid: ask.bid,
            circuit,
            collector: None,
            copy: ask.copy,
            ends_session: ask.ends_session,
            is_judged: false,
            is_never_slow: false,
            is_page: false,
            judging: None,
            keep_as: None,
            keeps: ask
                .key
                .as_ref()
                .is_some_and(|key| key.is_named_by(ask.request) && is_head(parts, key, now))
                && ask.may_share
                && !ask.snapshot.keyer().has_ignored_query(ask.request),
            key: ask.key,
            kind: permit.kind(),
            last: now,
            lead,
            mark,
            may_rescue: ask.may_rescue,
            may_share: ask.may_share,
            outcome: Outcome::Success,
            passed: 0,
            peer: None,
            permit: Some(permit),
            sake: Sake::Client,
            sent_at: None,
            request: Arc::clone(ask.request),
            parts: Arc::clone(parts),
            unrescued: ask.unrescued,
            visitor: ask.visitor,
            waits_until: ask.waits_until,
            slot: Some(slot),
            snapshot: ask.snapshot,
            why: ask.why,
        })
    }

    /// The copy as an answer.
    pub(super) fn serve(
        &self,
        key: CacheKey,
        copy: Arc<StoredResponse>,
        handling: Handling,
        now: Instant,
    ) -> Served {
        let (parts, snapshot) = (&self.parts, &self.snapshot);
        Served::new(parts, snapshot, key, copy, self.circuit, handling, now)
    }

    /// The renewal that it is.
    pub(super) fn renewal(&self) -> Option<&Renewal> {
        self.sake.renewal()
    }

    /// The asking as a stranger that it is.
    pub(super) fn visit_mut(&mut self) -> Option<&mut Visit> {
        self.sake.visit_mut()
    }

    /// Whether a client waits for the answer.
    pub(super) fn is_clients(&self) -> bool {
        matches!(self.sake, Sake::Client)
    }

    /// What stands in for a copy of its own.
    pub(super) fn wanting(&self) -> Wanting<'_> {
        Wanting {
            address: self.address,
            chose_public: self.chose_public,
            key: self.key.as_ref().filter(|_| self.is_clients()),
            parts: &self.parts,
            request: &self.request,
            snapshot: &self.snapshot,
        }
    }

    /// Whether a copy would answer if the origin failed now.
    pub(super) fn can_rescue(&self) -> bool {
        let instead = Instead::Rescued(Cause::Failure(Failure::Truncated));
        self.has_own() || self.wanting().find(instead, self.last).is_some()
    }

    /// Whether it would be a copy of its own.
    pub(super) fn has_own(&self) -> bool {
        let (true, Some(copy), Some(key)) = (self.may_rescue, &self.copy, &self.key) else {
            return false;
        };
        let copies = &self.parts.copies;
        copies.still_holds(copy, key, &self.request.fields, self.mark)
    }

    /// The conditions to ask the origin with, in place of the client's own `If-None-Match` and
    /// `If-Modified-Since` (RFC 9111 §4.3.1): with them a 304 is about the copy.
    pub(super) fn validators(&self) -> Option<Validators<'_>> {
        let copy = self.copy.as_ref()?;
        let is_alike = self.key.as_ref().is_none_or(|key| copy.is_alike(key));
        let asks = self.request.method == Method::GET
            && is_alike
            && copy.lifetimes().validates()
            && !conditional::is_for_origin(&self.request.fields);
        asks.then(|| Validators::of(copy.fields()))
    }

    /// The request is on its way as a whole: from now on the origin is at work. Without this call
    /// it is from the start, and never slow.
    pub(super) fn on_sent(&mut self, now: Instant) {
        self.last = now;
        self.sent_at = Some(now);
        if let Some(slot) = &mut self.slot {
            slot.begin(now);
        }
    }

    /// The client takes long to send the request's content, for which the origin can only wait: its
    /// slot is free.
    pub(super) fn on_late_content(&mut self, now: Instant) {
        self.last = now;
        // Nothing is to be learnt from it.
        self.slot = None;
    }

    /// When to say that the request is still at the origin, if it is to be said.
    pub(super) fn late_at(&self) -> Option<Instant> {
        self.sent_at?;
        self.slot.as_ref().and_then(Slot::late_at)
    }

    /// The request is still at the origin: where others are answered meanwhile, it only waits there,
    /// and its place is for others.
    pub(super) fn on_late(&mut self, now: Instant) {
        self.last = now;
        if let Some(slot) = &mut self.slot {
            let page = String::from_utf8_lossy(self.request.path());
            slot.on_late(page.chars().take(PAGE_CHARS_MAX).collect(), now);
        }
    }

    /// When it is late or slow, whichever comes first.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.late_at(), self.slow_at()].into_iter().flatten().min()
    }

    /// When it counts as slow, unless a final head comes before; `None` for never.
    pub(super) fn slow_at(&self) -> Option<Instant> {
        let after = self.permit.as_ref()?.slow_after()?;
        if self.is_never_slow {
            return None;
        }
        Some(self.sent_at? + after)
    }

    /// Whether it may be given more time than others to be answered, as a long poll.
    pub(super) fn may_wait_on(&self, now: Instant) -> bool {
        let slot = self.slot.as_ref();
        slot.is_some_and(|slot| slot.may_wait_on(now))
    }

    /// Whether it counts as a request at the origin.
    pub(super) fn has_slot(&self) -> bool {
        self.slot.is_some()
    }

    /// Takes a piece of the response body.
    pub(super) fn on_data(&mut self, data: &[u8], now: Instant) {
        self.last = now;
        self.passed = self.passed.saturating_add(data.len() as u64);
        if self.passed > WORK_BYTES_MAX {
            self.free(now);
        }
        if let Some(judging) = &mut self.judging {
            judging.push(data);
        }
        if let Some(collector) = &mut self.collector
            && !collector.push(data)
        {
            if let Some(visit) = self.sake.visit_mut() {
                visit.ended = Ended::Unfit(Obstacle::TooLarge);
            }
            self.discard();
        }
    }

    /// No copy comes of the response, for this reason; `kept` is whether one could have before it came.
    pub(super) fn note_unkept(&mut self, why: Obstacle, kept: bool) {
        if let Some(unrescued) = self.unrescued.as_mut().filter(|_| kept) {
            unrescued.is_not_kept(why);
        }
        self.note_unfit(Ended::Unfit(why));
    }

    /// What a stranger was sent is not kept, and this is known of it.
    pub(super) fn note_unfit(&mut self, ended: Ended) {
        if let Some(visit) = self.sake.visit_mut()
            && matches!(visit.ended, Ended::Unfit(_))
            && !visit.is_trial()
        {
            visit.ended = ended;
        }
    }

    /// All is known that a head can say of a request that could not have been rescued.
    pub(super) fn note_answered(&mut self, status: StatusCode, fails: bool) {
        let is_page = matches!(status, StatusCode::OK | StatusCode::NOT_MODIFIED);
        if let Some(mut unrescued) = self.unrescued.take()
            && !is_page
            && !fails
        {
            unrescued.is_no_page();
        }
    }

    /// Nothing is kept of the response.
    pub(super) fn discard(&mut self) {
        self.collector = None;
        self.land(Flown::Unfit);
    }

    /// Counts that the origin failed below HTTP, and tells those who wait for this fetch.
    pub(super) fn failed(&mut self, failure: Failure, now: Instant) {
        let outcome = match failure {
            Failure::Connect => Outcome::ConnectFailure,
            Failure::Protocol | Failure::Reset | Failure::Timeout | Failure::Truncated => {
                Outcome::Failure
            }
        };
        self.drop_ended(now);
        if failure == Failure::Connect {
            self.parts.refused(now);
        }
        self.record(outcome, now);
        self.outcome = outcome;
        self.free(now);
        self.land(Flown::Failed(Cause::Failure(failure)));
    }

    /// Whether the circuits would let it go now as they did, so that it may be sent again.
    pub(super) fn is_allowed(&self, now: Instant) -> bool {
        let permit = self.permit.as_ref();
        permit.is_some_and(|permit| self.parts.circuits.read().lets(permit, now))
    }

    /// The request as something to be decided, with its copy where that is still there.
    pub(super) fn ask<'a>(&mut self, request: &'a Arc<RequestHead>) -> Ask<'a> {
        let copy = self.copy.take().filter(|copy| {
            let (copies, fields) = (&self.parts.copies, &self.request.fields);
            let key = self.key.as_ref();
            key.is_some_and(|key| copies.still_holds(copy, key, fields, self.mark))
        });
        Ask {
            address: self.address,
            bid: self.bid,
            chose_public: self.chose_public,
            may_rescue: self.may_rescue && copy.is_some(),
            copy,
            ends_session: self.ends_session,
            guest: None,
            key: self.key.clone(),
            may_share: self.may_share,
            request,
            snapshot: Arc::clone(&self.snapshot),
            unrescued: self.unrescued.take(),
            visitor: self.visitor,
            waits_until: self.waits_until,
            why: self.why,
        }
    }

    /// A request that says in its target that its session ends may have ended it, whatever the
    /// answer is: what was asked for before, and came meanwhile, goes too.
    pub(super) fn drop_ended(&self, now: Instant) {
        if self.ends_session {
            let fields = &self.request.fields;
            self.parts.sign_out(self.snapshot.keyer(), fields, now);
        }
    }

    /// Drops the copies of the session of this request.
    pub(super) fn drop_session(&self, now: Instant) {
        let fields = &self.request.fields;
        self.parts.end_session(self.snapshot.keyer(), fields, now);
    }

    /// The partition of its client.
    pub(super) fn partition(&self, now: Instant) -> Partition {
        let own = self.key.as_ref().map(CacheKey::partition);
        own.unwrap_or_else(|| {
            let fields = &self.request.fields;
            self.parts.partition(self.snapshot.keyer(), fields, now)
        })
    }

    /// Nobody wants the answer any more: the breaker learns nothing from it.
    pub(super) fn give_up(&mut self, now: Instant) {
        self.drop_ended(now);
        self.record(Outcome::Ignore, now);
        self.outcome = Outcome::Ignore;
        self.free(now);
        // The lead is dropped: requests that wait for this fetch have to look for another.
        self.lead = None;
    }

    /// The origin is done with this request, or works on it no more.
    pub(super) fn free(&mut self, now: Instant) {
        if self.outcome == Outcome::Failure && is_planted(Plant::LostSlot) {
            return std::mem::forget(self.slot.take());
        }
        match (self.slot.take(), self.outcome) {
            // It was not there: how much it bears is not to be learnt from that.
            (Some(slot), Outcome::ConnectFailure) => drop(slot),
            (Some(slot), outcome) => slot.release(outcome, now),
            (None, _) => {}
        }
    }

    /// Tells those who wait for this fetch how it ended for them.
    pub(super) fn land(&mut self, flown: Flown) {
        if let Some(lead) = self.lead.take() {
            lead.land(flown);
        }
    }

    pub(super) fn record(&mut self, outcome: Outcome, now: Instant) {
        self.last = now;
        let Some(mut permit) = self.permit.take() else {
            self.sake.note(outcome);
            return;
        };
        permit.note_crowd(self.parts.gate.in_flight(), calm(&self.snapshot));
        self.sake.note(outcome);
        if permit.is_probe() && !self.sake.is_counted() {
            self.parts.renewals.count_probe(outcome);
        }
        // That the application fails on a stranger is no news of how it does on visitors, but where
        // it is what a circuit is probed with.
        let is_odd = matches!(self.sake, Sake::Stranger(_)) && !permit.is_probe();
        let outcome = match is_odd && outcome == Outcome::Failure {
            true => Outcome::Ignore,
            false => outcome,
        };
        self.parts.record(permit, outcome, now);
    }

    /// The origin's own word on when to come back (RFC 9110 §10.2.3): advice to probes on a 503, a
    /// wish to renewals on a 429. One that a visitor gets speaks of that visitor (RFC 6585 §4).
    pub(super) fn note_retry_after(&mut self, head: &ResponseHead, now: Instant) {
        let is_429 = head.status == StatusCode::TOO_MANY_REQUESTS;
        if !is_429 && head.status != StatusCode::SERVICE_UNAVAILABLE {
            return;
        }
        let Some(wait) = retry_after(&head.fields, self.parts.wall.at(now)) else {
            return;
        };
        if is_429 {
            /// Copies should not grow old because of a wrong word.
            const REST_MAX: Duration = Duration::from_secs(60);
            if self.renewal().is_some() {
                let at = now + wait.min(REST_MAX);
                self.parts.renewals.wants().pause(at);
            }
        } else if let Some(permit) = &mut self.permit {
            permit.hold(now + wait);
        }
    }

    /// The answer is for nobody but whoever holds the connection: no copy stands in for it or
    /// comes of it.
    pub(super) fn keep_nothing(&mut self) {
        (self.copy, self.key, self.may_rescue) = (None, None, false);
        self.land(Flown::Unfit);
    }

    /// The copy that answers where the origin does not.
    pub(super) fn take_copy(&mut self) -> Option<(Arc<StoredResponse>, CacheKey)> {
        let has_own = self.has_own();
        has_own.then(|| self.copy.take().zip(self.key.take()))?
    }

    /// What a stranger was sent, as the answer.
    pub(super) fn stand_in(&self, instead: Instead, now: Instant) -> Option<Served> {
        self.wanting().serve(instead, self.circuit, now)
    }

    pub(super) fn rescue(&mut self, cause: Cause, now: Instant) -> Option<Served> {
        let Some((copy, key)) = self.take_copy() else {
            return self.stand_in(Instead::Rescued(cause), now);
        };
        let handling = Handling::Rescued {
            ttl: copy.ttl_seconds(now),
            cause,
        };
        Some(self.serve(key, copy, handling, now))
    }
}

/// Whether the values by which the request is known have the last word in their chains: what else is
/// answered to them is no copy.
pub(super) fn is_head(parts: &Parts, key: &CacheKey, now: Instant) -> bool {
    let is_it = |line: &Line| !line.is_past() && parts.chains.hold(line.marks(), now);
    key.line().is_none_or(is_it)
}

impl Drop for Course {
    fn drop(&mut self) {
        self.give_up(self.last);
        match std::mem::replace(&mut self.sake, Sake::Client) {
            Sake::Client => {}
            Sake::Renewal(renewal) => {
                self.parts.renewal_ended(renewal, &self.request, self.last);
            }
            Sake::Stranger(visit) => self.parts.visit_ended(*visit, self.asked, self.last),
        }
    }
}
