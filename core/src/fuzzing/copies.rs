//! Owns the target of records: whatever bytes a disk gives back, what comes of them is a sound copy or
//! nothing, and a copy is the same when it is written down again.
//! Never reads a disk.

use std::sync::LazyLock;
use std::time::Duration;

use crate::config::{Config, Settings};
use crate::site::Site;
use crate::time::Instant;

const NOW: Instant = Instant::ZERO;

/// What is behind the version and the mark of the rules, and before the checksum. See
/// [the table](super).
pub fn copies(data: &[u8]) {
    let site = site();
    check(&site, data);
    let mut record = vec![VERSION];
    record.extend_from_slice(&site.rules_mark().to_le_bytes());
    record.extend_from_slice(data);
    record.extend_from_slice(&crc32fast::hash(&record).to_le_bytes());
    check(&site, &record);
}

/// That of `copies::record`.
const VERSION: u8 = 1;

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    Settings::default()
        .validate()
        .expect("the defaults are valid")
});

fn site() -> Site {
    let site = Site::new(&CONFIG, 1, NOW);
    site.set_wall_clock(Duration::from_secs(1_700_000_000), NOW);
    site
}

fn check(site: &Site, record: &[u8]) {
    let Ok(restored) = site.restore(record, &|_| true, NOW) else {
        assert_eq!(site.stats(NOW).copies, 0);
        return;
    };
    site.validate().expect("the store is sound");
    let keys = site.keys();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].hash(), restored.key);
    let first = site.records(&keys[0]);
    assert!(first.records.len() == 1 && !first.has_unfit);
    let other = self::site();
    let again = other.restore(&first.records[0].record, &|_| true, NOW);
    assert_eq!(again, Ok(restored));
    let second = other.records(&keys[0]);
    assert_eq!(second.records[0].record, first.records[0].record);
    assert_eq!(second.records[0].variant, restored.variant);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{Method, StatusCode};

    use super::*;
    use crate::message::{Fields, RequestHead, ResponseHead};
    use crate::site::Decision;

    /// A record without what the target adds itself.
    fn seed() -> Vec<u8> {
        let site = site();
        let lines = [("host", &b"h"[..]), ("accept-language", b"de")];
        let request = RequestHead::new(Method::GET, "/a?b", Fields::from_pairs(lines));
        let request = Arc::new(request);
        let Some(Decision::Fetch(fetch)) = site.decide(&request, NOW).now() else {
            panic!("there is no copy yet");
        };
        let lines = [
            ("vary", &b"accept-language"[..]),
            ("retter-cache-control", b"max-age=9"),
        ];
        let head = ResponseHead::new(StatusCode::OK, Fields::from_pairs(lines));
        let mut passing = fetch.on_head(&head, NOW).passed_on();
        passing.on_data(b"page", NOW);
        passing.on_end(NOW);
        let keys = site.keys();
        let record = site.records(&keys[0]).records.remove(0).record;
        record[9..record.len() - 4].to_vec()
    }

    #[test]
    fn a_record_gets_past_the_checksum() {
        let seed = seed();
        copies(&seed);
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds/copies/page");
        let kept = std::fs::read(file).expect("a seed");
        assert!(kept == seed, "the seed is of another form: write it anew");
    }
}
