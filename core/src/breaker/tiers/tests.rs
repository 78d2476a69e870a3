//! Owns the tests of the two tiers. Never tests one circuit alone.

mod table;

use std::fmt::Write;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn settings() -> BreakerSettings {
    BreakerSettings {
        jitter: 0.0,
        open_min: Duration::from_secs(2),
        open_max: Duration::from_secs(60),
        ..BreakerSettings::default()
    }
}

fn at(seconds: u64) -> Instant {
    Instant::from_epoch(Duration::from_secs(seconds))
}

const fn outcome(token: &str) -> Outcome {
    match token.as_bytes() {
        b"C" => Outcome::ConnectFailure,
        b"F" => Outcome::Failure,
        b"I" => Outcome::Ignore,
        b"S" => Outcome::Success,
        _ => panic!("no such outcome"),
    }
}

/// Plays a script on circuits: `/a:F` is a GET with that outcome, `!/a:F` a write, `/a:F*5`
/// five of them one after the other, `/a:p` begins a GET that is lost, `+2` lets two seconds
/// pass, `=connected` tells that connections come about again. Returns what changed and what was refused.
fn play(tiers: &mut Tiers, script: &str) -> String {
    let mut now = 0;
    let mut said = String::new();
    for word in script.split_whitespace() {
        if word == "=connected" {
            tiers.connected(at(now));
            say_transitions(tiers, &mut said);
            continue;
        }
        if let Some(seconds) = word.strip_prefix('+') {
            now += seconds.parse::<u64>().unwrap();
            continue;
        }
        let (call, times) = word.split_once('*').unwrap_or((word, "1"));
        let (path, token) = call.split_once(':').unwrap();
        for _ in 0..times.parse().unwrap() {
            request(tiers, path, token, at(now), &mut said);
            check_invariants(tiers, at(now));
        }
    }
    said.trim_end_matches("; ").to_owned()
}

fn request(tiers: &mut Tiers, path: &str, token: &str, now: Instant, said: &mut String) {
    let acquired = match path.strip_prefix('!') {
        Some(path) => Ok(tiers.pass(path.as_bytes())),
        None => tiers.try_acquire(path.as_bytes(), now),
    };
    say_transitions(tiers, said);
    match acquired {
        Ok(permit) if token == "p" => drop(permit),
        Ok(permit) => tiers.record(permit, outcome(token), now),
        Err(TierRejected { retry_at, tier }) => {
            let wait = retry_at.saturating_since(now).as_secs();
            write!(said, "{tier} refuses for {wait}; ").unwrap();
        }
    }
    say_transitions(tiers, said);
}

/// A GET that is found slow and then ends so.
fn slow_then(tiers: &mut Tiers, path: &str, end: Outcome, now: Instant) {
    let mut permit = tiers.try_acquire(path.as_bytes(), now).unwrap();
    tiers.record_slow(&mut permit, now);
    assert_eq!(permit.slow_after(), None);
    tiers.record_slow(&mut permit, now);
    tiers.record(permit, end, now);
    check_invariants(tiers, now);
}

fn say_transitions(tiers: &mut Tiers, said: &mut String) {
    while let Some(transition) = tiers.poll_transition() {
        assert_eq!(transition.path.is_some(), transition.tier == Tier::Path);
        let path = transition.path.as_deref().unwrap_or("origin");
        write!(said, "{path} {}: {}; ", transition.to, transition.reason).unwrap();
    }
}

fn check_invariants(tiers: &Tiers, now: Instant) {
    assert!(tiers.paths.len() <= tiers.paths_max);
    assert!(tiers.transitions.len() <= TRANSITIONS_MAX);
    let ranks: Vec<_> = tiers
        .ranks
        .iter()
        .map(|(rank, hash)| (*hash, *rank))
        .collect();
    assert_eq!(ranks.len(), tiers.paths.len());
    for (hash, rank) in ranks {
        let circuit = &tiers.paths[&hash];
        assert_eq!(circuit.rank, rank);
        let closed = circuit.breaker.state(now) == State::Closed;
        assert_eq!(rank.not_closed, !closed);
    }
    let states = tiers
        .paths
        .values()
        .map(|circuit| circuit.breaker.state(now));
    let open = states.filter(|state| *state != State::Closed).count();
    assert_eq!(tiers.paths_open(), open);
}

