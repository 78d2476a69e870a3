//! Owns the tests of copies that outlive the process: what is written down comes back as it was, or
//! not at all, and rescues only.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, StatusCode};
use proptest::prelude::*;

use super::{Journal, Recorded, Restored, Unrestored};
use crate::config::{CacheSettings, Settings};
use crate::copies::Purge;
use crate::key::{CacheKey, Partition};
use crate::message::{Fields, RequestHead, ResponseHead};
use crate::report::Failure;
use crate::rng::Rng;
use crate::site::{Decision, Site};
use crate::time::{Instant, UnixTime};

mod elsewhere;
mod sharing;

const NOW: Instant = Instant::ZERO;
const SECOND: Duration = Duration::from_secs(1);
/// Some day.
const WALL: Duration = Duration::from_secs(1_700_000_000);

/// What a journal was told.
#[derive(Default)]
struct Told {
    changed: Mutex<Vec<CacheKey>>,
    dropped: Mutex<Vec<u64>>,
    kept: Mutex<Vec<u64>>,
}

impl Journal for Told {
    fn takes(&self, partition: Partition) -> bool {
        partition.is_everybodys()
    }

    fn changed(&self, key: &CacheKey) {
        self.changed.lock().unwrap().push(key.clone());
    }

    fn dropped(&self, keys: &[u64]) {
        self.dropped.lock().unwrap().extend(keys);
    }

    fn dropped_partition(&self, _: Partition) {}

    fn dropped_others(&self, kept: &[u64]) {
        *self.kept.lock().unwrap() = kept.to_vec();
    }
}

fn site_with(change: impl FnOnce(&mut CacheSettings), seed: u64, wall: Duration) -> Site {
    let mut settings = Settings::default();
    change(&mut settings.site.cache);
    let site = Site::new(&settings.validate().unwrap(), seed, NOW);
    site.set_wall_clock(wall, NOW);
    site
}

/// A site after a restart, so long after another one had its start.
fn site(later: Duration) -> Site {
    site_with(|_| {}, 1, WALL + later)
}

fn told(site: &Site) -> Arc<Told> {
    let told = Arc::new(Told::default());
    assert!(site.set_journal(Arc::clone(&told) as _));
    told
}

fn fields(lines: &[(&str, &str)]) -> Fields {
    Fields::from_pairs(lines.iter().map(|(name, value)| (*name, value.as_bytes())))
}

fn get(path: &str, lines: &[(&str, &str)]) -> Arc<RequestHead> {
    Arc::new(RequestHead::new(Method::GET, path, fields(lines)))
}

/// Asks the origin, which answers so.
fn answer(site: &Site, request: &Arc<RequestHead>, head: &ResponseHead, body: &[u8], now: Instant) {
    let Some(Decision::Fetch(fetch)) = site.decide(request, now).now() else {
        panic!("nothing is fresh, and there is room");
    };
    let mut passing = fetch.on_head(head, now).passed_on();
    passing.on_data(body, now);
    passing.on_end(now);
}

fn ok(lines: &[(&str, &str)]) -> ResponseHead {
    ResponseHead::new(StatusCode::OK, fields(lines))
}

/// What a visitor sees of the page while the origin takes no connection.
fn rescued(site: &Site, request: &Arc<RequestHead>, now: Instant) -> Option<Vec<u8>> {
    let Some(Decision::Fetch(fetch)) = site.decide(request, now).now() else {
        panic!("nothing is fresh, and there is room");
    };
    let served = fetch.on_failure(Failure::Connect, now).ok()?;
    Some(served.answer(request).body().to_vec())
}

/// The one copy of a page as it is written down.
fn record(site: &Site, request: &RequestHead) -> Recorded {
    let key = site.snapshot().keyer().key(request).unwrap();
    let mut records = site.records(&key).records;
    assert_eq!(records.len(), 1);
    records.remove(0)
}

/// A page with everything that a copy may have, written down.
fn full_record() -> (Arc<RequestHead>, Vec<u8>) {
    let request = get("/page?q=1", &[("host", "h"), ("accept-language", "de, en")]);
    let before = site(Duration::ZERO);
    let head = ok(&[
        ("content-type", "text/html"),
        ("etag", "\"1\""),
        ("vary", "accept-language, x"),
        ("cache-control", "max-age=60"),
        ("retter-cache-control", "max-age=30"),
    ]);
    answer(&before, &request, &head, b"<html>the page</html>", NOW);
    let record = record(&before, &request).record;
    (request, record)
}

