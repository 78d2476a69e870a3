//! Owns what a site has found out that is to outlive its process ([`Fact`]): who was refused what, what no
//! stranger may see, who is somebody, which cookies roll, and which values were given to whom.
//! Never has an address, a cookie or a page: only marks, which the seed alone gives a meaning.
//!
//! The followed sessions themselves ([`Chains`](super::chains)) are not among it: a moment's delay between the
//! last word on who holds which value and its note would let the holder of an older one see a later page.

use std::time::Duration;

use super::known::{Fact, Known};
use super::parts::Parts;
use crate::time::{Instant, UnixTime};

/// All that counts now, in no order that means anything.
pub(super) fn facts(parts: &Parts, now: Instant) -> Vec<Fact> {
    let mut facts = Vec::new();
    let UnixTime(wall) = parts.wall.at(now);
    let ends = |until: Instant| {
        let left = until.saturating_since(now);
        wall + left.as_secs() + u64::from(left.subsec_nanos() > 0)
    };
    let mut put = |known, mark, until| {
        facts.push(Fact { known, mark, until });
    };
    for (known, lately) in parts.visitors.tables() {
        lately.each(now, &mut |mark, until| put(known, mark, ends(until)));
    }
    parts.rolls.each(now, &mut |mark, rolls, until| {
        let known = if rolls { Known::Rolls } else { Known::Stays };
        put(known, mark, ends(until));
    });
    parts.handed.each(&mut |mark, is_several| {
        let known = match is_several {
            true => Known::GivenToSeveral,
            false => Known::Given,
        };
        put(known, mark, Fact::EVER);
    });
    facts
}

/// Takes over what an earlier process has found out, while requests are answered: what is known already
/// stays. Each fact is to come once, as a value that is given twice is several visitors'.
pub(super) fn learn(parts: &Parts, fact: &Fact, now: Instant) {
    let UnixTime(wall) = parts.wall.at(now);
    let left = fact.until.saturating_sub(wall);
    if left == 0 {
        return;
    }
    // Nothing counts for longer than this: the clock of then may have been wrong.
    let until = now + Duration::from_secs(left).min(LASTS_MAX);
    match fact.known {
        Known::Given => {
            parts.handed.note(fact.mark);
        }
        Known::GivenToSeveral => parts.handed.note_several(fact.mark),
        Known::Rolls | Known::Stays => {
            let rolls = fact.known == Known::Rolls;
            parts.rolls.learn(fact.mark, rolls, until, now);
        }
        Known::Closed | Known::Personal | Known::Refused | Known::Wrote => {
            let mut tables = parts.visitors.tables().into_iter();
            if let Some((_, table)) = tables.find(|(known, _)| *known == fact.known) {
                table.note(fact.mark, until);
            }
        }
    }
}