#[track_caller]
fn check(settings: &BreakerSettings, script: &str, expected: &[&str]) -> Tiers {
    let mut tiers = Tiers::new(settings, 1, Instant::ZERO);
    assert_eq!(play(&mut tiers, script), expected.join("; "), "{script}");
    tiers
}

#[test]
fn a_hanging_origin_opens_after_a_few_slow_calls_on_different_pages() {
    #[track_caller]
    fn check(paths: &[&str], known: &[&str], expected: &str) {
        let mut tiers = Tiers::new(&settings(), 1, Instant::ZERO);
        for path in known {
            let permit = tiers.try_acquire(path.as_bytes(), at(0)).unwrap();
            tiers.took(permit.kind(), Duration::from_millis(50), at(0));
            tiers.record(permit, Outcome::Success, at(0));
        }
        for path in paths {
            slow_then(&mut tiers, path, Outcome::Failure, at(1));
        }
        assert_eq!(tiers.slow_calls(), paths.len() as u64);
        let mut said = String::new();
        say_transitions(&mut tiers, &mut said);
        assert_eq!(said.trim_end_matches("; "), expected, "{paths:?}");
    }
    let many = ["/a", "/b", "/c", "/a", "/b"];
    let all = "origin OPEN: 5 slow in a row (over 1.0 s), 3 paths";
    check(&many, &many, all);
    // Paths that were never seen count toward the origin too, but not toward themselves: this
    // circuit is opened by how it ends, with the failure that the origin has counted as slow.
    check(&many, &[], all);
    check(&many[..4], &many, "");
    let one = ["/report"; 5];
    check(&one, &["/a"], "/report OPEN: 5 failures in a row");
    check(
        &one,
        &["/report"],
        "/report OPEN: 5 slow in a row (over 1.0 s)",
    );
}

#[test]
fn a_page_that_is_slow_by_nature_opens_nothing() {
    let mut tiers = Tiers::new(&settings(), 1, Instant::ZERO);
    for second in 0..40 {
        let now = at(second);
        for (path, millis) in [("/", 20), ("/item/17", 50), ("/report/2024", 3_000)] {
            let mut permit = tiers.try_acquire(path.as_bytes(), now).unwrap();
            let took = Duration::from_millis(millis);
            if permit.slow_after().is_some_and(|after| took > after) {
                tiers.record_slow(&mut permit, now);
            }
            tiers.took(permit.kind(), took, now);
            tiers.record(permit, Outcome::Success, now);
        }
    }
    assert_eq!(
        (tiers.slow_calls(), tiers.is_calm()),
        (1, true),
        "only its first time"
    );
    let after = |path: &str| {
        let permit = tiers.pass(path.as_bytes());
        permit.slow_after()
    };
    // A write is a kind of its own; the origin's usual time is the middle of all kinds.
    assert_eq!(tiers.usual(), Some(Duration::from_millis(50)));
    assert_eq!(after("/report/2024"), Some(Duration::from_secs(1)));
    let permit = tiers.try_acquire(b"/report/1999", at(40)).unwrap();
    assert_eq!(permit.slow_after(), Some(Duration::from_secs(12)));
    let permit = tiers.try_acquire(b"/new", at(40)).unwrap();
    assert_eq!(permit.slow_after(), Some(Duration::from_secs(1)));
    let off = BreakerSettings {
        slow_rate: None,
        ..settings()
    };
    let permit = Tiers::new(&off, 1, at(0)).pass(b"/");
    assert_eq!(permit.slow_after(), None);
}

