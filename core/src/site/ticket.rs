//! Owns [`Ticket`]: a decision that has to wait until the origin has room, or takes connections.
//! Never waits itself: it is polled, by a task that is woken or has a timer.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::admit::{self, Decision};
use super::ask::Ask;
use super::course;
use super::delayed::Delayed;
use super::parts::Parts;
use super::public::Wanting;
use super::reach;
use super::refusal::Refusal;
use super::seek::Seek;
use super::served::Served;
use super::snapshot::Snapshot;
use super::target::target_of;
use super::unrescued::Unrescued;
use super::visitor::Guest;
use crate::admission::{Admitted, Bid, Class, Entered, Flown, Lead, Place, Slot};
use crate::breaker::{State, Visitor};
use crate::copies::StoredResponse;
use crate::key::CacheKey;
use crate::message::RequestHead;
use crate::rules::conditional;
use crate::rules::freshness::Wishes;
use crate::rules::label::{ForwardReason, Handling, Instead};
use crate::time::Instant;

/// A place in the queue before the origin, or among those that wait for it to be back. Dropped, as when the client leaves, it is free at once.
///
/// The contract: [`poll`](Self::poll) it when its waker was called, and at its
/// [`deadline`](Self::deadline); then it has a decision. A runtime with a clock can await [`decided`](Self::decided).
#[derive(Debug)]
#[must_use = "poll it until it has a decision; dropping it gives the place up"]
pub struct Ticket {
    address: Option<IpAddr>,
    bid: Bid,
    /// There was a copy that could answer, and one does at the deadline.
    copy_answers: bool,
    chose_public: bool,
    deadline: Instant,
    ends_session: bool,
    /// Where its client can keep a number of the waiting room.
    guest: Option<Guest>,
    key: Option<CacheKey>,
    may_share: bool,
    /// `None` once it has led to a decision.
    place: Option<Waits>,
    request: Arc<RequestHead>,
    parts: Arc<Parts>,
    /// Copies of other instances that it waits for as well.
    seek: Option<Box<Seek>>,
    since: Instant,
    snapshot: Arc<Snapshot>,
    unrescued: Option<Unrescued>,
    visitor: Option<Visitor>,
    /// Until when it may wait for an origin that takes no connections, if it has.
    waits_until: Option<Instant>,
    why: ForwardReason,
}

/// What a request waits for.
#[derive(Debug)]
enum Waits {
    /// Only a copy of another instance; the refusal is its answer if there is none.
    Copy(Refusal),
    /// A connection to the origin; the refusal is its answer if there is none in time.
    Return(reach::RestartWait, Refusal),
    /// Room at the origin.
    Room(Place),
}

impl Ticket {
    pub(super) fn new(
        parts: &Arc<Parts>,
        ask: Ask<'_>,
        place: Place,
        copy_at: Option<Instant>,
        now: Instant,
    ) -> Self {
        let seek = || Seek::begin(&ask.wanting(parts), ask.may_share, Instead::Overload, now);
        let seek = copy_at.is_none().then(seek).flatten();
        Self {
            address: ask.address,
            bid: ask.bid,
            copy_answers: copy_at.is_some(),
            deadline: copy_at.map_or_else(|| place.deadline(), |at| at.min(place.deadline())),
            chose_public: ask.chose_public,
            ends_session: ask.ends_session,
            guest: ask.guest,
            key: ask.key,
            may_share: ask.may_share,
            parts: Arc::clone(parts),
            place: Some(Waits::Room(place)),
            request: Arc::clone(ask.request),
            seek,
            since: now,
            snapshot: ask.snapshot,
            unrescued: ask.unrescued,
            visitor: ask.visitor,
            waits_until: ask.waits_until,
            why: ask.why,
        }
    }

