//! Owns what the program said of its circuits, and whether it kept to it.
//! Never asks the program: it has only its transitions, and what the host sees of its attempts.

use std::collections::{BTreeMap, BTreeSet};

use retter_core::breaker::{Reason, State, Tier, Transition};
use retter_core::config::BreakerSettings;
use retter_core::time::Instant;

use crate::attempts::{Attempt, AttemptId, Attempts};
use crate::ledger::{Asked, Ledger};

/// The circuits as told: one for the origin, one for each path that was ever named.
#[derive(Debug)]
pub(crate) struct Circuits {
    settings: BreakerSettings,
    /// Circuits are probed in the background, or by connecting alone, so that visitors may be refused
    /// for the time.
    is_attended: bool,
    /// What was answered by what nobody had asked for, which is no failure; and when.
    late: Vec<(&'static str, String, Instant)>,
    origin: Told,
    paths: BTreeMap<String, Told>,
}

/// What was told of one circuit.
#[derive(Debug)]
struct Told {
    /// Every state with the time when it began.
    turns: Vec<(Instant, State)>,
    /// When failures have opened it, until something else has.
    by_failures: Option<Instant>,
    /// What was let through while it was half-open, with the place in `turns`.
    probes: BTreeSet<(usize, AttemptId)>,
}

impl Circuits {
    pub(crate) fn new(settings: BreakerSettings, is_attended: bool) -> Self {
        Self {
            settings,
            is_attended,
            late: Vec::new(),
            origin: Told::default(),
            paths: BTreeMap::new(),
        }
    }

    pub(crate) fn note(&mut self, transition: &Transition) -> Result<(), String> {
        let told = match (transition.tier, &transition.path) {
            (Tier::Path, Some(path)) => self.paths.entry(path.to_string()).or_default(),
            (Tier::Origin | Tier::Path, _) => &mut self.origin,
        };
        let (_, state) = told.turns[told.turns.len() - 1];
        if state != transition.from {
            return Err(format!("{transition:?} begins in another state: {state:?}"));
        }
        told.turns.push((transition.at, transition.to));
        match &transition.reason {
            Reason::Consecutive { .. } | Reason::FailureRate { .. } => {
                told.by_failures = Some(transition.at);
            }
            Reason::ConnectFailures { .. }
            | Reason::ProbeSlow { .. }
            | Reason::SlowRate { .. }
            | Reason::SlowRow { .. } => told.by_failures = None,
            Reason::Forgotten
            | Reason::News { .. }
            | Reason::OpenTimeElapsed { .. }
            | Reason::ProbeFailed { .. }
            | Reason::ProbesSucceeded { .. } => {}
        }
        Ok(())
    }

    /// The program has begun anew, which knows of no failure.
    pub(crate) fn restarted(&mut self, now: Instant) {
        for told in self.paths.values_mut().chain([&mut self.origin]) {
            told.by_failures = None;
            if told
                .turns
                .last()
                .is_some_and(|(_, state)| *state != State::Closed)
            {
                told.turns.push((now, State::Closed));
            }
        }
    }

    /// Takes note that a request was answered by what nobody had asked for.
    pub(crate) fn note_late(&mut self, asked: &Asked, now: Instant) {
        self.late.push((asked.method, asked.target.clone(), now));
    }

    /// The circuits that have a say of a request: its own, and that of the page whose head it asks for.
    fn names(asked: &Asked) -> (String, Option<String>) {
        let path = asked.path().to_owned();
        match asked.method {
            "HEAD" => (format!("HEAD {path}"), Some(path)),
            _ => (path, None),
        }
    }

