//! Owns what HTTP says about messages: pure functions from fields to decisions.
//! Never keeps state, reads a wire or writes one, and never decides about load or failure.
//!
//! | module | standard |
//! |---|---|
//! | [`cache_control`] | RFC 9111 §5.2, RFC 9213 |
//! | [`coding`] | RFC 9110 §8.4, §12.5.3; RFC 1952 |
//! | [`conditional`] | RFC 9110 §13 |
//! | [`etag`] | RFC 9110 §8.8.3 |
//! | [`forwarded`] | RFC 7239 |
//! | [`credentials`] | RFC 9111 §7.3 |
//! | [`forwarding`] | RFC 9110 §7.6 |
//! | [`freshness`] | RFC 9111 §3, §4.2 |
//! | [`label`] | RFC 9211 |
//! | [`login`] | RFC 4559, RFC 9110 §11 |
//! | [`media`] | RFC 6838 |
//! | `own_cookies` | RFC 6265 §5.4: this program's own, as they come back |
//! | [`percent`] | RFC 3986 §2.1 |
//! | [`range`] | RFC 9110 §14 |
//! | [`reference`](mod@reference) | RFC 3986 §5.2 |
//! | [`retry_after`] | RFC 9110 §10.2.3 |
//! | `soft` | none: what an error page looks like that says 200 |

pub mod cache_control;
pub mod coding;
pub mod conditional;
pub mod credentials;
pub mod etag;
pub mod forwarded;
pub mod forwarding;
pub mod freshness;
pub mod label;
pub mod login;
pub mod media;
pub(crate) mod own_cookies;
pub mod percent;
pub mod range;
pub mod reference;
pub mod retry_after;
pub(crate) mod soft;