    /// When there is a decision in any case.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        match (&self.place, &self.seek) {
            (Some(Waits::Copy(_)), Some(seek)) => seek.deadline(),
            (_, Some(seek)) => seek.deadline().min(self.deadline),
            (_, None) => self.deadline,
        }
    }

    /// Asks for the decision. While there is none, `waker` is called when there may be one; at the
    /// deadline nobody is called. Not to be asked again after it was ready.
    pub fn poll(&mut self, waker: &Waker, now: Instant) -> Poll<Decision> {
        loop {
            if let Some(served) = self.poll_seek(waker, now) {
                self.place = None;
                return Poll::Ready(Decision::Serve(served));
            }
            let decision = match &mut self.place {
                None => {
                    debug_assert!(false, "a ticket is good for one decision");
                    Some(self.refuse(now))
                }
                Some(Waits::Copy(_)) if self.seek.is_some() => return Poll::Pending,
                Some(Waits::Copy(refusal)) => {
                    let refusal = self.parts.happened.refused(*refusal);
                    self.place = None;
                    return Poll::Ready(Decision::Refuse(refusal));
                }
                Some(Waits::Return(place, refusal)) => {
                    // Noted before it is asked how things stand, so that no change is missed.
                    let is_refused = place.register(waker);
                    if self.deadline <= now {
                        let refusal = self.parts.happened.refused(*refusal);
                        self.place = None;
                        return Poll::Ready(Decision::Refuse(refusal));
                    }
                    if is_refused || self.is_barred(now) {
                        return Poll::Pending;
                    }
                    self.place = None;
                    // The origin is back: from here on it is a request like others.
                    let key = self.key.clone().filter(|_| self.shares());
                    self.ask_for_room(key.as_ref(), now)
                }
                Some(Waits::Room(place)) => {
                    let Poll::Ready(admitted) = place.poll(waker, now) else {
                        if self.deadline > now {
                            return Poll::Pending;
                        }
                        // A second place has a later deadline than its request.
                        self.place = None;
                        return Poll::Ready(self.refuse(now));
                    };
                    self.place = None;
                    self.admitted(admitted, now)
                }
            };
            if let Some(decision) = decision {
                return Poll::Ready(decision);
            }
        }
    }

    /// Its turn in the queue has come, or the fetch that it shared has ended; `None` where it waits
    /// again.
    fn admitted(&mut self, admitted: Admitted, now: Instant) -> Option<Decision> {
        match admitted {
            Admitted::Shed(_) => Some(self.refuse(now)),
            Admitted::Slot(slot, lead) => {
                // Another may have fetched it meanwhile: the origin has better things to do.
                if let Some(served) = self.look(now) {
                    drop((slot, lead));
                    return Some(Decision::Serve(served));
                }
                self.go(slot, lead, now)
            }
            Admitted::Flown(Flown::Failed(cause)) => {
                let circuit = self.parts.circuits.state(target_of(&self.request), now);
                if self.copy_answers
                    && let Some(served) = self.overflow(circuit, now)
                {
                    return Some(Decision::Serve(served));
                }
                let refusal = Refusal::failed(self.why, cause, circuit);
                self.seek = self.begin_seek(Instead::Rescued(cause), now);
                if self.seek.is_none() {
                    return Some(Decision::Refuse(refusal));
                }
                self.place = Some(Waits::Copy(refusal));
                None
            }
            // What was fetched is not for this request: it asks for itself.
            Admitted::Flown(Flown::Abandoned | Flown::Kept | Flown::Unfit) => {
                self.ask_for_room(None, now)
            }
        }
    }

    /// Looks for a copy that came meanwhile, and then for room; `None` where it waits again.
    fn ask_for_room(&mut self, key: Option<&CacheKey>, now: Instant) -> Option<Decision> {
        if let Some(served) = self.look(now) {
            return Some(Decision::Serve(served));
        }
        let until = self.waits_until.unwrap_or(now);
        match self.parts.gate.enter_again(&self.bid, key, until, now) {
            Entered::Place(place) => {
                if self.waits_until.is_some() {
                    self.deadline = place.deadline();
                }
                self.place = Some(Waits::Room(place));
                None
            }
            Entered::Shed(_) => Some(self.refuse(now)),
            Entered::Slot(slot) => self.go(slot, None, now),
        }
    }

    /// Whether it would be refused while the origin is on its way back.
    fn is_barred(&self, now: Instant) -> bool {
        let is_read = self.bid.class == Class::Read;
        is_read
            && self.parts.reach.is_on()
            && admit::bars(&self.parts, target_of(&self.request), now)
    }

    /// Whether its answer can be that to others.
    fn shares(&self) -> bool {
        self.may_share && admit::shares(&self.request, &self.snapshot)
    }

    /// Waits for the decision. `clock` tells the time whenever it is asked; `sleep` makes a future that
    /// is ready at a time, from the caller's runtime.
    pub async fn decided<T>(
        mut self,
        clock: impl Fn() -> Instant,
        sleep: impl Fn(Instant) -> T,
    ) -> Decision
    where
        T: Future<Output = ()>,
    {
        loop {
            let deadline = self.deadline();
            let mut due = std::pin::pin!(sleep(deadline));
            let decision = std::future::poll_fn(|cx: &mut Context<'_>| {
                // Both register their wakers.
                let is_due = due.as_mut().poll(cx).is_ready();
                let now = clock();
                let now = if is_due { now.max(deadline) } else { now };
                match self.poll(cx.waker(), now) {
                    Poll::Ready(decision) => Poll::Ready(Some(decision)),
                    // It waits for something else now, until another time.
                    Poll::Pending if is_due || self.deadline() != deadline => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await;
            if let Some(decision) = decision {
                return decision;
            }
        }
    }

    /// A copy that somebody else's fetch has brought since.
    fn look(&mut self, now: Instant) -> Option<Served> {
        let parts = &self.parts;
        let key = self.key.as_ref().filter(|_| self.may_share)?;
        // While it waited, its browser may have gone on with the value that stands in the place of its
        // own: what was answered to that is not for whoever holds this one.
        if !course::is_head(parts, key, now) {
            return None;
        }
        let copy = parts.copies.look_up(key, &self.request.fields)?;
        let age_max = self.snapshot.config().cache.rescue_age_max;
        // One that was there before is not what this request waits for.
        let times = copy.times();
        let made_at = match Wishes::of(&self.request.fields).no_cache() {
            true => times.asked,
            false => times.received,
        };
        if made_at < self.since
            || parts.copies.is_written(&copy, key)
            || !copy.is_alike(key)
            || conditional::is_for_origin(&self.request.fields)
            || !copy.is_fresh(now) && !copy.may_rescue(age_max, now)
        {
            return None;
        }
        let handling = Handling::Forwarded {
            why: self.why,
            status: copy.status(),
            stored: false,
            collapsed: true,
        };
        let circuit = parts.circuits.state(target_of(&self.request), now);
        let key = self.key.take()?;
        let snapshot = &self.snapshot;
        let served = Served::new(parts, snapshot, key, copy, circuit, handling, now);
        Some(served)
    }

    /// Asks the circuit; `None` where the request has to wait for the origin's return.
    fn go(&mut self, slot: Slot, lead: Option<Lead>, now: Instant) -> Option<Decision> {
        let parts = Arc::clone(&self.parts);
        match admit::go(&parts, self.ask(now), slot, lead, now) {
            Ok(decision) => Some(decision),
            Err(delayed) => {
                let since = self.since;
                *self = Self {
                    since,
                    ..Self::from(*delayed)
                };
                None
            }
        }
    }

    /// The copy that answers as there is no room.
    fn overflow(&mut self, circuit: State, now: Instant) -> Option<Served> {
        let parts = Arc::clone(&self.parts);
        admit::overflow(&parts, &mut self.ask(now), circuit, now)
    }

    fn refuse(&mut self, now: Instant) -> Decision {
        let parts = Arc::clone(&self.parts);
        let copy_answers = self.copy_answers;
        let mut ask = self.ask(now);
        if copy_answers {
            let circuit = parts.circuits.state(target_of(ask.request), now);
            if let Some(served) = admit::overflow(&parts, &mut ask, circuit, now) {
                return Decision::Serve(served);
            }
        }
        // Where it has waited, other instances were asked then.
        let refusal = admit::no_room(&parts, &ask, now);
        Decision::Refuse(parts.happened.refused(refusal))
    }

    fn begin_seek(&self, instead: Instead, now: Instant) -> Option<Box<Seek>> {
        let wanting = Wanting {
            address: self.address,
            chose_public: self.chose_public,
            key: self.key.as_ref(),
            parts: &self.parts,
            request: &self.request,
            snapshot: &self.snapshot,
        };
        Seek::begin(&wanting, self.may_share, instead, now)
    }

    /// The copy of another instance that answers, once it is here.
    fn poll_seek(&mut self, waker: &Waker, now: Instant) -> Option<Served> {
        let is_over = |seek: &mut Box<Seek>| seek.is_over(waker, now);
        let seek = self.seek.take_if(is_over)?;
        let parts = Arc::clone(&self.parts);
        let copy_answers = std::mem::replace(&mut self.copy_answers, true);
        let mut ask = self.ask(now);
        let served = admit::answer(&parts, &mut ask, seek.instead(), now);
        let (key, unrescued) = (ask.key.take(), ask.unrescued.take());
        (self.key, self.unrescued) = (key, unrescued);
        self.copy_answers = copy_answers;
        served
    }

    fn ask(&mut self, now: Instant) -> Ask<'_> {
        // Unless it waits for a short time only, what could rescue would have answered before; it may
        // still be asked about.
        let key = self.key.take();
        let copies = &self.parts.copies;
        let seen = key.as_ref().filter(|_| self.may_share);
        let copy = seen.and_then(|key| copies.look_up_good(key, &self.request.fields));
        let age_max = self.snapshot.config().cache.rescue_age_max;
        let rescues = |copy: &Arc<StoredResponse>| copy.may_rescue(age_max, now);
        let may_rescue = self.copy_answers && copy.as_ref().is_some_and(rescues);
        Ask {
            address: self.address,
            bid: self.bid,
            chose_public: self.chose_public,
            copy,
            ends_session: self.ends_session,
            guest: self.guest,
            key,
            may_rescue,
            may_share: self.may_share,
            request: &self.request,
            snapshot: Arc::clone(&self.snapshot),
            unrescued: self.unrescued.take(),
            visitor: self.visitor,
            waits_until: self.waits_until,
            why: self.why,
        }
    }
}

