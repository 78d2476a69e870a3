//! Owns the proof that bodies stream: large ones in bounded memory, events at once, slow clients
//! without harm to others.
//! Never measures speed.

use std::io::Write;
use std::sync::mpsc::{self, Receiver, Sender};

use flate2::write::GzDecoder;
use retter_tests::client::{Client, Request, ResponseHead};
use retter_tests::origin::{Answer, Origin};
use retter_tests::page::{Blocks, Sum};
use retter_tests::reply::{Reply, Style};
use retter_tests::retter::Retter;
use retter_tests::signal::Watched;
use retter_tests::wire::Framing;
use retter_tests::{DEADLINE, retter_program};

/// How much more memory than when idle a stream of any length may take.
const MEMORY_MAX: u64 = 64 << 20;

/// 1 GiB, unless the environment says otherwise (a slow machine, a quick look).
fn large_len() -> u64 {
    std::env::var("RETTER_STREAM_BYTES").map_or(1 << 30, |len| len.parse().expect("a number"))
}

/// What RETTER used before: a small request warms everything that exists once.
fn idle_memory(retter: &Retter) -> u64 {
    assert_eq!(retter.ask(&Request::get("/small")).status, 200);
    retter.memory("VmRSS")
}

#[track_caller]
fn check_memory(retter: &Retter, idle: u64) {
    let grown = retter.memory("VmHWM").saturating_sub(idle);
    assert!(grown < MEMORY_MAX, "{grown} bytes above idle ({idle})");
}

fn read_sum(client: &mut Client) -> (u64, u32) {
    let mut sum = Sum::default();
    while let Some(piece) = client.piece() {
        sum.add(&piece);
    }
    sum.value()
}

#[test]
fn a_large_download_takes_little_memory() {
    let len = large_len();
    let expected = Blocks::new(len).sum();
    let origin = Origin::start(move |seen| match seen.target.as_str() {
        "/length" => Reply::blocks(len),
        "/chunked" => Reply::blocks(len).style(Style::Chunked),
        _ => Reply::text("small"),
    });
    let retter = Retter::start(retter_program!(), origin.address());
    let idle = idle_memory(&retter);
    for (target, framing) in [
        ("/length", Framing::Length(len)),
        ("/chunked", Framing::Chunked),
    ] {
        let mut client = retter.client();
        client.send(&Request::get(target).to_bytes());
        assert_eq!(client.head("GET").framing, Some(framing), "{target}");
        assert_eq!(read_sum(&mut client), expected, "{target}");
    }
    check_memory(&retter, idle);
}

#[test]
fn a_large_upload_takes_little_memory() {
    let len = large_len();
    let origin = Origin::start(|seen| Reply::text(format!("{:?}", seen.sum)));
    let retter = Retter::start(retter_program!(), origin.address());
    let idle = idle_memory(&retter);
    let mut client = retter.client();
    let head = format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n");
    client.send(head.as_bytes());
    let mut blocks = Blocks::new(len);
    while let Some(block) = blocks.next_block() {
        client.send(block);
    }
    let expected = Blocks::new(len).sum();
    assert_eq!(client.response("POST").text(), format!("{expected:?}"));
    check_memory(&retter, idle);
}

#[test]
fn a_chunked_upload_arrives_whole() {
    const LEN: u64 = 16 << 20;
    let origin = Origin::start(|seen| Reply::text(format!("{:?}", seen.sum)));
    let retter = Retter::start(retter_program!(), origin.address());
    let mut client = retter.client();
    client.send(b"PUT /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut blocks = Blocks::new(LEN);
    while let Some(block) = blocks.next_block() {
        client.send(format!("{:x}\r\n", block.len()).as_bytes());
        client.send(block);
        client.send(b"\r\n");
    }
    client.send(b"0\r\n\r\n");
    let expected = Blocks::new(LEN).sum();
    assert_eq!(client.response("PUT").text(), format!("{expected:?}"));
}

/// An origin that sends an event only when the test says so, as an endless chunked response.
fn events(content_type: &'static str, next: Receiver<String>) -> Origin {
    let next = Watched::new(Some(next));
    Origin::start(move |_| {
        let next = next.change(Option::take).expect("one request");
        Answer::talk(move |wire| {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n\
                 Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
            );
            let _ = wire.send(head.as_bytes());
            for event in next {
                let chunk = format!("{:x}\r\n{event}\r\n", event.len());
                let _ = wire.send(chunk.as_bytes());
            }
            let _ = wire.send(b"0\r\n\r\n");
        })
    })
}

