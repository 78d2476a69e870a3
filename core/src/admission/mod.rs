//! Owns who may be at the origin: the adaptive limit ([`Limit`]), who is inside ([`Slot`]), and
//! who waits in which order ([`Place`]).
//! Never decides what happens to a request that does not fit: `policy` does.

mod bid;
mod flights;
mod inside;
#[cfg(all(test, loom))]
mod interleavings;
mod kind;
mod kinds;
mod lead;
mod limit;
mod lines;
mod place;
mod queue;
mod room;
mod shared;
mod shares;
mod slot;
mod state;
mod stay;
#[cfg(test)]
mod tests;
mod words;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::AdmissionSettings;
use crate::key::CacheKey;
use crate::network::Network;
use crate::report::AdmissionStats;
use crate::time::Instant;

pub use bid::Bid;
use kind::Naming;
pub use lead::Lead;
pub use limit::{Limit, LimitBounds, Sample};
pub use place::{Admitted, Place};
use shared::Shared;
pub use slot::Slot;
use state::State;
pub use words::{Class, Flown, Holder, Shed};

/// The gate before the origin. Shared by reference.
///
/// All that it knows is behind one short lock, which is a leaf: no waker is called and nothing
/// foreign dropped inside.
///
/// ```
/// use std::time::Duration;
/// use retter_core::admission::{Class, Entered, Gate};
/// use retter_core::breaker::Outcome;
/// use retter_core::config::AdmissionSettings;
/// use retter_core::time::Instant;
///
/// let settings = AdmissionSettings { in_flight_max: 1, ..AdmissionSettings::default() };
/// let now = Instant::ZERO;
/// let gate = Gate::new(&settings, 1, now);
/// let bid = gate.bid(Class::Read, b"/news?page=2", None);
/// let slot = gate.try_enter(&bid, now).ok_or("full")?;
/// let Entered::Place(mut place) = gate.enter(&bid, None, now) else { return Err("room") };
/// slot.release(Outcome::Success, now + Duration::from_millis(20));
/// let waker = std::task::Waker::noop();
/// assert!(place.poll(waker, now + Duration::from_millis(20)).is_ready());
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug)]
pub struct Gate {
    naming: Naming,
    shared: Arc<Shared>,
}

/// How entering went.
#[derive(Debug)]
#[must_use]
pub enum Entered {
    /// There is room later, perhaps.
    Place(Place),
    /// It is no use waiting.
    Shed(Shed),
    /// There is room.
    Slot(Slot),
}

impl Gate {
    /// Makes a gate that nobody is in. The same `seed` gives the same gate.
    #[must_use]
    pub fn new(settings: &AdmissionSettings, seed: u64, now: Instant) -> Self {
        Self {
            naming: Naming::new(seed),
            shared: Arc::new(Shared::new(State::new(settings, seed, now))),
        }
    }

    /// Goes on by other settings. How many were let in at the start means nothing any more; the
    /// limit stays what was learnt, within the bounds.
    pub fn reconfigure(&self, settings: &AdmissionSettings, now: Instant) {
        self.shared
            .change(Some(now), |state, now, _| state.reconfigure(settings, now));
    }

    /// What a request is to the gate: one for `target`, a path with or without a query, from
    /// `address`, where that is known.
    #[must_use]
    pub fn bid(&self, class: Class, target: &[u8], address: Option<IpAddr>) -> Bid {
        Bid {
            class,
            kind: self.naming.kind(class, target),
            visitor: address.map(Network::of),
        }
    }

    /// Takes a slot if there is room and nobody waits for it; else counts an overflow.
    #[must_use]
    pub fn try_enter(&self, bid: &Bid, now: Instant) -> Option<Slot> {
        let entered = self.shared.change(Some(now), |state, now, wakers| {
            let bid = state.come(bid, now);
            let entered = state.try_enter(&bid, now, wakers);
            if entered.is_none() {
                state.overflow();
            }
            entered
        });
        Some(Slot::new(&self.shared, entered?, now))
    }

