//! Owns the target of the caching rules: a stricter rule never allows more, time never makes
//! anything fresh again, and the order of what is said does not matter.
//! Never keeps a copy: that is `store`.

use std::time::Duration;

use http::{Method, StatusCode};

use super::input::{Input, fields, lines};
use crate::config::{FreshMode, RescueMode};
use crate::message::{Fields, RequestHead, ResponseHead};
use crate::rules::cache_control::{CacheControl, DELTA_SECONDS_MAX, effective};
use crate::rules::coding::accepts_gzip;
use crate::rules::conditional::not_modified;
use crate::rules::freshness::{Lifetimes, NotStorable, Scope, Terms, assess};
use crate::store::Vary;
use crate::time::UnixTime;

/// Two bytes (scope, time), then lines: of the request those that begin with `>`, the rest of the
/// response. See [the table](super).
pub fn cache_control(data: &[u8]) {
    let mut input = Input(data);
    let scope = match input.below(3) {
        0 => Scope::Cookies,
        1 => Scope::Session,
        _ => Scope::Shared,
    };
    let spread = Duration::from_nanos(input.nanos());
    let asked = lines(input.0).filter_map(|line| line.strip_prefix(b">"));
    let told = lines(input.0).filter(|line| !line.starts_with(b">"));
    let request = RequestHead::new(Method::GET, "/", fields(asked));
    let response = ResponseHead::new(StatusCode::OK, fields(told));

    check_directives(&response.fields);
    check_modes(scope, &request, &response, spread);
    check_conditions(&request.fields, &response.fields);
    check_dates(&response.fields);
    check_vary(&request.fields, &response.fields);
    check_gzip(&request.fields);
}

fn check_directives(response: &Fields) {
    let given: Vec<&[u8]> = response.get_all("cache-control").collect();
    let control = CacheControl::parse(given.iter().copied());
    let backward = CacheControl::parse(given.iter().rev().copied());
    assert_eq!(control, backward, "the order of lines means nothing");
    let twice = CacheControl::parse(given.iter().chain(&given).copied());
    assert_eq!(control, twice, "what is said twice is said");
    for count in 0..given.len() {
        assert_stricter(
            &control,
            &CacheControl::parse(given[..count].iter().copied()),
        );
    }
    // Where no quoted string can hold a comma, lines and members are the same.
    if !given.iter().any(|line| line.contains(&b'"')) {
        let joined = given.join(&b", "[..]);
        assert_eq!(control, CacheControl::parse([&joined[..]]));
        let members = given
            .iter()
            .flat_map(|line| line.split(|&byte| byte == b','));
        let members: Vec<&[u8]> = members.map(<[u8]>::trim_ascii).collect();
        let says = |name: &[u8]| {
            members
                .iter()
                .any(|member| member.eq_ignore_ascii_case(name))
        };
        for (is_set, name) in [
            (control.no_store, &b"no-store"[..]),
            (control.must_revalidate, b"must-revalidate"),
            (control.public, b"public"),
            (control.no_transform, b"no-transform"),
        ] {
            assert!(
                is_set || !says(name),
                "{} is not heard",
                name.escape_ascii()
            );
        }
    }
}

/// Whether more lines made nothing weaker.
fn assert_stricter(all: &CacheControl, some: &CacheControl) {
    let kept = |some: bool, all: bool| all || !some;
    assert!(kept(some.no_store, all.no_store) && kept(some.private, all.private));
    assert!(kept(some.no_cache, all.no_cache));
    assert!(kept(some.must_revalidate, all.must_revalidate));
    for (all, some) in [
        (all.max_age, some.max_age),
        (all.s_maxage, some.s_maxage),
        (all.max_stale, some.max_stale),
        (all.stale_if_error, some.stale_if_error),
        (all.stale_while_revalidate, some.stale_while_revalidate),
    ] {
        assert!(some.is_none_or(|some| all.is_some_and(|all| all <= some)));
        assert!(all.is_none_or(|all| all <= DELTA_SECONDS_MAX));
    }
    assert!(all.min_fresh >= some.min_fresh);
}

/// What a stricter mode keeps and uses, a more lenient one does too.
fn check_modes(scope: Scope, request: &RequestHead, response: &ResponseHead, spread: Duration) {
    let received = UnixTime(784_111_777);
    let kept = |rescue| {
        let terms = Terms {
            rescue,
            fresh: FreshMode::Origin,
            ttl: Duration::from_secs(5),
            scope,
        };
        assess(&terms, request, response, received)
    };
    let (strict, session) = (kept(RescueMode::Strict), kept(RescueMode::Session));
    let all = kept(RescueMode::All);
    for (stricter, lenient) in [(&strict, &session), (&session, &all)] {
        let Ok(stricter) = stricter else { continue };
        let lenient = lenient.as_ref().expect("kept under a stricter mode");
        for resident in residents(spread) {
            assert!(!stricter.is_fresh(resident) || lenient.is_fresh(resident));
            for age_max in residents(spread) {
                let is_used = stricter.may_rescue(resident, age_max);
                assert!(!is_used || lenient.may_rescue(resident, age_max));
            }
        }
    }
    for lifetimes in [strict, session, all].iter().flatten() {
        check_time(lifetimes, spread);
    }
    let control = effective(&response.fields);
    if let Ok(kept) = strict
        && control.no_cache
    {
        assert!(kept.validates() && !kept.is_fresh(Duration::ZERO));
        assert!(!kept.may_rescue(Duration::ZERO, Duration::MAX));
    }
    if control.private || control.no_store && !control.must_understand {
        assert!(strict.is_err(), "kept against its directives");
        if let Ok(kept) = session {
            assert_eq!(scope, Scope::Session);
            assert!(!kept.is_fresh(Duration::ZERO), "there to rescue only");
        }
    }
    if response.fields.has_token("vary", "*") {
        assert!(matches!(
            all,
            Err(NotStorable::Partial | NotStorable::VaryStar)
        ));
    }
}

