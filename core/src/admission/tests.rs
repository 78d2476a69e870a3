//! The gate as a whole: who waits, and who is woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use super::{Class, Entry, Gate};
use crate::config::AdmissionSettings;
use crate::time::Instant;

#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_waker_that_is_replaced_is_not_called() {
    let settings = AdmissionSettings {
        in_flight_min: 1,
        in_flight_start: 1,
        in_flight_max: 1,
        ..AdmissionSettings::default()
    };
    let gate = Gate::new(&settings, Instant::ZERO);
    let slot = gate.try_enter(Instant::ZERO).unwrap();
    let Entry::Place(mut place) = gate.enter(Class::Read, None, Instant::ZERO) else {
        unreachable!("it is full")
    };
    // Some runtimes give another waker of the same task at each poll: a session that is woken by
    // being polled would never rest.
    let (first, second) = (Arc::new(Counter::default()), Arc::new(Counter::default()));
    for waker in [&first, &second] {
        assert!(
            place
                .poll(&Waker::from(Arc::clone(waker)), Instant::ZERO)
                .is_pending()
        );
    }
    assert_eq!(first.0.load(Ordering::Relaxed), 0);
    drop(slot);
    assert_eq!(
        (
            first.0.load(Ordering::Relaxed),
            second.0.load(Ordering::Relaxed)
        ),
        (0, 1)
    );
}
