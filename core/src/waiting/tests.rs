//! What a number is worth, to whom, and for how long.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::*;
use crate::limits::ROOM_MAX;
use crate::rng::Rng;

const BEARING: Bearing = Bearing {
    is_idle: false,
    places: 2,
    per_second: 1.0,
};

/// 2026-12-01, in microseconds.
const TODAY: u64 = 1_796_083_200_000_000;

const HOUR: Duration = Duration::from_secs(3_600);

/// A room, time, and a wall clock that may say anything.
struct Bed {
    room: WaitingRoom,
    now: Instant,
    micros: u64,
}

impl Bed {
    fn new() -> Self {
        Self::of(1, TODAY)
    }

    fn of(seed: u64, micros: u64) -> Self {
        Self {
            room: WaitingRoom::new(seed, Instant::ZERO),
            now: Instant::ZERO,
            micros,
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.micros += u64::try_from(time.as_micros()).unwrap();
    }

    fn visitor(&self, network: u32, claim: Option<Claim>) -> Visitor<'static> {
        Visitor {
            claim,
            is_own: true,
            micros: self.micros,
            peer: IpAddr::V4(Ipv4Addr::from_bits(network << 8)),
            program: b"browser",
        }
    }

    /// As a request does that the gate would turn away.
    fn ask(&self, network: u32, claim: Option<Claim>) -> Turn {
        let visitor = self.visitor(network, claim);
        match self.room.is_open() {
            true => self.room.ask(&visitor, BEARING, self.now),
            false => Turn::Goes,
        }
    }

    fn turned_away(&self, network: u32, claim: Option<Claim>) -> Turn {
        let visitor = self.visitor(network, claim);
        self.room.turned_away(&visitor, BEARING, self.now)
    }

    /// The same of one that comes new while the gate is full.
    fn comes(&self, network: u32) -> Claim {
        let turn = match self.ask(network, None) {
            Turn::Goes => self.turned_away(network, None),
            other @ (Turn::Refused | Turn::Waits(_)) => other,
        };
        waits(turn).claim
    }

    /// `count` wait, from a network each.
    fn filled(count: u32) -> (Self, Vec<Claim>) {
        let bed = Self::new();
        let claims = (0..count).map(|network| bed.comes(network)).collect();
        (bed, claims)
    }
}

