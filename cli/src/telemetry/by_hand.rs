//! Owns what is logged of decisions by hand that end by themselves.
//! Never decides anything: an operator does, over the admin address, and that is logged there.

use retter_core::site::Override;
use retter_core::time::Instant;

/// What counted when that was last looked at.
#[derive(Debug, Default)]
pub(super) struct ByHand(Option<Override>);

impl ByHand {
    /// What to log now; to be asked about once a second.
    pub(super) fn note(&mut self, current: Option<Override>, now: Instant) -> Option<String> {
        let last = std::mem::replace(&mut self.0, current)?;
        let has_ended = self.0.is_none() && last.until.is_some_and(|until| until <= now);
        has_ended.then(|| {
            let word = last.manual.as_str();
            format!("the state `{word}` by hand has ended by itself: the circuits decide again")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use retter_core::site::Manual;

    use super::*;

    #[test]
    fn only_what_ends_by_itself_is_told() {
        let at = |secs| Instant::from_epoch(Duration::from_secs(secs));
        let open = || {
            Some(Override {
                manual: Manual::Open,
                since: at(0),
                until: Some(at(60)),
            })
        };
        let mut by_hand = ByHand::default();
        assert_eq!(by_hand.note(open(), at(1)), None);
        assert_eq!(by_hand.note(None, at(59)), None, "somebody has ended it");
        assert_eq!(by_hand.note(open(), at(59)), None);
        assert!(by_hand.note(None, at(60)).unwrap().contains("`open`"));
        assert_eq!(by_hand.note(None, at(61)), None);
    }
}
