//! Owns [`Policy`]: when somebody is told of an outage.
//! Never sends anything: noise is what people complain of, so most seconds say nothing.

use std::time::Duration;

use retter_core::time::Instant;

use super::body::Kind;

/// How long nothing is said of an outage that goes on.
const RESTS: Duration = Duration::from_secs(30 * 60);

/// What was said last.
#[derive(Debug)]
pub(super) struct Policy {
    /// For how long an application has to be down until somebody is told.
    after: Duration,
    /// When it was said that it is down, until it was said that it is back.
    said: Option<Instant>,
}

impl Policy {
    pub(super) const fn new(after: Duration) -> Self {
        Self { after, said: None }
    }

    /// What to say now. `down` is how long the application has been down, if it is; `is_over` says
    /// that an outage is over.
    pub(super) fn poll(
        &mut self,
        down: Option<Duration>,
        is_over: bool,
        now: Instant,
    ) -> Option<Kind> {
        if is_over {
            return self.said.take().map(|_| Kind::Over);
        }
        let down = down?;
        match self.said {
            None if down >= self.after => {
                self.said = Some(now);
                Some(Kind::Begun)
            }
            Some(at) if now.saturating_since(at) >= RESTS => {
                self.said = Some(now);
                Some(Kind::GoesOn)
            }
            None | Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said while the application is down from a second on, to another, and the outage is
    /// over at a third; with when.
    fn said(from: u64, to: u64, over: u64) -> Vec<(u64, Kind)> {
        let mut policy = Policy::new(Duration::from_secs(30));
        let seconds = 0..=over;
        seconds
            .filter_map(|second| {
                let down = (from..to).contains(&second);
                let down = down.then(|| Duration::from_secs(second - from));
                let now = Instant::from_epoch(Duration::from_secs(second));
                let kind = policy.poll(down, second == over, now)?;
                Some((second, kind))
            })
            .collect()
    }

    #[test]
    fn a_short_outage_is_nobodys_business() {
        assert_eq!(said(10, 39, 160), []);
    }

    #[test]
    fn a_long_one_is_told_when_it_is_sure_each_half_hour_and_when_it_is_over() {
        assert_eq!(
            said(10, 4_000, 4_120),
            [
                (40, Kind::Begun),
                (1_840, Kind::GoesOn),
                (3_640, Kind::GoesOn),
                (4_120, Kind::Over)
            ]
        );
    }
}
