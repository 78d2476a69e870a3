//! Owns one reading of a log: what is assumed where it is silent, what the application did by that, and
//! what each set of settings makes of it.
//! Never decides which readings there are: [`others`] does, and whoever starts them.

use std::sync::Arc;

use retter_core::config::Settings;

use super::ReplayError;
use super::assume::{Assumptions, Sessions, Unasked};
use super::line::Line;
use super::message;
use super::simulate::Simulation;
use super::truth::Truth;

/// What one reading has come to.
pub(super) struct World {
    /// Requests on which the application failed, or would have.
    pub(super) failed: u64,
    sessions: Sessions,
    pub(super) simulations: Vec<Simulation>,
    truth: Truth,
}

/// What the log itself tells of a request.
pub(super) struct Told {
    pub(super) failed: bool,
    /// The answer may be an error page with status 200.
    pub(super) soft: bool,
}

/// The other readings of a log of this form, which are as good as the one that was asked for: a combined
/// log does not tell who sees the same pages, and one of this program's own does not tell what the
/// application would have done where it was not asked.
pub(super) fn others(assumed: &Assumptions, is_json: bool) -> Vec<Assumptions> {
    let with = |sessions, unasked| Assumptions {
        sessions,
        unasked,
        ..assumed.clone()
    };
    let all = match is_json {
        false => [Sessions::None, Sessions::Visitor]
            .map(|sessions| with(sessions, assumed.unasked))
            .to_vec(),
        true => [Unasked::Fails, Unasked::Works]
            .map(|unasked| with(assumed.sessions, unasked))
            .to_vec(),
    };
    all.into_iter().filter(|other| other != assumed).collect()
}

impl World {
    /// Begins at `start`, in nanoseconds since 1970.
    ///
    /// # Errors
    /// Settings cannot work.
    pub(super) fn new(
        assumed: &Assumptions,
        settings: &[(String, Settings)],
        seed: u64,
        start: u64,
    ) -> Result<Self, ReplayError> {
        let simulation = |(name, settings): &(String, Settings)| {
            let simulation = Simulation::new(settings.clone(), seed, start);
            simulation.map_err(|errors| ReplayError::Settings {
                name: name.clone(),
                errors,
            })
        };
        Ok(Self {
            failed: 0,
            sessions: assumed.sessions,
            simulations: settings.iter().map(simulation).collect::<Result<_, _>>()?,
            truth: Truth::new(assumed),
        })
    }

    /// Replays one request. Lines come in the order of time.
    pub(super) fn ask(&mut self, line: &Line) -> Told {
        for simulation in &mut self.simulations {
            simulation.advance(line.at, &self.truth);
        }
        let request = Arc::new(message::request(line, self.sessions));
        let soft = self.truth.may_be_soft(&line.origin, &request);
        let origin = self.truth.of(line, &request);
        for simulation in &mut self.simulations {
            simulation.ask(&request, line.client, line.at, &origin);
        }
        self.failed += u64::from(self.truth.failed(&origin));
        Told {
            failed: self.truth.failed(&line.origin),
            soft,
        }
    }

    /// Ends what still runs.
    pub(super) fn finish(&mut self) {
        for simulation in &mut self.simulations {
            simulation.finish();
        }
    }
}

/// Requests that ended in an error, by each reading of the log: the one that was asked for first.
pub(super) struct Span(Vec<u64>);

impl Span {
    pub(super) fn of(counts: impl Iterator<Item = u64>) -> Self {
        Self(counts.collect())
    }

    /// By the reading that was asked for.
    pub(super) fn assumed(&self) -> u64 {
        self.0.first().copied().unwrap_or_default()
    }

    pub(super) fn least(&self) -> u64 {
        self.0.iter().copied().min().unwrap_or_default()
    }

    pub(super) fn most(&self) -> u64 {
        self.0.iter().copied().max().unwrap_or_default()
    }
}