fn restore(site: &Site, record: &[u8], now: Instant) -> Result<Restored, Unrestored> {
    site.restore(record, &|_| true, now)
}

#[test]
fn a_copy_that_comes_back_rescues_and_is_not_fresh_until_the_origin_confirms_it() {
    let (request, record) = full_record();
    let later = site(Duration::from_secs(10));
    restore(&later, &record, NOW).unwrap();
    later.validate().unwrap();
    assert_eq!(
        rescued(&later, &request, NOW).as_deref(),
        Some(&b"<html>the page</html>"[..])
    );
    let other = get("/page?q=1", &[("host", "h"), ("accept-language", "fr")]);
    assert_eq!(rescued(&later, &other, NOW), None, "it varies");
    let Some(Decision::Fetch(fetch)) = later.decide(&request, NOW).now() else {
        panic!("it is not fresh");
    };
    assert!(fetch.validators().is_some(), "it is asked about");
    let head = ResponseHead::new(StatusCode::NOT_MODIFIED, fields(&[("etag", "\"1\"")]));
    let served = fetch.on_head(&head, NOW).served();
    assert_eq!(served.resident(), Duration::ZERO);
    let Some(Decision::Serve(_)) = later.decide(&request, NOW).now() else {
        panic!("the origin has said that it is still right");
    };
}

#[test]
fn the_age_of_a_copy_goes_on_while_nobody_runs() {
    let (request, record) = full_record();
    let day = CacheSettings::default().rescue_age_max;
    let later = site(day - SECOND);
    let restored = restore(&later, &record, NOW).unwrap();
    assert_eq!(
        restored.key,
        later.snapshot().keyer().key(&request).unwrap().hash()
    );
    let Some(Decision::Fetch(fetch)) = later.decide(&request, NOW).now() else {
        panic!("it is not fresh");
    };
    let served = fetch.on_failure(Failure::Connect, NOW).unwrap();
    assert_eq!(served.resident(), day - SECOND);
    assert_eq!(rescued(&later, &request, NOW + SECOND * 2), None);
    assert_eq!(
        restore(&site(day + SECOND), &record, NOW),
        Err(Unrestored::Old)
    );
}

#[test]
fn a_copy_of_a_wrong_clock_of_other_settings_or_another_seed_does_not_come_back() {
    let (_, record) = full_record();
    #[track_caller]
    fn check(record: &[u8], site: &Site, expected: Unrestored) {
        assert_eq!(restore(site, record, NOW), Err(expected));
        assert_eq!(site.stats(NOW).copies, 0);
    }
    let wall = WALL - Duration::from_secs(61);
    check(&record, &site_with(|_| {}, 1, wall), Unrestored::Future);
    check(&record, &site_with(|_| {}, 2, WALL), Unrestored::Rules);
    let strict = |cache: &mut CacheSettings| cache.rescue = crate::config::RescueMode::Strict;
    check(&record, &site_with(strict, 1, WALL), Unrestored::Rules);
    let query = |cache: &mut CacheSettings| cache.detect_query = false;
    check(&record, &site_with(query, 1, WALL), Unrestored::Rules);
    let harmless = |cache: &mut CacheSettings| cache.harmless_fields = "x-a".parse().unwrap();
    check(&record, &site_with(harmless, 1, WALL), Unrestored::Rules);
    // A clock that was set back a little is no reason.
    let wall = WALL - Duration::from_secs(30);
    restore(&site_with(|_| {}, 1, wall), &record, NOW).unwrap();
}

#[test]
fn what_was_dropped_or_renewed_meanwhile_does_not_come_back() {
    let (request, record) = full_record();
    let purged = site(SECOND);
    purged.purge(&Purge::All);
    assert_eq!(restore(&purged, &record, NOW), Err(Unrestored::Dropped));
    let written = site(SECOND);
    let write = Arc::new(RequestHead::new(
        Method::POST,
        "/page?q=1",
        fields(&[("host", "h")]),
    ));
    answer(&written, &write, &ok(&[]), b"", NOW);
    assert_eq!(restore(&written, &record, NOW), Err(Unrestored::Dropped));
    let renewed = site(SECOND);
    let head = ok(&[("vary", "accept-language, x")]);
    answer(&renewed, &request, &head, b"newer", NOW);
    assert_eq!(restore(&renewed, &record, NOW), Err(Unrestored::Known));
    assert_eq!(
        rescued(&renewed, &request, NOW).as_deref(),
        Some(&b"newer"[..])
    );
    // Where it was kept it was dropped just after it was put into the store.
    let raced = site(SECOND);
    let is_live = |_| raced.stats(NOW).copies == 0;
    assert_eq!(
        raced.restore(&record, &is_live, NOW),
        Err(Unrestored::Dropped)
    );
    assert_eq!(raced.stats(NOW).copies, 0);
}

