//! Owns the harness of tests and fuzzers of `h1`: bytes in, events out, cut in every way.
//! Never looks at private state.

use super::{ClientConn, Event, Framing, ProtocolError, ServerConn};
use crate::message::{Fields, RequestHead, ResponseHead};

pub(crate) const HEAD_BYTES_MAX: usize = 2048;

/// The events of one input, neighbouring data joined, and how it ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run<H> {
    pub(crate) events: Vec<Seen<H>>,
    pub(crate) end: Result<Ended, ProtocolError>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen<H> {
    Head(H, Framing),
    Data(Vec<u8>),
    End(Fields),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ended {
    Closed,
    NeedData,
}

/// The common face of both connections.
pub(crate) trait Conn {
    type Head: Clone + std::fmt::Debug + PartialEq;
    fn read_buf(&mut self) -> &mut [u8];
    fn handle_read(&mut self, len: usize);
    fn next_event(&mut self) -> Result<Event<Self::Head>, ProtocolError>;
    fn framing(&self) -> Framing;
    fn next_cycle(&mut self);
}

impl Conn for ServerConn {
    type Head = RequestHead;
    fn read_buf(&mut self) -> &mut [u8] {
        self.read_buf()
    }
    fn handle_read(&mut self, len: usize) {
        self.handle_read(len);
    }
    fn next_event(&mut self) -> Result<Event<RequestHead>, ProtocolError> {
        self.next_event()
    }
    fn framing(&self) -> Framing {
        self.framing()
    }
    fn next_cycle(&mut self) {
        self.start_next_cycle();
    }
}

impl Conn for ClientConn {
    type Head = ResponseHead;
    fn read_buf(&mut self) -> &mut [u8] {
        self.read_buf()
    }
    fn handle_read(&mut self, len: usize) {
        self.handle_read(len);
    }
    fn next_event(&mut self) -> Result<Event<ResponseHead>, ProtocolError> {
        self.next_event()
    }
    fn framing(&self) -> Framing {
        self.framing()
    }
    fn next_cycle(&mut self) {
        self.start_next_cycle();
    }
}

/// How an input is cut into reads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    Whole,
    Bytewise,
    Random(u64),
}

impl Cut {
    fn next_len(&mut self, left: usize) -> usize {
        match self {
            Self::Whole => left,
            Self::Bytewise => 1,
            Self::Random(state) => {
                *state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let bound = if *state >> 63 == 0 { 8 } else { 200 };
                1 + usize::try_from((*state >> 33) % bound).expect("the bound is small")
            }
        }
    }
}

/// Feeds `input` and then, if `eof`, the end of the stream.
pub(crate) fn run<C: Conn>(
    conn: &mut C,
    mut input: &[u8],
    mut cut: Cut,
    eof: bool,
) -> Run<C::Head> {
    let mut events = Vec::new();
    while !input.is_empty() {
        let wanted = cut.next_len(input.len()).min(input.len());
        let mut offered = 0;
        while offered < wanted {
            let room = conn.read_buf();
            let len = room.len().min(wanted - offered);
            if len == 0 {
                break;
            }
            room[..len].copy_from_slice(&input[offered..offered + len]);
            conn.handle_read(len);
            offered += len;
        }
        let end = drain(conn, &mut events);
        if end != Ok(Ended::NeedData) || offered == 0 {
            return Run { events, end };
        }
        input = &input[offered..];
    }
    if eof {
        conn.handle_read(0);
    }
    let end = drain(conn, &mut events);
    Run { events, end }
}

fn drain<C: Conn>(conn: &mut C, events: &mut Vec<Seen<C::Head>>) -> Result<Ended, ProtocolError> {
    loop {
        match conn.next_event() {
            Ok(Event::Head(head)) => {
                let framing = conn.framing();
                events.push(Seen::Head(head, framing));
            }
            Ok(Event::Data(data)) => {
                assert!(!data.is_empty(), "data events are never empty");
                match events.last_mut() {
                    Some(Seen::Data(all)) => all.extend_from_slice(&data),
                    _ => events.push(Seen::Data(data.to_vec())),
                }
            }
            Ok(Event::End { trailers }) => {
                events.push(Seen::End(trailers));
                conn.next_cycle();
            }
            Ok(Event::NeedData) => return Ok(Ended::NeedData),
            Ok(Event::Closed) => return Ok(Ended::Closed),
            Err(error) => {
                assert_eq!(conn.next_event(), Err(error), "errors stay");
                assert!(
                    conn.read_buf().is_empty(),
                    "a failed connection reads nothing"
                );
                return Err(error);
            }
        }
    }
}
