//! In which order who waits gets in, and who does not.

use super::*;
use crate::limits::WAITING_MAX;

#[test]
fn writes_go_first_and_each_class_in_the_order_of_arrival() {
    let mut bench = Bench::full(1);
    bench.reads(&["r1", "r2"]).writes(&["w1", "w2"]);
    for expected in ["w1!", "w2!", "r1!", "r2!"] {
        assert_eq!(bench.pass(1).end_one().told(), expected);
    }
    bench.check_empty();
}

#[test]
fn who_comes_later_does_not_pass_by() {
    let mut bench = Bench::full(1);
    bench.reads(&["r1"]).end_one();
    assert!(bench.gate.try_enter(&bid(Class::Read), bench.now).is_none());
    assert_eq!(bench.told(), "r1!");
    bench.check_empty();
}

#[test]
fn the_newest_goes_first_once_the_oldest_has_waited_too_long() {
    let mut bench = Bench::full(1);
    bench
        .reads(&["old1"])
        .pass(200)
        .reads(&["old2"])
        .pass(60)
        .reads(&["new"]);
    assert_eq!(bench.end_one().told(), "new!");
    assert_eq!(bench.end_one().told(), "old2!");
    assert_eq!(bench.end_one().told(), "old1!");
    bench.check_empty();
}

#[test]
fn nobody_waits_past_the_deadline() {
    let mut bench = Bench::full(1);
    bench.reads(&["r"]).writes(&["w"]).pass(999);
    assert_eq!(bench.told(), "");
    assert_eq!(bench.pass(1).told(), "r-Deadline w-Deadline");
    assert_eq!(bench.gate.stats(bench.now).shed.deadline, 2);
    bench.check_empty();
}

#[test]
fn a_slot_is_not_given_to_who_is_late() {
    let mut bench = Bench::full(1);
    bench.reads(&["late"]).pass(900).reads(&["new"]).pass(200);
    assert_eq!(bench.end_one().told(), "late-Deadline new!");
    bench.check_empty();
}

#[test]
fn who_leaves_frees_the_place_at_once() {
    let mut bench = Bench::full(1);
    bench.reads(&["r1", "r2"]).leave("r1");
    assert_eq!(bench.gate.stats(bench.now).waiting, 1);
    assert_eq!(bench.end_one().told(), "r2!");
    // Also who leaves with a slot in the post.
    bench.reads(&["r3", "r4"]).end_one().leave("r3");
    assert_eq!(bench.told(), "r4!");
    bench.check_empty();
}

#[test]
fn who_would_wait_too_long_is_refused_early() {
    let mut bench = Bench::full(2);
    // 400 ms each, two at a time: 200 ms for each place.
    bench.pass(400).end_one().end_one();
    bench.slots.extend(
        [
            bench.gate.try_enter(&bid(Class::Read), bench.now),
            bench.gate.try_enter(&bid(Class::Read), bench.now),
        ]
        .into_iter()
        .flatten(),
    );
    bench.reads(&["1", "2", "3", "4", "5"]);
    assert!(!bench.come("6", Class::Read, None));
    assert_eq!(
        bench.gate.wait(&bid(Class::Read)),
        Duration::from_millis(1200)
    );
    assert_eq!(
        bench.gate.wait(&bid(Class::Write)),
        Duration::from_millis(200)
    );
    let shed = bench.gate.stats(bench.now).shed;
    assert_eq!((shed.early, shed.full, shed.deadline), (1, 0, 0));
    bench.check_empty();
}

#[test]
fn where_the_newest_goes_first_the_oldest_gives_way() {
    let mut bench = Bench::full(1);
    bench.pass(300).end_one();
    bench
        .slots
        .extend(bench.gate.try_enter(&bid(Class::Read), bench.now));
    bench.reads(&["1", "2", "3"]);
    assert!(!bench.come_quietly("4", Class::Read));
    bench.pass(250);
    assert!(bench.come_quietly("5", Class::Read));
    assert_eq!(bench.told(), "1-Early");
    bench.check_empty();
}