#[track_caller]
fn waits(turn: Turn) -> Position {
    match turn {
        Turn::Waits(position) => position,
        Turn::Goes | Turn::Refused => panic!("{turn:?}"),
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn whoever_came_first_is_called_first_and_the_others_keep_their_places() {
    let (mut bed, claims) = Bed::filled(8);
    bed.pass(SECOND);
    // Three are likely to be let in until they look again.
    for (at, claim) in (0..3).zip(&claims) {
        assert_eq!(bed.ask(at, Some(*claim)), Turn::Goes, "{at}");
        assert_eq!(waits(bed.turned_away(at, Some(*claim))).place, at + 1);
    }
    // The fourth was called while the first was at the gate.
    for (at, claim) in (4..8).zip(&claims[4..]) {
        assert_eq!(waits(bed.ask(at, Some(*claim))).place, at + 1);
    }
    // Those who are let in make room for the next.
    assert_eq!(bed.ask(0, Some(claims[0])), Turn::Goes);
    assert_eq!(bed.ask(1, Some(claims[1])), Turn::Goes);
    assert_eq!(bed.ask(4, Some(claims[4])), Turn::Goes);
    assert_eq!(bed.room.stats(bed.now).let_in, 3);
    // A newcomer is the last.
    assert_eq!(waits(bed.ask(7, Some(claims[7]))).place, 5);
    assert_eq!(waits(bed.ask(9, None)).place, 6);
}

#[test]
fn a_number_that_was_not_given_here_is_none() {
    let (bed, claims) = Bed::filled(8);
    let foreign = Bed::of(2, TODAY);
    let mine = claims[0];
    for (network, claim) in [
        Claim {
            seal: !mine.seal,
            ..mine
        },
        Claim {
            number: mine.number - 1,
            ..mine
        },
        Claim { number: 0, seal: 0 },
        foreign.comes(1),
    ]
    .into_iter()
    .enumerate()
    {
        let network = u32::try_from(network).unwrap() + 20;
        let given = waits(bed.ask(network, Some(claim)));
        assert_ne!(given.claim, claim);
        assert!(given.place > 8, "{given:?}");
    }
}

#[test]
fn a_number_that_many_show_counts_in_four_networks() {
    let (mut bed, claims) = Bed::filled(4);
    bed.pass(SECOND);
    for network in 0..4 {
        let turn = bed.ask(100 * network, Some(claims[0]));
        assert_eq!(turn, Turn::Goes, "{network}");
    }
    let fifth = waits(bed.ask(500, Some(claims[0])));
    assert_ne!(fifth.claim, claims[0]);
}

#[test]
fn one_network_has_few_numbers_whatever_its_programs_are_called() {
    let (bed, _) = Bed::filled(30);
    let names: Vec<String> = (0..1_000).map(|name| name.to_string()).collect();
    let draws = names.iter().filter(|name| {
        let visitor = Visitor {
            program: name.as_bytes(),
            ..bed.visitor(77, None)
        };
        bed.room.ask(&visitor, BEARING, bed.now) != Turn::Refused
    });
    assert_eq!(draws.count(), 8);
    assert_eq!(bed.room.stats(bed.now).refused, 992);
    waits(bed.ask(78, None));
}

#[test]
fn a_visitor_that_brings_no_number_back_gets_no_other_one_for_a_while() {
    let (mut bed, _) = Bed::filled(8);
    let lost = bed.comes(50);
    assert_eq!(bed.ask(50, None), Turn::Refused);
    bed.pass(Duration::from_secs(119));
    assert_eq!(bed.turned_away(50, None), Turn::Refused);
    bed.pass(SECOND);
    assert_ne!(waits(bed.turned_away(50, None)).claim, lost);
    // Another of the same house is somebody else as soon as the first has shown its number.
    let (bed, _) = Bed::filled(8);
    let first = bed.comes(50);
    waits(bed.ask(50, Some(first)));
    assert_ne!(waits(bed.ask(50, None)).claim, first);
}

#[test]
fn there_are_never_more_than_the_bound() {
    let mut bed = Bed::new();
    let max = u32::try_from(ROOM_MAX).unwrap();
    for network in 0..max {
        bed.comes(network);
    }
    assert_eq!(bed.ask(max, None), Turn::Refused);
    assert_eq!(bed.room.stats(bed.now).waiting, ROOM_MAX);
    bed.pass(Duration::from_secs(60));
    bed.room.ask(&bed.visitor(max, None), BEARING, bed.now);
    let stats = bed.room.stats(bed.now);
    assert!(stats.waiting < 2, "none of them has come back: {stats:?}");
}

#[test]
fn numbers_of_an_earlier_run_stand_where_they_would() {
    let (before, claims) = Bed::filled(8);
    let mut bed = Bed::of(1, before.micros);
    bed.pass(SECOND * 30);
    let new: Vec<_> = (20..26).map(|network| bed.comes(network)).collect();
    // In any order.
    for at in [5, 0, 7, 3] {
        let turn = bed.turned_away(u32::try_from(at).unwrap(), Some(claims[at]));
        assert_eq!(waits(turn).claim, claims[at]);
    }
    bed.pass(SECOND);
    let place =
        |at: usize| waits(bed.turned_away(u32::try_from(at).unwrap(), Some(claims[at]))).place;
    let places = [0, 3, 5, 7].map(place);
    assert!(places.is_sorted(), "{places:?}");
    assert!(waits(bed.ask(25, Some(new[5]))).place > places[3]);
    // Another secret, or an hour later, and they are nothing.
    for mut other in [Bed::of(2, TODAY), Bed::of(1, TODAY)] {
        other.pass(HOUR + SECOND);
        let turn = other.turned_away(0, Some(claims[0]));
        assert_ne!(waits(turn).claim, claims[0]);
    }
}

#[test]
fn a_wall_clock_that_jumps_moves_nobody() {
    for jump in [HOUR * 24, HOUR * 2, Duration::ZERO] {
        for back in [false, true] {
            let (mut bed, claims) = Bed::filled(8);
            let micros = u64::try_from(jump.as_micros()).unwrap();
            bed.micros = match back {
                true => bed.micros - micros,
                false => bed.micros + micros,
            };
            bed.now = bed.now + SECOND;
            let new = bed.comes(50);
            assert!(new.number > claims[7].number);
            assert_eq!(waits(bed.ask(7, Some(claims[7]))).place, 8);
            assert_eq!(waits(bed.ask(50, Some(new))).place, 9);
            assert_eq!(bed.ask(0, Some(claims[0])), Turn::Goes);
        }
    }
}

#[test]
fn a_pass_is_good_for_ten_minutes_and_no_longer() {
    let (mut bed, claims) = Bed::filled(40);
    assert_eq!(bed.ask(0, Some(claims[0])), Turn::Goes);
    for _ in 0..119 {
        bed.pass(SECOND * 5);
        // The others go on to wait.
        for (network, claim) in (0..40).zip(&claims).skip(20) {
            let _ = bed.ask(network, Some(*claim));
            let _ = bed.turned_away(network, Some(*claim));
        }
        assert_eq!(bed.ask(0, Some(claims[0])), Turn::Goes);
    }
    assert_eq!(
        bed.turned_away(0, Some(claims[0])),
        Turn::Refused,
        "it is inside"
    );
    bed.pass(SECOND * 6);
    for network in 100..110 {
        bed.comes(network);
    }
    let anew = waits(bed.ask(0, Some(claims[0])));
    assert_ne!(anew.claim, claims[0]);
}

#[test]
fn whoever_leaves_is_passed_over_and_whoever_comes_back_in_time_has_its_place() {
    let (mut bed, claims) = Bed::filled(8);
    let looks = |bed: &Bed, at: u32| {
        let claim = Some(claims[usize::try_from(at).unwrap()]);
        match bed.ask(at, claim) {
            Turn::Goes => bed.turned_away(at, claim),
            turn @ (Turn::Refused | Turn::Waits(_)) => turn,
        }
    };
    for at in 0..8 {
        waits(looks(&bed, at));
    }
    // All but the last two are not heard of any more.
    for _ in 0..20 {
        bed.pass(SECOND * 2);
        waits(looks(&bed, 6));
        waits(looks(&bed, 7));
    }
    let place = waits(looks(&bed, 7)).place;
    assert_eq!(place, 2);
    assert_eq!(waits(looks(&bed, 4)).place, 1, "it was called meanwhile");
    assert_eq!(bed.ask(4, Some(claims[4])), Turn::Goes);
    assert_eq!(bed.room.stats(bed.now).left, 6);
}

#[test]
fn without_a_room_those_who_waited_are_as_good_as_all() {
    let (bed, claims) = Bed::filled(8);
    bed.room.clear();
    assert!(!bed.room.is_open());
    assert_eq!(bed.ask(7, Some(claims[7])), Turn::Goes);
    assert_eq!(bed.room.stats(bed.now).waiting, 0);
    // It opens again, and they have their places.
    let last = bed.comes(30);
    assert!(waits(bed.turned_away(7, Some(claims[7]))).place <= 2);
    assert!(last.number > claims[7].number);
}

/// What visitors, and those who mean harm, may do in any order.
#[test]
fn its_parts_agree_whatever_happens_in_which_order() {
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let mut below = move |end: u64| rng.next() % end;
        let mut bed = Bed::new();
        let mut claims: Vec<(u32, Claim)> = Vec::new();
        for _ in 0..2_000 {
            let network = u32::try_from(below(40)).unwrap();
            let known = claims.len() as u64;
            let shown = match below(4) {
                0 | 1 if known > 0 => {
                    let at = usize::try_from(below(known)).unwrap();
                    // Most show their own, some that of others.
                    let (home, claim) = claims[at];
                    let from = if below(8) == 0 { network } else { home };
                    (from, Some(claim))
                }
                _ => (network, None),
            };
            let turn = match below(3) {
                0 => bed.turned_away(shown.0, shown.1),
                _ => bed.ask(shown.0, shown.1),
            };
            if let Turn::Waits(position) = turn {
                let stats = bed.room.stats(bed.now);
                assert!(
                    position.place >= 1 && position.again_secs >= 2,
                    "{position:?}"
                );
                assert!(
                    position.place as usize <= stats.waiting + 1,
                    "{position:?}, {stats:?}"
                );
                claims.push((shown.0, position.claim));
            }
            match below(40) {
                0 => bed.pass(SECOND * u32::try_from(below(30)).unwrap()),
                1 => bed.micros = TODAY + below(1 << 40),
                2 if below(20) == 0 => bed.pass(HOUR),
                3 if below(20) == 0 => bed.room.clear(),
                _ => bed.pass(Duration::from_millis(below(300))),
            }
            bed.room.change(|room| room.check());
        }
    }
}