#[test]
fn a_broken_page_opens_only_its_own_circuit() {
    let tiers = check(
        &settings(),
        "/a?x:F*2 /a?y:F*3 /a:S /b:S !/a:S",
        &["/a OPEN: 5 failures in a row", "path refuses for 2"],
    );
    assert_eq!(tiers.state(b"/a?z", at(0)), State::Open);
    assert_eq!(tiers.state(b"/a?z", at(2)), State::HalfOpen);
    assert_eq!(tiers.state(b"/b", at(0)), State::Closed);
    assert_eq!(tiers.origin_state(at(0)), State::Closed);
    assert_eq!(tiers.paths_open(), 1);
    // By its rate, too: 4 of 6 is above 0.66 and ends with a failure; 3 of 5 is not.
    check(
        &settings(),
        "/a:F*2 /a:S /a:F /a:S /a:F",
        &["/a OPEN: 4 of 6 failed in 10 s"],
    );
    // Even when it is most of what is asked for.
    check(
        &settings(),
        "/b:S*10 /a:F*5 +2 /a:F +4 /a:S",
        &[
            "/a OPEN: 5 failures in a row",
            "/a HALF-OPEN: open for 2.0 s, probing",
            "/a OPEN: probe failed, next probe in 4.0 s",
            "/a HALF-OPEN: open for 4.0 s, probing",
            "/a CLOSED: the probe succeeded",
        ],
    );
}

#[test]
fn a_broken_origin_opens_for_every_page() {
    let fails = "/1:S*4 /2:F*4 /3:F*4 /4:F*4 /5:F*3";
    let opened = "origin OPEN: 16 of 20 failed in 10 s, 5 paths";
    let tiers = check(
        &settings(),
        &format!("{fails} /6:F /1:S !/1:F"),
        &[opened, "origin refuses for 2"],
    );
    assert_eq!(tiers.state(b"/never-seen", at(0)), State::Open);
    assert_eq!(tiers.paths_open(), 0);
    let probing = "origin HALF-OPEN: open for 2.0 s, probing";
    check(
        &settings(),
        &format!("{fails} /6:F +2 /1:S /7:S /8:S"),
        &[opened, probing, "origin CLOSED: 3 probes succeeded"],
    );
    // Three probes at a time, lost ones come back; a write is no probe and decides nothing.
    check(
        &settings(),
        &format!("{fails} /6:F +2 !/1:F /1:p /1:p /1:p !/1:F /1:S +15 /1:S*3"),
        &[
            opened,
            probing,
            "origin refuses for 15",
            "origin CLOSED: 3 probes succeeded",
        ],
    );
    // Two pages are not the origin.
    check(&settings(), "/1:S*4 !/2:F*20 !/3:F*20", &[]);
}

#[test]
fn a_path_that_refuses_gives_the_probe_of_the_origin_back() {
    let one_probe = BreakerSettings {
        origin_probes: 1,
        ..settings()
    };
    check(
        &one_probe,
        "/a:F*5 +2 /a:F /b:C*5 +2 /a:S /b:S",
        &[
            "/a OPEN: 5 failures in a row",
            "/a HALF-OPEN: open for 2.0 s, probing",
            "/a OPEN: probe failed, next probe in 4.0 s",
            "origin OPEN: 5 connect failures in a row",
            "origin HALF-OPEN: open for 2.0 s, probing",
            "path refuses for 2",
            "origin CLOSED: the probe succeeded",
            "/a HALF-OPEN: open for 2.0 s, the application is back, probing",
        ],
    );
}

