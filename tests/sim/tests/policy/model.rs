//! Owns the model of the policy: what has to be decided, which copy answers, and what is kept.
//! Never models a circuit: it has the real ones, which have models of their own
//! (`core/src/breaker/model.rs`, `core/src/breaker/tiers/model.rs`), and asks and tells them what
//! the policy should.

use std::collections::BTreeMap;
use std::time::Duration;

use retter_core::admission::Class;
use retter_core::breaker::{Outcome, Target, TierPermit, Tiers, Visitor};
use retter_core::report::{Failure, Source};
use retter_core::rules::label::Refused;
use retter_core::time::Instant;

use super::queue::{Entry, Fate, Flown, Queue};
use super::{AGE_MAX, Ask, Ends, Key, SHORT, Says, TIMEOUT, TTL, User, path};

/// A copy, as the model knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copy {
    pub(crate) version: u32,
    /// When the origin was asked for it.
    asked: Instant,
    received: Instant,
    fresh: Duration,
    /// It may be used when it is stale.
    stale: bool,
    /// It is an error page that said 200, kept as there was no copy to tell it by.
    pub(crate) is_soft: bool,
}

/// A request at the origin.
#[derive(Debug)]
pub(crate) struct Flight {
    ask: Ask,
    asked: Instant,
    key: Key,
    permit: TierPermit,
    /// What answers if the origin fails.
    pub(crate) copy: Option<Copy>,
    /// Others wait for this page.
    leads: Option<Key>,
    /// The copy that the answer is held against, whether it may answer or not.
    witness: Option<Copy>,
    /// How often the page had been written when the origin was asked.
    writes: u32,
}

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Ticket {
    ask: Ask,
    key: Key,
    since: Instant,
    place: u64,
    /// It waits for a short time only, and then a copy answers.
    copy_answers: bool,
}

impl Ticket {
    pub(crate) const fn patience(&self) -> Duration {
        match self.copy_answers {
            true => SHORT,
            false => TIMEOUT,
        }
    }
}

/// What the model expects.
#[derive(Debug)]
pub(crate) enum Expected {
    /// The fetch that it followed has failed.
    Collapsed,
    Fetch(Box<Flight>),
    Refused(Refused),
    Served(Copy),
    /// Of a fetch that it shared.
    Shared(Copy),
    Wait(Ticket),
}

pub(crate) struct Model {
    pub(crate) tiers: Tiers,
    pub(crate) store: BTreeMap<Key, Copy>,
    written: BTreeMap<Key, u32>,
    /// When a page was last written, by whomever.
    changed: BTreeMap<u8, Instant>,
    pub(crate) queue: Queue,
    /// When users of sessions wrote last.
    wrote: BTreeMap<User, Instant>,
    /// When a request left the origin.
    left_at: Option<Instant>,
    /// How long a request is at the origin, as the real gate has measured.
    pub(crate) service: Duration,
}

/// Whoever asks, as far as an address that nobody knows and a session tell; what a write sends is not
/// looked at.
fn visitor(ask: Ask, (_, user): Key) -> Option<Visitor> {
    let session = match (ask, user) {
        (Ask::Read(_), User::Session(user)) => u64::from(user) + 1,
        (Ask::Read(_), User::Everybody) | (Ask::Write, _) => 0,
    };
    Some(Visitor {
        network: 0,
        session,
    })
}

impl Copy {
    fn is_fresh(&self, now: Instant) -> bool {
        self.fresh > now.saturating_since(self.received)
    }

    fn rescues(&self, now: Instant) -> bool {
        let age = now.saturating_since(self.received);
        self.is_fresh(now) || self.stale && age <= AGE_MAX
    }

    pub(crate) fn source(&self, now: Instant) -> Source {
        let age = now.saturating_since(self.received);
        if self.is_fresh(now) || age < TTL {
            Source::Cache
        } else {
            Source::LastKnownSuccess
        }
    }

    /// An error page that nothing was there to tell by.
    const fn soft(version: u32, asked: Instant, now: Instant) -> Self {
        Self {
            version,
            asked,
            received: now,
            fresh: Duration::ZERO,
            stale: true,
            is_soft: true,
        }
    }