    /// Judges that the origin got this request by this attempt: a read is not let through while a
    /// circuit is open, unless the same has succeeded shortly before, and while one is half-open, only as
    /// many at a time as it has slots.
    pub(crate) fn arrived(
        &mut self,
        asked: &Asked,
        id: AttemptId,
        (attempts, ledger): (&Attempts, &Ledger),
    ) -> Result<(), String> {
        if !asked.is_read() {
            return Ok(());
        }
        let attempt = attempts.get(id);
        let settings = &self.settings;
        let at = attempt.begun_at;
        // A page that has succeeded lately passes.
        let late = &self.late;
        let has_succeeded = |told: &Told| {
            told.by_failures.is_some_and(|opened| {
                let is_late = |(method, target, at): &(&str, String, Instant)| {
                    let is_it = *method == asked.method && *target == asked.target;
                    is_it && opened.saturating_since(*at) <= settings.window
                };
                ledger.succeeded(asked, opened, settings.window, at) || late.iter().any(is_late)
            })
        };
        let (own, page) = Self::names(asked);
        if let Some(page) = page.and_then(|page| self.paths.get(&page))
            && page.is_shut(at, settings)
            && !has_succeeded(page)
        {
            return Err("reaches the origin while its page's circuit is open".to_owned());
        }
        let circuits = [
            (Some(&mut self.origin), settings.origin_probes),
            (self.paths.get_mut(&own), 1),
        ];
        for (told, slots) in circuits {
            let Some(told) = told else { continue };
            let states: Vec<_> = told.between(at, at).collect();
            let passes = has_succeeded(told);
            if states.iter().all(|(_, state)| *state == State::Open) && !passes {
                return Err("reaches the origin while its circuit is open".to_owned());
            }
            // Of two half-open times at one moment, it is not known which it was let through by.
            let mut half_open = states.iter().filter(|(_, state)| *state == State::HalfOpen);
            let probing = half_open.next().filter(|_| half_open.next().is_none());
            let may_be_closed = states.iter().any(|(_, state)| *state == State::Closed);
            if let Some((turn, _)) = probing
                && !may_be_closed
                && !passes
            {
                let turn = *turn;
                told.probes.insert((turn, id));
                let most = told.most_probes(turn, settings, attempts);
                if most > slots as usize {
                    return Err(format!("is one of {most} probes at a time"));
                }
            }
        }
        Ok(())
    }

    /// Whether a request that was sent at `since`, and refused until `now`, may have been refused
    /// by a circuit: one that was open, or half-open with a probe out.
    pub(crate) fn may_have_refused(
        &self,
        asked: &Asked,
        (since, now): (Instant, Instant),
        attempts: &Attempts,
        ledger: &Ledger,
    ) -> bool {
        let on = |attempt: &Attempt, path: Option<&str>| {
            attempt.asked.is_none_or(|id| {
                let other = &ledger.asked[id];
                other.is_read() && path.is_none_or(|path| path == Self::names(other).0)
            })
        };
        let refused = |told: &Told, path: Option<&str>| {
            told.between(since, now).any(|(_, state)| match state {
                State::Closed => false,
                State::HalfOpen => {
                    let mut running = attempts.running_since(since);
                    self.is_attended || running.any(|attempt| on(attempt, path))
                }
                State::Open => true,
            })
        };
        let (name, page) = Self::names(asked);
        let own = self.paths.get(&name);
        let page = page.and_then(|page| self.paths.get(&page));
        let is_open = |told: &Told| {
            told.between(since, now)
                .any(|(_, state)| state == State::Open)
        };
        refused(&self.origin, None)
            || own.is_some_and(|own| refused(own, Some(&name)))
            || page.is_some_and(is_open)
    }
}

impl Told {
    /// Whether it is open, and not yet due to be probed: nobody may have asked since.
    fn is_shut(&self, at: Instant, settings: &BreakerSettings) -> bool {
        let least = settings.open_min.mul_f64(1.0 - settings.jitter);
        self.between(at, at).all(|(turn, state)| {
            let (since, _) = self.turns[turn];
            state == State::Open && at.saturating_since(since) < least
        })
    }

    /// The states that it had at some time between these, each with its place in `turns`.
    fn between(&self, from: Instant, to: Instant) -> impl Iterator<Item = (usize, State)> {
        let turns = self.turns.iter().enumerate();
        turns.filter_map(move |(turn, (began, state))| {
            let ended = self.turns.get(turn + 1).map(|(at, _)| *at);
            (*began <= to && ended.is_none_or(|ended| ended >= from)).then_some((turn, *state))
        })
    }

    /// How many probes of one half-open time were certainly out at the same moment, each no longer
    /// than its lease.
    fn most_probes(&self, turn: usize, settings: &BreakerSettings, attempts: &Attempts) -> usize {
        let of_turn = self.probes.range((turn, 0)..(turn + 1, 0));
        let leases: Vec<(Instant, Instant)> = of_turn
            .map(|(_, id)| {
                let attempt = attempts.get(*id);
                let end = attempt.begun_at + settings.probe_lease;
                let silent = attempt.silent_until();
                (
                    attempt.begun_at,
                    silent.map_or(end, |silent| silent.min(end)),
                )
            })
            .collect();
        let out_at = |at: Instant| {
            let is_out = |(begun, ends): &&(Instant, Instant)| *begun <= at && at < *ends;
            leases.iter().filter(is_out).count()
        };
        let most = leases.iter().map(|(begun, _)| out_at(*begun)).max();
        most.unwrap_or(0)
    }
}

impl Default for Told {
    fn default() -> Self {
        Self {
            turns: vec![(Instant::ZERO, State::Closed)],
            by_failures: None,
            probes: BTreeSet::new(),
        }
    }
}
