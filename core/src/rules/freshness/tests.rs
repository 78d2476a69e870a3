//! Tests of what is kept, for whom and for what use: two heads in, lifetimes or a refusal out.

mod lifetimes;

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

fn terms(rescue: RescueMode, scope: Scope) -> Criteria {
    Criteria {
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
        (RescueMode::Session, Scope::Marked),
        (RescueMode::Strict, Scope::Shared),
        (RescueMode::Strict, Scope::Marked),
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
    for scope in [Scope::Shared, Scope::Marked, Scope::Session] {
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
            for scope in [Scope::Shared, Scope::Marked, Scope::Session] {
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
    check(RescueMode::Session, Scope::Marked, false);
    check(RescueMode::Session, Scope::Session, true);
    check(RescueMode::All, Scope::Shared, true);
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

fn mode() -> impl Strategy<Value = RescueMode> {
    prop::sample::select(vec![
        RescueMode::All,
        RescueMode::Session,
        RescueMode::Strict,
    ])
}

fn scope() -> impl Strategy<Value = Scope> {
    prop::sample::select(vec![Scope::Marked, Scope::Session, Scope::Shared])
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
