//! Every interleaving of a few threads at a site (`bash tests/run.sh loom`): where copies, what
//! is wanted and circuits are each under a lock of their own, and have to agree all the same.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use http::{Method, StatusCode};
use loom::thread;

use super::*;
use crate::breaker::Target;
use crate::config::Settings;
use crate::message::{Fields, RequestHead, ResponseHead};
use crate::report::Failure;
use crate::sync::every_interleaving;

/// More find nothing new here either, and one passes many more points than at the gate.
const PREEMPTIONS: usize = 2;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn at(seconds: u64) -> Instant {
    Instant::from_epoch(Duration::from_secs(1_000 + seconds))
}

/// One failure opens a circuit, for two seconds.
fn site() -> Site {
    let mut settings = Settings::default();
    settings.site.breaker.consecutive_failures = 1;
    settings.site.breaker.jitter = 0.0;
    let config = settings.validate().unwrap();
    Site::new(&config, 1, at(0))
}

fn request(method: Method, path: &str) -> Arc<RequestHead> {
    let fields = Fields::from_pairs([("host", &b"h"[..])]);
    Arc::new(RequestHead::new(method, path, fields))
}

/// Permission to ask the origin.
fn ask(site: &Site, method: Method, path: &str, now: Instant) -> Fetch {
    match site.decide(&request(method, path), now) {
        Ruling::Now(Decision::Fetch(mut fetch)) => {
            fetch.on_behalf_of(PEER);
            fetch
        }
        other => panic!("it may be asked: {other:?}"),
    }
}

/// What the origin says, with a validator: stale at once, as most pages are.
fn answer(fetch: Fetch, status: StatusCode, now: Instant) {
    let fields = Fields::from_pairs([("etag", &b"\"1\""[..])]);
    let head = ResponseHead::new(status, fields);
    if let Verdict::Forward(holding) = fetch.on_head(&head, now) {
        let mut passing = holding.pass_on();
        passing.on_data(b"page", now);
        passing.on_end(now);
    }
}

fn ok(fetch: Fetch, now: Instant) {
    answer(fetch, StatusCode::OK, now);
}

/// Lets two or three loose at one time, until all are done.
fn together<const N: usize>(threads: [Box<dyn FnOnce() + Send>; N]) {
    let threads = threads.map(thread::spawn);
    for thread in threads {
        thread.join().unwrap();
    }
}

// -- copies and writes

/// A page is asked for, and written to before the answer is there.
fn check_write(renews: bool, status: StatusCode) {
    every_interleaving(PREEMPTIONS, move || {
        let site = site();
        let read = if renews {
            assert!(site.poll_refresh(at(0)).is_none());
            ok(ask(&site, Method::GET, "/a", at(0)), at(0));
            want(&site, "/a", at(60));
            site.poll_refresh(at(60)).unwrap().fetch
        } else {
            ask(&site, Method::GET, "/a", at(60))
        };
        let write = ask(&site, Method::POST, "/a", at(60));
        together([
            Box::new(move || answer(read, status, at(61))),
            Box::new(move || ok(write, at(61))),
        ]);
        assert_eq!(
            site.parts.copies.stats().len,
            0,
            "it may be older than the write"
        );
        let stats = site.stats(at(61));
        assert_eq!((stats.admission.in_flight, stats.refresh.running), (0, 0));
    });
}

#[test]
fn what_was_asked_for_before_a_write_is_not_kept_after() {
    check_write(false, StatusCode::OK);
}

#[test]
fn a_renewal_brings_nothing_back_that_a_write_made_wrong() {
    check_write(true, StatusCode::OK);
}

#[test]
fn a_renewal_that_only_validates_brings_nothing_back_either() {
    check_write(true, StatusCode::NOT_MODIFIED);
}

// -- renewals

