//! Owns the tests of copies that instances share: when they are asked for, which one answers, what is told,
//! and what is heard.
//! Never knows a network.

use std::task::{Poll, Waker};

use super::*;
use crate::copies::{Invalidation, Sharing, Sought};
use crate::site::{Ruling, Served, Unanswered, Verdict};

const PATIENCE: Duration = Duration::from_millis(20);

/// What another instance has, and what it was told.
#[derive(Default)]
struct Other {
    asked: Mutex<Vec<(Vec<CacheKey>, Sought)>>,
    told: Mutex<Vec<Invalidation>>,
    changed: Mutex<Vec<u64>>,
    /// It does not answer.
    is_gone: bool,
}

impl Sharing for Other {
    fn takes(&self, partition: Partition) -> bool {
        partition.is_everybodys()
    }

    fn changed(&self, key: &CacheKey) {
        self.changed.lock().unwrap().push(key.hash());
    }

    fn invalidated(&self, invalidation: Invalidation) {
        self.told.lock().unwrap().push(invalidation);
    }

    fn seek(&self, keys: Vec<CacheKey>, sought: Sought) -> Option<Duration> {
        self.asked.lock().unwrap().push((keys, sought));
        (!self.is_gone).then_some(PATIENCE)
    }
}

impl Other {
    fn beside(site: &Site) -> Arc<Self> {
        let other = Arc::new(Self::default());
        assert!(site.set_sharing(Arc::clone(&other) as _));
        assert!(!site.set_sharing(Arc::new(Self::default())), "only once");
        other
    }

    /// Answers what was asked last, with these copies.
    fn answer(&self, site: &Site, records: &[&[u8]], now: Instant) {
        let (keys, sought) = self.asked.lock().unwrap().pop().expect("it was asked");
        for record in records {
            let is_it = |key: &CacheKey, _| keys.contains(key);
            let _ = site.restore_sought(record, &sought, &is_it, now);
        }
    }

    fn is_asked(&self) -> bool {
        !self.asked.lock().unwrap().is_empty()
    }
}

fn page() -> Arc<RequestHead> {
    get("/page", &[("host", "h")])
}

/// A page as another instance has written it down.
fn written(fields: &[(&str, &str)]) -> Vec<u8> {
    let other = site(Duration::ZERO);
    answer(&other, &page(), &ok(fields), b"theirs", NOW);
    record(&other, &page()).record
}

fn body(served: Served) -> Vec<u8> {
    served.answer(&page()).body().to_vec()
}

/// The request as it waits after the origin took no connection.
fn wait(site: &Site) -> crate::site::Ticket {
    let Some(Decision::Fetch(fetch)) = site.decide(&page(), NOW).now() else {
        panic!("there is room");
    };
    match fetch.on_unanswered(Failure::Reset, NOW) {
        Unanswered::Wait(delayed) => (*delayed).into(),
        other @ (Unanswered::Refuse(_) | Unanswered::Serve(_)) => panic!("{other:?}"),
    }
}

#[test]
fn a_request_that_fails_here_is_answered_by_a_copy_of_another_instance() {
    let site = site(SECOND);
    let other = Other::beside(&site);
    let mut ticket = wait(&site);
    assert_eq!(ticket.deadline(), NOW + PATIENCE);
    assert!(ticket.poll(Waker::noop(), NOW).is_pending());
    other.answer(&site, &[&written(&[("cache-control", "max-age=60")])], NOW);
    let Poll::Ready(Decision::Serve(served)) = ticket.poll(Waker::noop(), NOW) else {
        panic!("the copy is here");
    };
    assert_eq!(body(served), b"theirs");
    // From now on it rescues from memory, and it is fresh for nobody.
    assert_eq!(
        rescued(&site, &page(), NOW).as_deref(),
        Some(&b"theirs"[..])
    );
    assert!(!other.is_asked());
}

#[test]
fn a_request_waits_for_no_longer_than_it_is_told_and_is_refused_then() {
    let site = site(SECOND);
    let other = Other::beside(&site);
    let mut ticket = wait(&site);
    let just_before = NOW + PATIENCE - Duration::from_nanos(1);
    assert!(ticket.poll(Waker::noop(), just_before).is_pending());
    let decision = ticket.poll(Waker::noop(), NOW + PATIENCE);
    assert!(matches!(decision, Poll::Ready(Decision::Refuse(_))));
    // What comes too late rescues the next one.
    other.answer(&site, &[&written(&[])], NOW + SECOND);
    assert!(rescued(&site, &page(), NOW + SECOND).is_some());
    // And where there is nothing, nobody waits for the deadline.
    let none = super::site(SECOND);
    let other = Other::beside(&none);
    let mut ticket = wait(&none);
    other.answer(&none, &[], NOW);
    let decision = ticket.poll(Waker::noop(), NOW);
    assert!(matches!(decision, Poll::Ready(Decision::Refuse(_))));
}

#[test]
fn a_failure_that_the_origin_answers_is_held_back_for_it() {
    let site = site(SECOND);
    let other = Other::beside(&site);
    let failing = ResponseHead::new(StatusCode::BAD_GATEWAY, Fields::default());
    let fail = || {
        let Some(Decision::Fetch(fetch)) = site.decide(&page(), NOW).now() else {
            panic!("there is room");
        };
        match fetch.on_head(&failing, NOW) {
            Verdict::Forward(holding) => holding,
            Verdict::Serve(served) => panic!("{served:?}"),
        }
    };
    let holding = fail();
    assert_eq!(holding.seeks_until(), Some(NOW + PATIENCE));
    other.answer(&site, &[], NOW);
    let holding = holding.poll_seek(Waker::noop(), NOW).unwrap_err();
    assert_eq!(holding.seeks_until(), None, "the failure is the answer");
    holding.pass_on().on_end(NOW);
    let holding = fail();
    let holding = holding.poll_seek(Waker::noop(), NOW).unwrap_err();
    assert!(holding.seeks_until().is_some(), "nothing is known yet");
    other.answer(&site, &[&written(&[])], NOW);
    let served = holding.poll_seek(Waker::noop(), NOW).unwrap();
    assert_eq!(body(served), b"theirs");
}

