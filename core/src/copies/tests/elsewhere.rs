//! Owns the tests of copies that go from one machine to another, and of what an operator is shown.

use super::*;

/// Another machine: another seed, and another clock.
fn other(change: impl FnOnce(&mut CacheSettings)) -> Site {
    site_with(change, 2, WALL + SECOND * 60)
}

fn exported(site: &Site) -> Vec<Vec<u8>> {
    let keys = site.keys();
    let records = keys.iter().flat_map(|key| site.export(key).records);
    records.map(|recorded| recorded.record).collect()
}

/// A site with a page for everybody and one of a session.
fn full() -> Site {
    let site = site(Duration::ZERO);
    answer(
        &site,
        &get("/a", &[("host", "h")]),
        &ok(&[]),
        b"page a",
        NOW,
    );
    let own = get("/own", &[("host", "h"), ("cookie", "PHPSESSID=of-anna")]);
    answer(&site, &own, &ok(&[]), b"page of anna", NOW);
    assert_eq!(site.stats(NOW).copies, 2);
    site
}

#[test]
fn what_everybody_may_see_rescues_on_another_machine_and_nothing_else_leaves() {
    let records = exported(&full());
    assert_eq!(records.len(), 1);
    let there = other(|_| {});
    let told = told(&there);
    assert_eq!(full().export_mark(), there.export_mark());
    assert!(there.import(&records[0], NOW).is_ok());
    let page = rescued(&there, &get("/a", &[("host", "h")]), NOW);
    assert_eq!(page.as_deref(), Some(&b"page a"[..]));
    assert_eq!(
        told.changed.lock().unwrap().len(),
        1,
        "it outlives this one too"
    );
    assert_eq!(there.import(&records[0], NOW), Err(Unrestored::Known));
}

#[test]
fn a_record_of_a_session_is_not_taken_over_whoever_made_it() {
    let site = full();
    let keys = site.keys().into_iter();
    let own = keys.filter(|key| !key.partition().is_everybodys());
    let own: Vec<_> = own.collect();
    assert_eq!(own.len(), 1);
    assert!(site.export(&own[0]).records.is_empty());
    // As `export` would write it, if it did.
    let mut record = site.records(&own[0]).records.remove(0).record;
    record[1..9].copy_from_slice(&site.export_mark().to_le_bytes());
    let end = record.len() - 4;
    let checksum = crc32fast::hash(&record[..end]);
    record[end..].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(other(|_| {}).import(&record, NOW), Err(Unrestored::Rules));
}

#[test]
fn copies_of_other_settings_are_not_taken_over_and_those_of_another_origin_are() {
    let records = exported(&full());
    let there = other(|cache| cache.detect_query = false);
    assert_eq!(there.import(&records[0], NOW), Err(Unrestored::Rules));
    let mut settings = Settings::default();
    settings.site.origin.authority = "10.0.0.7:80".to_owned();
    let there = Site::new(&settings.validate().unwrap(), 2, NOW);
    there.set_wall_clock(WALL, NOW);
    assert!(there.import(&records[0], NOW).is_ok());
}

#[test]
fn a_page_that_was_dropped_here_does_not_come_back_from_elsewhere() {
    let records = exported(&full());
    let there = other(|_| {});
    let page = get("/a", &[("host", "h")]);
    answer(&there, &page, &ok(&[]), b"page a of here", NOW);
    let gone = ResponseHead::new(StatusCode::NOT_FOUND, Fields::default());
    answer(&there, &page, &gone, b"", NOW);
    assert_eq!(there.stats(NOW).copies, 0);
    assert_eq!(there.import(&records[0], NOW), Err(Unrestored::Dropped));
}

#[test]
fn a_flipped_bit_of_an_exported_copy_is_noticed() {
    let records = exported(&full());
    let there = other(|_| {});
    for bit in 0..records[0].len() * 8 {
        let mut flipped = records[0].clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let taken = there.import(&flipped, NOW);
        assert!(taken.is_err(), "bit {bit}");
    }
    assert_eq!(there.stats(NOW).copies, 0);
}

#[test]
fn an_operator_is_shown_head_and_content_of_what_everybody_may_see() {
    let site = full();
    let url = |path: &str| Purge::Url {
        host: Some("H".to_owned()),
        path_and_query: path.to_owned(),
    };
    let shown = site.show(&url("/a"), NOW);
    assert_eq!(shown.len(), 1);
    assert_eq!(
        (&shown[0].body[..], shown[0].status),
        (&b"page a"[..], StatusCode::OK)
    );
    assert!(shown[0].fields.contains("date"));
    assert!(site.show(&url("/own"), NOW).is_empty(), "that is Anna's");
    assert_eq!(site.show(&Purge::All, NOW).len(), 1);
}
