//! Tests of which circuits and changes are held, and for how long.

use super::*;
use crate::breaker::tiers::table::DROPPED_MAX;

#[test]
fn healthy_paths_own_nothing() {
    let tiers = check(&settings(), "/a:S*9 /b:I /c:C", &[]);
    assert!(tiers.paths.circuits.is_empty());
    // The failure must have left the window first.
    let tiers = check(&settings(), "/a:F /a:S +9 /a:S", &[]);
    assert_eq!(tiers.paths.circuits.len(), 1);
    let tiers = check(&settings(), "/a:F /a:S +10 /a:S", &[]);
    assert!(tiers.paths.circuits.is_empty());
    // A row is a row, however long it takes.
    let opened = "/a OPEN: 5 failures in a row";
    check(
        &settings(),
        "/a:F +99 /a:F +99 /a:F +99 /a:I /a:F*2",
        &[opened],
    );
}

#[test]
fn the_table_is_bounded_and_closed_circuits_give_way_first() {
    let two = BreakerSettings {
        paths_max: 2,
        ..settings()
    };
    let opened = [
        "/a OPEN: 5 failures in a row",
        "/b OPEN: 5 failures in a row",
    ];
    // /b is closed, so it gives way to /c and /c to /d, though /a failed before them.
    let tiers = check(&two, "/a:F*5 /b:F /c:F /d:F /b:S", &opened[..1]);
    assert_eq!(tiers.state(Target::get(b"/a"), at(0)), State::Open);
    assert_eq!(tiers.paths.circuits.len(), 2);
    let forgotten = "/a CLOSED: forgotten to make room for another path";
    check(
        &two,
        "/a:F*5 /b:F*5 /c:F /a:S",
        &[opened[0], opened[1], forgotten],
    );
    // Failing again makes /a the more recent of the two.
    let tiers = check(&two, "/a:F /b:F /a:F /c:F", &[]);
    let names: Vec<&str> = tiers
        .paths
        .circuits
        .values()
        .map(|circuit| &*circuit.name)
        .collect();
    assert!(names.contains(&"/a") && names.contains(&"/c"), "{names:?}");
}

#[test]
fn outcomes_from_before_a_circuit_was_forgotten_do_not_count() {
    let one = BreakerSettings {
        paths_max: 1,
        consecutive_failures: 2,
        ..settings()
    };
    let mut tiers = Tiers::new(&one, 1, Instant::ZERO);
    let mut early: Vec<_> = (0..4)
        .map(|_| {
            tiers
                .try_acquire(Target::get(b"/a"), SOMEBODY, at(0))
                .unwrap()
        })
        .collect();
    play(&mut tiers, "/a:F*2");
    let probe = tiers
        .try_acquire(Target::get(b"/a"), SOMEBODY, at(2))
        .unwrap();
    play(&mut tiers, "/b:F");
    // They make no circuit,
    tiers.record(early.pop().unwrap(), Outcome::Failure, at(2));
    assert_eq!(&*tiers.paths.circuits.values().next().unwrap().name, "/b");
    // and do not count in one that was made again.
    play(&mut tiers, "/a:F");
    assert_eq!(tiers.paths_open(), 0);
    for permit in early {
        tiers.record(permit, Outcome::Failure, at(2));
    }
    tiers.record(probe, Outcome::Failure, at(2));
    assert_eq!(tiers.state(Target::get(b"/a"), at(2)), State::Closed);
    // Nor does a probe that outlived its lease, its circuit's recovery and its circuit.
    let mut tiers = Tiers::new(&one, 1, Instant::ZERO);
    play(&mut tiers, "/a:F*2");
    let probe = tiers
        .try_acquire(Target::get(b"/a"), SOMEBODY, at(2))
        .unwrap();
    play(&mut tiers, "+17 /a:S /b:F /a:F");
    tiers.record(probe, Outcome::Failure, at(17));
    assert_eq!(tiers.state(Target::get(b"/a"), at(17)), State::Closed);
    // Those that began before any circuit was made do count.
    let mut tiers = Tiers::new(&one, 1, Instant::ZERO);
    let early: Vec<_> = (0..2)
        .map(|_| {
            tiers
                .try_acquire(Target::get(b"/a"), SOMEBODY, at(0))
                .unwrap()
        })
        .collect();
    for permit in early {
        tiers.record(permit, Outcome::Failure, at(0));
    }
    assert_eq!(tiers.state(Target::get(b"/a"), at(0)), State::Open);
}

/// The first failures of a page that began before another page's circuit was dropped.
#[test]
fn a_circuit_that_is_dropped_ends_no_generation_but_its_own_until_many_were() {
    let settings = BreakerSettings {
        consecutive_failures: 2,
        origin_outcomes_min: u32::MAX,
        ..settings()
    };
    let check = |pages: usize, expected| {
        let mut tiers = Tiers::new(&settings, 1, Instant::ZERO);
        let early: Vec<_> = (0..2)
            .map(|_| {
                tiers
                    .try_acquire(Target::get(b"/b"), SOMEBODY, at(0))
                    .unwrap()
            })
            .collect();
        for page in 0..pages {
            play(&mut tiers, &format!("/a{page}:F*2 +2 /a{page}:S"));
        }
        assert!(tiers.paths.circuits.is_empty());
        for permit in early {
            tiers.record(permit, Outcome::Failure, at(2));
        }
        assert_eq!(tiers.state(Target::get(b"/b"), at(2)), expected, "{pages}");
        // What begins afterwards counts in any case.
        play(&mut tiers, "+2 /b:F*2");
        assert_eq!(tiers.state(Target::get(b"/b"), at(2)), State::Open);
    };
    check(1, State::Open);
    check(DROPPED_MAX, State::Open);
    check(DROPPED_MAX + 1, State::Closed);
}

#[test]
fn transitions_nobody_polls_are_bounded() {
    let many = BreakerSettings {
        consecutive_failures: 1,
        origin_outcomes_min: u32::MAX,
        ..settings()
    };
    let mut tiers = Tiers::new(&many, 1, Instant::ZERO);
    for page in 0..=TRANSITIONS_MAX {
        let permit = tiers
            .try_acquire(Target::get(format!("/{page}").as_bytes()), SOMEBODY, at(0))
            .unwrap();
        tiers.record(permit, Outcome::Failure, at(0));
    }
    assert_eq!(tiers.poll_transition().unwrap().path.as_deref(), Some("/1"));
    assert_eq!(tiers.changes.waiting(), TRANSITIONS_MAX - 1);
}

#[test]
fn names_are_short_and_printable() {
    check_name(b"/a/b c'\"\\", "/a/b c'\"\\");
    check_name(b"/a\r\n\x1b[31m\x7f?q", r"/a\r\n\u{1b}[31m\u{7f}");
    check_name("/ü/\u{202e}x".as_bytes(), r"/ü/\u{202e}x");
    check_name(b"/\xff", "/\u{fffd}");
    check_name(b"?x", "");
    check_name(&[b'a'; 200], &"a".repeat(200));
    check_name(&[b'a'; 201], &format!("{}…", "a".repeat(197)));
    check_name(&[1; 300], &format!("{}…", r"\u{1}".repeat(39)));
}
