//! Owns the circuit breaker: states, windows, probes and the two tiers.
//! Never touches copies or messages, reads no clock, waits for nothing: usable alone.

mod transition;

pub use transition::{Outcome, Reason, State, Tier, Transition};
