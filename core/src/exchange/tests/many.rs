//! A client that carries several exchanges at once, as HTTP/2 does: the proof that an exchange
//! needs nothing that such a client does not have.

use bytes::Bytes;

use super::*;
use crate::limits::RECV_CHUNK;

/// Frames of all streams in the order in which they leave, each of which has a window.
struct Multiplexer {
    /// Each with the bytes that its client still takes.
    streams: Vec<(Stream, usize)>,
    frames: Vec<(usize, String)>,
}

impl Multiplexer {
    fn new(gateway: &Arc<Gateway>, requests: &[(&str, usize)]) -> Self {
        let streams = requests
            .iter()
            .map(|(request, window)| (Stream::begin(gateway, request), *window))
            .collect();
        Self {
            streams,
            frames: Vec::new(),
        }
    }

    /// Pulls one part of each in turn, as long as its window is open.
    fn turn(&mut self) -> bool {
        let mut moved = false;
        for (number, (stream, window)) in self.streams.iter_mut().enumerate() {
            if stream.exchange.is_streaming() {
                stream.exchange.handle_room(*window > 0, stream.now);
            }
            if !stream.pull() {
                continue;
            }
            moved = true;
            for frame in stream.pulled.drain(..) {
                if stream.exchange.is_streaming() && !frame.starts_with("200") {
                    *window = window.saturating_sub(frame.len());
                }
                self.frames.push((number, frame));
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
    let mut both = Multiplexer::new(&retter(), &[(GET, usize::MAX), (POST, usize::MAX)]);
    both.run();
    assert!(both.frames.is_empty(), "neither origin has answered");
    let (post, _) = &mut both.streams[1];
    post.send(Content::Data(Bytes::from_static(b"good")));
    // The one that began last answers first.
    post.send(Content::End(Fields::default()));
    post.origin_sends(b"HTTP/1.1 201 Made\r\nContent-Length: 2\r\n\r\n");
    both.run();
    assert_eq!(both.got(1), "201 backend 2 bytes;");
    both.streams[0].0.origin_sends(PAGE);
    both.streams[1].0.origin_sends(b"ok");
    both.run();
    let order: Vec<_> = both.frames.iter().map(|(number, _)| *number).collect();
    assert_eq!(order, [0, 1, 0, 1, 0], "they take turns");
    assert_eq!(both.got(0), "200 backend 4 bytes;good;end true;");
    assert_eq!(both.got(1), "ok;end true;");
    for (stream, _) in &both.streams {
        assert!(stream.exchange.is_over());
        assert_eq!(stream.reports.len(), 1);
    }
}

#[test]
fn a_full_window_holds_up_its_own_origin_only() {
    const LENGTH: usize = 8 * RECV_CHUNK;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
    let page = [head.as_bytes(), &[b'x'; LENGTH]].concat();
    let mut both = Multiplexer::new(&retter(), &[(GET, RECV_CHUNK), (GET, usize::MAX)]);
    let mut sent = [0; 2];
    for _ in 0..64 {
        for (number, sent) in sent.iter_mut().enumerate() {
            let piece = page.len().min(*sent + RECV_CHUNK);
            *sent += both.streams[number].0.origin_sends(&page[*sent..piece]);
        }
        both.run();
    }
    assert_eq!(sent[1], page.len());
    assert!(both.got(1).ends_with("end true;"));
    assert!(
        (RECV_CHUNK..4 * RECV_CHUNK).contains(&sent[0]),
        "{} bytes were read for a client that takes {RECV_CHUNK}",
        sent[0]
    );
    assert!(both.streams[0].0.exchange.read_buf().is_empty());
    assert!(!both.got(0).contains("end true"));

    // Its window opens again, and the rest follows.
    both.streams[0].1 = usize::MAX;
    for _ in 0..64 {
        both.run();
        let rest = &page[sent[0]..];
        sent[0] += both.streams[0].0.origin_sends(rest);
    }
    both.run();
    assert!(both.got(0).ends_with("end true;"));
}

#[test]
fn one_that_is_left_does_not_touch_the_other() {
    let mut both = Multiplexer::new(&retter(), &[(GET, usize::MAX), (GET, usize::MAX)]);
    let now = both.streams[0].0.now;
    both.streams[0].0.exchange.handle_left(now);
    both.streams[1].0.origin_sends(PAGE);
    both.run();
    assert_eq!(both.got(0), "");
    assert_eq!(both.got(1), "200 backend 4 bytes;good;end true;");
}
