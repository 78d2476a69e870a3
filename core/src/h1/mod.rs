//! HTTP/1.1 as two pure machines that turn bytes into events, and the writers of the way back.
//! Never touches a socket, decides no policy, and guesses nothing: what is ambiguous is an error.
//!
//! RFC 9112 (message syntax), RFC 9110 (fields and semantics). Usable alone:
//!
//! ```
//! use retter_core::h1::{Event, HeadWriter, SendQueue, ServerConn};
//!
//! let mut conn = ServerConn::new(16 * 1024);
//! let request = b"GET /a HTTP/1.1\r\nHost: example.org\r\n\r\n";
//! conn.read_buf()[..request.len()].copy_from_slice(request); // what a socket would do
//! conn.handle_read(request.len());
//! let Ok(Event::Head(head)) = conn.next_event() else { panic!("a whole head is there") };
//! assert_eq!(head.path(), b"/a");
//! assert!(matches!(conn.next_event(), Ok(Event::End { .. })));
//!
//! let mut out = SendQueue::new();
//! let mut head = HeadWriter::response(&mut out, http::StatusCode::NO_CONTENT, b"");
//! head.field("server", b"example");
//! head.finish();
//! assert_eq!(out.len(), b"HTTP/1.1 204 No Content\r\nserver: example\r\n\r\n".len());
//! conn.start_next_cycle();
//! ```

mod body;
mod client;
mod decode;
mod encode;
mod event;
mod fields;
#[cfg(any(test, fuzzing))]
pub(crate) mod harness;
mod head;
mod recv;
mod send;
mod server;
mod target;
#[cfg(test)]
mod tests;
mod wire;

pub use body::{Framing, keep_alive, request_framing, response_framing};
pub use client::ClientConn;
pub use encode::{BodyEncoder, BodyError, HeadWriter};
pub use event::Event;
pub use recv::RecvBuf;
pub use send::SendQueue;
pub use server::ServerConn;

pub use crate::message::ProtocolError;
