//! Owns [`ByHand`]: what an operator has decided about a site, until when.
//! Never ends by a timer: each question says what time it is.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::sync::{AtomicBool, Mutex, MutexGuard};
use crate::time::Instant;

/// Whoever is refused by hand comes back after this time at most: it may be ended sooner.
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// What an operator can decide in the place of the circuits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Manual {
    /// No circuit refuses anything; a copy still rescues what fails.
    Closed,
    /// Copies answer what is only read, and writes are refused. Nothing is asked in the background.
    Maintenance {
        /// What those are told who are refused, in place of the usual words.
        message: Option<Arc<str>>,
    },
    /// Copies answer what is only read; writes go to the origin. No copy is renewed.
    Open,
}

impl Manual {
    /// All that [`as_str`](Self::as_str) says, for counters.
    pub const WORDS: [&str; 3] = ["closed", "maintenance", "open"];

    /// One lower-case word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Maintenance { .. } => "maintenance",
            Self::Open => "open",
        }
    }
}

/// A decision of an operator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Override {
    /// What was decided.
    pub manual: Manual,
    /// Since when it counts.
    pub since: Instant,
    /// When it ends by itself; `None` where only another decision ends it.
    pub until: Option<Instant>,
}

impl Override {
    fn counts(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// The decision of a site, shared by all its requests.
#[derive(Debug, Default)]
pub(super) struct ByHand {
    decided: Mutex<Option<Override>>,
    /// Something was decided: without it the lock is not needed to know that nothing was.
    is_set: AtomicBool,
}

/// What a decision means for a request that asks for the origin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stance {
    /// It goes.
    Goes,
    /// It is answered from a copy or refused, as in maintenance where that is so; whoever is refused
    /// may come back at `retry_at`.
    Shut {
        is_maintenance: bool,
        retry_at: Instant,
    },
}

impl ByHand {
    /// Decides something else, or nothing.
    pub(super) fn decide(&self, decided: Option<Override>) {
        let mut current = self.lock();
        self.is_set.store(decided.is_some(), Ordering::Relaxed);
        let replaced = std::mem::replace(&mut *current, decided);
        drop(current);
        drop(replaced);
    }

    /// What counts now.
    pub(super) fn current(&self, now: Instant) -> Option<Override> {
        if !self.is_set() {
            return None;
        }
        self.lock()
            .as_ref()
            .filter(|decided| decided.counts(now))
            .cloned()
    }

    /// What becomes of a request that only reads; `None` where the circuits say it.
    pub(super) fn of_read(&self, now: Instant) -> Option<Stance> {
        self.map(now, |decided| match decided.manual {
            Manual::Closed => Stance::Goes,
            Manual::Maintenance { .. } => shut(decided, true, now),
            Manual::Open => shut(decided, false, now),
        })
    }

    /// What becomes of a write; `None` where it goes, as it always does.
    pub(super) fn of_write(&self, now: Instant) -> Option<Stance> {
        let stance = self.of_read(now)?;
        let is_maintenance = matches!(
            stance,
            Stance::Shut {
                is_maintenance: true,
                ..
            }
        );
        is_maintenance.then_some(stance)
    }

    /// Whether nothing is asked for in the background. With when that ends by itself.
    pub(super) fn rests(&self, now: Instant) -> Option<Option<Instant>> {
        self.map(now, |decided| match decided.manual {
            Manual::Closed => None,
            Manual::Maintenance { .. } | Manual::Open => Some(decided.until),
        })?
    }

    /// Whether it is not even tried to connect.
    pub(super) fn rests_fully(&self, now: Instant) -> Option<Option<Instant>> {
        self.map(now, |decided| match decided.manual {
            Manual::Closed | Manual::Open => None,
            Manual::Maintenance { .. } => Some(decided.until),
        })?
    }

    fn map<T>(&self, now: Instant, map: impl FnOnce(&Override) -> T) -> Option<T> {
        if !self.is_set() {
            return None;
        }
        let decided = self.lock();
        decided
            .as_ref()
            .filter(|decided| decided.counts(now))
            .map(map)
    }

    fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Override>> {
        self.decided.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shut(decided: &Override, is_maintenance: bool, now: Instant) -> Stance {
    let again = now + AGAIN_MAX;
    Stance::Shut {
        is_maintenance,
        retry_at: decided.until.map_or(again, |until| until.min(again)),
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};

    use super::*;
    use crate::breaker::State;
    use crate::config::Settings;
    use crate::event::Event;
    use crate::message::{Fields, RequestHead, ResponseHead};
    use crate::report::Failure;
    use crate::rules::label::Handling;
    use crate::site::{Decision, Fetch, Site};

    fn at(secs: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(secs))
    }

    fn decide(site: &Site, method: Method, target: &'static str, now: Instant) -> Decision {
        let request = RequestHead::new(method, target, Fields::default());
        let decision = site.decide(&Arc::new(request), now).now();
        decision.expect("there is room")
    }

    fn fetch(decision: Decision) -> Fetch {
        match decision {
            Decision::Fetch(fetch) => fetch,
            other @ (Decision::Refuse(_) | Decision::Serve(_)) => {
                panic!("the origin is not asked: {other:?}")
            }
        }
    }

    /// A site with a copy of `/`.
    fn site() -> Site {
        let site = Site::new(&Settings::default().validate().unwrap(), 1, at(0));
        let head = ResponseHead::new(StatusCode::OK, Fields::default());
        let asked = fetch(decide(&site, Method::GET, "/", at(0)));
        let mut passing = asked.on_head(&head, at(0)).passed_on();
        passing.on_data(b"page", at(0));
        passing.on_end(at(0));
        site
    }

    fn decided(manual: Manual, until: Option<u64>) -> Option<Override> {
        Some(Override {
            manual,
            since: at(0),
            until: until.map(at),
        })
    }

    /// How a request is answered: `origin`, `copy`, or the status and `Retry-After` of a refusal.
    #[track_caller]
    fn check(site: &Site, method: Method, target: &'static str, now: u64, expected: &str) {
        let answered = match decide(site, method, target, at(now)) {
            Decision::Fetch(fetch) => {
                fetch.abandon(at(now));
                "origin".to_owned()
            }
            Decision::Refuse(refusal) => {
                let secs = refusal.retry_after_secs().unwrap();
                format!("{} {secs}", refusal.status().as_u16())
            }
            Decision::Serve(served) => {
                assert!(matches!(served.handling, Handling::CircuitOpen { .. }));
                assert_eq!(served.circuit, State::Open);
                "copy".to_owned()
            }
        };
        assert_eq!(answered, expected, "{target} at {now} s");
    }

    /// Whoever asks for whatever page gets no answer.
    fn open_circuit(site: &Site) {
        for number in 0..20_u8 {
            let request = RequestHead::new(Method::GET, &format!("/{number}"), Fields::default());
            let client = [192, 0, number, 1].into();
            let decision = site.decide_for(&Arc::new(request), client, at(0)).now();
            if let Some(Decision::Fetch(asked)) = decision {
                drop(asked.on_failure(Failure::Reset, at(0)));
            }
        }
        assert_eq!(site.circuit(at(0)), State::Open);
    }

    #[test]
    fn open_by_hand_copies_answer_and_writes_go_until_it_ends() {
        let site = site();
        site.decide_by_hand(decided(Manual::Open, Some(90)));
        check(&site, Method::GET, "/", 1, "copy");
        check(&site, Method::GET, "/new", 1, "503 60");
        check(&site, Method::GET, "/new", 80, "503 10");
        check(&site, Method::POST, "/order", 1, "origin");
        assert!(site.poll_refresh(at(1)).is_none());
        assert_eq!(site.poll_refresh_timeout(at(1)), Some(at(90)));
        check(&site, Method::GET, "/new", 90, "origin");
        assert_eq!(site.by_hand(at(90)), None);
    }

    #[test]
    fn closed_by_hand_nothing_is_refused_and_what_fails_is_rescued() {
        let site = site();
        open_circuit(&site);
        check(&site, Method::GET, "/", 0, "copy");
        let decision = decide(&site, Method::GET, "/new", at(0));
        assert!(matches!(decision, Decision::Refuse(_)));
        site.decide_by_hand(decided(Manual::Closed, None));
        check(&site, Method::GET, "/new", 0, "origin");
        let asked = fetch(decide(&site, Method::GET, "/", at(0)));
        assert_eq!(asked.circuit(), State::Closed);
        let rescued = asked.on_failure(Failure::Timeout, at(0)).unwrap();
        assert!(matches!(rescued.handling, Handling::Rescued { .. }));
        site.decide_by_hand(None);
        let decision = decide(&site, Method::GET, "/new", at(0));
        assert!(
            matches!(decision, Decision::Refuse(_)),
            "what was learnt stays"
        );
    }

    #[test]
    fn in_maintenance_writes_stop_and_probes_rest() {
        let site = site();
        open_circuit(&site);
        let message = Some(Arc::from("until five"));
        site.decide_by_hand(decided(Manual::Maintenance { message }, Some(30)));
        check(&site, Method::GET, "/", 1, "copy");
        check(&site, Method::POST, "/order", 1, "503 29");
        check(&site, Method::GET, "/new", 1, "503 29");
        assert!(site.poll_refresh(at(5)).is_none() && site.poll_connect(at(5)).is_none());
        assert_eq!(site.poll_refresh_timeout(at(5)), Some(at(30)));
        let Decision::Refuse(refusal) = decide(&site, Method::POST, "/order", at(1)) else {
            panic!("it is refused");
        };
        assert_eq!(site.says(&refusal, at(1)).as_deref(), Some("until five"));
        check(&site, Method::POST, "/order", 30, "origin");
    }

    #[test]
    fn in_maintenance_it_is_not_tried_to_connect() {
        let site = site();
        assert!(site.poll_connect(at(0)).is_none());
        let asked = fetch(decide(&site, Method::GET, "/new", at(0)));
        drop(asked.on_unanswered(Failure::Connect, at(0)));
        assert!(site.poll_refresh_timeout(at(0)) <= Some(at(1)));
        let message = None;
        site.decide_by_hand(decided(Manual::Maintenance { message }, Some(30)));
        assert_eq!(site.poll_refresh_timeout(at(1)), Some(at(30)));
        assert!(site.poll_connect(at(29)).is_none());
        assert!(site.poll_connect(at(30)).is_some());
    }

    #[test]
    fn a_probe_by_hand_is_one_at_once() {
        let site = site();
        open_circuit(&site);
        site.probe_now(at(0));
        assert_eq!(site.circuit(at(0)), State::HalfOpen);
        let told = std::iter::from_fn(|| site.poll_event(at(0)));
        let reasons: Vec<_> = told
            .filter_map(|event| match event {
                Event::Circuit(change) if change.to == State::HalfOpen => Some(change.reason),
                Event::Circuit(_)
                | Event::Limit { .. }
                | Event::Purged { .. }
                | Event::Refused(_)
                | Event::Renewed(_)
                | Event::Soft(_) => None,
            })
            .collect();
        assert!(reasons[0].to_string().contains("by hand"), "{reasons:?}");
    }
}
