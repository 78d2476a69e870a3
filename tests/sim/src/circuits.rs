//! Owns what the program said of its circuits, and whether it kept to it.
//! Never asks the program: it has only its transitions.

use std::collections::BTreeMap;

use retter_core::breaker::{State, Tier, Transition};
use retter_core::time::Instant;

use crate::ledger::Asked;

/// The circuits as told: one for the origin, one for each path that was ever named.
#[derive(Debug, Default)]
pub(crate) struct Circuits {
    origin: Told,
    paths: BTreeMap<String, Told>,
}

#[derive(Debug, Default)]
struct Told {
    state: State,
    since: Instant,
    /// When it was last other than closed, up to now if it is.
    troubled_until: Option<Instant>,
}

impl Circuits {
    pub(crate) fn note(&mut self, transition: &Transition) -> Result<(), String> {
        let told = match (transition.tier, &transition.path) {
            (Tier::Path, Some(path)) => self.paths.entry(path.to_string()).or_default(),
            (Tier::Origin | Tier::Path, _) => &mut self.origin,
        };
        if told.state != transition.from {
            return Err(format!(
                "{transition:?} begins in another state than {told:?}"
            ));
        }
        if transition.to == State::Closed {
            told.troubled_until = Some(transition.at);
        }
        told.state = transition.to;
        told.since = transition.at;
        Ok(())
    }

    /// Whether the origin may get this request now: it is a write, or it was sent before the
    /// circuit opened, or no circuit is open.
    pub(crate) fn permits(&self, asked: &Asked) -> bool {
        let reads = matches!(asked.method, "GET" | "HEAD") && !asked.upgrades;
        let refuses = |told: &Told| {
            told.state == State::Open && asked.sent_at.is_some_and(|sent| sent > told.since)
        };
        !reads || !self.of(asked).any(refuses)
    }

    /// Whether some circuit of the request was not closed at some time since `since`.
    pub(crate) fn had_trouble(&self, asked: &Asked, since: Instant) -> bool {
        self.of(asked).any(|told| {
            told.state != State::Closed || told.troubled_until.is_some_and(|until| until >= since)
        })
    }

    fn of(&self, asked: &Asked) -> impl Iterator<Item = &Told> {
        [Some(&self.origin), self.paths.get(asked.path())]
            .into_iter()
            .flatten()
    }
}
