//! Owns the tests of the two buffers and of the bound on what a connection buffers.

use std::io::IoSlice;

use bytes::Bytes;

use super::*;
use crate::h1::{RecvBuf, SendQueue};
use crate::limits::RECV_CHUNK;

#[test]
fn recv_splits_without_a_copy() {
    let mut recv = RecvBuf::new();
    let room = recv.read_buf();
    assert_eq!(room.len(), RECV_CHUNK);
    room[..2000].fill(b'a');
    room[2000..2002].copy_from_slice(b"de");
    let start = room.as_ptr();
    recv.filled(2002);
    let taken = recv.take(2000);
    assert_eq!(
        (&taken[..], taken.as_ptr()),
        (&[b'a'; 2000][..], start),
        "the piece is where it was read to"
    );
    assert_eq!((recv.data(), recv.len()), (&b"de"[..], 2));
    assert_eq!(
        recv.read_buf().len(),
        RECV_CHUNK - 2002,
        "the tail is used on"
    );
    recv.release();
    assert_eq!(recv.data(), b"de", "data is never released");
    recv.advance(1);
    assert_eq!(recv.take(9), &b"e"[..]);
    assert!(recv.is_empty() && recv.take(1).is_empty());
    recv.advance(1);
    recv.release();
    assert_eq!(recv.read_buf().len(), RECV_CHUNK);
}

#[test]
fn small_pieces_leave_the_buffer_whole() {
    let mut recv = RecvBuf::small();
    let room = recv.read_buf();
    let (len, start) = (room.len(), room.as_ptr());
    for round in 0_u8..100 {
        let room = recv.read_buf();
        room[..100].fill(round);
        recv.filled(100);
        assert_eq!(recv.take(60), vec![round; 60]);
        assert_eq!(recv.take(60), vec![round; 40]);
        let room = recv.read_buf();
        assert_eq!((room.len(), room.as_ptr()), (len, start));
    }
}

#[test]
fn an_empty_buffer_serves_another_connection() {
    let mut first = RecvBuf::small();
    let start = first.read_buf().as_ptr();
    first.read_buf()[..6].copy_from_slice(b"secret");
    first.filled(6);
    first.lend();
    assert!(first.holds_memory(), "not while data is in it");
    first.advance(6);
    first.lend();
    assert!(!first.holds_memory());
    let mut second = RecvBuf::small();
    assert_eq!(second.read_buf().as_ptr(), start);
    assert!(
        second.data().is_empty(),
        "nothing is data before it is read"
    );
    assert_ne!(first.read_buf().as_ptr(), start, "it has one holder");
}

#[test]
fn a_written_chunk_is_read_into_again() {
    let mut recv = RecvBuf::new();
    let room = recv.read_buf();
    let (len, start) = (room.len(), room.as_ptr());
    room.fill(b'x');
    recv.filled(len);
    let chunk = recv.take(len);
    let kept = chunk.clone();
    let mut queue = SendQueue::new();
    queue.push(chunk.clone());
    queue.push(chunk);
    queue.advance(len);
    assert_ne!(recv.read_buf().as_ptr(), start, "others hold it");
    drop(kept);
    queue.advance(len);
    assert_eq!(RecvBuf::new().read_buf().as_ptr(), start);
}

#[test]
fn recv_keeps_data_when_it_grows() {
    let mut recv = RecvBuf::new();
    let mut expected = Vec::new();
    for round in 0_u8..10 {
        let room = recv.read_buf();
        assert!(!room.is_empty() && room.len() <= RECV_CHUNK);
        room.fill(round);
        let len = room.len();
        expected.extend(std::iter::repeat_n(round, len));
        recv.filled(len);
    }
    assert_eq!(recv.data(), expected);
    assert_eq!(recv.take(expected.len()), expected);
}

#[test]
fn recv_offers_as_much_as_its_peer_needs() {
    #[track_caller]
    fn check(mut recv: RecvBuf, read: &[usize], expected: usize) {
        for &len in read {
            assert!(recv.read_buf().len() >= len);
            recv.filled(len);
        }
        assert_eq!(recv.read_buf().len(), expected, "{read:?}");
    }
    let small = RecvBuf::small().read_buf().len();
    assert!(small * 4 < RECV_CHUNK);
    // A tail is used on for as long as a quarter of it is free.
    check(RecvBuf::new(), &[RECV_CHUNK * 3 / 4], RECV_CHUNK / 4);
    check(RecvBuf::new(), &[RECV_CHUNK * 3 / 4 + 1], RECV_CHUNK);
    // A peer that sends little costs little; one that fills the buffer has more to say.
    check(RecvBuf::small(), &[small - 1], small);
    check(RecvBuf::small(), &[small - 1, small - 1], small);
    check(RecvBuf::small(), &[small], RECV_CHUNK);
}

fn written(queue: &SendQueue, slots: usize) -> (usize, Vec<u8>) {
    let mut slices = vec![IoSlice::new(&[]); slots];
    let count = queue.slices(&mut slices);
    (
        count,
        slices.iter().flat_map(|slice| slice.to_vec()).collect(),
    )
}

