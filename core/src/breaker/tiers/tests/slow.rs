//! Tests of slow calls and what hangs.

use super::*;

/// A GET that is found slow and then ends so.
fn slow_then(tiers: &mut Tiers, path: &str, end: Outcome, now: Instant) {
    let mut permit = tiers
        .try_acquire(Target::get(path.as_bytes()), SOMEBODY, now)
        .unwrap();
    tiers.record_slow(&mut permit, now);
    assert_eq!(permit.slow_after(), None);
    tiers.record_slow(&mut permit, now);
    tiers.record(permit, end, now);
    check_invariants(tiers, now);
}

#[test]
fn a_hanging_origin_opens_after_a_few_slow_calls_on_different_pages() {
    #[track_caller]
    fn check(paths: &[&str], known: &[&str], expected: &str) {
        let mut tiers = Tiers::new(&settings(), 1, Instant::ZERO);
        for path in known {
            let permit = tiers
                .try_acquire(Target::get(path.as_bytes()), SOMEBODY, at(0))
                .unwrap();
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
            let mut permit = tiers
                .try_acquire(Target::get(path.as_bytes()), SOMEBODY, now)
                .unwrap();
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
        let permit = tiers.pass(Target::get(path.as_bytes()), SOMEBODY, at(0));
        permit.slow_after()
    };
    // A write is a kind of its own; the origin's usual time is the middle of all kinds.
    assert_eq!(tiers.usual(), Some(Duration::from_millis(50)));
    assert_eq!(after("/report/2024"), Some(Duration::from_secs(1)));
    let permit = tiers
        .try_acquire(Target::get(b"/report/1999"), SOMEBODY, at(40))
        .unwrap();
    assert_eq!(permit.slow_after(), Some(Duration::from_secs(12)));
    let permit = tiers
        .try_acquire(Target::get(b"/new"), SOMEBODY, at(40))
        .unwrap();
    assert_eq!(permit.slow_after(), Some(Duration::from_secs(1)));
    let off = BreakerSettings {
        slow_rate: None,
        ..settings()
    };
    let permit = Tiers::new(&off, 1, at(0)).pass(Target::get(b"/"), SOMEBODY, at(0));
    assert_eq!(permit.slow_after(), None);
}

#[test]
fn what_hung_and_goes_on_is_news_of_its_page_and_of_the_origin() {
    let mut tiers = Tiers::new(&settings(), 1, Instant::ZERO);
    let pages = ["/a", "/b", "/c", "/c", "/c"];
    let mut said = String::new();
    play(&mut tiers, "/a:S /b:S /c:S");
    for page in ["/a", "/b", "/c"] {
        let kind = tiers
            .pass(Target::get(page.as_bytes()), SOMEBODY, at(0))
            .kind();
        let read = tiers
            .try_acquire(Target::get(page.as_bytes()), SOMEBODY, at(0))
            .unwrap();
        assert_ne!(kind, read.kind());
        tiers.took(read.kind(), Duration::from_millis(10), at(0));
    }
    let hang = |page: &&str| {
        tiers
            .try_acquire(Target::get(page.as_bytes()), SOMEBODY, at(0))
            .unwrap()
    };
    let mut hung: Vec<_> = pages.iter().map(hang).collect();
    for permit in &mut hung {
        tiers.record_slow(permit, at(2));
    }
    let mut third: Vec<_> = (0..2)
        .map(|_| tiers.pass(Target::get(b"/c"), SOMEBODY, at(0)))
        .collect();
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
