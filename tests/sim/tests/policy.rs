//! Owns the reference model of the policy: what has to be decided, which copy answers, what is
//! kept, and how many requests are at the origin; compared with the real one step by step.
//! Never models a circuit: the model has the real breaker, which has a model of its own
//! (`core/src/breaker/model.rs`), and is asked and told what the policy should ask and tell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use proptest::prelude::*;
use retter_core::breaker::{Outcome, State, TierPermit, Tiers};
use retter_core::config::{AdmissionSettings, Config, Settings};
use retter_core::message::{Fields, RequestHead, ResponseHead};
use retter_core::policy::{Decision, Fetch, Retter, Served, Verdict};
use retter_core::report::{Failure, Source};
use retter_core::rng::Rng;
use retter_core::time::{Instant, UnixTime};

const SLOTS: u32 = 3;

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
    Ok(Says),
    Oops,
}

#[derive(Clone, Debug)]
enum Step {
    Ask(Ask, Key),
    End(prop::sample::Index, Ends),
    Wait(u64),
}

/// A copy, as the model knows it.
#[derive(Clone, Copy, Debug)]
struct Copy {
    version: u32,
    received: Instant,
    fresh: Duration,
    /// It may be used when it is stale.
    stale: bool,
}

/// A request at the origin: how the program knows it, and how the model does.
struct Flight {
    real: Box<Fetch>,
    request: Arc<RequestHead>,
    ask: Ask,
    key: Key,
    permit: TierPermit,
    /// What answers if the origin fails.
    copy: Option<Copy>,
    /// How often the page had been written when the origin was asked.
    writes: u32,
}

/// What the model expects.
#[derive(Debug)]
enum Expected {
    /// It waits, or is refused because that would be in vain.
    Full,
    Fetch,
    Refused,
    Served(Copy),
}

struct Model {
    tiers: Tiers,
    store: BTreeMap<Key, Copy>,
    written: BTreeMap<Key, u32>,
    /// When a page was last written, by whomever.
    changed: BTreeMap<u8, Instant>,
}

impl Copy {
    fn is_fresh(&self, now: Instant) -> bool {
        self.fresh > now.saturating_since(self.received)
    }

    fn rescues(&self, now: Instant) -> bool {
        let age = now.saturating_since(self.received);
        self.is_fresh(now) || self.stale && age <= AGE_MAX
    }

    fn source(&self, now: Instant) -> Source {
        let age = now.saturating_since(self.received);
        if self.is_fresh(now) || age < TTL {
            Source::Cache
        } else {
            Source::LastKnownSuccess
        }
    }

    /// What is kept of an answer, if anything is.
    fn of(says: Says, user: User, version: u32, now: Instant) -> Option<Self> {
        let in_session = matches!(user, User::Session(_));
        let (fresh, stale) = match says {
            Says::Fresh => (10, true),
            Says::MustRevalidate => (10, in_session),
            Says::NoStore if in_session => (0, true),
            Says::NoStore => return None,
            Says::Nothing => (0, true),
        };
        let fresh = Duration::from_secs(fresh);
        Some(Self {
            version,
            received: now,
            fresh,
            stale,
        })
    }
}

impl Model {
    fn decide(
        &mut self,
        ask: Ask,
        key: Key,
        taken: usize,
        now: Instant,
    ) -> (Expected, Option<(TierPermit, Option<Copy>)>) {
        let path = path(key);
        let is_full = taken >= SLOTS as usize;
        let Ask::Read(wants_origin) = ask else {
            return match is_full {
                true => (Expected::Full, None),
                false => (Expected::Fetch, Some((self.tiers.pass(&path), None))),
            };
        };
        let copy = self.store.get(&key).copied();
        if let Some(copy) = copy
            && copy.is_fresh(now)
            && !wants_origin
            && !self.is_changed(key, copy)
        {
            return (Expected::Served(copy), None);
        }
        let copy = copy.filter(|copy| copy.rescues(now));
        let Ok(permit) = self.tiers.try_acquire(&path, now) else {
            return (copy.map_or(Expected::Refused, Expected::Served), None);
        };
        if is_full {
            self.tiers.record(permit, Outcome::Ignore, now);
            return (copy.map_or(Expected::Full, Expected::Served), None);
        }
        (Expected::Fetch, Some((permit, copy)))
    }