    /// What is kept of an answer, if anything is.
    fn of(says: Says, user: User, version: u32, asked: Instant, now: Instant) -> Option<Self> {
        let in_session = matches!(user, User::Session(_));
        let (fresh, stale) = match says {
            Says::Fresh => (10, true),
            Says::MustRevalidate => (10, in_session),
            Says::NoStore if in_session => (0, true),
            Says::NoStore => return None,
            Says::Nothing => (0, true),
        };
        let fresh = Duration::from_secs(fresh);
        Some(Self {
            version,
            asked,
            received: now,
            fresh,
            stale,
            is_soft: false,
        })
    }
}

impl Model {
    pub(crate) fn new(tiers: Tiers) -> Self {
        Self {
            tiers,
            store: BTreeMap::new(),
            written: BTreeMap::new(),
            changed: BTreeMap::new(),
            queue: Queue::new(),
            left_at: None,
            wrote: BTreeMap::new(),
            service: Duration::ZERO,
        }
    }

    pub(crate) fn decide(&mut self, ask: Ask, key: Key, now: Instant) -> Expected {
        let path = path(key);
        let Ask::Read(wants_origin) = ask else {
            return match self.queue.try_enter() {
                true => {
                    let permit = self.tiers.pass(Target::get(&path), visitor(ask, key), now);
                    Expected::Fetch(self.fly(ask, key, permit, now))
                }
                false => self.wait(ask, key, now),
            };
        };
        let copy = self.store.get(&key).copied();
        if let Some(copy) = copy
            && copy.is_fresh(now)
            && !wants_origin
            && !self.is_changed(key, copy)
        {
            return Expected::Served(copy);
        }
        let copy = copy.filter(|copy| copy.rescues(now));
        let (target, who) = (Target::get(&path), visitor(ask, key));
        let acquired = match copy {
            Some(_) => self.tiers.try_acquire_in_turn(target, who, now),
            None => self.tiers.try_acquire(target, who, now),
        };
        let Ok(permit) = acquired else {
            return copy.map_or(Expected::Refused(Refused::CircuitOpen), Expected::Served);
        };
        if self.queue.try_enter() {
            let mut flight = self.fly(ask, key, permit, now);
            flight.copy = copy;
            return Expected::Fetch(flight);
        }
        // A request that waits holds no probe.
        self.tiers.record(permit, Outcome::Ignore, now);
        let moves = self.left_at.is_some_and(|at| now < at + SHORT);
        match copy.filter(|copy| !self.is_before_own_write(key, *copy, now)) {
            Some(copy) if !moves || self.queue.wait(Class::Read, self.service) > SHORT => {
                Expected::Served(copy)
            }
            Some(_) => self.wait_for(ask, key, true, now),
            None => self.wait(ask, key, now),
        }
    }

    fn wait(&mut self, ask: Ask, key: Key, now: Instant) -> Expected {
        self.wait_for(ask, key, false, now)
    }

    fn wait_for(&mut self, ask: Ask, key: Key, copy_answers: bool, now: Instant) -> Expected {
        let shares = matches!(ask, Ask::Read(_)).then_some(key);
        match self.queue.enter(class(ask), shares, self.service, now) {
            Entry::Place(place) => Expected::Wait(Ticket {
                ask,
                key,
                since: now,
                place,
                copy_answers,
            }),
            Entry::Shed => self.in_vain(key, copy_answers, now),
            Entry::Slot => unreachable!("there was no room"),
        }
    }

    /// The decision about the request that waits, if there is one.
    pub(crate) fn poll(&mut self, ticket: &mut Ticket, now: Instant) -> Option<Expected> {
        let Some(fate) = self.queue.poll(ticket.place, now) else {
            // A second place would be good for longer.
            return (ticket.since + ticket.patience() <= now).then(|| {
                self.queue.leave(ticket.place, now);
                self.in_vain(ticket.key, ticket.copy_answers, now)
            });
        };
        Some(match (fate, self.look(ticket, now)) {
            (Fate::Shed, _) => self.in_vain(ticket.key, ticket.copy_answers, now),
            (Fate::Enter(leads), Some(copy)) => {
                self.queue.release(now);
                self.queue.land(leads, Flown::Abandoned, now);
                Expected::Shared(copy)
            }
            (Fate::Enter(leads), None) => self.go(ticket, leads, now),
            (Fate::Flown(Flown::Failed), _) => {
                let copy = self.stand_in(ticket.key, ticket.copy_answers, now);
                copy.map_or(Expected::Collapsed, Expected::Served)
            }
            (Fate::Flown(_), Some(copy)) => Expected::Shared(copy),
            // Each asks for itself.
            (Fate::Flown(_), None) => {
                match self.queue.enter(class(ticket.ask), None, self.service, now) {
                    Entry::Place(place) => {
                        ticket.place = place;
                        return self.poll(ticket, now);
                    }
                    Entry::Shed => self.in_vain(ticket.key, ticket.copy_answers, now),
                    Entry::Slot => self.go(ticket, None, now),
                }
            }
        })
    }

