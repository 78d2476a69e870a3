use proptest::prelude::*;

use super::*;

const NOW: UnixTime = UnixTime(784_111_777);
const NOW_TEXT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const MINUTE_AGO: &str = "Sun, 06 Nov 1994 08:48:37 GMT";
const MINUTE_LATER: &str = "Sun, 06 Nov 1994 08:50:37 GMT";

fn fields(lines: &[(&str, &str)]) -> Fields {
    Fields::from_pairs(lines.iter().map(|(name, value)| (*name, value.as_bytes())))
}

fn get(lines: &[(&str, &str)]) -> RequestHead {
    RequestHead::new(Method::GET, "/", fields(lines))
}

fn ok(lines: &[(&str, &str)]) -> ResponseHead {
    ResponseHead::new(StatusCode::OK, fields(lines))
}

const TTL: u64 = 5;

fn terms(rescue: RescueMode, scope: Scope) -> Terms {
    Terms {
        rescue,
        fresh: FreshMode::Origin,
        ttl: secs(TTL),
        scope,
    }
}

fn assess(
    mode: RescueMode,
    scope: Scope,
    request: &RequestHead,
    response: &ResponseHead,
    received: UnixTime,
) -> Result<Lifetimes, NotStorable> {
    super::assess(&terms(mode, scope), request, response, received)
}