#[test]
fn a_journal_is_told_of_what_all_may_see_and_of_each_drop() {
    let site = site(Duration::ZERO);
    let told = told(&site);
    assert!(!site.set_journal(Arc::new(Told::default())), "only once");
    let page = get("/", &[("host", "h")]);
    answer(&site, &page, &ok(&[]), b"page", NOW);
    let key = site.snapshot().keyer().key(&page).unwrap();
    assert_eq!(*told.changed.lock().unwrap(), std::slice::from_ref(&key));
    for own in [
        ("cookie", "PHPSESSID=1"),
        ("hx-request", "true"),
        ("x-user", "1"),
    ] {
        answer(
            &site,
            &get("/", &[("host", "h"), own]),
            &ok(&[]),
            b"own",
            NOW,
        );
        assert_eq!(told.changed.lock().unwrap().len(), 1, "{own:?}");
    }
    assert!(told.dropped.lock().unwrap().is_empty());
    // A no, of a page that is not in memory: it may be on a disk.
    let gone = get("/gone", &[("host", "h")]);
    let no = ResponseHead::new(StatusCode::NOT_FOUND, Fields::default());
    answer(&site, &gone, &no, b"", NOW);
    let gone = site.snapshot().keyer().key(&gone).unwrap();
    assert_eq!(*told.dropped.lock().unwrap(), [gone.hash()]);
    let write = Arc::new(RequestHead::new(
        Method::POST,
        "/",
        fields(&[("host", "h")]),
    ));
    answer(&site, &write, &ok(&[]), b"", NOW);
    assert!(told.dropped.lock().unwrap().contains(&key.hash()));
    assert!(site.records(&key).records.is_empty());
    answer(&site, &page, &ok(&[]), b"page", NOW);
    let prefix = Purge::Prefix {
        host: None,
        path: "/other".to_owned(),
    };
    site.purge(&prefix);
    assert!(told.kept.lock().unwrap().binary_search(&key.hash()).is_ok());
    site.purge(&Purge::All);
    assert!(told.kept.lock().unwrap().is_empty());
}

#[test]
fn what_may_not_be_used_stale_is_not_written_down() {
    let site = site(Duration::ZERO);
    let page = get("/", &[("host", "h")]);
    answer(
        &site,
        &page,
        &ok(&[("cache-control", "max-age=9, must-revalidate")]),
        b"page",
        NOW,
    );
    assert_eq!(site.stats(NOW).copies, 1);
    let key = site.snapshot().keyer().key(&page).unwrap();
    let records = site.records(&key);
    assert!(records.records.is_empty() && records.has_unfit);
}

#[test]
fn an_operator_is_shown_each_copy_and_what_it_is_good_for() {
    let site = site(Duration::ZERO);
    answer(
        &site,
        &get("/a?b", &[("host", "h")]),
        &ok(&[("cache-control", "max-age=9")]),
        b"page",
        NOW,
    );
    let day = CacheSettings::default().rescue_age_max;
    for (age, is_fresh, may_rescue) in [
        (SECOND, true, true),
        (SECOND * 9, false, true),
        (day + SECOND, false, false),
    ] {
        let listed = site.copies(NOW + age);
        let [copy] = &listed[..] else {
            panic!("{listed:?}")
        };
        assert_eq!(copy.key.path_and_query(), b"/a?b");
        assert_eq!((copy.age, copy.bytes), (age, 4));
        assert_eq!((copy.is_fresh, copy.may_rescue), (is_fresh, may_rescue));
    }
}

#[test]
fn what_varies_by_a_cookie_is_not_written_down() {
    let shared = |cache: &mut CacheSettings| cache.detect_session = false;
    let site = site_with(shared, 1, WALL);
    let own = get("/", &[("host", "h"), ("cookie", "PHPSESSID=1")]);
    answer(&site, &own, &ok(&[("vary", "Cookie")]), b"own", NOW);
    assert_eq!(site.stats(NOW).copies, 1);
    let key = site.snapshot().keyer().key(&own).unwrap();
    let records = site.records(&key);
    assert!(records.records.is_empty() && records.has_unfit);
}