    /// Whether somebody has written the page since a user's copy came.
    fn is_changed(&self, (page, user): Key, copy: Copy) -> bool {
        let changed = self.changed.get(&page);
        user != User::Everybody && changed.is_some_and(|at| *at >= copy.received)
    }

    /// How often the page was written.
    fn writes(&self, key: Key) -> u32 {
        self.written.get(&key).copied().unwrap_or_default()
    }

    /// Returns the copy that answers instead of the origin.
    fn end(
        &mut self,
        (ask, key, permit, copy): (Ask, Key, TierPermit, Option<Copy>),
        writes: u32,
        ends: Ends,
        version: u32,
        now: Instant,
    ) -> Option<Copy> {
        let outcome = match ends {
            Ends::Abandoned => Outcome::Ignore,
            Ends::Failed(Failure::Connect) => Outcome::ConnectFailure,
            Ends::Failed(_) | Ends::Oops => Outcome::Failure,
            Ends::Ok(_) => Outcome::Success,
        };
        self.tiers.record(permit, outcome, now);
        match (ends, ask) {
            (Ends::Abandoned, _) => None,
            (Ends::Failed(_) | Ends::Oops, _) => copy,
            (Ends::Ok(_), Ask::Write) => {
                self.changed.insert(key.0, now);
                for key in [key, (key.0, User::Everybody)] {
                    self.store.remove(&key);
                    *self.written.entry(key).or_default() += 1;
                }
                None
            }
            (Ends::Ok(says), Ask::Read(_)) => {
                // The page may be from before a write.
                if writes == self.writes(key)
                    && let Some(copy) = Copy::of(says, key.1, version, now)
                {
                    self.store.insert(key, copy);
                }
                None
            }
        }
    }
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
        Ends::Ok(Says::Nothing) => (200, None),
        Ends::Abandoned | Ends::Failed(_) | Ends::Oops => (500, None),
    };
    let fields = control.map(|control| ("cache-control", control.as_bytes()));
    let status = StatusCode::from_u16(status).expect("a status");
    ResponseHead::new(status, Fields::from_pairs(fields))
}

/// The copy has to be of this version, and labelled as old as it is.
fn check_served(served: &Served, request: &RequestHead, copy: Copy, now: Instant) {
    assert_eq!(served.answer(request).body(), copy.version.to_string());
    assert_eq!(served.source, copy.source(now));
}

fn config() -> Config {
    let mut settings = Settings {
        admission: AdmissionSettings {
            in_flight_min: SLOTS,
            in_flight_start: SLOTS,
            in_flight_max: SLOTS,
            ..AdmissionSettings::default()
        },
        ..Settings::default()
    };
    settings.breaker.consecutive_failures = 2;
    settings.breaker.slow_rate = None;
    // The model's circuits have another seed.
    settings.breaker.jitter = 0.0;
    settings.cache.ttl = TTL;
    settings.cache.rescue_age_max = AGE_MAX;
    settings.validate().expect("these settings are valid")
}