#[test]
fn nothing_is_asked_for_what_is_answered_here_or_is_not_shared() {
    let site = site(SECOND);
    let other = Other::beside(&site);
    // Forwarded, and answered.
    answer(
        &site,
        &page(),
        &ok(&[("cache-control", "max-age=60")]),
        b"ours",
        NOW,
    );
    assert!(matches!(
        site.decide(&page(), NOW),
        Ruling::Now(Decision::Serve(_))
    ));
    // Rescued from memory.
    let later = NOW + SECOND * 61;
    assert!(rescued(&site, &page(), later).is_some());
    // A write, and a session's own page where strangers' are not kept either.
    let off = |cache: &mut CacheSettings| cache.public = false;
    let own = site_with(off, 1, WALL);
    let beside = Other::beside(&own);
    let write = RequestHead::new(Method::POST, "/page", fields(&[("host", "h")]));
    let session = get("/page", &[("host", "h"), ("cookie", "PHPSESSID=1")]);
    for request in [Arc::new(write), session] {
        let Some(Decision::Fetch(fetch)) = own.decide(&request, NOW).now() else {
            panic!("there is room");
        };
        assert!(matches!(
            fetch.on_unanswered(Failure::Reset, NOW),
            Unanswered::Refuse(_)
        ));
    }
    assert!(!other.is_asked() && !beside.is_asked());
    // Whoever does not answer is not waited for.
    let gone = super::site(SECOND);
    assert!(gone.set_sharing(Arc::new(Other {
        is_gone: true,
        ..Other::default()
    })));
    let Some(Decision::Fetch(fetch)) = gone.decide(&page(), NOW).now() else {
        panic!("there is room");
    };
    assert!(matches!(
        fetch.on_unanswered(Failure::Reset, NOW),
        Unanswered::Refuse(_)
    ));
}

#[test]
fn what_was_dropped_while_it_was_looked_for_does_not_come() {
    let site = site(SECOND);
    let other = Other::beside(&site);
    let mut ticket = wait(&site);
    site.purge(&Purge::All);
    other.answer(&site, &[&written(&[])], NOW);
    let decision = ticket.poll(Waker::noop(), NOW);
    assert!(matches!(decision, Poll::Ready(Decision::Refuse(_))));
    // What was asked for after it does.
    let mut ticket = wait(&site);
    other.answer(&site, &[&written(&[])], NOW);
    assert!(matches!(
        ticket.poll(Waker::noop(), NOW),
        Poll::Ready(Decision::Serve(_))
    ));
}

#[test]
fn others_are_told_what_changes_and_what_is_wrong_and_are_heard_without_an_echo() {
    let (site, there) = (site(Duration::ZERO), site(Duration::ZERO));
    let (told, echo) = (Other::beside(&site), Other::beside(&there));
    let fresh = ok(&[("cache-control", "max-age=60")]);
    let journal = Arc::new(Told::default());
    assert!(there.set_journal(Arc::clone(&journal) as _));
    for site in [&site, &there] {
        answer(site, &page(), &fresh, b"page", NOW);
    }
    let key = site.snapshot().keyer().key(&page()).unwrap();
    assert_eq!(*told.changed.lock().unwrap(), [key.hash()]);
    let write = RequestHead::new(Method::POST, "/page", fields(&[("host", "h")]));
    answer(&site, &Arc::new(write), &ok(&[]), b"", NOW);
    let take = || std::mem::take(&mut *told.told.lock().unwrap());
    let said = take();
    let is_key =
        |it: &Invalidation| matches!(it, Invalidation::Keys(keys) if keys.contains(&key.hash()));
    assert!(said.iter().any(is_key), "{said:?}");
    assert!(
        said.iter().any(|it| matches!(it, Invalidation::Written(_))),
        "{said:?}"
    );
    said.iter().for_each(|it| there.hear(it, NOW));
    assert_eq!(there.stats(NOW).copies, 0);
    assert!(
        journal.dropped.lock().unwrap().contains(&key.hash()),
        "nor by the disk"
    );
    for (purge, is_told) in [
        (Purge::All, true),
        (
            Purge::Session {
                cookie: "PHPSESSID=1".to_owned(),
            },
            false,
        ),
    ] {
        answer(&there, &page(), &fresh, b"page", NOW);
        site.purge(&purge);
        let said = take();
        assert_eq!(
            said.contains(&Invalidation::Purge(purge)),
            is_told,
            "{said:?}"
        );
        assert_eq!(said.len(), 1, "a session is a partition");
        said.iter().for_each(|it| there.hear(it, NOW));
        assert_eq!(there.stats(NOW).copies, usize::from(!is_told));
    }
    assert!(echo.told.lock().unwrap().is_empty());
}

#[test]
fn what_is_in_doubt_is_asked_about_and_rescues() {
    let site = site(Duration::ZERO);
    let fresh = ok(&[("cache-control", "max-age=60")]);
    let at = NOW + SECOND;
    answer(&site, &page(), &fresh, b"page", at);
    site.doubt_before(at);
    assert!(matches!(
        site.decide(&page(), at),
        Ruling::Now(Decision::Serve(_))
    ));
    site.doubt_before(at + Duration::from_nanos(1));
    // An older doubt takes nothing back.
    site.doubt_before(NOW);
    assert_eq!(rescued(&site, &page(), at).as_deref(), Some(&b"page"[..]));
}
