//! Owns the comparison of the policy with its reference [`model`], step by step: what is decided,
//! which copy answers, what is kept, who is at the origin, and who waits for it in which order.
//! Never decides what is right: the model does, and for those who wait its [`queue`].

mod model;
mod queue;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Wake};
use std::time::Duration;

use http::{Method, StatusCode};
use proptest::prelude::*;
use retter_core::breaker::{State, Tiers};
use retter_core::config::{AdmissionSettings, Config, Settings};
use retter_core::message::{Fields, RequestHead, ResponseHead};
use retter_core::report::{Failure, Source};
use retter_core::rng::Rng;
use retter_core::rules::label::Handling;
use retter_core::time::Instant;
use retter_core::{Completed, Decision, Fetch, Ruling, Served, Site, Ticket, Verdict};

use model::{Copy, Expected, Model};

const SLOTS: u32 = 2;

/// How long a request may wait for one.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How long one waits that a copy can answer.
const SHORT: Duration = Duration::from_millis(50);

/// How old a copy may be that rescues; and below which age it is `cache`.
const AGE_MAX: Duration = Duration::from_secs(40);
const TTL: Duration = Duration::from_secs(5);

/// A page for one user: its path, and who sees it.
type Key = (u8, User);

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum User {
    Everybody,
    Session(u8),
}

#[derive(Clone, Copy, Debug)]
enum Ask {
    /// A GET; `true` if it wants the origin.
    Read(bool),
    Write,
}

/// What the origin says of an answer.
#[derive(Clone, Copy, Debug)]
enum Says {
    Fresh,
    MustRevalidate,
    NoStore,
    Nothing,
}

#[derive(Clone, Copy, Debug)]
enum Ends {
    Abandoned,
    Failed(Failure),
    /// With a status that says that there is no such page, or not for this user.
    No(u16),
    Ok(Says),
    Oops,
    /// With an error page that says 200; `true` if it is held back until it is complete.
    Soft(bool),
}

#[derive(Clone, Debug)]
enum Step {
    Ask(Ask, Key),
    End(prop::sample::Index, Ends),
    /// The client of one that waits leaves.
    Leave(prop::sample::Index),
    /// Those who wait ask what became of them.
    Poll,
    Wait(u64),
}

/// A request at the origin, and one that waits: how the program knows it, and how the model does.
struct Flight {
    real: Fetch,
    request: Arc<RequestHead>,
    model: model::Flight,
}

struct Waiting {
    real: Ticket,
    request: Arc<RequestHead>,
    model: model::Ticket,
    woken: Arc<Woken>,
}

/// Whether there is a reason to ask again.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A page of a version, or the error page in its place; no two of them have the same title.
fn body(version: u32, is_soft: bool) -> String {
    match is_soft {
        true => format!("<title>error {version}</title>Too many connections"),
        false => {
            let text = "some words, ".repeat(100);
            format!("<html><title>page {version}</title>{text}</html>")
        }
    }
}

fn page(copy: Copy) -> String {
    body(copy.version, copy.is_soft)
}

fn path((page, _): Key) -> Vec<u8> {
    format!("/{page}").into_bytes()
}

fn request(ask: Ask, key: Key) -> Arc<RequestHead> {
    let cookie = match key.1 {
        User::Everybody => String::new(),
        User::Session(user) => format!("PHPSESSID={user}"),
    };
    let mut fields: Vec<(&str, &[u8])> = vec![("host", b"h")];
    if !cookie.is_empty() {
        fields.push(("cookie", cookie.as_bytes()));
    }
    let method = match ask {
        Ask::Read(wants_origin) => {
            if wants_origin {
                fields.push(("cache-control", b"no-cache"));
            }
            Method::GET
        }
        Ask::Write => Method::POST,
    };
    let target = format!("/{}", key.0);
    Arc::new(RequestHead::new(
        method,
        &target,
        Fields::from_pairs(fields),
    ))
}

