//! Owns the target of the caching rules: a stricter rule never allows more, time never makes
//! anything fresh again, and the order of what is said does not matter.
//! Never keeps a copy: that is `store`.

use std::ops::Range;
use std::time::Duration;

use http::{Method, StatusCode};

use super::input::{Input, fields, lines};
use crate::config::{FreshMode, RescueMode};
use crate::limits::RANGES_MAX;
use crate::message::{Fields, RequestHead, ResponseHead};
use crate::rules::cache_control::{CacheControl, DELTA_SECONDS_MAX, effective};
use crate::rules::coding::accepts_gzip;
use crate::rules::conditional::{
    Validators, is_cache_condition, not_modified, same_representation,
};
use crate::rules::freshness::{Allowed, Criteria, Lifetimes, NotStorable, Scope, Wishes, assess};
use crate::rules::range::{Cut, cut};
use crate::store::Vary;
use crate::time::UnixTime;

/// Two bytes (scope and status, time), then lines: of the request those that begin with `>`, the
/// rest of the response. See [the table](super).
pub fn cache_control(data: &[u8]) {
    const STATUSES: [StatusCode; 4] = [
        StatusCode::OK,
        StatusCode::NOT_FOUND,
        StatusCode::PARTIAL_CONTENT,
        StatusCode::MOVED_PERMANENTLY,
    ];
    let mut input = Input(data);
    let kind = input.byte();
    let scope = match kind % 3 {
        0 => Scope::Marked,
        1 => Scope::Session,
        _ => Scope::Shared,
    };
    let spread = Duration::from_nanos(input.nanos());
    let asked = lines(input.0).filter_map(|line| line.strip_prefix(b">"));
    let told = lines(input.0).filter(|line| !line.starts_with(b">"));
    let request = RequestHead::new(Method::GET, "/", fields(asked));
    let response = ResponseHead::new(STATUSES[usize::from(kind / 64)], fields(told));

    check_directives(&response.fields);
    check_modes(scope, &request, &response, spread);
    check_freshness(scope, &request, &response, spread);
    check_conditions(&request.fields, &response.fields);
    check_ranges(&request.fields, &response.fields, data.len() % 40);
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
    let kept = |rescue| {
        let terms = terms(rescue, FreshMode::Origin, scope);
        assess(&terms, request, response, RECEIVED)
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

const RECEIVED: UnixTime = UnixTime(784_111_777);

fn terms(rescue: RescueMode, fresh: FreshMode, scope: Scope) -> Criteria {
    Criteria {
        rescue,
        fresh,
        ttl: Duration::from_secs(5),
        scope,
    }
}

/// What is fresh in a stricter sense is in a wider one, and a client only narrows what answers it
/// unless it says that it takes what is stale.
fn check_freshness(scope: Scope, request: &RequestHead, response: &ResponseHead, spread: Duration) {
    let wishes = Wishes::of(&request.fields);
    let control = CacheControl::of(&request.fields, "cache-control");
    for rescue in [RescueMode::All, RescueMode::Session, RescueMode::Strict] {
        let modes = [FreshMode::Off, FreshMode::Origin, FreshMode::Ttl];
        let kept = modes.map(|fresh| {
            let terms = terms(rescue, fresh, scope);
            assess(&terms, request, response, RECEIVED)
        });
        for pair in kept.windows(2) {
            let [Ok(narrow), wide] = pair else { continue };
            let wide = wide.as_ref().expect("kept for less");
            for resident in residents(spread) {
                assert!(!narrow.is_fresh(resident) || wide.is_fresh(resident));
            }
        }
        for times in kept.iter().flatten() {
            assert!(!times.expired().is_fresh(Duration::ZERO));
            let mut last = true;
            for resident in residents(spread) {
                let allowed = wishes.allow(times, resident);
                assert!(last || allowed.is_none(), "time allows nothing");
                last = allowed.is_some();
                let is_fresh = times.is_fresh(resident);
                assert_eq!(allowed == Some(Allowed::Fresh), is_fresh && last);
                let plain = Wishes::default().allow(times, resident);
                assert_eq!(plain == Some(Allowed::Fresh), is_fresh);
                let widens = allowed == Some(Allowed::MaxStale);
                assert!(allowed.is_none() || plain.is_some() || widens);
                assert!(!widens || control.max_stale.is_some() && !times.forbids_stale());
                let is_refused = control.no_cache || control.max_age == Some(0);
                assert!(allowed.is_none() || !is_refused);
            }
        }
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
    // What the origin is asked by is what makes a copy unchanged, where it is a tag.
    let mut put = Vec::new();
    Validators::of(stored).put_conditions(|name, value| {
        assert!(is_cache_condition(name.as_bytes()));
        put.push((name.to_owned(), value.to_vec()));
    });
    let conditions = Fields::from_pairs(put.iter().map(|(name, value)| (&name[..], &value[..])));
    assert_eq!(conditions.len(), put.len());
    if !conditions.contains("if-none-match") && stored.get_all("last-modified").count() == 1 {
        assert!(conditions.is_empty() || not_modified(&conditions, stored));
    }
    assert!(same_representation(stored, stored, content_length(stored)));
    if let Some(etag) = stored.get("etag") {
        let opaque = etag.strip_prefix(b"W/").unwrap_or(etag);
        let quotes = opaque.iter().filter(|&&byte| byte == b'"').count();
        let is_tag =
            opaque.len() > 1 && quotes == 2 && opaque[0] == b'"' && opaque.ends_with(b"\"");
        let asked = with(&[etag.to_vec()]);
        assert_eq!(not_modified(&asked, stored), is_tag || etag == b"*");
    }
}

/// The parts of a copy are those that a naive reading of the range set finds.
fn check_ranges(request: &Fields, stored: &Fields, length: usize) {
    let found = cut(request, stored, length);
    let parts: &[Range<usize>] = match &found {
        Cut::Part(part) => std::slice::from_ref(part),
        Cut::Parts(parts) => parts,
        Cut::Unsatisfiable | Cut::Whole => &[],
    };
    assert!(
        parts
            .iter()
            .all(|part| part.start < part.end && part.end <= length)
    );
    let total: usize = parts.iter().map(|part| part.len()).sum();
    assert!(total <= length, "no more work than for the whole");
    let (sets, conditions) = (request.get_all("range"), request.get_all("if-range"));
    let (sets, conditions) = (sets.collect::<Vec<_>>(), conditions.collect::<Vec<_>>());
    let has_same = stored.get("etag").is_some_and(|etag| {
        let is_strong = etag.len() > 1 && etag.starts_with(b"\"") && etag.ends_with(b"\"");
        is_strong && conditions == [etag]
    });
    let naive = match sets[..] {
        [set] if conditions.is_empty() || has_same => naive_ranges(set, length),
        // By a date: that it has the right form is all that is known here.
        [_] if conditions.len() == 1 && UnixTime::parse(conditions[0]).is_some() => return,
        _ => None,
    };
    match naive {
        None => assert_eq!(found, Cut::Whole),
        Some(ranges) if ranges.is_empty() => assert_eq!(found, Cut::Unsatisfiable),
        Some(ranges) if ranges.iter().map(ExactSizeIterator::len).sum::<usize>() > length => {
            assert_eq!(found, Cut::Whole);
        }
        Some(ranges) => assert_eq!(parts, ranges),
    }
}

/// The satisfiable ranges; `None` when the set says nothing that has to be obeyed.
fn naive_ranges(set: &[u8], length: usize) -> Option<Vec<Range<usize>>> {
    let text = std::str::from_utf8(set).ok()?;
    let (unit, set) = text.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    // Saturates, so that the largest position is beyond every end.
    let number = |digits: &str| {
        let digit = |byte: u8| byte.is_ascii_digit().then(|| u128::from(byte - b'0'));
        let mut digits = digits.bytes().map(digit);
        digits.try_fold(0_u128, |number, digit| {
            Some(
                number
                    .saturating_mul(10)
                    .saturating_add(digit?)
                    .min(1 << 64),
            )
        })
    };
    let length = length as u128;
    let mut ranges = Vec::new();
    let is_blank = |letter: char| letter.is_ascii_whitespace();
    let specs = set.split(',').map(|spec| spec.trim_matches(is_blank));
    let specs: Vec<&str> = specs.filter(|spec| !spec.is_empty()).collect();
    if specs.is_empty() || specs.len() > RANGES_MAX {
        return None;
    }
    for spec in specs {
        let (first, end) = match spec.split_once('-')? {
            ("", "") => return None,
            ("", suffix) => (length.saturating_sub(number(suffix)?), length),
            (first, "") => (number(first)?, length),
            (first, last) if number(first)? > number(last)? => return None,
            (first, last) => (number(first)?, (number(last)? + 1).min(length)),
        };
        if first < end {
            ranges.push(usize::try_from(first).ok()?..usize::try_from(end).ok()?);
        }
    }
    Some(ranges)
}

fn content_length(fields: &Fields) -> usize {
    let told = fields.get_str("content-length");
    told.and_then(|text| text.parse().ok()).unwrap_or(0)
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
