//! Owns the number of requests at the origin: a ceiling, who is inside, who found it full.
//! Never waits or queues, and never decides what happens to a request that does not fit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A gate that lets a fixed number of requests in at one time. Shared by reference, lock-free.
///
/// ```
/// use retter_core::admission::Gate;
///
/// let gate = Gate::new(1);
/// let slot = gate.try_enter().ok_or("full")?;
/// assert!(gate.try_enter().is_none());
/// slot.release();
/// assert_eq!((gate.in_flight(), gate.overflows()), (0, 1));
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug)]
pub struct Gate {
    /// Apart from the gate, so that a slot needs no lifetime and may outlive it.
    in_flight: Arc<AtomicU32>,
    in_flight_max: u32,
    background: Arc<AtomicU32>,
    overflows: AtomicU64,
}

/// A place at the origin, free again when this is dropped.
#[must_use = "dropping a slot gives it back"]
#[derive(Debug)]
pub struct Slot {
    in_flight: Arc<AtomicU32>,
    /// Of a request for which nobody waits.
    background: Option<Arc<AtomicU32>>,
}

impl Gate {
    /// Makes a gate with room for so many requests.
    #[must_use]
    pub fn new(in_flight_max: u32) -> Self {
        Self {
            in_flight: Arc::default(),
            in_flight_max,
            background: Arc::default(),
            overflows: AtomicU64::new(0),
        }
    }

    /// Takes a slot, or counts an overflow when there is none.
    #[must_use]
    pub fn try_enter(&self) -> Option<Slot> {
        if enter(&self.in_flight, self.in_flight_max) {
            Some(Slot {
                in_flight: Arc::clone(&self.in_flight),
                background: None,
            })
        } else {
            self.overflows.fetch_add(1, Ordering::Relaxed);
            None
        }
    }

    /// Takes a slot for a request for which nobody waits, where there is one and these have not
    /// `background_max` already.
    #[must_use]
    pub fn try_enter_background(&self, background_max: u32) -> Option<Slot> {
        if !enter(&self.background, background_max) {
            return None;
        }
        if !enter(&self.in_flight, self.in_flight_max) {
            self.background.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Slot {
            in_flight: Arc::clone(&self.in_flight),
            background: Some(Arc::clone(&self.background)),
        })
    }

    /// Slots taken now.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Slots there are.
    #[must_use]
    pub const fn in_flight_max(&self) -> u32 {
        self.in_flight_max
    }

    /// Requests that found no slot, since start.
    #[must_use]
    pub fn overflows(&self) -> u64 {
        self.overflows.load(Ordering::Relaxed)
    }
}

/// Counts one more, up to `max`. Relaxed everywhere: the counters guard no other memory.
fn enter(counter: &AtomicU32, max: u32) -> bool {
    let entered = |count: u32| count.checked_add(1).filter(|count| *count <= max);
    counter
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, entered)
        .is_ok()
}

impl Slot {
    /// Gives the slot back, which dropping it does too; this says so.
    pub fn release(self) {}
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Some(background) = &self.background {
            background.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_come_back_however_they_end() {
        let gate = Gate::new(2);
        let first = gate.try_enter().unwrap();
        let second = gate.try_enter().unwrap();
        assert!(gate.try_enter().is_none());
        first.release();
        assert_eq!(gate.in_flight(), 1);
        drop(second);
        assert_eq!((gate.in_flight(), gate.overflows()), (0, 1));
        let late = gate.try_enter().unwrap();
        drop(gate);
        drop(late);
        assert!(Gate::new(0).try_enter().is_none());
    }

    #[test]
    fn never_more_than_the_ceiling_from_many_threads() {
        let gate = Gate::new(3);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let slot = gate.try_enter();
                        assert!(gate.in_flight() <= 3);
                        drop(slot);
                    }
                });
            }
        });
        assert_eq!(gate.in_flight(), 0);
    }
}
