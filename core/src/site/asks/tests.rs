//! Tests of when a stranger asks, and for what.

use http::Method;

use super::*;
use crate::config::CacheSettings;
use crate::key::Keyer;
use crate::message::{Fields, RequestHead};

const SHARE: f64 = 0.1;

fn at(millis: u64) -> Instant {
    Instant::from_epoch(Duration::from_millis(millis))
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn key(host: &str, target: &str, user: Option<&str>) -> CacheKey {
    let keyer = Keyer::new(&CacheSettings::default(), 1);
    let user = user.map(|user| ("x-user", user.as_bytes()));
    let fields = [("host", host.as_bytes())].into_iter().chain(user);
    let fields = Fields::from_pairs(fields);
    let own = keyer.key(&RequestHead::new(Method::GET, target, fields));
    keyer.public_key(&own.unwrap())
}

fn page(number: usize) -> CacheKey {
    key("h", &format!("/{number}"), None)
}

fn ask(asks: &mut Asks, now: Instant) -> Option<(CacheKey, u64)> {
    let next = asks.next(now)?;
    let number = asks.start(&next, now).unwrap();
    Some((next.key, number))
}

#[test]
fn one_at_a_time_the_most_wanted_first_within_a_share_of_the_time() {
    let mut asks = Asks::new();
    for number in [1, 2, 3, 2, 3, 3] {
        asks.want(&page(number), at(0));
    }
    assert_eq!(asks.due_at(), Some(at(0)));
    let (first, number) = ask(&mut asks, at(0)).unwrap();
    assert_eq!(first, page(3));
    assert!(asks.next(at(5)).is_none() && asks.due_at().is_none());
    let other = Ask {
        key: page(2),
        cookies: None,
        is_trial: false,
        language: None,
    };
    assert!(asks.start(&other, at(5)).is_none(), "one at a time");
    asks.end(number, Ended::Kept, (millis(10), SHARE), at(10));
    assert_eq!(asks.due_at(), Some(at(100)), "a tenth of the time");
    assert!(asks.next(at(99)).is_none());
    let (second, number) = ask(&mut asks, at(100)).unwrap();
    assert_eq!(second, page(2));
    asks.end(number, Ended::Kept, (millis(1), 1.0), at(101));
    assert_eq!(asks.due_at(), Some(at(101)), "all of the time");
    assert_eq!(asks.stats.spent, millis(11));
    // What is not wanted is not asked for again, what is wanted is, ten minutes later.
    let (third, number) = ask(&mut asks, at(101)).unwrap();
    asks.end(number, Ended::Kept, (millis(1), 1.0), at(102));
    assert_eq!((third, asks.due_at()), (page(1), None));
    assert!(asks.want(&page(2), at(5_000)));
    assert_eq!(asks.due_at(), Some(at(600_101)));
}

#[test]
fn a_no_to_a_visitor_comes_first_and_is_no_way_to_make_it_ask_all_the_time() {
    let mut asks = Asks::new();
    for number in [1, 2, 2, 2] {
        asks.want(&page(number), at(0));
    }
    asks.hasten(&page(1), true, at(0));
    let (first, number) = ask(&mut asks, at(0)).unwrap();
    assert_eq!(first, page(1));
    asks.end(number, Ended::Kept, (millis(1), 1.0), at(1));
    asks.hasten(&page(1), true, at(2));
    let (second, number) = ask(&mut asks, at(2)).unwrap();
    assert_eq!(second, page(2), "the other one was asked for a moment ago");
    asks.end(number, Ended::Refused, (millis(1), 1.0), at(3));
    assert_eq!(asks.due_at(), Some(at(10_000)));
    // Nobody has seen that page: there is nothing to lose.
    assert!(!asks.hasten(&page(9), false, at(3)));
    assert!(asks.hasten(&page(9), true, at(3)));
    assert_eq!(asks.next(at(3)).unwrap().key, page(9));
}

#[test]
fn what_failed_or_is_unfit_is_left_alone_for_longer_and_longer() {
    let mut asks = Asks::new();
    asks.want(&page(1), at(0));
    for (now, due) in [(0, 10_001), (10_001, 30_002), (30_002, 70_003)] {
        let (_, number) = ask(&mut asks, at(now)).unwrap();
        asks.end(number, Ended::Failed, (millis(1), 1.0), at(now + 1));
        assert_eq!(asks.due_at(), Some(at(due)));
    }
    let (_, number) = ask(&mut asks, at(70_003)).unwrap();
    let cookies: Box<[u8]> = b"a=1"[..].into();
    asks.end(
        number,
        Ended::Again(cookies.clone()),
        (millis(1), 1.0),
        at(70_004),
    );
    assert_eq!(asks.next(at(70_004)).unwrap().cookies, Some(cookies));
    let (_, number) = ask(&mut asks, at(70_004)).unwrap();
    asks.end(
        number,
        Ended::Unfit(Obstacle::Vary),
        (millis(1), 1.0),
        at(70_005),
    );
    asks.want(&page(1), at(70_005));
    let again = asks.due_at().unwrap();
    assert_eq!(again, at(70_005) + UNFIT);
    assert_eq!(asks.next(again).unwrap().cookies, None, "only once");
}

#[test]
fn where_a_gateway_signs_people_in_no_stranger_asks() {
    let mut asks = Asks::new();
    asks.want(&key("in", "/", Some("anna")), at(0));
    assert!(asks.next(at(0)).is_none() && asks.due_at().is_none());
    asks.want(&key("out", "/", None), at(0));
    assert_eq!(asks.next(at(0)).unwrap().key, key("out", "/", None));
    // One visitor with a way around it does not open it.
    for _ in 0..20 {
        asks.want(&key("in", "/", Some("bert")), at(0));
    }
    asks.want(&key("in", "/", None), at(0));
    assert!(asks.waiting().all(|page| page.key.authority() == b"out"));
    for _ in 0..10 {
        asks.want(&key("out", "/", Some("anna")), at(0));
    }
    assert_eq!(asks.wanted(), 0);
    for _ in 0..10 {
        asks.want(&key("out", "/", None), at(0));
    }
    assert_eq!(asks.wanted(), 1);
    for number in 0..1_000 {
        asks.want(&key(&format!("made-up-{number}"), "/", None), at(0));
    }
    assert!(asks.hosts.len() <= ASKED_HOSTS_MAX);
}

#[test]
fn pages_are_bounded_and_those_that_visitors_want_stay() {
    let mut asks = Asks::new();
    for _ in 0..3 {
        asks.want(&page(0), at(0));
    }
    for number in 1..2 * ASKED_PAGES_MAX {
        asks.want(&page(number), at(0));
    }
    assert_eq!(asks.pages.len(), ASKED_PAGES_MAX);
    assert_eq!(asks.next(at(0)).unwrap().key, page(0));
}

#[test]
fn what_sends_visitors_on_is_not_asked_for_and_what_is_kept_is_probed_with() {
    let mut asks = Asks::new();
    asks.leave_alone(&page(1));
    asks.want(&page(1), at(0));
    assert!(asks.next(at(0)).is_none());
    asks.want(&page(2), at(0));
    assert!(asks.to_probe_with().is_empty());
    let (_, number) = ask(&mut asks, at(0)).unwrap();
    asks.end(number, Ended::Kept, (millis(1), SHARE), at(1));
    assert_eq!(asks.to_probe_with()[0].0.key, page(2));
    asks.leave_alone(&page(2));
    assert!(
        asks.hasten(&page(2), true, at(20_000)),
        "there is a copy to lose"
    );
}

#[test]
fn a_page_that_differs_by_the_language_is_asked_for_in_those_that_are_wanted() {
    let language = |tag: &str| {
        let fields = Fields::from_pairs([("accept-language", tag.as_bytes())]);
        move || Language::of(&fields)
    };
    let mut asks = Asks::new();
    let wanted = page(1);
    asks.want(&wanted, at(0));
    assert!(
        asks.want_in(&wanted, language("de"), at(0)).is_none(),
        "not known yet"
    );
    let (_, number) = ask(&mut asks, at(0)).unwrap();
    asks.end(number, Ended::InLanguages, (millis(1), 1.0), at(1));
    assert!(asks.has_languages(wanted.hash()) && !asks.has_languages(page(2).hash()));
    assert_eq!(asks.want_in(&wanted, language("*"), at(2)), Some(false));
    for tag in ["de-DE,de;q=0.9", "de-de", "fr"] {
        assert!(asks.want_in(&wanted, language(tag), at(2)).is_some());
    }
    let obstacle = |asks: &Asks, tag: &str| asks.obstacle(wanted.hash(), language(tag));
    assert_eq!(obstacle(&asks, "de-DE"), Obstacle::NotAsked);
    assert_eq!(obstacle(&asks, "*"), Obstacle::Vary);
    let next = asks.next(at(3)).unwrap();
    assert_eq!(next.key, wanted);
    assert_eq!(
        next.language.as_ref().map(Language::tag),
        Some(&b"de-de"[..])
    );
    let number = asks.start(&next, at(3)).unwrap();
    asks.end(number, Ended::Kept, (millis(1), 1.0), at(4));
    assert_eq!(
        obstacle(&asks, "de-de, en"),
        Obstacle::Evicted,
        "there should be one"
    );
    let next = asks.next(at(5)).unwrap();
    assert_eq!(next.language.as_ref().map(Language::tag), Some(&b"fr"[..]));
    asks.leave_alone(&wanted);
    assert!(asks.next(at(6)).is_none());
    assert_eq!(obstacle(&asks, "de-de"), Obstacle::Unasked);
}