fn response(ends: Ends) -> ResponseHead {
    let (status, control) = match ends {
        Ends::Ok(Says::Fresh) => (200, Some("max-age=10")),
        Ends::Ok(Says::MustRevalidate) => (200, Some("max-age=10, must-revalidate")),
        Ends::Ok(Says::NoStore) => (200, Some("no-store")),
        Ends::Ok(Says::Nothing) | Ends::Soft(_) => (200, None),
        Ends::No(status) => (status, None),
        Ends::Abandoned | Ends::Failed(_) | Ends::Oops => (500, None),
    };
    let fields = control.map(|control| ("cache-control", control.as_bytes()));
    let status = StatusCode::from_u16(status).expect("a status");
    ResponseHead::new(status, Fields::from_pairs(fields))
}

/// The copy has to be of this version, and labelled as old as it is.
fn check_served(served: &Served, request: &RequestHead, copy: Copy, now: Instant) {
    assert_eq!(served.answer(request).body(), page(copy));
    assert_eq!(served.source, copy.source(now));
}

fn config() -> Config {
    let mut settings = Settings::default();
    settings.site.admission = AdmissionSettings {
        in_flight_min: SLOTS,
        in_flight_start: SLOTS,
        in_flight_max: SLOTS,
        queue_timeout: TIMEOUT,
        // What waits at the origin is not the model's business.
        parked_max: 0,
        ..AdmissionSettings::default()
    };
    settings.site.breaker.consecutive_failures = 2;
    settings.site.breaker.slow_rate = None;
    // The model's circuits have another seed.
    settings.site.breaker.jitter = 0.0;
    settings.site.cache.ttl = TTL;
    settings.site.cache.rescue_age_max = AGE_MAX;
    settings.validate().expect("these settings are valid")
}

/// The program and its model, side by side.
struct Pair {
    site: Site,
    model: Model,
    flights: Vec<Flight>,
    /// In order of arrival.
    waiting: Vec<Waiting>,
    now: Instant,
}

impl Pair {
    fn new() -> Self {
        let now = Instant::from_epoch(Duration::from_secs(1_000));
        let config = config();
        let model = Model::new(Tiers::new(&config.site().breaker, 1, now));
        let site = Site::new(&config, 2, now);
        site.set_wall_clock(Duration::from_secs(1_700_000_000), now);
        Self {
            site,
            model,
            flights: Vec::new(),
            waiting: Vec::new(),
            now,
        }
    }

    fn apply(&mut self, step: Step, version: u32) {
        let now = self.now;
        self.model.service = self.site.stats(now).admission.service_time;
        match step {
            Step::Wait(millis) => self.now = now + Duration::from_millis(millis),
            Step::Ask(ask, key) => {
                let request = request(ask, key);
                let expected = self.model.decide(ask, key, now);
                match (self.site.decide(&request, now), expected) {
                    (Ruling::Now(decision), expected) => self.decided(decision, expected, request),
                    (Ruling::Wait(real), Expected::Wait(model)) => {
                        assert_eq!(real.deadline(), now + model.patience());
                        self.waiting.push(Waiting {
                            real,
                            request,
                            model,
                            // It has to be asked once in any case.
                            woken: Arc::new(Woken(AtomicBool::new(true))),
                        });
                    }
                    (Ruling::Wait(real), expected) => panic!("{real:?}, not {expected:?}"),
                }
            }
            Step::End(which, ends) if !self.flights.is_empty() => {
                let which = which.index(self.flights.len());
                let Flight {
                    real,
                    request,
                    model,
                } = self.flights.swap_remove(which);
                let expected = self.model.end(model, ends, version, now);
                let served = end(real, ends, version, now);
                assert_eq!(served.is_some(), expected.is_some());
                if let (Some(served), Some(copy)) = (served, expected) {
                    check_served(&served, &request, copy, now);
                }
            }
            Step::Leave(which) if !self.waiting.is_empty() => {
                let waiting = self.waiting.remove(which.index(self.waiting.len()));
                self.model.leave(&waiting.model, now);
                drop(waiting.real);
            }
            Step::Poll => {
                // Who goes on may let others go on.
                while self.poll() {}
                let in_flight = self.site.stats(now).admission.in_flight;
                assert_eq!(in_flight as usize, self.flights.len());
            }
            Step::End(..) | Step::Leave(_) => {}
        }
        self.check();
    }

