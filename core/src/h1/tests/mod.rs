//! Owns the tests of `h1`: bytes in, events out, cut in every way.
//! Never looks at private state.

use http::Method;

use super::harness::{Conn, Cut, Ended, HEAD_BYTES_MAX, Run, Seen, run};
use super::{ClientConn, Event, Framing, ProtocolError, ServerConn};
use crate::message::{Fields, RequestHead, ResponseHead};

mod buffers;
mod chunked;
mod lifecycle;
mod requests;
mod responses;
mod round_trip;

pub(super) const CUTS: [Cut; 6] = [
    Cut::Whole,
    Cut::Bytewise,
    Cut::Random(1),
    Cut::Random(2),
    Cut::Random(3),
    Cut::Random(4),
];

/// The run of requests, which must not depend on how they are cut.
#[track_caller]
pub(super) fn run_requests(input: &[u8], eof: bool) -> Run<RequestHead> {
    let run_with = |cut| run(&mut ServerConn::new(HEAD_BYTES_MAX), input, cut, eof);
    let whole = run_with(Cut::Whole);
    for cut in CUTS {
        assert_eq!(run_with(cut), whole, "{cut:?}: {}", input.escape_ascii());
    }
    whole
}

/// The run of one response to `method`, which must not depend on how it is cut.
#[track_caller]
pub(super) fn run_response(
    method: &Method,
    is_upgrade_asked: bool,
    input: &[u8],
    eof: bool,
) -> (ClientConn, Run<ResponseHead>) {
    let run_with = |cut| {
        let mut conn = ClientConn::new(HEAD_BYTES_MAX);
        conn.begin(method, is_upgrade_asked);
        let run = run(&mut conn, input, cut, eof);
        (conn, run)
    };
    let (conn, whole) = run_with(Cut::Whole);
    for cut in CUTS {
        assert_eq!(run_with(cut).1, whole, "{cut:?}: {}", input.escape_ascii());
    }
    (conn, whole)
}
