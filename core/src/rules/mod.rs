//! Owns what HTTP says about messages: pure functions from fields to decisions.
//! Never keeps state, reads a wire or writes one, and never decides about load or failure.

pub mod cache_control;
pub mod coding;
pub mod conditional;
pub mod forwarding;
pub mod freshness;