/// The longest time for which anything that ends counts.
const LASTS_MAX: Duration = Duration::from_secs(26 * 60 * 60);

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use http::{Method, StatusCode};

    use super::*;
    use crate::config::Settings;
    use crate::message::{Fields, RequestHead, ResponseHead};
    use crate::report::Failure;
    use crate::site::{Decision, Site};

    const WALL: Duration = Duration::from_secs(1_700_000_000);
    const ANNA: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7));
    const BERT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));

    fn at(secs: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(secs))
    }

    fn site(seed: u64, started: u64) -> Site {
        let settings = Settings::default();
        let site = Site::new(&settings.validate().unwrap(), seed, Instant::ZERO);
        site.set_wall_clock(WALL + Duration::from_secs(started), Instant::ZERO);
        site
    }

    /// The same site in a process that starts `started` seconds later, with what the first one knew then and kept.
    fn again(before: &Site, ended: u64, started: u64) -> Site {
        let site = site(1, started);
        for fact in before.facts(at(ended)) {
            site.learn(&fact, Instant::ZERO);
        }
        for key in before.keys() {
            for recorded in before.records(&key).records {
                let restored = site.restore(&recorded.record, &|_| true, Instant::ZERO);
                assert!(restored.is_ok());
            }
        }
        site
    }

    fn get(cookie: Option<&str>) -> Arc<RequestHead> {
        let host = [("host", &b"h"[..])].into_iter();
        let lines = host.chain(cookie.map(|cookie| ("cookie", cookie.as_bytes())));
        Arc::new(RequestHead::new(
            Method::GET,
            "/page",
            Fields::from_pairs(lines),
        ))
    }

    fn answer(site: &Site, who: IpAddr, cookie: Option<&str>, status: StatusCode, now: Instant) {
        let ruling = site.decide_for(&get(cookie), who, now);
        let Some(Decision::Fetch(fetch)) = ruling.now() else {
            panic!("nothing is fresh, and there is room");
        };
        let mut passing = fetch
            .on_head(&ResponseHead::new(status, Fields::default()), now)
            .passed_on();
        passing.on_data(b"the page of all", now);
        passing.on_end(now);
    }

    fn is_rescued(site: &Site, who: IpAddr, now: Instant) -> bool {
        let Some(Decision::Fetch(fetch)) = site.decide_for(&get(None), who, now).now() else {
            panic!("nothing is fresh, and there is room");
        };
        fetch.on_failure(Failure::Connect, now).is_ok()
    }

    #[test]
    fn whoever_was_refused_a_page_gets_no_copy_of_it_after_a_restart_within_the_hour() {
        let before = site(1, 0);
        answer(&before, BERT, None, StatusCode::OK, at(1));
        let cookie = Some("PHPSESSID=of-anna-and-nobody-else");
        answer(&before, ANNA, cookie, StatusCode::FORBIDDEN, at(2));
        assert!(!is_rescued(&before, ANNA, at(3)) && is_rescued(&before, BERT, at(3)));
        let after = again(&before, 3, 60);
        assert!(!is_rescued(&after, ANNA, at(1)), "she was refused it");
        assert!(is_rescued(&after, BERT, at(1)));
        let later = again(&before, 3, 3_700);
        assert!(is_rescued(&later, ANNA, at(1)), "an hour is over");
        // Without what was found out, or with another seed, nobody knows.
        let foreign = site(2, 60);
        let facts = before.facts(at(3));
        assert!(facts.iter().any(|fact| fact.known == Known::Refused));
        facts
            .iter()
            .for_each(|fact| foreign.learn(fact, Instant::ZERO));
        answer(&foreign, BERT, None, StatusCode::OK, at(1));
        assert!(is_rescued(&foreign, ANNA, at(2)));
    }

    #[test]
    fn which_cookies_roll_is_known_at_once_after_a_restart_and_for_no_longer_than_before() {
        let before = site(1, 0);
        before.parts.rolls.note(b"h", 7, Some(true), at(10));
        before.parts.rolls.note(b"h", 8, Some(false), at(10));
        let after = again(&before, 20, 60);
        let rolls = &after.parts.rolls;
        assert!(rolls.is_rolling(b"h", 7, at(1)) && !rolls.is_rolling(b"h", 8, at(1)));
        assert!(!rolls.is_due(b"h", 7, at(1)) && !rolls.is_due(b"h", 8, at(1)));
        assert!(
            rolls.is_due(b"h", 7, at(24 * 3_600)),
            "it is looked at again"
        );
        assert!(!rolls.is_rolling(b"h", 7, at(25 * 3_600)));
        // What is found out now is newer.
        rolls.note(b"h", 7, Some(false), at(2));
        before
            .facts(at(20))
            .iter()
            .for_each(|fact| after.learn(fact, at(3)));
        assert!(!rolls.is_rolling(b"h", 7, at(4)));
    }

    #[test]
    fn a_value_that_was_given_to_one_before_a_restart_and_to_another_after_it_is_nobodys() {
        let before = site(1, 0);
        assert!(before.parts.handed.note(42));
        let after = again(&before, 1, 60);
        assert!(!after.parts.handed.note(42), "it is the second time");
        let facts = after.facts(at(1));
        let of_it: Vec<_> = facts.iter().filter(|fact| fact.mark == 42).collect();
        assert!(matches!(of_it[..], [fact] if fact.known == Known::GivenToSeveral));
        let third = again(&after, 1, 120);
        assert!(third.facts(at(1)).contains(of_it[0]));
    }

    #[test]
    fn a_clock_that_was_wrong_lets_nothing_count_for_ever() {
        let site = site(1, 0);
        let fact = Fact {
            known: Known::Closed,
            mark: 7 << 32,
            until: u64::MAX - 1,
        };
        site.learn(&fact, Instant::ZERO);
        assert_eq!(site.facts(at(1)).len(), 1);
        assert!(site.facts(at(27 * 3_600)).is_empty());
    }
}