#[test]
fn any_success_is_news() {
    let open = "origin OPEN: 5 connect failures in a row";
    let probing = "origin HALF-OPEN: open for 1.0 s, a request was answered, probing";
    // That of a write is one of the origin, and says nothing of a page.
    check(
        &settings(),
        "/a:F*5 /b:C*5 +1 !/a:S /a:S /b:S",
        &[
            "/a OPEN: 5 failures in a row",
            open,
            probing,
            "path refuses for 1",
        ],
    );
    // A failure is none, and what leads nowhere is not believed again until its time has passed.
    check(
        &settings(),
        "/b:C*5 +1 !/a:F !/a:S /b:F !/a:S /c:S +2 /b:C !/a:S",
        &[
            open,
            probing,
            "origin OPEN: probe failed, next probe in 2.0 s",
            "origin refuses for 2",
            "origin HALF-OPEN: open for 2.0 s, probing",
            "origin OPEN: probe failed, next probe in 2.0 s",
            "origin HALF-OPEN: open for 0.0 s, a request was answered, probing",
        ],
    );
}

#[test]
fn what_hung_and_goes_on_is_news_of_its_page_and_of_the_origin() {
    let mut tiers = Tiers::new(&settings(), 1, Instant::ZERO);
    let pages = ["/a", "/b", "/c", "/c", "/c"];
    let mut said = String::new();
    play(&mut tiers, "/a:S /b:S /c:S");
    for page in ["/a", "/b", "/c"] {
        let kind = tiers.pass(page.as_bytes()).kind();
        let read = tiers.try_acquire(page.as_bytes(), at(0)).unwrap();
        assert_ne!(kind, read.kind());
        tiers.took(read.kind(), Duration::from_millis(10), at(0));
    }
    let hang = |page: &&str| tiers.try_acquire(page.as_bytes(), at(0)).unwrap();
    let mut hung: Vec<_> = pages.iter().map(hang).collect();
    for permit in &mut hung {
        tiers.record_slow(permit, at(2));
    }
    let mut third: Vec<_> = (0..2).map(|_| tiers.pass(b"/c")).collect();
    say_transitions(&mut tiers, &mut said);
    assert_eq!(said, "origin OPEN: 5 slow in a row (over 1.0 s), 3 paths; ");
    // A write that hung is news of the origin alone.
    tiers.record_slow(&mut third[0], at(3));
    tiers.record(third.remove(0), Outcome::Success, at(3));
    assert!(tiers.is_origin_returning());
    for permit in hung {
        tiers.record(permit, Outcome::Success, at(3));
    }
    assert_eq!(tiers.origin_state(at(3)), State::HalfOpen);
}

#[test]
fn with_the_origin_its_pages_are_back() {
    let pages = "/a:F*5 /b:F*5";
    check(
        &settings(),
        &format!("{pages} /c:C*5 +1 =connected /a:S /b:F /c:S /c:S"),
        &[
            "/a OPEN: 5 failures in a row",
            "/b OPEN: 5 failures in a row",
            "origin OPEN: 5 connect failures in a row",
            "origin HALF-OPEN: open for 1.0 s, it takes connections again, probing",
            "/a HALF-OPEN: open for 1.0 s, the application is back, probing",
            "/b HALF-OPEN: open for 1.0 s, the application is back, probing",
            "/a CLOSED: the probe succeeded",
            "/b OPEN: probe failed, next probe in 4.0 s",
            "origin CLOSED: 3 probes succeeded",
            "/b HALF-OPEN: open for 0.0 s, the application is back, probing",
        ],
    );
    // While it takes none, and somebody goes on trying, no request finds out.
    let mut tiers = Tiers::new(&settings(), 1, Instant::ZERO);
    play(&mut tiers, "/a:C*5");
    tiers.unreached(at(9));
    assert_eq!(tiers.origin_state(at(8)), State::Open);
    tiers.unreached(at(3));
    assert_eq!(tiers.retry_at(b"/a", at(8)), Some(at(9)));
    assert_eq!(tiers.origin_state(at(9)), State::HalfOpen, "never wedged");
}

