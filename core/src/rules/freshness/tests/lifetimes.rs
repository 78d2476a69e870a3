//! Tests of how long a copy is fresh, and may be used when it is not.

use super::*;

#[test]
fn lifetime_and_age() {
    #[track_caller]
    fn check(lines: &[(&str, &str)], ttl: i64, age: u64) {
        let times = assess(RescueMode::All, Scope::Shared, &get(&[]), &ok(lines), NOW).unwrap();
        assert_eq!(
            (times.ttl_seconds(secs(0)), times.age(secs(0))),
            (ttl, secs(age))
        );
    }
    check(&[("Expires", MINUTE_LATER)], 60, 0);
    check(&[("Expires", MINUTE_LATER), ("Date", NOW_TEXT)], 60, 0);
    // 120 s lifetime, half of it over: on its way, or by a clock behind ours.
    check(&[("Expires", MINUTE_LATER), ("Date", MINUTE_AGO)], 60, 60);
    check(&[("Expires", MINUTE_AGO)], 0, 0);
    check(&[("Expires", "0")], 0, 0);
    check(
        &[("Expires", MINUTE_LATER), ("Expires", MINUTE_LATER)],
        0,
        0,
    );
    check(
        &[("Expires", MINUTE_LATER), ("Cache-Control", "max-age=5")],
        5,
        0,
    );
    check(
        &[("Expires", MINUTE_LATER), ("CDN-Cache-Control", "public")],
        0,
        0,
    );
    check(
        &[("Date", MINUTE_LATER), ("Cache-Control", "max-age=5")],
        5,
        0,
    );
    check(&[("Date", "today"), ("Cache-Control", "max-age=5")], 5, 0);
    // RFC 9111 §4.2.3: the greater of both ages.
    check(&[("Date", MINUTE_AGO), ("Age", "7")], -60, 60);
    check(&[("Date", MINUTE_AGO), ("Age", "70")], -70, 70);
    check(&[("Age", "7, 90")], -7, 7);
    check(&[("Age", "-7")], 0, 0);
    check(&[("Age", "x"), ("Age", "9")], 0, 0);
    // A tenth of a minute, but the TTL setting is shorter.
    check(&[("Last-Modified", MINUTE_AGO)], 5, 0);
    check(
        &[
            ("Last-Modified", MINUTE_AGO),
            ("Cache-Control", "max-age=0"),
        ],
        0,
        0,
    );
    check(
        &[("Last-Modified", MINUTE_AGO), ("Pragma", "no-cache")],
        0,
        0,
    );
    check(&[("Last-Modified", MINUTE_LATER)], 0, 0);
    let huge = i64::from(DELTA_SECONDS_MAX);
    check(
        &[("Age", "99999999999999999999")],
        -huge,
        huge.unsigned_abs(),
    );
    check(&[("Expires", "Fri, 31 Dec 9999 23:59:59 GMT")], huge, 0);
}

#[test]
fn the_age_limit_holds_for_stale_copies_only() {
    let times = assess_control(RescueMode::Session, Scope::Shared, "max-age=20").unwrap();
    assert!(times.may_rescue(secs(19), secs(10)));
    assert!(!times.may_rescue(secs(20), secs(10)));
    assert!(times.may_rescue(secs(30), secs(30)));
    assert!(!times.may_rescue(Duration::from_millis(30_001), secs(30)));
    assert_eq!(times.ttl_seconds(Duration::from_millis(20_999)), 0);
    assert_eq!(times.ttl_seconds(Duration::MAX), 20 - i64::MAX);
}

#[test]
fn other_statuses_are_kept_while_fresh_and_rescue_nobody() {
    #[track_caller]
    fn check(status: u16, lines: &[(&str, &str)], fresh: u64) {
        let response = ResponseHead::new(StatusCode::from_u16(status).unwrap(), fields(lines));
        for mode in [RescueMode::All, RescueMode::Session, RescueMode::Strict] {
            let found = assess(mode, Scope::Shared, &get(&[]), &response, NOW);
            match (found, fresh) {
                (Err(_), 0) => {}
                (Ok(times), 1..) => {
                    assert!(times.is_fresh(secs(fresh - 1)) && !times.is_fresh(secs(fresh)));
                    assert!(!times.may_rescue(secs(fresh), Duration::MAX));
                    assert!(!times.validates(), "it is never asked about");
                }
                (found, _) => panic!("{status} {lines:?}: {found:?}"),
            }
        }
    }
    let minute = ("Cache-Control", "max-age=60");
    for status in [500, 501, 503, 599] {
        check(status, &[minute], TTL);
        check(status, &[("Cache-Control", "max-age=2")], 2);
    }
    for status in [203, 204, 299, 301, 302, 404, 410, 499] {
        check(status, &[minute, ("ETag", "\"1\"")], 60);
        check(status, &[], 0);
        check(status, &[("Cache-Control", "private, max-age=60")], 0);
    }
    let changed = ("Last-Modified", MINUTE_AGO);
    for status in [203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        check(status, &[changed], TTL);
    }
    for status in [201, 202, 302, 418, 500, 502, 503, 504, 599] {
        check(status, &[changed], 0);
        check(status, &[changed, ("Cache-Control", "public")], TTL);
    }
    // They speak of one request, or of its client.
    for status in [400, 401, 402, 403, 406, 409, 422, 424] {
        check(status, &[minute], 0);
        check(
            status,
            &[changed, ("Cache-Control", "public, max-age=60")],
            0,
        );
    }
    check(206, &[minute], 0);
    check(304, &[minute], 0);
    check(599, &[("Cache-Control", "max-age=60, must-understand")], 0);
    check(
        404,
        &[("Cache-Control", "no-store, max-age=60, must-understand")],
        60,
    );
}

