//! Owns the state changes of circuits so far ([`Transitions`]), counted, and the last of them in words.
//! Never decides one.

use std::collections::VecDeque;

use retter_core::breaker::{State, Tier, Transition};
use retter_log::escape;

/// State changes that `/health` shows.
const TRANSITIONS_KEPT: usize = 20;

/// State changes so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transitions {
    /// By tier and new state.
    counts: [[u64; 3]; 2],
    /// The last ones, oldest first.
    pub(crate) last: VecDeque<Transition>,
}

impl Transitions {
    /// How often a circuit of `tier` went to `to`.
    pub(crate) fn count(&self, tier: Tier, to: State) -> u64 {
        self.counts[tier_index(tier)][state_index(to)]
    }

    pub(super) fn push(&mut self, transition: Transition) {
        self.counts[tier_index(transition.tier)][state_index(transition.to)] += 1;
        if self.last.len() == TRANSITIONS_KEPT {
            self.last.pop_front();
        }
        self.last.push_back(transition);
    }
}

fn tier_index(tier: Tier) -> usize {
    match tier {
        Tier::Origin => 0,
        Tier::Path => 1,
    }
}

/// The number of a state in the metrics: 0 closed, 1 half-open, 2 open.
pub(crate) fn state_index(state: State) -> usize {
    match state {
        State::Closed => 0,
        State::HalfOpen => 1,
        State::Open => 2,
    }
}

/// A state change in words: `circuit of the origin opened: 14 of 20 failed in 10 s, 9 paths;
/// answering from copies where there are any`.
pub(crate) fn words(transition: &Transition) -> String {
    let circuit = match (&transition.path, transition.tier) {
        (Some(path), Tier::Path) => format!("circuit of path {}", escape(path.as_bytes())),
        (None, Tier::Path) => "circuit of a path".to_owned(),
        (_, Tier::Origin) => "circuit of the origin".to_owned(),
    };
    let reason = &transition.reason;
    match transition.to {
        State::Closed => format!("{circuit} closed: {reason}; asking the application again"),
        State::HalfOpen => format!("{circuit} half-open: {reason}"),
        State::Open => {
            format!("{circuit} opened: {reason}; answering from copies where there are any")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use retter_core::breaker::Reason;
    use retter_core::time::Instant;

    use super::*;

    fn opened(path: Option<&str>) -> Transition {
        Transition {
            at: Instant::ZERO,
            from: State::Closed,
            path: path.map(Arc::from),
            reason: Reason::FailureRate {
                failed: 14,
                total: 20,
                window: Duration::from_secs(10),
                paths: 9,
                visitors: 1,
            },
            tier: if path.is_some() {
                Tier::Path
            } else {
                Tier::Origin
            },
            to: State::Open,
        }
    }

    #[test]
    fn transitions_in_words() {
        assert_eq!(
            words(&opened(None)),
            "circuit of the origin opened: 14 of 20 failed in 10 s, 9 paths; \
             answering from copies where there are any"
        );
        assert!(
            words(&opened(Some("/a\n\x1b[31m")))
                .starts_with("circuit of path /a\\x0A\\x1B[31m opened: ")
        );
    }

    #[test]
    fn only_the_last_transitions_are_kept_but_all_are_counted() {
        let mut transitions = Transitions::default();
        for _ in 0..100 {
            transitions.push(opened(None));
        }
        assert_eq!(transitions.last.len(), TRANSITIONS_KEPT);
        assert_eq!(transitions.count(Tier::Origin, State::Open), 100);
        assert_eq!(transitions.count(Tier::Path, State::Open), 0);
    }
}
