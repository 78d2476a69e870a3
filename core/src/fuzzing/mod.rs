//! Owns the bodies of the fuzz targets: each takes any bytes and panics when something does not
//! hold that has to hold for all of them.
//! Never in a release: only tests and fuzzers compile it, and `fuzz/` has nothing but shims.
//!
//! | target | what the bytes are | what has to hold |
//! |---|---|---|
//! | [`h1_request`] | what a client sends | read the same in any pieces, as a naive reading has it, and again when written again |
//! | [`h1_response`] | a method, and what an origin sends | the same, and a reusable connection has nothing left |
//! | [`chunked`] | a chunked body, and data to be chunked | the same, and writing is undone by reading |
//! | [`cache_control`] | fields of a request and a response | a stricter rule never allows more, time never makes fresh |
//! | [`chains`] | what visitors do, and which cookies they are given | a copy was sent to whoever gets it, or to a stranger |
//! | [`copies`] | a copy as it is written down | what is read again is sound, and the same when it is written again |
//! | [`keys`] | fields of two requests | equal keys and partitions exactly where a naive list of what counts is equal |
//! | [`breaker`] | numbers and events | a circuit is as its model, the tiers never wedge |
//! | [`store`] | calls | bounds and links hold, only what was put in comes out |
//! | [`session`] | what clients, origins and clocks do | the same to both sides, whole or byte by byte; one exchange is one request |

mod breaker;
mod chains;
mod copies;
mod h1;
mod input;
mod keys;
mod naive;
mod rules;
mod session;
mod store;
#[cfg(test)]
mod tests;

pub use breaker::breaker;
pub use chains::chains;
pub use copies::copies;
pub use h1::{chunked, h1_request, h1_response};
pub use keys::keys;
pub use rules::cache_control;
pub use session::session;
pub use store::store;

/// The body of a target: panics when its input shows a fault.
pub type Body = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Body); 10] = [
    ("breaker", breaker),
    ("cache_control", cache_control),
    ("chains", chains),
    ("chunked", chunked),
    ("copies", copies),
    ("h1_request", h1_request),
    ("h1_response", h1_response),
    ("keys", keys),
    ("session", session),
    ("store", store),
];