fn assess_control(mode: RescueMode, scope: Scope, control: &str) -> Result<Lifetimes, NotStorable> {
    assess(
        mode,
        scope,
        &get(&[]),
        &ok(&[("Cache-Control", control)]),
        NOW,
    )
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What a copy may do: seconds fresh from receipt on, and whether it rescues after 100 seconds.
#[derive(Debug, Eq, PartialEq)]
enum Use {
    No(NotStorable),
    FreshRescues(u64),
    FreshOnly(u64),
    Rescues,
}

#[track_caller]
fn check(mode: RescueMode, scope: Scope, control: &str, expected: &Use) {
    let found = match assess_control(mode, scope, control) {
        Err(reason) => Use::No(reason),
        Ok(times) => {
            let fresh = (0..).take_while(|&age| times.is_fresh(secs(age))).count() as u64;
            match (fresh, times.may_rescue(secs(100), secs(1000))) {
                (0, true) => Use::Rescues,
                (fresh, true) => Use::FreshRescues(fresh),
                (fresh, false) => Use::FreshOnly(fresh),
            }
        }
    };
    assert_eq!(&found, expected, "{mode:?} {scope:?} {control}");
}

const PHP: &str = "no-store, no-cache, must-revalidate";

#[test]
fn shared_copies_by_rfc_9111_in_session_and_strict_mode() {
    use NotStorable::*;
    use Use::*;
    for (mode, scope) in [
        (RescueMode::Session, Scope::Shared),
        (RescueMode::Session, Scope::Cookies),
        (RescueMode::Strict, Scope::Shared),
        (RescueMode::Strict, Scope::Cookies),
        (RescueMode::Strict, Scope::Session),
    ] {
        let check = |control, expected| check(mode, scope, control, &expected);
        check("", Rescues);
        check("public", Rescues);
        check("max-age=20", FreshRescues(20));
        check("max-age=20, s-maxage=9", FreshOnly(9));
        check("max-age=0", Rescues);
        check("max-age=x", Rescues);
        check("max-age=20, must-revalidate", FreshOnly(20));
        check("max-age=20, proxy-revalidate", FreshOnly(20));
        check("must-revalidate", No(NeverUsable));
        check("s-maxage=0", No(NeverUsable));
        check("no-cache", No(NoCache));
        check("private, max-age=20", No(Private));
        check("private=\"set-cookie\", max-age=20", FreshRescues(20));
        check("no-store", No(NoStore));
        check("no-store, must-understand, max-age=20", FreshRescues(20));
        check(PHP, No(NoStore));
        check("max-age=20, stale-if-error=80", FreshRescues(20));
        check("max-age=20, stale-if-error=79", FreshOnly(20));
        check(
            "max-age=20, stale-if-error=900, must-revalidate",
            FreshOnly(20),
        );
        check("stale-if-error=0", No(NeverUsable));
        check("stale-if-error=1", FreshOnly(0));
    }
}

#[test]
fn a_session_keeps_its_own_pages_to_rescue() {
    use Use::*;
    let check = |control, expected| {
        check(RescueMode::Session, Scope::Session, control, &expected);
    };
    check(PHP, Rescues);
    check("private, max-age=20", Rescues);
    check("no-cache", Rescues);
    check("must-revalidate, max-age=20", FreshRescues(20));
    check("s-maxage=20", FreshRescues(20));
    check("no-store, stale-if-error=99", FreshOnly(0));
    check("no-store, stale-if-error=100", Rescues);
}

#[test]
fn all_keeps_everything_but_calls_nothing_fresh_that_is_not() {
    use Use::*;
    for scope in [Scope::Shared, Scope::Cookies, Scope::Session] {
        let check = |control, expected| check(RescueMode::All, scope, control, &expected);
        check(PHP, Rescues);
        check("private, max-age=20", Rescues);
        check(
            "max-age=20, must-revalidate, stale-if-error=0",
            FreshRescues(20),
        );
    }
}

#[test]
fn what_no_mode_keeps() {
    #[track_caller]
    fn check(method: Method, status: u16, lines: &[(&str, &str)], expected: NotStorable) {
        let request = RequestHead::new(method, "/", Fields::default());
        let response = ResponseHead::new(StatusCode::from_u16(status).unwrap(), fields(lines));
        for mode in [RescueMode::All, RescueMode::Session, RescueMode::Strict] {
            for scope in [Scope::Shared, Scope::Cookies, Scope::Session] {
                let found = assess(mode, scope, &request, &response, NOW);
                assert_eq!(found, Err(expected));
            }
        }
    }
    check(Method::HEAD, 200, &[], NotStorable::Method);
    check(
        Method::POST,
        200,
        &[("Cache-Control", "max-age=9")],
        NotStorable::Method,
    );
    check(Method::GET, 206, &[], NotStorable::Partial);
    check(Method::GET, 203, &[], NotStorable::NeverUsable);
    check(Method::GET, 304, &[], NotStorable::Status);
    for status in [
        407, 408, 411, 412, 413, 415, 416, 417, 421, 425, 426, 428, 429, 431, 511,
    ] {
        let fresh = &[("Cache-Control", "public, max-age=9")];
        check(Method::GET, status, fresh, NotStorable::Status);
    }
    check(
        Method::GET,
        404,
        &[("Cache-Control", "public")],
        NotStorable::NeverUsable,
    );
    check(
        Method::GET,
        200,
        &[("Vary", "Accept, *")],
        NotStorable::VaryStar,
    );
}

#[test]
fn credentials() {
    #[track_caller]
    fn check(mode: RescueMode, scope: Scope, control: &str, fresh: Result<bool, NotStorable>) {
        let request = get(&[("Authorization", "Basic x")]);
        let response = ok(&[("Cache-Control", control)]);
        let found = assess(mode, scope, &request, &response, NOW);
        assert_eq!(
            found.map(|times| times.is_fresh(secs(1))),
            fresh,
            "{control}"
        );
    }
    let refused = Err(NotStorable::Authorization);
    for (mode, scope) in [
        (RescueMode::Strict, Scope::Session),
        (RescueMode::Session, Scope::Shared),
    ] {
        check(mode, scope, "max-age=9", refused);
        check(mode, scope, "max-age=9, public", Ok(true));
        check(mode, scope, "s-maxage=9", Ok(true));
        check(mode, scope, "max-age=9, must-revalidate", Ok(true));
        check(mode, scope, "max-age=9, proxy-revalidate", refused);
    }
    check(RescueMode::Session, Scope::Session, "max-age=9", Ok(false));
    check(
        RescueMode::Session,
        Scope::Session,
        "max-age=9, public",
        Ok(true),
    );
    check(RescueMode::All, Scope::Shared, "max-age=9", Ok(false));
}

#[test]
fn a_request_that_says_no_store() {
    #[track_caller]
    fn check(mode: RescueMode, scope: Scope, kept: bool) {
        let request = get(&[("Cache-Control", "no-store")]);
        // What may be stored to be validated may be so no more than the rest.
        for control in ["max-age=9", "no-cache"] {
            let response = ok(&[("Cache-Control", control), ("ETag", "\"1\"")]);
            match assess(mode, scope, &request, &response, NOW) {
                Ok(times) => assert!(kept && !times.is_fresh(secs(0))),
                Err(reason) => assert!(!kept && reason == NotStorable::RequestNoStore),
            }
        }
    }
    check(RescueMode::Strict, Scope::Session, false);
    check(RescueMode::Session, Scope::Shared, false);
    check(RescueMode::Session, Scope::Cookies, false);
    check(RescueMode::Session, Scope::Session, true);
    check(RescueMode::All, Scope::Shared, true);
}

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
fn what_is_kept_to_be_validated() {
    #[track_caller]
    fn check(mode: RescueMode, scope: Scope, lines: &[(&str, &str)], validates: bool) {
        let found = assess(mode, scope, &get(&[]), &ok(lines), NOW);
        let found = found.is_ok_and(|times| times.validates());
        assert_eq!(found, validates, "{mode:?} {scope:?} {lines:?}");
    }
    let tag = ("ETag", "\"1\"");
    let date = ("Last-Modified", MINUTE_AGO);
    for (mode, scope) in [
        (RescueMode::Session, Scope::Shared),
        (RescueMode::Session, Scope::Session),
        (RescueMode::Strict, Scope::Session),
    ] {
        let check = |lines: &[_], validates| check(mode, scope, lines, validates);
        check(&[tag], true);
        check(&[date], true);
        check(&[], false);
        check(&[("ETag", "")], false);
        check(&[("Last-Modified", "lately")], false);
        check(&[tag, ("Cache-Control", "no-cache")], true);
        check(&[tag, ("Cache-Control", "must-revalidate")], true);
        check(&[tag, ("Cache-Control", "no-store")], false);
        check(&[tag, ("Cache-Control", "private")], false);
    }
    let no_cache = ok(&[tag, ("Cache-Control", "no-cache, max-age=60")]);
    let times = assess(RescueMode::Strict, Scope::Shared, &get(&[]), &no_cache, NOW).unwrap();
    assert!(!times.is_fresh(secs(0)) && !times.may_rescue(secs(0), secs(9)));
    assert!(times.forbids_stale());
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
    for status in [201, 202, 302, 403, 500, 502, 503, 504, 599] {
        check(status, &[changed], 0);
        check(status, &[changed, ("Cache-Control", "public")], TTL);
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
        let terms = Terms {
            fresh,
            ..terms(RescueMode::Session, scope)
        };
        let found = super::assess(&terms, &get(&[]), &ok(lines), NOW).unwrap();
        assert_eq!(
            found.ttl_seconds(secs(0)),
            expected,
            "{fresh:?} {scope:?} {lines:?}"
        );
    }
    let ttl = i64::try_from(TTL).unwrap();
    for scope in [Scope::Shared, Scope::Cookies, Scope::Session] {
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
    check(FreshMode::Origin, Scope::Cookies, &changed, 0);
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

fn mode() -> impl Strategy<Value = RescueMode> {
    prop::sample::select(vec![
        RescueMode::All,
        RescueMode::Session,
        RescueMode::Strict,
    ])
}

fn scope() -> impl Strategy<Value = Scope> {
    prop::sample::select(vec![Scope::Cookies, Scope::Session, Scope::Shared])
}

fn line() -> impl Strategy<Value = (&'static str, String)> {
    let seconds = 0..300_u32;
    prop_oneof![
        seconds
            .clone()
            .prop_map(|s| ("Cache-Control", format!("max-age={s}"))),
        seconds
            .clone()
            .prop_map(|s| ("Cache-Control", format!("s-maxage={s}"))),
        seconds
            .clone()
            .prop_map(|s| ("Cache-Control", format!("stale-if-error={s}"))),
        seconds.clone().prop_map(|s| ("Age", s.to_string())),
        seconds
            .clone()
            .prop_map(|s| ("Date", UnixTime(NOW.0 - u64::from(s)).to_string())),
        seconds.prop_map(|s| ("Expires", UnixTime(NOW.0 + u64::from(s)).to_string())),
        prop::sample::select(vec!["private", "no-store", "no-cache", "must-revalidate"])
            .prop_map(|directive| ("Cache-Control", directive.to_owned())),
    ]
}

proptest! {
    #[test]
    fn time_only_takes_away(
        mode in mode(),
        scope in scope(),
        lines in prop::collection::vec(line(), 0..5),
        earlier in 0..1_000_000_u64,
        between in 0..1_000_000_u64,
        age_max in 0..1000_u64,
    ) {
        let lines: Vec<_> = lines.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let Ok(times) = assess(mode, scope, &get(&[]), &ok(&lines), NOW) else {
            return Ok(());
        };
        let first = Duration::from_millis(earlier);
        let then = first + Duration::from_millis(between);
        prop_assert!(times.is_fresh(first) || !times.is_fresh(then));
        let age_max = secs(age_max);
        prop_assert!(times.may_rescue(first, age_max) || !times.may_rescue(then, age_max));
        prop_assert!(times.may_rescue(then, age_max) || !times.is_fresh(then));
        prop_assert!(times.age(first) <= times.age(then));
        prop_assert!(times.ttl_seconds(first) >= times.ttl_seconds(then));
        prop_assert!(times.is_fresh(first) || times.ttl_seconds(first) <= 0);
    }

    #[test]
    fn what_strict_keeps_the_other_modes_keep(
        scope in scope(),
        lines in prop::collection::vec(line(), 0..5),
    ) {
        let lines: Vec<_> = lines.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let kept = |mode| assess(mode, scope, &get(&[]), &ok(&lines), NOW).is_ok();
        prop_assert!(!kept(RescueMode::Strict) || kept(RescueMode::Session));
        prop_assert!(!kept(RescueMode::Session) || kept(RescueMode::All));
    }
}