/// A copy answers while the origin is known to be down.
fn want(site: &Site, path: &str, now: Instant) {
    let request = request(Method::GET, path);
    let key = site.snapshot().keyer().key(&request).unwrap();
    let errand = errand::Errand {
        key,
        peer: PEER,
        request,
    };
    site.parts.renewals.want(&errand, now, now);
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn nothing_wanted_is_forgotten() {
    every_interleaving(PREEMPTIONS, || {
        let site = site();
        assert!(site.poll_refresh(at(0)).is_none());
        ok(ask(&site, Method::GET, "/a", at(0)), at(0));
        assert_eq!(site.poll_refresh_timeout(at(0)), None);
        let wanting = site.clone();
        let wanting = thread::spawn(move || want(&wanting, "/a", at(60)));
        let renewing = site.clone();
        let renewing = thread::spawn(move || {
            let flag = Arc::new(Flag::default());
            renewing.set_refresh_waker(&Waker::from(Arc::clone(&flag)));
            match renewing.poll_refresh(at(60)) {
                Some(refresh) => ok(refresh.fetch, at(60)),
                // It sleeps until it is woken.
                None if renewing.poll_refresh_timeout(at(60)).is_none() => return Some(flag),
                None => {}
            }
            None
        });
        wanting.join().unwrap();
        let flag = renewing.join().unwrap();
        let is_left = site.parts.renewals.stats().wanted > 0;
        let is_awake = flag.is_none_or(|flag| flag.0.load(Ordering::Relaxed));
        assert!(!is_left || is_awake, "wanted, and nobody knows");
    });
}

#[test]
fn one_copy_is_renewed_once_at_a_time() {
    every_interleaving(PREEMPTIONS, || {
        let site = site();
        assert!(site.poll_refresh(at(0)).is_none());
        ok(ask(&site, Method::GET, "/a", at(0)), at(0));
        want(&site, "/a", at(60));
        let [one, other] = [0; 2].map(|_| {
            let site = site.clone();
            thread::spawn(move || site.poll_refresh(at(60)))
        });
        let [one, other] = [one, other].map(|thread| thread.join().unwrap());
        assert!(one.is_some() != other.is_some(), "{one:?} {other:?}");
        drop((one, other));
        let stats = site.stats(at(60));
        assert_eq!((stats.admission.in_flight, stats.refresh.running), (0, 0));
    });
}

// -- circuits

/// The flag that is read without the lock says what the circuits say.
fn check_flag(site: &Site) {
    let is_calm = site.parts.circuits.is_calm();
    assert_eq!(is_calm, site.parts.circuits.read().is_calm());
}

fn fail(fetch: Fetch, now: Instant) {
    drop(fetch.on_failure(Failure::Reset, now));
}

#[test]
fn a_circuit_that_closes_hides_none_that_opens() {
    every_interleaving(PREEMPTIONS, || {
        let site = site();
        fail(ask(&site, Method::GET, "/a", at(0)), at(0));
        let probe = ask(&site, Method::GET, "/a", at(2));
        let other = ask(&site, Method::GET, "/b", at(2));
        together([
            Box::new(move || ok(probe, at(2))),
            Box::new(move || fail(other, at(2))),
        ]);
        check_flag(&site);
        let state = |path: &[u8]| site.parts.circuits.state(Target::get(path), at(2));
        assert_eq!(state(b"/a"), State::Closed);
        assert_eq!(state(b"/b"), State::Open);
    });
}

/// A site whose circuit of `/a` can be probed, at second 2.
fn half_open() -> Site {
    let site = site();
    fail(ask(&site, Method::GET, "/a", at(0)), at(0));
    site
}

/// A visitor of `/a` at that time, if the circuit lets it pass.
fn visit(site: &Site) -> Option<Fetch> {
    match site.decide(&request(Method::GET, "/a"), at(2)) {
        Ruling::Now(Decision::Fetch(fetch)) => Some(fetch),
        Ruling::Now(Decision::Refuse(_) | Decision::Serve(_)) => None,
        Ruling::Wait(ticket) => panic!("there is room: {ticket:?}"),
    }
}

/// The permit is free again: the next visitor is a probe, and nothing is left behind.
fn check_free(site: &Site) {
    let probe = visit(site).expect("a permit that was dropped is free");
    assert_eq!(probe.circuit(), State::HalfOpen);
    ok(probe, at(2));
    check_closed(site);
}

/// All is well again, and nothing is left behind.
fn check_closed(site: &Site) {
    check_flag(site);
    assert_eq!(
        site.parts.circuits.state(Target::get(b"/a"), at(2)),
        State::Closed
    );
    assert_eq!(site.parts.gate.in_flight(), 0);
}

#[test]
fn of_two_who_come_at_once_one_probes() {
    every_interleaving(PREEMPTIONS, || {
        let site = half_open();
        let fetches = [0; 2].map(|_| {
            let site = site.clone();
            thread::spawn(move || visit(&site))
        });
        let [one, other] = fetches.map(|thread| thread.join().unwrap());
        assert!(one.is_some() != other.is_some(), "{one:?} {other:?}");
        drop((one, other));
        check_free(&site);
    });
}

#[test]
fn a_request_that_comes_while_a_probe_is_given_up_probes_or_is_refused() {
    every_interleaving(PREEMPTIONS, || {
        let site = half_open();
        let is_there = Arc::new(AtomicBool::new(true));
        let probe = visit(&site).expect("its time has come");
        let (coming, seen) = (site.clone(), Arc::clone(&is_there));
        together([
            Box::new(move || {
                is_there.store(false, Ordering::Relaxed);
                drop(probe);
            }),
            Box::new(move || {
                if let Some(fetch) = visit(&coming) {
                    assert_eq!(fetch.circuit(), State::HalfOpen);
                    assert!(!seen.load(Ordering::Relaxed), "there are two");
                }
            }),
        ]);
        check_free(&site);
    });
}

#[test]
fn a_request_that_comes_after_the_probe_is_told_that_the_circuit_is_closed() {
    every_interleaving(PREEMPTIONS, || {
        let site = half_open();
        let probe = visit(&site).expect("its time has come");
        let coming = site.clone();
        together([
            Box::new(move || ok(probe, at(2))),
            Box::new(move || {
                if let Some(fetch) = visit(&coming) {
                    assert_eq!(fetch.circuit(), State::Closed);
                    ok(fetch, at(2));
                }
            }),
        ]);
        check_closed(&site);
    });
}

#[test]
fn a_request_that_began_before_it_opened_decides_nothing() {
    every_interleaving(PREEMPTIONS, || {
        let site = site();
        let early = ask(&site, Method::GET, "/a", at(0));
        fail(ask(&site, Method::GET, "/a", at(0)), at(0));
        let coming = site.clone();
        together([
            Box::new(move || {
                let probe = visit(&coming).expect("its time has come");
                assert_eq!(probe.circuit(), State::HalfOpen);
                ok(probe, at(2));
            }),
            Box::new(move || fail(early, at(2))),
        ]);
        check_closed(&site);
    });
}
