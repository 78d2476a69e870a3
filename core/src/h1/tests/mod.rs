//! Owns the tests of `h1`: bytes in, events out, cut in every way.
//! Never looks at private state.

use http::Method;

use super::harness::{
    Conn, Cut, Ended, HEAD_BYTES_MAX, Run, Seen, run, run_requests, run_response,
};
use super::{ClientConn, Event, Framing, ProtocolError, ServerConn};
use crate::message::Fields;

mod buffers;
mod chunked;
mod requests;
mod responses;
mod round_trip;