    fn decided(&mut self, decision: Decision, expected: Expected, request: Arc<RequestHead>) {
        let now = self.now;
        match (decision, expected) {
            (Decision::Fetch(real), Expected::Fetch(model)) => {
                assert_eq!(real.can_rescue(), model.copy.is_some());
                self.flights.push(Flight {
                    real,
                    request,
                    model: *model,
                });
            }
            (Decision::Serve(served), Expected::Served(copy)) => {
                check_served(&served, &request, copy, now);
            }
            (Decision::Serve(served), Expected::Shared(copy)) => {
                assert_eq!(served.answer(&request).body(), page(copy));
                assert_eq!(served.source, Source::Backend);
            }
            (Decision::Refuse(refusal), Expected::Refused(expected)) => {
                let Handling::NoCopy { refused, .. } = refusal.handling else {
                    panic!("{refusal:?}, not {expected:?}");
                };
                assert_eq!(refused, expected);
            }
            (Decision::Refuse(refusal), Expected::Collapsed) => {
                assert!(matches!(refusal.handling, Handling::Collapsed { .. }));
            }
            (decision, expected) => panic!("{decision:?}, not {expected:?}"),
        }
    }

    /// Asks everybody who waits, the oldest first; `true` if somebody went on.
    fn poll(&mut self) -> bool {
        let before = self.waiting.len();
        for mut waiting in std::mem::take(&mut self.waiting) {
            let was_woken = waiting.woken.0.swap(false, Ordering::Relaxed);
            let expected = self.model.poll(&mut waiting.model, self.now);
            let waker = Arc::clone(&waiting.woken).into();
            match (waiting.real.poll(&waker, self.now), expected) {
                (Poll::Pending, None) => self.waiting.push(waiting),
                (Poll::Ready(decision), Some(expected)) => {
                    assert!(
                        was_woken || waiting.real.deadline() <= self.now,
                        "{expected:?}"
                    );
                    self.decided(decision, expected, waiting.request);
                }
                (decision, expected) => panic!("{decision:?}, not {expected:?}"),
            }
        }
        self.waiting.len() < before
    }

    fn check(&self) {
        let (stats, model) = (self.site.stats(self.now), &self.model);
        assert_eq!(stats.admission.in_flight, SLOTS - model.queue.free);
        let [standing, following] = model.queue.waiting();
        assert_eq!(stats.admission.waiting, standing + following);
        assert_eq!(stats.admission.following, following);
        assert_eq!(stats.copies, model.store.len());
        assert_eq!(stats.circuit, model.tiers.origin_state(self.now));
        assert_eq!(stats.paths_open, model.tiers.paths_open());
        assert_eq!(self.site.validate(), Ok(()));
    }
}

/// Tells the program how a request ended; returns what answers instead.
fn end(fetch: Fetch, ends: Ends, version: u32, now: Instant) -> Option<Served> {
    match ends {
        Ends::Abandoned => fetch.abandon(now),
        Ends::Failed(failure) => return fetch.on_failure(failure, now).ok(),
        Ends::No(_) | Ends::Ok(_) | Ends::Oops | Ends::Soft(_) => {
            let mut holding = match fetch.on_head(&response(ends), now) {
                Verdict::Forward(holding) => holding,
                Verdict::Serve(served) => return Some(served),
            };
            let page = body(version, matches!(ends, Ends::Soft(_)));
            if let Ends::Soft(false) = ends {
                let mut passing = holding.pass_on();
                passing.on_data(page.as_bytes(), now);
                passing.on_end(now);
                return None;
            }
            holding.on_data(page.as_bytes(), now);
            match holding.complete(now) {
                Completed::PassOn(passing) => passing.on_end(now),
                Completed::Serve(served) => return Some(served),
            }
        }
    }
    None
}