/// Time only ever takes away, a longer bound only ever gives.
fn check_time(lifetimes: &Lifetimes, spread: Duration) {
    let times = residents(spread);
    for pair in times.windows(2) {
        let (early, late) = (pair[0], pair[1]);
        assert!(lifetimes.age(early) <= lifetimes.age(late));
        assert!(lifetimes.ttl_seconds(early) >= lifetimes.ttl_seconds(late));
        assert!(lifetimes.is_fresh(early) || !lifetimes.is_fresh(late));
        for age_max in times {
            let late_use = lifetimes.may_rescue(late, age_max);
            assert!(lifetimes.may_rescue(early, age_max) || !late_use);
            let short_use = lifetimes.may_rescue(age_max, early);
            assert!(lifetimes.may_rescue(age_max, late) || !short_use);
        }
    }
    for resident in times {
        assert_eq!(
            lifetimes.is_fresh(resident),
            lifetimes.ttl_seconds(resident) > 0
        );
        let is_fresh = lifetimes.is_fresh(resident);
        assert!(!is_fresh || lifetimes.may_rescue(resident, Duration::ZERO));
    }
}

/// Times in their order, close to `spread`, to whole seconds, and far away.
fn residents(spread: Duration) -> [Duration; 7] {
    let second = Duration::from_secs(1);
    let mut times = [
        Duration::ZERO,
        Duration::from_nanos(1),
        spread,
        spread.saturating_add(Duration::from_nanos(1)),
        Duration::from_secs(spread.as_secs()),
        spread.saturating_add(second),
        Duration::MAX,
    ];
    times.sort_unstable();
    times
}

/// A copy is not modified for whom has it, and asking about more never makes it modified.
fn check_conditions(request: &Fields, stored: &Fields) {
    let as_lines = |fields: &Fields, name: &str| -> Vec<Vec<u8>> {
        fields.get_all(name).map(<[u8]>::to_vec).collect()
    };
    let asked = as_lines(request, "if-none-match");
    let with =
        |tags: &[Vec<u8>]| Fields::from_pairs(tags.iter().map(|tag| ("if-none-match", &tag[..])));
    if !asked.is_empty() {
        let told = not_modified(request, stored);
        assert_eq!(
            told,
            not_modified(&with(&asked), stored),
            "only tags count beside tags"
        );
        let more = [&asked[..], &[b"\"another\"".to_vec()]].concat();
        assert!(not_modified(&with(&more), stored) || !told);
        let any = [&asked[..], &[b"*".to_vec()]].concat();
        assert!(not_modified(&with(&any), stored));
    }
    if let Some(etag) = stored.get("etag") {
        let opaque = etag.strip_prefix(b"W/").unwrap_or(etag);
        let quotes = opaque.iter().filter(|&&byte| byte == b'"').count();
        let is_tag =
            opaque.len() > 1 && quotes == 2 && opaque[0] == b'"' && opaque.ends_with(b"\"");
        let asked = with(&[etag.to_vec()]);
        assert_eq!(not_modified(&asked, stored), is_tag || etag == b"*");
    }
}

fn check_dates(fields: &Fields) {
    for (_, value) in fields.iter() {
        if let Some(time) = UnixTime::parse(value) {
            let shown = time.to_string();
            assert_eq!(UnixTime::parse(shown.as_bytes()), Some(time), "{shown}");
        }
    }
}

/// A copy answers the request that it was made for, and its size is told.
fn check_vary(request: &Fields, response: &Fields) {
    for cookies_in_key in [false, true] {
        if let Some(vary) = Vary::of(request, response, cookies_in_key) {
            assert!(vary.matches(request));
            assert_eq!(vary.is_empty(), vary.bytes_held() == 0);
            assert!(!response.has_token("vary", "*"));
            let another = Vary::of(request, response, cookies_in_key);
            assert_eq!(another, Some(vary));
        }
    }
}

/// Gzip is sent only to whom names it, or everything.
fn check_gzip(request: &Fields) {
    let named = request.get_all("accept-encoding").any(|value| {
        let value = value.to_ascii_lowercase();
        value.contains(&b'*') || memchr::memmem::find(&value, b"gzip").is_some()
    });
    assert!(named || !accepts_gzip(request));
}