#[test]
fn send_keeps_order_over_small_and_large_parts() {
    let large = Bytes::from(vec![b'L'; 1000]);
    let mut queue = SendQueue::new();
    queue.push(Bytes::new());
    assert!(queue.is_empty());
    queue.push(Bytes::from_static(b"head"));
    queue.push_slice(b"size");
    queue.push(large.clone());
    queue.push(Bytes::from_static(b"end"));
    let (count, all) = written(&queue, 8);
    assert_eq!((count, queue.len()), (3, 1011));
    assert_eq!(all, [b"headsize", &large[..], b"end"].concat());
    let mut slots = [IoSlice::new(&[]); 2];
    assert_eq!(queue.slices(&mut slots), 2);
    assert_eq!(
        slots[1].as_ptr(),
        large.as_ptr(),
        "large parts are not copied"
    );

    for step in [3, 5, 0, 999, 1, 1] {
        queue.advance(step);
        let rest = written(&queue, 8).1;
        assert_eq!(rest.len(), queue.len());
        assert!(all.ends_with(&rest));
    }
    queue.push_slice(b"!");
    assert_eq!(written(&queue, 8), (1, b"nd!".to_vec()));
    queue.advance(3);
    assert!(queue.is_empty() && written(&queue, 8).0 == 0);
    queue.push(large);
    queue.clear();
    assert_eq!((queue.len(), written(&queue, 8).0), (0, 0));
}

#[test]
fn what_is_sent_leaves_no_part_behind() {
    let large = Bytes::from(vec![b'L'; 1000]);
    let mut queue = SendQueue::new();
    queue.push(large.clone());
    queue.push(large);
    queue.advance(1000);
    assert_eq!(written(&queue, 8).0, 1);
    queue.advance(1000);
    assert_eq!(written(&queue, 8).0, 0);
}

#[test]
fn one_byte_parts_share_a_buffer() {
    let mut queue = SendQueue::new();
    for _ in 0..10_000 {
        queue.push(Bytes::from_static(b"x"));
    }
    assert_eq!(written(&queue, 64).0, 1);
}

/// Offers bytes for as long as there is room; returns how many were taken.
fn stuff(conn: &mut impl Conn, byte: u8) -> usize {
    let mut total = 0;
    loop {
        let room = conn.read_buf();
        room.fill(byte);
        let len = room.len();
        if len == 0 {
            return total;
        }
        conn.handle_read(len);
        total += len;
    }
}

#[test]
fn reading_pauses_at_the_bound() {
    #[track_caller]
    fn check(head_bytes_max: usize) {
        let bound = (2 * RECV_CHUNK).max(head_bytes_max + RECV_CHUNK);
        let head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n";
        let mut conn = ServerConn::new(head_bytes_max);
        conn.read_buf()[..head.len()].copy_from_slice(head);
        conn.handle_read(head.len());
        let mut body = stuff(&mut conn, b'x');
        assert!((head_bytes_max..bound).contains(&(head.len() + body)));
        assert!(matches!(conn.next_event(), Ok(Event::Head(_))));
        let mut read = 0;
        while read < 100_000 {
            match conn.next_event().unwrap() {
                Event::Data(data) => read += data.len(),
                Event::NeedData => {
                    let more = stuff(&mut conn, b'x');
                    assert!(more > 0 && more < bound, "drained, so reading goes on");
                    body += more;
                }
                event @ (Event::Head(_) | Event::End { .. } | Event::Closed) => {
                    panic!("unexpected {event:?}")
                }
            }
        }
        assert!(body >= 100_000);
        assert!(matches!(conn.next_event(), Ok(Event::End { .. })));
        // The next request is not parsed before its cycle, and is bounded as well.
        stuff(&mut conn, b'x');
        assert_eq!(conn.next_event(), Ok(Event::NeedData));
        assert!(conn.take_buffered().len() < bound);
    }
    check(1024);
    check(16 * 1024);
    check(65_535);
}

#[test]
fn a_pause_never_starves_the_parser() {
    for head_bytes_max in [100, 16 * 1024, 65_535] {
        let mut conn = ServerConn::new(head_bytes_max);
        stuff(&mut conn, b'x');
        assert_eq!(conn.next_event(), Err(ProtocolError::TargetTooLong));
    }
    let mut conn = ClientConn::new(100);
    conn.begin(&Method::GET, false);
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    conn.read_buf()[..head.len()].copy_from_slice(head);
    conn.handle_read(head.len());
    assert!(matches!(conn.next_event(), Ok(Event::Head(_))));
    assert_eq!(conn.next_event(), Ok(Event::NeedData));
    stuff(&mut conn, b'x');
    assert_eq!(conn.next_event(), Err(ProtocolError::TrailersTooLarge));
}

#[test]
fn nothing_is_read_after_the_end() {
    let mut conn = ServerConn::new(1024);
    conn.handle_read(0);
    assert!(conn.read_buf().is_empty() && conn.is_eof() && conn.is_idle());
    assert_eq!(conn.next_event(), Ok(Event::Closed));
    conn.release_if_idle();
    assert_eq!(conn.next_event(), Ok(Event::Closed));
}