#[test]
fn what_the_setting_calls_fresh() {
    #[track_caller]
    fn check(fresh: FreshMode, scope: Scope, lines: &[(&str, &str)], expected: i64) {
        let terms = Criteria {
            fresh,
            ..terms(RescueMode::Session, scope)
        };
        let found = super::super::assess(&terms, &get(&[]), &ok(lines), NOW).unwrap();
        assert_eq!(
            found.ttl_seconds(secs(0)),
            expected,
            "{fresh:?} {scope:?} {lines:?}"
        );
    }
    let ttl = i64::try_from(TTL).unwrap();
    for scope in [Scope::Shared, Scope::Marked, Scope::Session] {
        check(FreshMode::Ttl, scope, &[], ttl);
        check(FreshMode::Origin, scope, &[], 0);
        check(FreshMode::Ttl, scope, &[("Cache-Control", "max-age=0")], 0);
        check(
            FreshMode::Origin,
            scope,
            &[("Cache-Control", "max-age=9")],
            9,
        );
    }
    let changed = [("Last-Modified", MINUTE_AGO)];
    check(FreshMode::Origin, Scope::Shared, &changed, ttl);
    check(FreshMode::Origin, Scope::Session, &changed, 0);
    check(FreshMode::Origin, Scope::Marked, &changed, 0);
    // What is kept against its directives is fresh in no mode.
    check(
        FreshMode::Ttl,
        Scope::Session,
        &[("Cache-Control", "no-store")],
        0,
    );
}

#[test]
fn wishes_of_clients() {
    #[track_caller]
    fn check(wish: &[(&str, &str)], resident: u64, expected: Option<Allowed>) {
        let times = assess_control(RescueMode::Session, Scope::Shared, "max-age=20").unwrap();
        let found = Wishes::of(&fields(wish)).allow(&times, secs(resident));
        assert_eq!(found, expected, "{wish:?} after {resident}");
    }
    let control = |text| [("Cache-Control", text)];
    let fresh = Some(Allowed::Fresh);
    check(&[], 19, fresh);
    check(&[], 20, None);
    check(&control("no-cache"), 0, None);
    check(&control("max-age=0"), 0, None);
    check(&control("max-age=5"), 5, fresh);
    check(&control("max-age=5"), 6, None);
    check(&control("min-fresh=5"), 15, fresh);
    check(&control("min-fresh=5"), 16, None);
    check(&control("min-fresh=5, max-stale"), 16, None);
    check(&control("max-stale"), 900, Some(Allowed::MaxStale));
    check(&control("max-stale=5"), 25, Some(Allowed::MaxStale));
    check(&control("max-stale=5"), 26, None);
    check(&control("max-stale=5, max-age=22"), 23, None);
    check(&control("x"), 19, fresh);
    check(&[("Pragma", "x, No-Cache")], 0, None);
    check(
        &[("Pragma", "no-cache"), ("Cache-Control", "max-age=9")],
        0,
        fresh,
    );
    check(&[("Pragma", "no-store")], 0, fresh);
    assert!(Wishes::of(&fields(&control("only-if-cached"))).only_if_cached());
    for forbidding in ["s-maxage=20", "max-age=20, must-revalidate"] {
        let times = assess_control(RescueMode::Session, Scope::Shared, forbidding).unwrap();
        let wishes = Wishes::of(&fields(&control("max-stale")));
        assert_eq!(wishes.allow(&times, secs(30)), None, "{forbidding}");
    }
    // Kept against its directives: to rescue, not because a client likes it stale.
    let times = assess_control(RescueMode::Session, Scope::Session, "no-store").unwrap();
    let wishes = Wishes::of(&fields(&control("max-stale")));
    assert_eq!(wishes.allow(&times, secs(1)), None);
}

#[test]
fn stale_while_it_is_fetched_again() {
    #[track_caller]
    fn check(control: &str, resident: u64, expected: bool) {
        let times = assess_control(RescueMode::Session, Scope::Shared, control).unwrap();
        assert_eq!(
            times.may_refresh_behind(secs(resident)),
            expected,
            "{control}"
        );
        let plain = Wishes::default().allow(&times, secs(resident));
        assert_eq!(plain == Some(Allowed::Behind), expected, "{control}");
        let wishes = Wishes::of(&fields(&[("Cache-Control", "no-cache")]));
        assert_eq!(wishes.allow(&times, secs(resident)), None);
    }
    check("max-age=9, stale-while-revalidate=5", 8, false);
    check("max-age=9, stale-while-revalidate=5", 9, true);
    check("max-age=9, stale-while-revalidate=5", 14, true);
    check("max-age=9, stale-while-revalidate=5", 15, false);
    check("max-age=9", 9, false);
    check(
        "max-age=9, stale-while-revalidate=5, must-revalidate",
        10,
        false,
    );
}