impl From<Delayed> for Ticket {
    fn from(delayed: Delayed) -> Self {
        let (deadline, place) = match (delayed.place, &delayed.seek) {
            (Some(place), _) => {
                let deadline = place.deadline();
                (deadline, Waits::Return(place, delayed.refusal))
            }
            (None, Some(seek)) => (seek.deadline(), Waits::Copy(delayed.refusal)),
            // Nothing waits for nothing.
            (None, None) => (delayed.since, Waits::Copy(delayed.refusal)),
        };
        let waits_until = matches!(place, Waits::Return(..)).then_some(deadline);
        Self {
            address: delayed.address,
            bid: delayed.bid,
            copy_answers: false,
            chose_public: delayed.chose_public,
            deadline,
            ends_session: delayed.ends_session,
            guest: delayed.guest,
            key: delayed.key,
            may_share: delayed.may_share,
            place: Some(place),
            request: delayed.request,
            parts: delayed.parts,
            seek: delayed.seek,
            since: delayed.since,
            snapshot: delayed.snapshot,
            unrescued: delayed.unrescued,
            visitor: delayed.visitor,
            waits_until,
            why: delayed.why,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, poll_fn, ready};
    use std::pin::Pin;
    use std::sync::Mutex;
    use std::time::Duration;

    use http::{Method, StatusCode};

    use super::*;
    use crate::config::Settings;
    use crate::copies::{Invalidation, Sharing, Sought};
    use crate::key::Partition;
    use crate::message::{Fields, ResponseHead};
    use crate::report::Failure;
    use crate::site::{Fetch, Ruling, Site};

    fn at(millis: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(millis))
    }