#[test]
fn a_write_takes_the_place_of_a_read() {
    let mut bench = Bench::full(1);
    bench.pass(400).end_one();
    bench
        .slots
        .extend(bench.gate.try_enter(&bid(Class::Read), bench.now));
    bench.reads(&["r1", "r2"]).writes(&["w1", "w2"]);
    // A third write would wait for 1.2 s: the newest read has less of a chance.
    assert!(bench.come_quietly("w3", Class::Write));
    assert_eq!(bench.told(), "r2-Early");
    assert!(bench.come_quietly("w4", Class::Write));
    assert_eq!(bench.told(), "r1-Early");
    assert!(
        !bench.come_quietly("w5", Class::Write),
        "no read is left to give way"
    );
    bench.check_empty();
}

#[test]
fn one_of_each_class_may_wait_however_slow_the_origin_is() {
    let mut bench = Bench::full(1);
    bench.pass(5_000).end_one();
    bench
        .slots
        .extend(bench.gate.try_enter(&bid(Class::Read), bench.now));
    assert!(bench.come("w", Class::Write, None));
    assert!(!bench.come("w2", Class::Write, None));
    assert!(bench.come("r", Class::Read, None));
    assert!(!bench.come("r2", Class::Read, None));
    bench.check_empty();
}

#[test]
fn the_queue_is_bounded() {
    let bench = Bench::full(1);
    let places: Vec<_> = (0..WAITING_MAX)
        .map(
            |_| match bench.gate.enter(&bid(Class::Read), None, bench.now) {
                Entered::Place(place) => place,
                Entered::Shed(_) | Entered::Slot(_) => panic!("there is room"),
            },
        )
        .collect();
    let entry = bench.gate.enter(&bid(Class::Read), None, bench.now);
    assert!(matches!(entry, Entered::Shed(Shed::Full)));
    let entry = bench.gate.enter(&bid(Class::Write), None, bench.now);
    assert!(matches!(entry, Entered::Place(_)), "a read gave way");
    drop((places, entry));
    bench.check_empty();
}

#[test]
fn a_waker_is_called_when_there_is_something_to_learn() {
    let mut bench = Bench::full(1);
    bench.reads(&["r"]);
    let bell = Arc::clone(&bench.waiting[0].2);
    assert_eq!(bell.0.load(Ordering::Relaxed), 0);
    bench.end_one();
    assert_eq!(bell.0.load(Ordering::Relaxed), 1);
    assert_eq!(bench.told(), "r!");
    bench.check_empty();
}

#[test]
fn those_who_waited_for_the_return_are_served_in_turn_and_others_wait_for_them() {
    let mut bench = Bench::full(1);
    bench.reads(&["a"]).pass(400).end_one();
    assert_eq!(bench.told(), "a!");
    // Each takes 400 ms: nobody else would begin to wait behind two.
    for name in ["b", "c", "d", "e"] {
        let until = bench.now + Duration::from_secs(4);
        let entered = bench
            .gate
            .enter_again(&bid(Class::Read), None, until, bench.now);
        let Entered::Place(place) = entered else {
            panic!("{name} may wait");
        };
        assert_eq!(place.deadline(), until);
        bench.waiting.push((name, place, Arc::default()));
    }
    assert!(bench.come("f", Class::Read, None));
    for name in ["b!", "c!", "d!", "e!", "f!"] {
        assert_eq!(bench.pass(400).end_one().told(), name);
    }
    bench.pass(400).end_one();
    bench.check_empty();
    let (service, timeout) = (Duration::from_millis(400), Duration::from_secs(1));
    assert!(
        service * 5 > timeout,
        "f has waited for longer than others may"
    );
}

#[test]
fn a_limit_that_rises_lets_more_in() {
    let gate = Gate::new(&AdmissionSettings::default(), 1, Instant::ZERO);
    gate.restart(1, Instant::ZERO);
    let slot = gate.try_enter(&bid(Class::Read), Instant::ZERO);
    let Entered::Place(mut place) = gate.enter(&bid(Class::Read), None, Instant::ZERO) else {
        panic!("it is full");
    };
    assert!(place.poll(Waker::noop(), Instant::ZERO).is_pending());
    gate.restart(2, Instant::ZERO);
    assert!(place.poll(Waker::noop(), Instant::ZERO).is_ready());
    drop((slot, place));
    assert_eq!(gate.in_flight(), 0);
}

impl Bench {
    /// Somebody comes, and nobody asks how it stands.
    fn come_quietly(&mut self, name: &'static str, class: Class) -> bool {
        match self.gate.enter(&bid(class), None, self.now) {
            Entered::Place(place) => {
                self.waiting.push((name, place, Arc::default()));
                true
            }
            Entered::Shed(_) | Entered::Slot(_) => false,
        }
    }
}
