//! RETTER's core: a circuit breaker that answers with the last known good response, as pure state
//! machines that decide and speak HTTP/1.1.
//!
//! It is made to be embedded. There are three ways, from the whole to a part:
//!
//! | you have | you take | shown by |
//! |---|---|---|
//! | sockets | [`Session`], one for each client connection: bytes in, bytes out. [`drive::Drive`] is its loop for any runtime, or none | `examples/blocking`: a proxy on plain threads |
//! | a server or proxy with its own HTTP | [`Site`]: is this request sent on, served from a copy, or refused? | [`Site`]; a `tower` layer and a proxy on `hyper` in the project's tests |
//! | any call that can fail | [`breaker::Breaker`]: may I call? how did it go? | [`breaker::Breaker`], `examples/breaker` |
//!
//! [`h1`] (HTTP/1.1 as two machines), [`store`] (a bounded store) and [`admission`] (an adaptive
//! limit with a queue) are usable alone as well.
//!
//! # What it never does
//!
//! - It reads no clock: time is the last argument of what needs it, as an
//!   [`Instant`] since an epoch that you choose. So a test, a simulation or the
//!   replay of a log run at any speed.
//! - It has no randomness but from seeds that are constructor arguments: the same calls give the
//!   same answers.
//! - It opens no socket or file, starts no thread, does not block, sleep or log. What happened comes
//!   out as values: [`event::Report`], [`breaker::Transition`].
//! - It holds no lock while it calls foreign code, and does not panic on any input.
//!
//! # The loop
//!
//! A session is driven by the contract that [`Session`] numbers: carry out its actions,
//! write what it gives, read where it has room, come again at its deadline. This is all of it; the
//! application answers once, then breaks off, and the user sees the same page.
//!
//! ```
//! use std::collections::VecDeque;
//! use std::io::{ErrorKind, IoSlice, Read, Write};
//! use std::task::Waker;
//!
//! use retter_core::config::Settings;
//! use retter_core::Gateway;
//! use retter_core::{Action, Input, Session, Side};
//! use retter_core::time::Instant;
//!
//! /// A socket that does not block.
//! #[derive(Default)]
//! struct Socket {
//!     arrived: VecDeque<u8>,
//!     sent: Vec<u8>,
//! }
//!
//! impl Read for Socket {
//!     fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
//!         if self.arrived.is_empty() {
//!             return Err(ErrorKind::WouldBlock.into());
//!         }
//!         self.arrived.read(buf)
//!     }
//! }
//!
//! /// Moves all that can move at `now`; says when to come again if nothing arrives before.
//! fn run(
//!     session: &mut Session,
//!     client: &mut Socket,
//!     origin: &mut Option<Socket>,
//!     now: Instant,
//! ) -> Option<Instant> {
//!     loop {
//!         let mut progress = false;
//!         while let Some(action) = session.poll_action() {
//!             progress = true;
//!             match action {
//!                 Action::Connect { .. } => {
//!                     *origin = Some(Socket::default()); // dial, or take an idle one
//!                     session.handle_input(Input::Connected { reused: false }, now);
//!                 }
//!                 // The client's own; a real host looks first whether it is still open and silent.
//!                 Action::Resume(_) => {
//!                     session.handle_input(Input::Connected { reused: true }, now);
//!                 }
//!                 // A pool would keep a parked one.
//!                 Action::Park(_) => *origin = None,
//!                 Action::Abort(Side::Origin) | Action::Close(Side::Origin) => *origin = None,
//!                 Action::Abort(Side::Client) | Action::Close(Side::Client) => {}
//!                 Action::Shutdown(_side) => {}
//!                 Action::Detach(_) => {
//!                     *origin = None; // it goes with the session that goes on without a client
//!                     drop(session.poll_detached()); // which a real host runs beside this one
//!                 }
//!             }
//!         }
//!         while let Some(_report) = session.poll_report() {} // count it, log it
//!         // Your runtime's waker: it is called when the origin has room again.
//!         progress |= session.poll_room(Waker::noop(), now);
//!         for side in [Side::Origin, Side::Client] {
//!             let socket = match side {
//!                 Side::Client => Some(&mut *client),
//!                 Side::Origin => origin.as_mut(),
//!             };
//!             let Some(socket) = socket else { continue };
//!             let mut slices = [IoSlice::new(&[]); 16];
//!             let count = session.write_slices(side, &mut slices);
//!             if count > 0 {
//!                 match socket.sent.write_vectored(&slices[..count]) {
//!                     Ok(len) => session.handle_written(side, len, now),
//!                     Err(_) => session.handle_input(Input::WriteFailed(side), now),
//!                 }
//!                 progress = true;
//!             }
//!             let room = session.read_buf(side);
//!             if !room.is_empty() {
//!                 match socket.read(room) {
//!                     Ok(len) => session.handle_read(side, len, now), // 0 is the end
//!                     Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
//!                     Err(_) => session.handle_input(Input::ReadFailed(side), now),
//!                 }
//!                 progress = true;
//!             }
//!         }
//!         match session.poll_timeout() {
//!             Some(deadline) if deadline <= now => session.handle_timeout(now),
//!             deadline if !progress => return deadline,
//!             _ => {}
//!         }
//!     }
//! }
//!
//! let now = Instant::ZERO; // your clock
//! let config = Settings::default().validate().expect("the defaults are valid");
//! let gateway = Gateway::new(config, 42, now); // a seed that nobody can guess
//! let mut session = Session::new(gateway, ([192, 0, 2, 1], 4711).into(), now);
//! let (mut client, mut origin) = (Socket::default(), None);
//!
//! for (answer, told) in [
//!     (&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"[..], "X-Retter: backend"),
//!     (&b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"[..], "X-Retter: cache"),
//! ] {
//!     client.arrived.extend(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n");
//!     let deadline = run(&mut session, &mut client, &mut origin, now);
//!     assert!(deadline > Some(now), "the origin may take its time, but not for ever");
//!     let asked = origin.as_mut().expect("the session wants to ask");
//!     assert!(asked.sent.starts_with(b"GET / HTTP/1.1\r\n"));
//!     asked.arrived.extend(answer);
//!     run(&mut session, &mut client, &mut origin, now);
//!     let received = String::from_utf8(std::mem::take(&mut client.sent)).unwrap();
//!     assert!(received.starts_with("HTTP/1.1 200 OK\r\n") && received.ends_with("hi"));
//!     assert!(received.contains(told));
//! }
//! ```

pub mod addresses;
pub mod admission;
pub mod breaker;
#[doc(hidden)]
pub mod canary;
mod client;
pub mod config;
pub mod connections;
pub mod copies;
pub mod drive;
pub mod event;
mod exchange;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod gateway;
pub mod h1;
pub mod key;
pub mod limits;
pub mod message;
pub mod network;
pub mod pace;
pub mod pool;
pub mod report;
pub mod request_id;
mod reserve;
pub mod rng;
pub mod rules;
pub mod seldom;
pub mod session;
pub mod site;
pub mod store;
mod sync;
pub mod time;
mod waiting;

pub use config::{Config, ConfigErrors, Settings};
pub use gateway::Gateway;
pub use session::{Action, Input, Session, Side};
pub use site::{
    Answer, Completed, Decision, Fetch, Holding, Passing, Refresh, Refusal, Ruling, Served, Site,
    Slow, Ticket, Unanswered, Verdict,
};
pub use time::{Instant, UnixTime};

// A session moves between threads, and all of them share what they have in common.
const _: () = {
    const fn send<T: Send>() {}
    const fn sync<T: Send + Sync>() {}
    send::<Session>();
    sync::<Gateway>();
};
