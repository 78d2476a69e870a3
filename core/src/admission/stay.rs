//! Owns [`Stay`]: what a request has at the origin, from when it is let in until it has left.
//! Never changes.

use super::bid::Bid;
use super::shares::Charge;

/// A place at the origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stay {
    pub(super) bid: Bid,
    /// Nobody waits for the answer.
    pub(super) background: bool,
    pub(super) charge: Charge,
    /// Places that were taken when it came, its own among them.
    pub(super) found: u32,
    /// Requests that worked there then, itself among them.
    pub(super) working: u32,
    /// No less were parked then than may be.
    pub(super) found_full: bool,
    /// It is of a kind whose requests only wait there.
    pub(super) is_parked: bool,
    /// It was let in beyond the limit, to find out whether the others only wait or will never be answered.
    pub(super) is_probe: bool,
    pub(super) number: u64,
}