#[test]
fn each_change_is_counted_and_each_probe_known() {
    let mut tiers = Tiers::new(&settings(), 1, Instant::ZERO);
    let told = |tiers: &Tiers| (tiers.changes(), tiers.is_origin_closed(), tiers.is_calm());
    let is_probe = |tiers: &mut Tiers, path: &[u8], now| {
        let permit = tiers.try_acquire(path, at(now)).unwrap();
        permit.is_probe()
    };
    assert!(!is_probe(&mut tiers, b"/a", 0) && !tiers.pass(b"/a").is_probe());
    assert_eq!(told(&tiers), (0, true, true));
    play(&mut tiers, "/a:F*5");
    assert_eq!(told(&tiers), (1, true, false));
    play(&mut tiers, "/b:C*5");
    assert_eq!(told(&tiers), (2, false, false));
    assert!(is_probe(&mut tiers, b"/b", 2), "of the origin");
    assert_eq!(told(&tiers), (3, false, false), "the origin is half-open");
    assert!(!tiers.pass(b"/b").is_probe());
    play(&mut tiers, "+17 /b:S*3");
    assert_eq!(told(&tiers), (5, true, false), "and its pages are too");
    assert!(is_probe(&mut tiers, b"/a", 17), "of its path");
    assert!(!is_probe(&mut tiers, b"/b", 17));
}

#[test]
fn an_answer_holds_the_circuit_that_it_opens() {
    let mut tiers = Tiers::new(&settings(), 1, Instant::ZERO);
    play(&mut tiers, "/a:F*4 /b:C*4");
    let fail = |tiers: &mut Tiers, mut permit: TierPermit, outcome| {
        permit.hold(at(30));
        tiers.record(permit, outcome, at(0));
    };
    let permit = tiers.try_acquire(b"/a", at(0)).unwrap();
    fail(&mut tiers, permit, Outcome::Failure);
    assert_eq!(tiers.retry_at(b"/a", at(0)), Some(at(4)), "it is advice");
    assert_eq!(
        tiers.retry_at(b"/b", at(0)),
        None,
        "the origin is as it was"
    );
    play(&mut tiers, "/b:C*5");
    assert!(
        tiers.retry_at(b"/b", at(0)) < Some(at(4)),
        "and opens as ever"
    );
    // What goes in any case holds no circuit that is open.
    let permit = tiers.pass(b"/c");
    fail(&mut tiers, permit, Outcome::Failure);
    assert!(tiers.retry_at(b"/b", at(0)) < Some(at(4)));
    // Nor one that it opens.
    let mut tiers = Tiers::new(&settings(), 1, Instant::ZERO);
    play(&mut tiers, "/b:C*4");
    let permit = tiers.pass(b"/c");
    fail(&mut tiers, permit, Outcome::ConnectFailure);
    assert_eq!(tiers.origin_state(at(0)), State::Open);
    assert!(tiers.retry_at(b"/b", at(0)) < Some(at(4)));
}

#[test]
fn connect_failures_open_the_origin_and_no_path() {
    let opened = "origin OPEN: 5 connect failures in a row";
    let tiers = check(
        &settings(),
        "/a:C*5 /b:S",
        &[opened, "origin refuses for 2"],
    );
    assert!(tiers.paths.is_empty());
    check(&settings(), "/a:C /b:C !/c:C /a:I /d:C /e:C", &[opened]);
    check(&settings(), "/a:C*4 /a:S /a:C*4 /a:F /a:C*4", &[]);
    // As the outcome of a path's probe it frees the slot.
    check(
        &settings(),
        "/a:F*5 +2 /a:C /a:S",
        &[
            "/a OPEN: 5 failures in a row",
            "/a HALF-OPEN: open for 2.0 s, probing",
            "/a CLOSED: the probe succeeded",
        ],
    );
}