    fn decide(site: &Site, now: Instant) -> Ruling {
        let request = RequestHead::new(Method::GET, "/", Fields::default());
        site.decide(&Arc::new(request), now)
    }

    /// A site with one slot, and the fetch that holds it.
    fn full() -> (Site, Fetch) {
        let mut settings = Settings::default();
        settings.site.admission.in_flight_max = 1;
        let site = Site::new(&settings.validate().unwrap(), 1, at(0));
        let Some(Decision::Fetch(fetch)) = decide(&site, at(0)).now() else {
            panic!("there is room");
        };
        (site, fetch)
    }

    fn wait(site: &Site, now: Instant) -> Ticket {
        let Ruling::Wait(ticket) = decide(site, now) else {
            panic!("it is full");
        };
        ticket
    }

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_decision_can_be_awaited() {
        let (site, busy) = full();
        let decided = wait(&site, at(0)).decided(|| at(1), |_| pending());
        let mut decided = std::pin::pin!(decided);
        assert!(poll(decided.as_mut()).is_pending());
        busy.abandon(at(1));
        assert!(matches!(poll(decided), Poll::Ready(Decision::Fetch(_))));
    }

    #[test]
    fn the_timer_tells_the_deadline_though_the_clock_is_late() {
        let (site, _busy) = full();
        let decided = wait(&site, at(0)).decided(|| at(1), |_| ready(()));
        let decided = poll(std::pin::pin!(decided));
        assert!(matches!(decided, Poll::Ready(Decision::Refuse(_))));
    }

