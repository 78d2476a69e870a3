//! Tests of which answers become copies, and what renews them.

use bytes::Bytes;

use super::*;
use crate::config::Settings;
use crate::key::SessionChange;
use crate::limits::HEAD_BYTES_CEILING;
use crate::message::{Index, RequestHead};
use crate::site::{Decision, Fetch, Site};

const NOW: Instant = Instant::ZERO;

fn site() -> Site {
    let site = Site::new(&Settings::default().validate().unwrap(), 1, NOW);
    assert!(site.poll_refresh(NOW).is_none(), "it is attended");
    site
}

fn ask(site: &Site, fields: Fields) -> Fetch {
    let request = Arc::new(RequestHead::new(Method::GET, "/", fields));
    let Some(Decision::Fetch(fetch)) = site.decide(&request, NOW).now() else {
        panic!("nothing is fresh");
    };
    fetch
}

fn ok(fetch: Fetch, fields: Fields) {
    let head = ResponseHead::new(StatusCode::OK, fields);
    let mut passing = fetch.on_head(&head, NOW).passed_on();
    passing.on_data(b"page", NOW);
    passing.on_end(NOW);
}

/// One line of about that many bytes, and others behind it.
fn long(bytes: usize, name: &str, others: &[(&str, &[u8])]) -> Fields {
    let value = vec![b'x'; bytes];
    let first = std::iter::once((name, &value[..]));
    Fields::from_pairs(first.chain(others.iter().copied()))
}

#[test]
fn a_request_of_which_the_cookie_is_missing_is_nobodys() {
    let cookie: (&str, &[u8]) = ("cookie", b"PHPSESSID=1");
    let site = site();
    let fields = long(HEAD_BYTES_CEILING - 10, "a", &[cookie]);
    assert!(fields.is_cut() && !fields.contains("cookie"));
    ok(ask(&site, fields), Fields::default());
    assert_eq!(site.parts.copies.stats().len, 0);
}

#[test]
fn a_write_of_which_a_line_is_missing_drops_the_page_all_the_same() {
    let site = site();
    ok(ask(&site, Fields::default()), Fields::default());
    assert_eq!(site.parts.copies.stats().len, 1);
    let fields = long(HEAD_BYTES_CEILING, "a", &[]);
    assert!(fields.is_cut());
    let write = Arc::new(RequestHead::new(Method::POST, "/", fields));
    let Some(Decision::Fetch(fetch)) = site.decide(&write, NOW).now() else {
        panic!("writes pass");
    };
    ok(fetch, Fields::default());
    assert_eq!(site.parts.copies.stats().len, 0);
}

#[test]
fn an_answer_of_which_a_line_is_missing_is_not_kept() {
    // It fits as it came, and not with the `Date` that a copy has.
    let fields = long(HEAD_BYTES_CEILING - 20, "a", &[]);
    assert!(!fields.is_cut());
    let site = site();
    ok(ask(&site, Fields::default()), fields);
    assert_eq!(site.parts.copies.stats().len, 0);
    let cut = long(HEAD_BYTES_CEILING, "set-cookie", &[]);
    let change = site
        .snapshot()
        .keyer()
        .session_change(&Fields::default(), &cut);
    assert_eq!(change, SessionChange::ChangesSession);
}

#[test]
fn a_304_that_does_not_fit_leaves_the_copy_as_it_was() {
    let etag: (&str, &[u8]) = ("etag", b"\"1\"");
    let fresh: (&str, &[u8]) = ("cache-control", b"max-age=60");
    let site = site();
    ok(
        ask(&site, Fields::default()),
        long(HEAD_BYTES_CEILING / 2, "a", &[etag]),
    );
    // Together with the copy's own, and by itself.
    for bytes in [HEAD_BYTES_CEILING / 2, HEAD_BYTES_CEILING] {
        let fetch = ask(&site, Fields::default());
        let head = ResponseHead::new(StatusCode::NOT_MODIFIED, long(bytes, "b", &[etag, fresh]));
        let served = fetch.on_head(&head, NOW).served();
        assert!(served.fields().contains("a") && !served.fields().contains("b"));
        assert_eq!(site.parts.copies.stats().len, 1);
        // Stale all the same: `ask` finds nothing fresh.
        assert!(ask(&site, Fields::default()).can_rescue());
    }
}

#[test]
fn what_the_memory_for_new_copies_does_not_hold_is_passed_on_only() {
    let mut settings = Settings::default();
    settings.site.cache.bytes_max = 1 << 20;
    settings.site.cache.object_bytes_max = 1 << 20;
    let site = Site::new(&settings.validate().unwrap(), 1, NOW);
    let piece = vec![b'x'; 300 << 10];
    let [one, other] = ["/1", "/2"].map(|target| {
        let request = RequestHead::new(Method::GET, target, Fields::default());
        let Some(Decision::Fetch(fetch)) = site.decide(&Arc::new(request), NOW).now() else {
            panic!("nothing is kept");
        };
        let head = ResponseHead::new(StatusCode::OK, Fields::default());
        let mut passing = fetch.on_head(&head, NOW).passed_on();
        passing.on_data(&piece, NOW);
        passing
    });
    assert!(one.is_collecting() && !other.is_collecting());
    assert_eq!(site.parts.copies.stats().collecting_bytes, piece.len());
    one.on_end(NOW);
    other.on_end(NOW);
    assert_eq!(
        (
            site.parts.copies.stats().len,
            site.parts.copies.stats().collecting_bytes
        ),
        (1, 0)
    );
}

#[test]
fn a_request_that_is_longer_when_it_is_written_again_renews_nothing() {
    // Without the space behind the colon it has just the length that fits.
    let cookie = b"cookie:PHPSESSID=1\r\n";
    let mut raw = vec![b'x'; HEAD_BYTES_CEILING - cookie.len()];
    raw[1] = b':';
    raw.extend_from_slice(cookie);
    let raw = Bytes::from(raw);
    let end = raw.len() - cookie.len();
    let mut index = Index::with_capacity(2);
    index.push(&raw, 0..1, 2..end - 2);
    index.push(&raw, end..end + 6, end + 7..raw.len() - 2);
    let fields = Fields::parsed(raw, index);
    let site = site();
    let mut fetch = ask(&site, fields.clone());
    fetch.on_behalf_of(std::net::IpAddr::from([192, 0, 2, 1]));
    ok(fetch, Fields::default());
    assert_eq!(site.parts.copies.stats().len, 1);
    let request = Arc::new(RequestHead::new(Method::GET, "/", fields));
    let errand = Errand {
        key: site.snapshot().keyer().key(&request).unwrap(),
        peer: std::net::IpAddr::from([192, 0, 2, 1]),
        request,
    };
    site.parts.renewals.want(&errand, NOW, NOW);
    assert_eq!(site.parts.renewals.stats().wanted, 1);
    assert!(site.poll_refresh(NOW).is_none());
    assert_eq!(site.parts.renewals.stats().wanted, 0, "not again and again");
}