/// Takes an event out of the stream, from its gzip coding if it has one.
struct Events {
    client: Client,
    decoder: Option<GzDecoder<Vec<u8>>>,
    text: Vec<u8>,
}

impl Events {
    fn new(client: Client, head: &ResponseHead) -> Self {
        let coded = head.field("content-encoding") == Some("gzip");
        Self {
            client,
            decoder: coded.then(|| GzDecoder::new(Vec::new())),
            text: Vec::new(),
        }
    }

    fn expect(&mut self, event: &str) {
        while self.text.len() < event.len() {
            let piece = self.client.piece().expect("the stream goes on");
            match &mut self.decoder {
                None => self.text.extend_from_slice(&piece),
                Some(decoder) => {
                    decoder
                        .write_all(&piece)
                        .and_then(|()| decoder.flush())
                        .expect("the gzip coding is whole");
                    self.text.append(decoder.get_mut());
                }
            }
        }
        assert_eq!(String::from_utf8_lossy(&self.text), event);
        self.text.clear();
    }
}

#[test]
fn each_event_comes_before_the_next_is_sent() {
    #[track_caller]
    fn check(content_type: &'static str, accept_encoding: &str) {
        let (send, next): (Sender<String>, _) = mpsc::channel();
        let origin = events(content_type, next);
        let retter = Retter::start(retter_program!(), origin.address());
        let mut client = retter.client();
        let request = Request::get("/events").field("Accept-Encoding", accept_encoding);
        client.send(&request.to_bytes());
        let head = client.head("GET");
        assert_eq!(head.source(), "backend");
        let mut events = Events::new(client, &head);
        for number in 0..50 {
            let event = format!("id: {number}\ndata: {}\n\n", "x".repeat(number * 7));
            send.send(event.clone()).unwrap();
            events.expect(&event);
        }
        drop(send);
        while let Some(piece) = events.client.piece() {
            assert!(events.decoder.is_some(), "after the last event: {piece:?}");
        }
    }
    check("text/event-stream", "identity");
    check("text/event-stream", "gzip");
    // Nothing but the coding may hold a piece back, whatever its type.
    check("text/plain", "identity");
}

#[test]
fn a_slow_client_does_not_stall_another() {
    const LEN: u64 = 64 << 20;
    const SLOW: usize = 8;
    let origin = Origin::start(|seen| match seen.target.as_str() {
        "/large" => Reply::blocks(LEN),
        _ => Reply::text("small"),
    });
    // A client that reads nothing for as long as this test takes must not be thrown out.
    let patience = format!("{}s", DEADLINE.as_secs() * 10);
    let settings = [("RETTER_SERVER_TIMEOUT_WRITE", patience.as_str())];
    let retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    let idle = idle_memory(&retter);
    let mut slow = [(); SLOW].map(|()| {
        let mut client = retter.client();
        client.send(&Request::get("/large").to_bytes());
        let _ = client.head("GET");
        client
    });
    for number in 0..200 {
        let mut client = retter.client();
        for _ in 0..5 {
            assert_eq!(
                client.ask(&Request::get(&format!("/{number}"))).text(),
                "small"
            );
        }
    }
    check_memory(&retter, idle);
    let expected = Blocks::new(LEN).sum();
    for client in &mut slow {
        assert_eq!(read_sum(client), expected);
    }
}

#[test]
fn a_large_text_is_compressed_while_it_streams() {
    let text = "the same words again and again, as pages are\n".repeat(1 << 20);
    let body = text.clone();
    let origin = Origin::start(move |seen| match seen.target.as_str() {
        "/large" => Reply::text(body.as_str()),
        _ => Reply::text("small"),
    });
    let retter = Retter::start(retter_program!(), origin.address());
    let idle = idle_memory(&retter);
    let response = retter.ask(&Request::get("/large").field("Accept-Encoding", "gzip"));
    assert_eq!(response.field("content-encoding"), Some("gzip"));
    assert_eq!(response.framing, Some(Framing::Chunked));
    assert!(response.fields.lists("vary", "accept-encoding"));
    assert!(response.body.len() < text.len() / 10);
    assert!(response.text() == text, "{} bytes", response.body.len());
    check_memory(&retter, idle);
}