    /// Takes a slot for a request that finds out whether the origin answers again: one a second beyond the
    /// limit, where nobody has been let in for that long. Those that are there may never be answered.
    #[must_use]
    pub fn try_enter_beyond(&self, bid: &Bid, now: Instant) -> Option<Slot> {
        let entered = self.shared.change(Some(now), |state, now, _| {
            let bid = state.come(bid, now);
            state.try_enter_beyond(&bid, now)
        });
        Some(Slot::new(&self.shared, entered?, now))
    }

    /// Takes a slot or a place in the queue, for a request that was not let in by
    /// [`try_enter`](Self::try_enter). Those with the same key share one fetch.
    pub fn enter(&self, bid: &Bid, key: Option<&CacheKey>, now: Instant) -> Entered {
        self.enter_again(bid, key, now, now)
    }

    /// As [`enter`](Self::enter), for one that has waited for the origin's return already and may wait until
    /// then, if that is longer than others may.
    pub fn enter_again(
        &self,
        bid: &Bid,
        key: Option<&CacheKey>,
        until: Instant,
        now: Instant,
    ) -> Entered {
        let shared = &self.shared;
        let entry = shared.change(Some(now), |state, now, wakers| {
            let bid = state.come(bid, now);
            if let Some(entered) = state.try_enter(&bid, now, wakers) {
                return Ok(Ok(entered));
            }
            let (id, until) = state.join(bid, key, until, now, wakers)?;
            Ok(Err(((id, bid), until)))
        });
        match entry {
            Ok(Ok(entered)) => Entered::Slot(Slot::new(shared, entered, now)),
            Ok(Err((who, deadline))) => Entered::Place(Place::new(shared, who, deadline)),
            Err(shed) => Entered::Shed(shed),
        }
    }

    /// Takes a slot for work that nobody waits for, as renewing a copy.
    ///
    /// Such work gets a share of the limit, also when it is used up: others give way as they
    /// leave. Where the share is less than one, it gets one slot as long as there is room.
    #[must_use]
    pub fn try_enter_background(&self, bid: &Bid, now: Instant) -> Option<Slot> {
        let entered = self.shared.change(Some(now), |state, now, _| {
            state.try_enter_background(bid, now)
        });
        Some(Slot::new(&self.shared, entered?, now))
    }

    /// Starts the limit again at `from`, as when the origin comes back.
    pub fn restart(&self, from: u32, now: Instant) {
        self.shared
            .change(Some(now), |state, now, _| state.restart(from, now));
    }

    /// Time until a request that comes now would be let in, as far as can be told.
    #[must_use]
    pub fn wait(&self, bid: &Bid) -> Duration {
        self.shared.look().wait(bid)
    }

    /// Whether a request that comes now is likely to be let in within this time.
    #[must_use]
    pub fn is_expected(&self, bid: &Bid, within: Duration, now: Instant) -> bool {
        self.shared.look().is_expected(bid, within, now)
    }

    /// Whether requests like this one wait at the origin, as far as is known, so that what another was
    /// answered is old news to it.
    #[must_use]
    pub fn may_park(&self, bid: &Bid) -> bool {
        self.shared.look().kinds.may_park(bid.kind)
    }

    /// Whether there is a free place.
    #[must_use]
    pub fn has_place(&self) -> bool {
        self.shared.look().has_place()
    }

    /// Places that are taken now.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.shared.look().busy()
    }

    /// How many are thought to be borne, whatever is tried now.
    #[must_use]
    pub fn settled_limit(&self) -> u32 {
        self.shared.look().limit.settled()
    }

    /// How many may be there now.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.shared.look().limit.current()
    }

    /// The page that keeps the origin's places longest; `None` where no request has been there for
    /// long.
    #[must_use]
    pub fn holder(&self, now: Instant) -> Option<Holder> {
        self.shared.look().inside.holder(now)
    }

    /// What there is to count at this moment.
    #[must_use]
    pub fn stats(&self, now: Instant) -> AdmissionStats {
        self.shared.change(Some(now), |state, _, _| state.stats())
    }
}