#[test]
fn what_was_made_by_other_rules_is_not_written_down_under_those_of_now() {
    let site = site(Duration::ZERO);
    let page = get("/", &[("host", "h")]);
    answer(&site, &page, &ok(&[]), b"page", NOW);
    let mut settings = crate::config::SiteSettings::default();
    settings.cache.rescue = crate::config::RescueMode::Strict;
    let _ = site.reconfigure(&settings.validate().unwrap(), NOW + SECOND);
    let key = site.snapshot().keyer().key(&page).unwrap();
    assert!(site.records(&key).has_unfit && site.stats(NOW).copies == 1);
    answer(&site, &page, &ok(&[]), b"page", NOW + SECOND);
    assert_eq!(site.records(&key).records.len(), 1);
}

#[test]
fn copies_stop_coming_back_before_newer_ones_would_have_to_give_way() {
    let small = |cache: &mut CacheSettings| {
        cache.bytes_max = 1 << 20;
        cache.object_bytes_max = 1 << 18;
    };
    let before = site_with(|_| {}, 1, WALL);
    let after = site_with(small, 1, WALL + SECOND);
    let body = vec![b'x'; 100 << 10];
    let results: Vec<_> = (0..12)
        .map(|number| {
            let request = get(&format!("/{number}"), &[("host", "h")]);
            answer(&before, &request, &ok(&[]), &body, NOW);
            restore(&after, &record(&before, &request).record, NOW)
        })
        .collect();
    assert!(results[..8].iter().all(Result::is_ok), "{results:?}");
    assert_eq!(results[11], Err(Unrestored::Full));
    assert_eq!(after.stats(NOW).evictions, 0);
    let large = |cache: &mut CacheSettings| cache.object_bytes_max = 1 << 10;
    let after = site_with(large, 1, WALL);
    let request = get("/0", &[("host", "h")]);
    let record = record(&before, &request).record;
    assert_eq!(restore(&after, &record, NOW), Err(Unrestored::Rules));
}

#[test]
fn no_flipped_bit_and_no_cut_makes_another_copy() {
    let (_, record) = full_record();
    let site = site(SECOND);
    for end in 0..record.len() {
        assert!(restore(&site, &record[..end], NOW).is_err(), "{end} bytes");
    }
    let mut rng = Rng::new(7);
    let bits = record.len() * 8;
    let mut place = || usize::try_from(rng.next() % bits as u64).unwrap();
    for round in 0..10_000 {
        let mut flipped = record.clone();
        for _ in 0..=round % 3 {
            let bit = place();
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(
            flipped == record || restore(&site, &flipped, NOW).is_err(),
            "round {round}"
        );
    }
    assert_eq!(site.stats(NOW).copies, 0);
    restore(&site, &record, NOW).unwrap();
}

#[test]
fn a_date_is_no_other_content() {
    let page = get("/", &[("host", "h")]);
    let [one, same, other] = [(0, "a"), (9, "a"), (0, "b")].map(|(seconds, body)| {
        let site = site(Duration::ZERO);
        let date = UnixTime(WALL.as_secs() + seconds).to_string();
        answer(&site, &page, &ok(&[("date", &date)]), body.as_bytes(), NOW);
        record(&site, &page).content
    });
    assert!(one == same && one != other);
}

proptest! {
    #[test]
    fn what_is_written_down_comes_back_as_it_was(
        body in prop::collection::vec(any::<u8>(), 0..200),
        lines in prop::collection::vec(("[a-z]{1,8}", "[ -~]{0,12}"), 0..6),
        language in prop::option::of("[a-z, ]{0,8}"),
        age in 0_u64..1000,
    ) {
        let language: Vec<_> = language.iter().map(|it| ("accept-language", it.as_str())).collect();
        // None of those that keep a page from being kept, which end as `X-JWT` does.
        let lines: Vec<_> = lines.iter().map(|(name, value)| (format!("x-{name}-x"), value)).collect();
        let mut response = vec![("vary", "accept-language")];
        response.extend(lines.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let request = get("/a?b=c", &[&[("host", "h")], &language[..]].concat());
        let before = site(Duration::ZERO);
        answer(&before, &request, &ok(&response), &body, NOW);
        let first = record(&before, &request);
        let after = site(Duration::from_secs(age));
        let restored = restore(&after, &first.record, NOW).unwrap();
        prop_assert_eq!(restored.variant, first.variant);
        let second = record(&after, &request);
        prop_assert_eq!(second.content, first.content);
        // Times are whole seconds where they are from before the start.
        prop_assert_eq!(&second.record, &first.record);
        prop_assert_eq!(rescued(&after, &request, NOW), Some(body));
    }
}
