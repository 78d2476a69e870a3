//! The breaker alone, around any call: here a job that fails for a while, called every 100 ms of
//! a clock that the example keeps itself. `cargo run -p retter-core --example breaker`.

#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use retter_core::breaker::{Breaker, Outcome, Recovery, Rejected, Streak, Trip};
use retter_core::time::Instant;

/// Why a guarded call has no result.
#[derive(Debug)]
enum Guarded<E> {
    /// The call was made and failed.
    Failed(E),
    /// The circuit refused it.
    Refused(Rejected),
}

/// Makes `call` if the circuit lets it, and tells the circuit how it went. `now` is read again
/// afterwards, as a call takes its time.
fn guarded<T, E>(
    breaker: &mut Breaker,
    now: impl Fn() -> Instant,
    call: impl FnOnce() -> Result<T, E>,
) -> Result<T, Guarded<E>> {
    let permit = breaker.try_acquire(now()).map_err(Guarded::Refused)?;
    let result = call();
    let outcome = match result {
        Ok(_) => Outcome::Success,
        Err(_) => Outcome::Failure,
    };
    breaker.record(permit, outcome, now());
    result.map_err(Guarded::Failed)
}

fn main() {
    let trip = Trip {
        window: Duration::from_secs(10),
        failure_rate: 0.5,
        outcomes_min: 10,
        paths_min: 1,
        slow: None,
        witnesses: 1,
        streak: Streak::Failures(3),
    };
    let recovery = Recovery {
        open_min: Duration::from_secs(1),
        open_max: Duration::from_secs(30),
        jitter: 0.2,
        probe_lease: Duration::from_secs(5),
        probes_needed: 2,
    };
    let mut breaker = Breaker::new(trip, recovery, 42, Instant::ZERO);
    let (mut made, mut refused) = (0, 0);
    for tenth in 0..80 {
        let now = Instant::from_epoch(Duration::from_millis(tenth * 100));
        let job = || {
            made += 1;
            if (10..30).contains(&tenth) {
                Err("out of order")
            } else {
                Ok(())
            }
        };
        match guarded(&mut breaker, || now, job) {
            Ok(()) | Err(Guarded::Failed(_)) => {}
            Err(Guarded::Refused(rejected)) => {
                assert!(rejected.retry_at >= now);
                refused += 1;
            }
        }
        if let Some(change) = breaker.poll_change() {
            println!("{:>4} ms: {} ({})", tenth * 100, change.to, change.reason);
        }
    }
    println!("{made} calls made, {refused} refused");
    assert_eq!(made + refused, 80);
    assert!(refused > 10, "a broken job is left alone");
}
