//! RETTER's core: a circuit breaker that answers with the last known good response, as pure state
//! machines. It decides and speaks HTTP/1.1; it never reads a clock, opens a socket, spawns,
//! blocks or logs. Time and seeds are arguments.
//!
//! There are three ways to use it:
//!
//! - **Whole**: a [`session::Session`] for each client connection takes bytes and gives bytes;
//!   [`drive::Drive`] joins it to two sockets of any runtime.
//! - **The policy alone**, in a proxy or server that has its own HTTP: [`policy::Retter`] decides
//!   whether a request is sent on, served from a copy, or refused.
//! - **The breaker alone**, around any call: [`breaker::Breaker`].
//!
//! A session, by hand: the application answers once, then breaks off; the user sees the same page.
//!
//! ```
//! use std::io::IoSlice;
//! use retter_core::config::Settings;
//! use retter_core::policy::Retter;
//! use retter_core::session::{Action, Input, Session, Side};
//! use retter_core::time::Instant;
//!
//! /// What the session has written to `side` since the last call.
//! fn written(session: &mut Session, side: Side, now: Instant) -> String {
//!     let mut slices = [IoSlice::new(&[]); 8];
//!     let count = session.write_slices(side, &mut slices);
//!     let bytes = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect::<Vec<u8>>();
//!     session.handle_written(side, bytes.len(), now);
//!     String::from_utf8_lossy(&bytes).into_owned()
//! }
//!
//! fn read(session: &mut Session, side: Side, bytes: &[u8], now: Instant) {
//!     session.read_buf(side)[..bytes.len()].copy_from_slice(bytes);
//!     session.handle_read(side, bytes.len(), now);
//! }
//!
//! let now = Instant::ZERO; // the adapter's clock
//! let config = Settings::default().validate().expect("the defaults are valid");
//! let retter = Retter::new(config, 42, now);
//! let mut session = Session::new(retter, ([192, 0, 2, 1], 4711).into(), now);
//!
//! for (answer, told) in [
//!     (&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"[..], "X-Retter: backend"),
//!     (&b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"[..], "X-Retter: cache"),
//! ] {
//!     read(&mut session, Side::Client, b"GET / HTTP/1.1\r\nHost: example\r\n\r\n", now);
//!     assert_eq!(session.poll_action(), Some(Action::Connect { fresh: false }));
//!     session.handle_input(Input::Connected { reused: false }, now);
//!     assert!(written(&mut session, Side::Origin, now).starts_with("GET / HTTP/1.1\r\n"));
//!     read(&mut session, Side::Origin, answer, now);
//!     let received = written(&mut session, Side::Client, now);
//!     assert!(received.starts_with("HTTP/1.1 200 OK\r\n") && received.ends_with("hi"));
//!     assert!(received.contains(told));
//!     assert_eq!(session.poll_action(), Some(Action::Park));
//! }
//! ```

pub mod addresses;
pub mod admission;
pub mod breaker;
pub mod config;
pub mod drive;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod h1;
pub mod key;
pub mod limits;
pub mod message;
pub mod policy;
pub mod pool;
pub mod report;
pub mod rng;
pub mod rules;
pub mod session;
pub mod store;
pub mod time;
