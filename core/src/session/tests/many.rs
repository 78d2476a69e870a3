//! A client that carries several exchanges at once over the join of every session, as HTTP/2 does:
//! the proof that neither an exchange nor the join needs what such a client does not have.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::client::{Piece, Stream};
use crate::config::{ClientSettings, Settings};
use crate::exchange::reply::Reply;
use crate::exchange::tests::{Driven, GET, PAGE, POST, gateway, told};
use crate::gateway::Gateway;
use crate::limits::{QUEUE_BYTES_FREE, RECV_CHUNK};
use crate::message::{Fields, ProtocolError};
use crate::session::join::{self, Passed};
use crate::time::Instant;

/// One stream of the client's connection.
#[derive(Default)]
struct Lane {
    /// What came on it.
    content: VecDeque<Piece>,
    /// It was reset by the client.
    is_reset: bool,
    /// Frames that wait for the window.
    queued: VecDeque<String>,
    /// How often the client was told that it may send again.
    resumed: usize,
}

impl Stream for Lane {
    fn poll_content(&mut self) -> Result<Piece, ProtocolError> {
        match self.content.pop_front() {
            None if self.is_reset => Err(ProtocolError::UnexpectedEof),
            piece => Ok(piece.unwrap_or(Piece::Nothing)),
        }
    }

    fn resume_content(&mut self, _: &ClientSettings, _: Instant) {
        self.resumed += 1;
    }

    fn take_buffered(&mut self) -> Bytes {
        Bytes::new()
    }

    fn is_eof(&self) -> bool {
        self.is_reset
    }

    fn handle_reply(&mut self, reply: Reply, _: &ClientSettings, _: Instant) {
        self.queued.push_back(told(&reply));
    }

    fn held(&self) -> usize {
        self.queued.iter().map(String::len).sum()
    }

    fn wants_nothing(&self) -> bool {
        true
    }

    fn poll_shut(&mut self) -> bool {
        false
    }
}

/// A stream, its exchange, and the bytes that the client still takes on it.
struct Joined {
    driven: Driven,
    lane: Lane,
    window: usize,
}

/// The client's connection: frames of all streams in the order in which they leave.
struct Connection {
    frames: Vec<(usize, String)>,
    gateway: Arc<Gateway>,
    streams: Vec<Joined>,
}

impl Connection {
    fn new(requests: &[(&str, usize)]) -> Self {
        let mut settings = Settings::default();
        // What a client does not take is held up to a few KiB, and no further.
        settings.client.send_bytes_max = 0;
        let gateway = gateway(&settings);
        let streams = requests
            .iter()
            .map(|(request, window)| Joined {
                driven: Driven::begin(&gateway, request),
                lane: Lane::default(),
                window: *window,
            })
            .collect();
        Self {
            frames: Vec::new(),
            gateway,
            streams,
        }
    }

    /// Joins each stream to its exchange once, then lets one frame of each leave.
    fn turn(&mut self) -> bool {
        let mut moved = false;
        for (number, joined) in self.streams.iter_mut().enumerate() {
            let Joined { driven, lane, .. } = joined;
            let (exchange, now) = (&mut driven.exchange, driven.now);
            let passed = join::pass_content(lane, exchange, self.gateway.client(), now);
            if passed == Passed::BrokenOff && !exchange.is_over() {
                exchange.handle_left(now);
            }
            let takes_turns = passed != Passed::Shut;
            moved |= passed == Passed::Some;
            moved |= join::pass_replies(lane, exchange, takes_turns, &self.gateway, now);
            driven.settle();
            if joined.window > 0
                && let Some(frame) = joined.lane.queued.pop_front()
            {
                joined.window = joined.window.saturating_sub(frame.len());
                self.frames.push((number, frame));
                moved = true;
            }
        }
        moved
    }

    fn run(&mut self) {
        while self.turn() {}
    }

