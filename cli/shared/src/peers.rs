//! Owns which instances there are and what was heard of each ([`Peers`]): each numbers what it tells, so
//! that nothing can be left out, told twice or told in another order without being noticed.
//! Never knows what is told.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::form::{Beat, Event, Sender};

/// Instances that are remembered; those that were heard of longest ago are forgotten.
const PEERS_MAX: usize = 4096;

/// An instance that was not heard of for so long is gone.
const GONE: Duration = Duration::from_secs(5);

/// The instances that were heard of.
#[derive(Debug, Default)]
pub(crate) struct Peers(HashMap<Sender, Peer>);

#[derive(Clone, Copy, Debug)]
struct Peer {
    last: u64,
    seen: Instant,
}

/// What an event or a beat is to those that were heard before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Heard {
    /// Something of the same instance was not heard.
    pub(crate) is_gap: bool,
    /// How many of its items are known already.
    pub(crate) known: usize,
}

impl Peers {
    /// Takes note of an event.
    pub(crate) fn hear(&mut self, event: &Event, now: Instant) -> Heard {
        let before = self.last(event.sender);
        let known = before
            .unwrap_or(0)
            .saturating_sub(event.first.saturating_sub(1));
        let is_gap = event.first > before.unwrap_or(0) + 1;
        self.note(event.sender, event.last(), now);
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        Heard {
            is_gap,
            known: known.min(event.items.len()),
        }
    }

    /// Takes note of a beat; returns whether something of its instance was not heard.
    pub(crate) fn feel(&mut self, beat: &Beat, now: Instant) -> bool {
        let is_gap = beat.last > self.last(beat.sender).unwrap_or(0);
        self.note(beat.sender, beat.last, now);
        is_gap
    }

    /// How many were heard of lately.
    pub(crate) fn count(&self, now: Instant) -> usize {
        let seen = self.0.values();
        seen.filter(|peer| now.saturating_duration_since(peer.seen) < GONE)
            .count()
    }

    fn last(&self, sender: Sender) -> Option<u64> {
        self.0.get(&sender).map(|peer| peer.last)
    }

    fn note(&mut self, sender: Sender, last: u64, now: Instant) {
        let peer = self.0.entry(sender).or_insert(Peer { last, seen: now });
        peer.last = peer.last.max(last);
        peer.seen = now;
        if self.0.len() > PEERS_MAX {
            let oldest = self.0.iter().min_by_key(|(_, peer)| peer.seen);
            if let Some(oldest) = oldest.map(|(sender, _)| *sender) {
                self.0.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::Item;

    fn event(sender: u8, first: u64, count: usize) -> Event {
        Event {
            sender: [sender; 16],
            first,
            items: vec![Item::Gap; count],
        }
    }

    const fn beat(sender: u8, last: u64) -> Beat {
        Beat {
            sender: [sender; 16],
            last,
            number: 1,
        }
    }

    #[test]
    fn what_is_missing_or_told_again_is_noticed() {
        let now = Instant::now();
        let mut peers = Peers::default();
        let mut hear = |event: &Event| {
            let Heard { is_gap, known } = peers.hear(event, now);
            (is_gap, known)
        };
        assert_eq!(hear(&event(1, 1, 0)), (false, 0), "it begins");
        assert_eq!(hear(&event(1, 1, 2)), (false, 0));
        assert_eq!(hear(&event(1, 1, 2)), (false, 2), "again");
        assert_eq!(hear(&event(1, 2, 3)), (false, 1), "one of them again");
        assert_eq!(hear(&event(1, 6, 1)), (true, 0), "the fifth is missing");
        assert_eq!(hear(&event(1, 7, 1)), (false, 0));
        assert_eq!(hear(&event(2, 3, 1)), (true, 0), "two are missing");
        assert!(!peers.feel(&beat(1, 7), now) && !peers.feel(&beat(3, 0), now));
        assert!(peers.feel(&beat(1, 8), now) && !peers.feel(&beat(1, 8), now));
        assert!(!peers.feel(&beat(1, 5), now), "an old one again");
        assert!(peers.feel(&beat(4, 1), now), "nothing was heard of it");
        assert_eq!(peers.count(now), 4);
        assert_eq!(peers.count(now + GONE), 0);
    }
}