    /// There was no room in time.
    fn in_vain(&self, key: Key, copy_answers: bool, now: Instant) -> Expected {
        let copy = self.stand_in(key, copy_answers, now);
        copy.map_or(Expected::Refused(Refused::Overload), Expected::Served)
    }

    /// Whether its user has written since a copy was asked for, as far as can be told: that it may be
    /// said for half an hour is noted in whole seconds.
    fn is_before_own_write(&self, (_, user): Key, copy: Copy, now: Instant) -> bool {
        const NOTED: u64 = 30 * 60;
        let Some(wrote) = self.wrote.get(&user).filter(|_| user != User::Everybody) else {
            return false;
        };
        let seconds = |at: Instant| at.as_nanos() / 1_000_000_000;
        let Some(left) = (seconds(*wrote) + NOTED + 1).checked_sub(seconds(now)) else {
            return false;
        };
        let age = now.saturating_since(copy.asked);
        left > 0 && age + Duration::from_secs(left + 1) > Duration::from_secs(NOTED)
    }

    /// The copy that answers as there is no room.
    fn stand_in(&self, key: Key, copy_answers: bool, now: Instant) -> Option<Copy> {
        let copy = self.rescue(key, copy_answers, now);
        copy.filter(|copy| !self.is_before_own_write(key, *copy, now))
    }

    /// The copy that answers one who has waited for a short time only.
    fn rescue(&self, key: Key, copy_answers: bool, now: Instant) -> Option<Copy> {
        let copy = self.store.get(&key).copied();
        copy.filter(|copy| copy_answers && copy.rescues(now))
    }

    /// The client leaves.
    pub(crate) fn leave(&mut self, ticket: &Ticket, now: Instant) {
        self.queue.leave(ticket.place, now);
    }

    /// A copy that came while this request waited; for a client that wants the origin, one that was asked for
    /// since.
    fn look(&self, ticket: &Ticket, now: Instant) -> Option<Copy> {
        let Ask::Read(wants_origin) = ticket.ask else {
            return None;
        };
        let copy = *self.store.get(&ticket.key)?;
        let made_at = if wants_origin {
            copy.asked
        } else {
            copy.received
        };
        let is_new = made_at >= ticket.since && !self.is_changed(ticket.key, copy);
        (is_new && copy.rescues(now)).then_some(copy)
    }

    /// A slot is there: only now the circuit is asked, of which a write need not take notice.
    fn go(&mut self, ticket: &Ticket, leads: Option<Key>, now: Instant) -> Expected {
        let &Ticket {
            ask,
            key,
            copy_answers,
            ..
        } = ticket;
        let permit = match ask {
            Ask::Read(_) => {
                let path = path(key);
                let target = Target::get(&path);
                self.tiers.try_acquire(target, visitor(ask, key), now)
            }
            Ask::Write => Ok(self
                .tiers
                .pass(Target::get(&path(key)), visitor(ask, key), now)),
        };
        match permit {
            Ok(permit) => {
                let mut flight = self.fly(ask, key, permit, now);
                flight.leads = leads;
                flight.copy = self.rescue(key, copy_answers, now);
                Expected::Fetch(flight)
            }
            Err(_) => {
                self.queue.land(leads, Flown::Abandoned, now);
                self.queue.release(now);
                let copy = self.rescue(key, copy_answers, now);
                copy.map_or(Expected::Refused(Refused::CircuitOpen), Expected::Served)
            }
        }
    }

    fn fly(&self, ask: Ask, key: Key, permit: TierPermit, now: Instant) -> Box<Flight> {
        Box::new(Flight {
            ask,
            asked: now,
            key,
            permit,
            copy: None,
            leads: None,
            witness: self.store.get(&key).copied(),
            writes: self.writes(key),
        })
    }

    /// Whether somebody has written the page since the origin was asked for a user's copy.
    fn is_changed(&self, (page, user): Key, copy: Copy) -> bool {
        let changed = self.changed.get(&page);
        user != User::Everybody && changed.is_some_and(|at| *at >= copy.asked)
    }

