//! Every interleaving of a few threads at one waiting room (`bash tests/run.sh loom`): each who is
//! turned away has a place of its own, and whoever passes the room by does so because it is empty.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use loom::thread;

use super::{Bearing, Claim, Position, Turn, Visitor, WaitingRoom};
use crate::sync::every_interleaving;
use crate::time::Instant;

const BEARING: Bearing = Bearing {
    is_idle: false,
    places: 1,
    per_second: 1.0,
};

/// 2026-12-01, in microseconds.
const TODAY: u64 = 1_796_083_200_000_000;

const SECOND: Duration = Duration::from_secs(1);

fn visitor(network: u8, claim: Option<Claim>) -> Visitor<'static> {
    Visitor {
        claim,
        is_own: true,
        micros: TODAY,
        peer: IpAddr::V4(Ipv4Addr::new(192, 0, network, 1)),
        program: b"browser",
    }
}

/// The gate has turned one of this network away.
fn turned_away(room: &WaitingRoom, network: u8) -> Position {
    match room.turned_away(&visitor(network, None), BEARING, Instant::ZERO) {
        Turn::Waits(position) => position,
        other @ (Turn::Goes | Turn::Refused) => panic!("{other:?}"),
    }
}

fn room() -> Arc<WaitingRoom> {
    Arc::new(WaitingRoom::new(1, Instant::ZERO))
}

#[test]
fn two_who_are_turned_away_at_once_have_a_place_each() {
    every_interleaving(3, || {
        let room = room();
        let other = Arc::clone(&room);
        let thread = thread::spawn(move || turned_away(&other, 1));
        let here = turned_away(&room, 2);
        let there = thread.join().unwrap();
        assert_ne!(here.claim, there.claim);
        let mut places = [here.place, there.place];
        places.sort_unstable();
        assert_eq!(places, [1, 2]);
        assert!(room.is_open());
        assert_eq!(room.stats(Instant::ZERO).waiting, 2);
    });
}

/// The flag that spares visitors the lock says in the end what is behind it.
#[test]
fn a_room_that_is_cleared_while_somebody_comes_is_open_as_long_as_somebody_waits() {
    every_interleaving(3, || {
        let room = room();
        turned_away(&room, 1);
        let other = Arc::clone(&room);
        let clears = thread::spawn(move || other.clear());
        turned_away(&room, 2);
        clears.join().unwrap();
        let waiting = room.stats(Instant::ZERO).waiting;
        assert_eq!(room.is_open(), waiting > 0, "{waiting}");
        assert!(
            waiting <= 1,
            "whoever came before is not there any more: {waiting}"
        );
    });
}

/// A number that two show at once, as two tabs of a browser do, stands once: at its place, or among
/// those who were let in, whom the gate alone turns away.
#[test]
fn a_number_that_two_show_at_once_stands_once() {
    every_interleaving(3, || {
        let room = room();
        let first = turned_away(&room, 1);
        let second = turned_away(&room, 2);
        assert_eq!((first.place, second.place), (1, 2));
        let now = Instant::ZERO + SECOND;
        let ask = move |room: &WaitingRoom| {
            let visitor = visitor(1, Some(first.claim));
            match room.ask(&visitor, BEARING, now) {
                Turn::Goes => room.turned_away(&visitor, BEARING, now),
                waits @ (Turn::Refused | Turn::Waits(_)) => waits,
            }
        };
        let other = Arc::clone(&room);
        let thread = thread::spawn(move || ask(&other));
        for turn in [ask(&room), thread.join().unwrap()] {
            match turn {
                Turn::Goes => panic!("it was turned away"),
                Turn::Refused => {}
                Turn::Waits(position) => assert_eq!(position.place, 1),
            }
        }
        let stats = room.stats(now);
        assert_eq!(stats.waiting + stats.passes, 2, "{stats:?}");
    });
}