    /// What stream `number` has got since the last call.
    fn got(&mut self, number: usize) -> String {
        let (its, others) = self.frames.drain(..).partition(|(of, _)| *of == number);
        self.frames = others;
        let its: Vec<(usize, String)> = its;
        its.into_iter().map(|(_, frame)| frame + ";").collect()
    }
}

#[test]
fn two_exchanges_answer_in_turn() {
    let mut both = Connection::new(&[(GET, usize::MAX), (POST, usize::MAX)]);
    both.run();
    assert!(both.frames.is_empty(), "neither origin has answered");
    let post = &mut both.streams[1];
    let content = [
        Piece::Data(Bytes::from_static(b"good")),
        Piece::End(Fields::default()),
    ];
    post.lane.content.extend(content);
    both.run();
    let asked = |number: usize| &both.streams[number].driven.asked;
    assert!(asked(1).ends_with("\r\n\r\ngood"));
    assert!(asked(0).starts_with("GET ") && asked(0).ends_with("\r\n\r\n"));
    // The one that began last answers first.
    let head = b"HTTP/1.1 201 Made\r\nContent-Length: 2\r\n\r\n";
    both.streams[1].driven.origin_sends(head);
    both.run();
    assert_eq!(both.got(1), "201 backend 2 bytes;");
    both.streams[0].driven.origin_sends(PAGE);
    both.streams[1].driven.origin_sends(b"ok");
    both.run();
    let order: Vec<_> = both.frames.iter().map(|(number, _)| *number).collect();
    assert_eq!(order, [0, 1, 0, 1, 0], "they take turns");
    assert_eq!(both.got(0), "200 backend 4 bytes;good;end true;");
    assert_eq!(both.got(1), "ok;end true;");
    for joined in &both.streams {
        assert!(joined.driven.exchange.is_over());
        assert_eq!(joined.driven.reports.len(), 1);
    }
}

#[test]
fn a_full_window_holds_up_its_own_origin_only() {
    const LENGTH: usize = 8 * RECV_CHUNK;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
    let page = [head.as_bytes(), &[b'x'; LENGTH]].concat();
    let mut both = Connection::new(&[(GET, RECV_CHUNK), (GET, usize::MAX)]);
    let mut sent = [0; 2];
    for _ in 0..64 {
        for (number, sent) in sent.iter_mut().enumerate() {
            let piece = page.len().min(*sent + RECV_CHUNK);
            *sent += both.streams[number]
                .driven
                .origin_sends(&page[*sent..piece]);
        }
        both.run();
    }
    assert_eq!(sent[1], page.len());
    assert!(both.got(1).ends_with("end true;"));
    assert!(
        (RECV_CHUNK..5 * RECV_CHUNK).contains(&sent[0]),
        "{} bytes were read for a client that takes {RECV_CHUNK}",
        sent[0]
    );
    let slow = &mut both.streams[0];
    assert!(slow.driven.exchange.read_buf().is_empty());
    assert!(slow.lane.held() < QUEUE_BYTES_FREE + 2 * RECV_CHUNK);
    assert!(!both.got(0).contains("end true"));

    // Its window opens again, and the rest follows.
    both.streams[0].window = usize::MAX;
    for _ in 0..64 {
        both.run();
        let rest = &page[sent[0]..];
        sent[0] += both.streams[0].driven.origin_sends(rest);
    }
    both.run();
    assert!(both.got(0).ends_with("end true;"));
}

#[test]
fn a_stream_that_is_reset_does_not_touch_the_other() {
    let mut both = Connection::new(&[(POST, usize::MAX), (GET, usize::MAX)]);
    both.run();
    both.streams[0].lane.is_reset = true;
    both.run();
    assert!(both.streams[0].driven.exchange.is_over());
    both.streams[1].driven.origin_sends(PAGE);
    both.run();
    assert_eq!(both.got(0), "");
    assert_eq!(both.got(1), "200 backend 4 bytes;good;end true;");
}