/// Sessions of many threads share the policy: whatever they do at one time, nothing of it is left.
#[test]
fn many_threads_leave_nothing_behind() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 5_000;
    let now = Instant::from_epoch(Duration::from_secs(1_000));
    let site = Site::new(&config(), 1, now);
    let run = &|thread: u64| {
        let mut rng = Rng::new(thread);
        let mut flights: Vec<Fetch> = Vec::new();
        for round in 0..ROUNDS {
            let now = now + Duration::from_millis(round);
            let number = rng.next();
            let user = match number >> 8 & 1 {
                0 => User::Everybody,
                _ => User::Session(0),
            };
            let ask = match number >> 9 & 7 {
                0 => Ask::Write,
                other => Ask::Read(other == 1),
            };
            let key = (u8::from(number & 1 == 1), user);
            match site.decide(&request(ask, key), now).now() {
                Some(Decision::Fetch(fetch)) => flights.push(fetch),
                Some(Decision::Serve(served)) => drop(served.answer(&request(ask, key))),
                Some(Decision::Refuse(_)) | None => {}
            }
            let ends = match number >> 12 & 7 {
                0 => Ends::Abandoned,
                1 => Ends::Failed(Failure::Connect),
                2 => Ends::Oops,
                _ => Ends::Ok(Says::Fresh),
            };
            if number >> 16 & 1 == 0
                && let Some(fetch) = flights.pop()
            {
                drop(end(fetch, ends, 7, now));
            }
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || run(thread));
        }
    });
    let now = now + Duration::from_secs(3_600);
    let stats = site.stats(now);
    let left = (
        stats.admission.in_flight,
        stats.admission.waiting,
        stats.collecting_bytes,
    );
    assert_eq!(left, (0, 0, 0));
    assert_eq!(site.validate(), Ok(()));
    // The flag that is read without a lock says what the circuits say.
    for page in 0..2 {
        let key = (page, User::Everybody);
        let Some(Decision::Fetch(fetch)) = site.decide(&request(Ask::Write, key), now).now() else {
            panic!("nobody is inside")
        };
        if stats.circuit != State::Closed {
            assert_ne!(fetch.circuit(), State::Closed);
        } else if stats.paths_open == 0 {
            assert_eq!(fetch.circuit(), State::Closed);
        }
        fetch.abandon(now);
    }
}

fn key() -> impl Strategy<Value = Key> {
    let user = prop_oneof![Just(User::Everybody), (0..2_u8).prop_map(User::Session)];
    // One page is asked for by many, and changed under them.
    let sessions = (0..2_u8).prop_map(User::Session);
    prop_oneof![
        2 => Just((0, User::Everybody)),
        2 => sessions.prop_map(|user| (0, user)),
        2 => (0..3_u8, user),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let ask = prop_oneof![
        4 => any::<bool>().prop_map(Ask::Read),
        1 => Just(Ask::Write),
    ];
    let says = prop_oneof![
        Just(Says::Nothing),
        Just(Says::Fresh),
        Just(Says::MustRevalidate),
        Just(Says::NoStore),
    ];
    let failures = [
        Failure::Connect,
        Failure::Protocol,
        Failure::Reset,
        Failure::Timeout,
        Failure::Truncated,
    ];
    let ends = prop_oneof![
        4 => says.prop_map(Ends::Ok),
        1 => prop::sample::select(vec![302, 401, 403, 404, 410, 451]).prop_map(Ends::No),
        2 => Just(Ends::Oops),
        2 => any::<bool>().prop_map(Ends::Soft),
        2 => prop::sample::select(failures.to_vec()).prop_map(Ends::Failed),
        1 => Just(Ends::Abandoned),
    ];
    let millis = prop_oneof![
        3 => 0..100_u64,
        // Long enough for the newest to go first, not for everybody to be late.
        2 => 250..900_u64,
        1 => 900..5_000_u64,
        1 => 10_000..50_000_u64,
    ];
    let which = any::<prop::sample::Index>;
    prop_oneof![
        10 => (ask, key()).prop_map(|(ask, key)| Step::Ask(ask, key)),
        7 => (which(), ends).prop_map(|(which, ends)| Step::End(which, ends)),
        1 => which().prop_map(Step::Leave),
        6 => Just(Step::Poll),
        5 => millis.prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_096, ..ProptestConfig::default() })]

    #[test]
    fn the_policy_is_its_model(steps in prop::collection::vec(step(), 1..120)) {
        let mut pair = Pair::new();
        for (version, step) in (0..).zip(steps) {
            pair.apply(step, version);
        }
    }
}