    #[test]
    fn who_has_to_wait_again_waits_no_longer_for_it() {
        let (site, busy) = full();
        let mut lead = wait(&site, at(0));
        let mut follower = wait(&site, at(0));
        busy.abandon(at(900));
        let Poll::Ready(Decision::Fetch(fetch)) = lead.poll(Waker::noop(), at(900)) else {
            panic!("there is room");
        };
        // From the head on it is known that the answer is for nobody else.
        let own = Fields::from_pairs([("set-cookie", &b"id=1"[..])]);
        let head = ResponseHead::new(StatusCode::OK, own);
        let _passing = fetch.on_head(&head, at(950)).passed_on();
        assert!(follower.poll(Waker::noop(), at(950)).is_pending());
        assert!(follower.poll(Waker::noop(), at(999)).is_pending());
        let decision = follower.poll(Waker::noop(), at(1_000));
        assert!(matches!(decision, Poll::Ready(Decision::Refuse(_))));
        assert_eq!(site.stats(at(1_000)).admission.waiting, 0);
    }

    /// Other instances, which never answer.
    #[derive(Default)]
    struct Silent(Mutex<Vec<Sought>>);

    impl Sharing for Silent {
        fn takes(&self, _: Partition) -> bool {
            true
        }

        fn changed(&self, _: &CacheKey) {}

        fn invalidated(&self, _: Invalidation) {}

        fn seek(&self, _: Vec<CacheKey>, sought: Sought) -> Option<Duration> {
            self.0.lock().unwrap().push(sought);
            Some(Duration::from_millis(20))
        }
    }

    #[test]
    fn whoever_finds_no_copy_elsewhere_waits_on_for_room() {
        let (site, _busy) = full();
        assert!(site.set_sharing(Arc::new(Silent::default())));
        let ticket = wait(&site, at(0));
        assert_eq!(ticket.deadline(), at(20));
        let now = Cell::new(at(0));
        let is_due = |due: Instant| match now.get() < due {
            true => Poll::Pending,
            false => Poll::Ready(()),
        };
        let sleep = |due| poll_fn(move |_: &mut Context<'_>| is_due(due));
        let mut decided = std::pin::pin!(ticket.decided(|| now.get(), sleep));
        for early in [0, 20, 21, 999] {
            now.set(at(early));
            assert!(poll(decided.as_mut()).is_pending(), "{early}");
        }
        now.set(at(1_000));
        assert!(matches!(poll(decided), Poll::Ready(Decision::Refuse(_))));
    }

    #[test]
    fn whoever_followed_what_failed_waits_for_a_copy_elsewhere_only() {
        let (site, busy) = full();
        assert!(site.set_sharing(Arc::new(Silent::default())));
        let [mut lead, mut second, mut follower] = [0; 3].map(|_| wait(&site, at(0)));
        busy.abandon(at(900));
        // One more asks before it has failed for all.
        for ticket in [&mut lead, &mut second] {
            let Poll::Ready(Decision::Fetch(fetch)) = ticket.poll(Waker::noop(), at(995)) else {
                panic!("there is room");
            };
            assert!(fetch.on_failure(Failure::Reset, at(995)).is_err());
        }
        assert!(follower.poll(Waker::noop(), at(995)).is_pending());
        assert_eq!(follower.deadline(), at(1_015), "not that of the queue");
        assert!(follower.poll(Waker::noop(), at(1_014)).is_pending());
        let decision = follower.poll(Waker::noop(), at(1_015));
        assert!(matches!(decision, Poll::Ready(Decision::Refuse(_))));
    }
}