/// Takes the steps with both, and compares after each.
fn compare(steps: Vec<Step>) {
    let mut now = Instant::from_epoch(Duration::from_secs(1_000));
    let config = config();
    let mut model = Model {
        tiers: Tiers::new(&config.breaker, 1, now),
        store: BTreeMap::new(),
        written: BTreeMap::new(),
        changed: BTreeMap::new(),
    };
    let retter = Retter::new(config, 2, now);
    retter.set_wall_clock(now, UnixTime(1_700_000_000));
    let mut flights: Vec<Flight> = Vec::new();
    for (version, step) in (0_u32..).zip(steps) {
        match step {
            Step::Wait(millis) => now = now + Duration::from_millis(millis),
            Step::Ask(ask, key) => {
                let request = request(ask, key);
                let expected = model.decide(ask, key, flights.len(), now);
                match (retter.decide(&request, now), expected) {
                    (Decision::Fetch(real), (Expected::Fetch, Some((permit, copy)))) => {
                        assert_eq!(real.can_rescue(), copy.is_some());
                        flights.push(Flight {
                            real,
                            request,
                            ask,
                            key,
                            permit,
                            copy,
                            writes: model.writes(key),
                        });
                    }
                    (Decision::Serve(served), (Expected::Served(copy), _)) => {
                        check_served(&served, &request, copy, now);
                    }
                    (Decision::Refuse(_), (Expected::Refused | Expected::Full, _)) => {}
                    // Its client leaves: nobody learns anything.
                    (Decision::Wait(_), (Expected::Full, _)) => {}
                    (decision, (expected, _)) => panic!("{decision:?}, not {expected:?}"),
                }
            }
            Step::End(which, ends) => {
                if flights.is_empty() {
                    continue;
                }
                let flight = flights.swap_remove(which.index(flights.len()));
                let Flight {
                    real,
                    request,
                    ask,
                    key,
                    permit,
                    copy,
                    writes,
                } = flight;
                let expected = model.end((ask, key, permit, copy), writes, ends, version, now);
                let served = end(real, ends, version, now);
                assert_eq!(served.is_some(), expected.is_some());
                if let (Some(served), Some(copy)) = (served, expected) {
                    check_served(&served, &request, copy, now);
                }
            }
        }
        let stats = retter.stats(now);
        assert_eq!(stats.admission.in_flight as usize, flights.len());
        assert_eq!(stats.copies, model.store.len());
        assert_eq!(stats.circuit, model.tiers.origin_state(now));
        assert_eq!(stats.paths_open, model.tiers.paths_open());
        assert_eq!(retter.validate(), Ok(()));
    }
}

/// Tells the program how a request ended; returns what answers instead.
fn end(mut fetch: Box<Fetch>, ends: Ends, version: u32, now: Instant) -> Option<Served> {
    match ends {
        Ends::Abandoned => fetch.abandon(now),
        Ends::Failed(failure) => return fetch.on_failure(failure, now),
        Ends::Ok(_) | Ends::Oops => {
            if let Verdict::Serve(served) = fetch.on_head(&response(ends), now) {
                return Some(served);
            }
            fetch.on_data(version.to_string().as_bytes(), now);
            fetch.on_end(now);
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
    let retter = Retter::new(config(), 1, now);
    let run = &|thread: u64| {
        let mut rng = Rng::new(thread);
        let mut flights: Vec<Box<Fetch>> = Vec::new();
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
            match retter.decide(&request(ask, key), now) {
                Decision::Fetch(fetch) => flights.push(fetch),
                Decision::Serve(served) => drop(served.answer(&request(ask, key))),
                Decision::Refuse(_) | Decision::Wait(_) => {}
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
    let stats = retter.stats(now);
    let left = (
        stats.admission.in_flight,
        stats.admission.waiting,
        stats.collecting_bytes,
    );
    assert_eq!(left, (0, 0, 0));
    assert_eq!(retter.validate(), Ok(()));
    // The flag that is read without a lock says what the circuits say.
    for page in 0..2 {
        let key = (page, User::Everybody);
        let Decision::Fetch(fetch) = retter.decide(&request(Ask::Write, key), now) else {
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
    (0..3_u8, user)
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
        2 => Just(Ends::Oops),
        2 => prop::sample::select(failures.to_vec()).prop_map(Ends::Failed),
        1 => Just(Ends::Abandoned),
    ];
    let millis = prop_oneof![0..100_u64, 500..5_000_u64, 10_000..50_000_u64];
    prop_oneof![
        4 => (ask, key()).prop_map(|(ask, key)| Step::Ask(ask, key)),
        4 => (any::<prop::sample::Index>(), ends).prop_map(|(which, ends)| Step::End(which, ends)),
        1 => millis.prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_policy_is_its_model(steps in prop::collection::vec(step(), 1..120)) {
        compare(steps);
    }
}