#[test]
fn writes_count_toward_the_origin_alone() {
    let tiers = check(&settings(), "!/a:F*9 !/b:F*9 !/c:F", &[]);
    assert!(tiers.paths.is_empty());
    check(
        &settings(),
        "!/a:F*9 !/b:F*9 !/c:F*2 !/c:F",
        &["origin OPEN: 20 of 20 failed in 10 s, 3 paths"],
    );
    // Begun before the origin opened, ended after: says nothing any more.
    let mut tiers = Tiers::new(&settings(), 1, Instant::ZERO);
    let write = tiers.pass(b"/w");
    play(&mut tiers, "/a:C*5");
    let probe = tiers.try_acquire(b"/a", at(2)).unwrap();
    tiers.record(write, Outcome::Failure, at(2));
    assert_eq!(tiers.origin_state(at(2)), State::HalfOpen);
    tiers.record(probe, Outcome::Success, at(2));
    assert_eq!(tiers.origin_state(at(2)), State::HalfOpen);
}

#[test]
fn a_broken_page_keeps_no_origin_open() {
    let [opened, probing] = [
        "/a OPEN: 5 failures in a row",
        "/a HALF-OPEN: open for 2.0 s, probing",
    ];
    let origin = [
        "origin OPEN: 5 connect failures in a row",
        "origin HALF-OPEN: open for 2.0 s, probing",
    ];
    let again = "/a OPEN: probe failed, next probe in 4.0 s";
    let closed = "origin CLOSED: 3 probes succeeded";
    let back = "/a HALF-OPEN: open for 0.0 s, the application is back, probing";
    check(
        &settings(),
        "/a:F*5 /b:C*5 +2 /a:F /b:S*3",
        &[opened, origin[0], origin[1], probing, again, closed, back],
    );
    // What it says for the first time counts, and so does that nobody listens, or that it is well.
    let reopened = "origin OPEN: probe failed, next probe in 2.0 s";
    check(
        &settings(),
        "/b:C*5 +2 /a:F",
        &[origin[0], origin[1], reopened],
    );
    check(
        &settings(),
        "/a:F*5 /b:C*5 +2 /a:C",
        &[opened, origin[0], origin[1], probing, reopened],
    );
    check(
        &settings(),
        "/a:F*5 /b:C*5 +2 /a:S*3",
        &[
            opened,
            origin[0],
            origin[1],
            probing,
            "/a CLOSED: the probe succeeded",
            closed,
        ],
    );
}

#[track_caller]
fn check_name(path: &[u8], expected: &str) {
    let permit = Tiers::new(&settings(), 1, Instant::ZERO).pass(path);
    assert_eq!(&*display_name(&permit.name), expected);
}

proptest! {
    #[test]
    fn any_traffic_keeps_the_bounds_and_repeats(
        seed in any::<u64>(),
        steps in prop::collection::vec(
            (0..8_u8, any::<bool>(), prop::sample::select(&["C", "F", "F", "F", "I", "S", "p"][..]), 0..3_u64),
            1..200,
        ),
    ) {
        let tight = BreakerSettings {
            consecutive_failures: 2,
            origin_outcomes_min: 8,
            paths_max: 3,
            jitter: 0.5,
            ..settings()
        };
        let run = || {
            let mut tiers = Tiers::new(&tight, seed, Instant::ZERO);
            let mut script = String::new();
            for (page, write, outcome, wait) in &steps {
                let write = if *write { "!" } else { "" };
                script += &format!(" +{} {write}/{page}:{outcome}", *wait * u64::from(*page));
            }
            let said = play(&mut tiers, &script);
            // Never wedged: time and successes alone open every way again.
            let later = at(10_000);
            for _ in 0..tight.origin_probes {
                for page in 0..8 {
                    let path = format!("/{page}");
                    let permit = tiers.try_acquire(path.as_bytes(), later).unwrap();
                    tiers.record(permit, Outcome::Success, later);
                }
            }
            assert_eq!(tiers.paths_open(), 0);
            assert_eq!(tiers.origin_state(later), State::Closed);
            said
        };
        prop_assert_eq!(run(), run());
    }
}
