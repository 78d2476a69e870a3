//! Owns what is logged of circuits of single pages: one line a minute for all of them.
//! Never counts for others: the metrics do.

use retter_core::breaker::{State, Tier, Transition};
use retter_core::seldom::Seldom;
use retter_core::time::Instant;

use super::escape;

/// What was not told yet.
#[derive(Debug, Default)]
pub(super) struct PageCircuits {
    /// One line a minute tells that it goes on, and does not fill the log.
    line: Seldom,
    opened: u32,
    /// The last that opened, and why.
    last: Option<Transition>,
}

impl PageCircuits {
    pub(super) fn note(&mut self, transition: &Transition) {
        let is_new = transition.from == State::Closed && transition.to == State::Open;
        if transition.tier == Tier::Path && is_new {
            self.opened += 1;
            self.last = Some(transition.clone());
        }
    }

    /// What to log now; to be asked about once a second. `open` are not closed now.
    pub(super) fn tell(&mut self, open: usize, now: Instant) -> Option<String> {
        let last = self.last.take_if(|_| self.line.is_due(now))?;
        let path = last.path.as_deref().unwrap_or("(unknown)");
        let text = format!(
            "circuits of single pages: {} opened, {open} are not closed now; the last was that of {}: {}; \
             other pages are asked for as before",
            std::mem::take(&mut self.opened),
            escape(path.as_bytes()),
            last.reason
        );
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use retter_core::breaker::Reason;

    use super::*;

    #[test]
    fn many_pages_make_one_line_a_minute() {
        let at = |secs| Instant::from_epoch(Duration::from_secs(secs));
        let opened = |number: u32| Transition {
            at: at(0),
            from: State::Closed,
            path: Some(Arc::from(format!("/{number}\n"))),
            reason: Reason::Consecutive {
                failed: 5,
                visitors: 1,
            },
            tier: Tier::Path,
            to: State::Open,
        };
        let mut pages = PageCircuits::default();
        assert_eq!(pages.tell(0, at(0)), None);
        for number in 0..50 {
            pages.note(&opened(number));
        }
        let told = pages.tell(50, at(1)).unwrap();
        assert!(told.contains("50 opened"), "{told}");
        assert!(told.contains("/49\\x0A: 5 failures in a row"), "{told}");
        pages.note(&opened(50));
        pages.note(&Transition {
            from: State::HalfOpen,
            ..opened(51)
        });
        assert_eq!(pages.tell(51, at(60)), None);
        assert!(pages.tell(51, at(61)).unwrap().contains(" 1 opened"));
        assert_eq!(pages.tell(51, at(200)), None);
    }
}