    /// A copy ends, with those of it that are on their way; those of others are asked about.
    fn drop(&mut self, key: Key, now: Instant) {
        self.changed.insert(key.0, now);
        self.store.remove(&key);
        *self.written.entry(key).or_default() += 1;
    }

    /// A user is told that there is no such page, or not for that user.
    fn refuse(&mut self, key: Key, status: u16) {
        let signs_out = matches!(key.1, User::Session(_)) && status != 404;
        if key.1 == User::Everybody {
            self.store.remove(&key);
        } else if signs_out && self.store.contains_key(&key) {
            // Whoever may not see what there was has no session any more.
            for page in 0..3 {
                self.store.remove(&(page, key.1));
                *self.written.entry((page, key.1)).or_default() += 1;
            }
        } else {
            // It is no news of what others have.
            self.store.remove(&key);
            *self.written.entry(key).or_default() += 1;
        }
    }

    /// How often the page was written.
    fn writes(&self, key: Key) -> u32 {
        self.written.get(&key).copied().unwrap_or_default()
    }

    /// Returns the copy that answers instead of the origin.
    pub(crate) fn end(
        &mut self,
        flight: Flight,
        ends: Ends,
        version: u32,
        now: Instant,
    ) -> Option<Copy> {
        let Flight {
            ask,
            asked,
            key,
            permit,
            copy,
            leads,
            witness,
            writes,
        } = flight;
        let is_good = |copy: Copy| !copy.is_soft;
        let current = self.store.get(&key).copied();
        // A write has made wrong what would have answered.
        let copy = copy.filter(|_| writes == self.writes(key));
        let (outcome, flown, rescue) = match (ends, ask) {
            (Ends::Abandoned, _) => (Outcome::Ignore, Flown::Abandoned, None),
            (Ends::Failed(Failure::Connect), _) => (Outcome::ConnectFailure, Flown::Failed, copy),
            (Ends::Failed(_) | Ends::Oops, _) => (Outcome::Failure, Flown::Failed, copy),
            (Ends::No(400..), Ask::Write) => (Outcome::Success, Flown::Unfit, None),
            (Ends::No(_) | Ends::Ok(_) | Ends::Soft(_), Ask::Write) => {
                self.wrote.insert(key.1, now);
                self.drop(key, now);
                self.drop((key.0, User::Everybody), now);
                (Outcome::Success, Flown::Unfit, None)
            }
            // What bare visitors get is no one's own: what is on its way to another may be kept.
            (Ends::No(status), Ask::Read(_)) => {
                self.refuse(key, status);
                (Outcome::Success, Flown::Unfit, None)
            }
            // An error page is told by what the good one has.
            (Ends::Soft(is_held), Ask::Read(_)) if witness.is_some_and(is_good) => {
                (Outcome::Failure, Flown::Failed, copy.filter(|_| is_held))
            }
            // Another request may have brought that meanwhile.
            (Ends::Soft(is_held), Ask::Read(_)) if current.is_some_and(is_good) => {
                let current = current.filter(|copy| copy.rescues(now));
                let rescue = witness.and(current).filter(|_| is_held);
                (Outcome::Failure, Flown::Failed, rescue)
            }
            (Ends::Soft(_), Ask::Read(_)) => {
                let page = Copy::soft(version, asked, now);
                match writes == self.writes(key) {
                    true => {
                        self.store.insert(key, page);
                        (Outcome::Success, Flown::Kept, None)
                    }
                    false => (Outcome::Success, Flown::Unfit, None),
                }
            }
            // The page may be from before a write.
            (Ends::Ok(says), Ask::Read(_)) => match Copy::of(says, key.1, version, asked, now) {
                Some(copy) if writes == self.writes(key) => {
                    self.store.insert(key, copy);
                    (Outcome::Success, Flown::Kept, None)
                }
                Some(_) | None => (Outcome::Success, Flown::Unfit, None),
            },
        };
        self.tiers.record(permit, outcome, now);
        if outcome != Outcome::ConnectFailure {
            self.left_at = Some(now);
        }
        // Below HTTP nothing comes any more, so the slot is free first.
        if matches!(ends, Ends::Abandoned | Ends::Failed(_)) {
            self.queue.release(now);
            self.queue.land(leads, flown, now);
        } else {
            self.queue.land(leads, flown, now);
            self.queue.release(now);
        }
        rescue
    }
}

const fn class(ask: Ask) -> Class {
    match ask {
        Ask::Read(_) => Class::Read,
        Ask::Write => Class::Write,
    }
}
