//! Random peers: whatever they send and however they leave, a session always has a deadline while
//! it waits, always ends, and gives back what it holds.

use std::time::Duration;

use super::rig::Rig;
use crate::rng::Rng;
use crate::session::{Input, Side};

const FROM_CLIENT: [&str; 15] = [
    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: ws\r\n\r\n",
    "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    "3\r\nabc\r\n",
    "0\r\n\r\n",
    "abc",
    "a",
    "\r\n",
    "\r",
];

const FROM_ORIGIN: [&str; 13] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    "2\r\nok\r\n",
    "0\r\n\r\n",
    "HTTP/1.0 200 OK\r\n\r\nx",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 Switching\r\nUpgrade: ws\r\nConnection: upgrade\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\n",
    "ok",
];

const FACTS: [Input; 8] = [
    Input::ConnectFailed,
    Input::Drain,
    Input::GiveWay,
    Input::NoSocket,
    Input::ReadFailed(Side::Client),
    Input::ReadFailed(Side::Origin),
    Input::WriteFailed(Side::Client),
    Input::WriteFailed(Side::Origin),
];

const WAITS_MS: [u64; 5] = [1, 100, 3_000, 16_000, 61_000];

fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    let index = rng.next() % of.len() as u64;
    of[usize::try_from(index).unwrap()]
}

fn act(rig: &mut Rig, rng: &mut Rng) {
    rig.client_reads = !rng.next().is_multiple_of(4);
    match rng.next() % 16 {
        0..=5 => rig.offer(Side::Client, pick(rng, &FROM_CLIENT).as_bytes()),
        6..=11 => rig.offer(Side::Origin, pick(rng, &FROM_ORIGIN).as_bytes()),
        12 => {
            let side = pick(rng, &[Side::Client, Side::Origin]);
            if !rig.session.read_buf(side).is_empty() {
                rig.end_of(side);
            }
        }
        13 => {
            rig.input(pick(rng, &FACTS));
        }
        _ => {
            rig.wait(Duration::from_millis(pick(rng, &WAITS_MS)));
        }
    }
}

#[test]
fn a_session_always_ends_and_gives_everything_back() {
    let mut rng = Rng::new(1);
    let base = Rig::new();
    let mut now = base.now;
    for round in 0..3_000 {
        let mut rig = Rig::on(base.gateway.clone(), now);
        rig.reused = rng.next().is_multiple_of(2);
        rig.piece = pick(&mut rng, &[1, usize::MAX, usize::MAX]);
        for _ in 0..rng.next() % 14 {
            act(&mut rig, &mut rng);
            let waits = rig.session.is_done() || rig.session.poll_timeout().is_some();
            assert!(waits, "round {round}: no deadline in {:?}", rig.session);
        }
        // From here nobody does anything any more, and time alone must end it.
        rig.client_reads = false;
        for _ in 0..200 {
            if let Some(deadline) = rig.session.poll_timeout() {
                rig.now = rig.now.max(deadline);
                rig.wait(Duration::ZERO);
            }
        }
        assert!(rig.session.is_done(), "round {round}: {:?}", rig.session);
        while !rig.detached.is_empty() {
            let mut rest = rig.detached();
            for _ in 0..10 {
                rest.now = rest.session.poll_timeout().unwrap_or(rest.now);
                rest.wait(Duration::ZERO);
            }
            assert!(rest.session.is_done(), "round {round}: {:?}", rest.session);
            rig.now = rest.now;
        }
        assert_eq!(
            rig.gateway.site().stats(rig.now).admission.in_flight,
            0,
            "round {round}"
        );
        now = rig.now;
    }
}
