//! Owns what this instance has to tell the others and has not yet ([`Outbox`]): items, numbered from 1 on.
//! Never sends, and never knows what the others make of it.

use retter_core::copies::Invalidation;

use crate::form::{Event, Item, KEYS_MAX, Sender};

/// Items that wait; with more, the others are told that anything may be wrong.
const ITEMS_MAX: usize = 8192;

/// Items in one event: with their keys below what a stream should have in one entry.
const EVENT_ITEMS_MAX: usize = 64;

/// What is to be told.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    items: Vec<Item>,
    /// The number of the last item that is in the stream.
    told: u64,
    /// Items that may be in the stream, though nobody has said so: nothing is added to them.
    closed: usize,
}

impl Outbox {
    /// Adds an item, or to one; returns its number, and whether it stands for all that waited.
    pub(crate) fn put(&mut self, invalidation: Invalidation) -> (u64, bool) {
        if let Invalidation::Keys(keys) = &invalidation
            && self.items.len() > self.closed
            && let Some(Item::Invalid(Invalidation::Keys(last))) = self.items.last_mut()
            && last.len() + keys.len() <= KEYS_MAX
        {
            last.extend(keys);
            return (self.last(), false);
        }
        let is_gap = self.items.len() >= ITEMS_MAX;
        if is_gap {
            self.items.truncate(self.closed);
            self.items.push(Item::Gap);
        } else {
            self.items.push(Item::Invalid(invalidation));
        }
        (self.last(), is_gap)
    }

    /// The number of the last item.
    pub(crate) fn last(&self) -> u64 {
        self.told + self.items.len() as u64
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The number of the last item that is in the stream.
    pub(crate) const fn told(&self) -> u64 {
        self.told
    }

    /// The next events to send; one without items where there is nothing to tell. What they have is told when
    /// that has [succeeded](Self::sent).
    pub(crate) fn next(&mut self, sender: Sender, max: usize) -> Vec<Event> {
        let mut events = Vec::new();
        let mut rest = &self.items[..];
        while events.len() < max && (events.is_empty() || !rest.is_empty()) {
            let (items, left) = rest.split_at(fitting(rest));
            let first = self.told + 1 + (self.items.len() - rest.len()) as u64;
            rest = left;
            events.push(Event {
                sender,
                first,
                items: items.to_vec(),
            });
        }
        self.closed = self.closed.max(self.items.len() - rest.len());
        events
    }

    /// An event is in the stream.
    pub(crate) fn sent(&mut self, event: &Event) {
        let told = event.last().saturating_sub(self.told);
        let count = usize::try_from(told)
            .unwrap_or(usize::MAX)
            .min(self.items.len());
        self.items.drain(..count);
        self.told += count as u64;
        self.closed = self.closed.saturating_sub(count);
    }
}

/// How many of these go into one event: at least one.
fn fitting(items: &[Item]) -> usize {
    let mut keys = 0;
    let fits = |item: &&Item| {
        keys += match item {
            Item::Invalid(Invalidation::Keys(of_it)) => of_it.len(),
            Item::Gap | Item::Invalid(_) => 1,
        };
        keys <= KEYS_MAX
    };
    let items_max = items.iter().take(EVENT_ITEMS_MAX);
    items_max
        .take_while(fits)
        .count()
        .max(usize::from(!items.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: Sender = [1; 16];

    fn keys(numbers: impl IntoIterator<Item = u64>) -> Invalidation {
        Invalidation::Keys(numbers.into_iter().collect())
    }

    fn next(outbox: &mut Outbox) -> Event {
        outbox.next(SENDER, 1).remove(0)
    }

    #[test]
    fn keys_go_together_but_never_into_what_may_have_been_sent() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.put(keys([1])), (1, false));
        assert_eq!(outbox.put(keys([2])), (1, false));
        let event = next(&mut outbox);
        assert_eq!(event.items, [Item::Invalid(keys([1, 2]))]);
        // Nobody has said that it arrived: it is sent again as it was.
        assert_eq!(outbox.put(keys([3])), (2, false));
        let again = next(&mut outbox);
        assert_eq!((again.first, again.last()), (1, 2));
        assert_eq!(again.items[0], event.items[0]);
        outbox.sent(&event);
        assert_eq!((outbox.told(), outbox.last()), (1, 2));
        let rest = next(&mut outbox);
        assert_eq!((rest.first, rest.items.len()), (2, 1));
        outbox.sent(&rest);
        outbox.sent(&rest);
        assert!(outbox.is_empty());
        assert_eq!(outbox.put(keys([4])), (3, false));
    }

    #[test]
    fn an_event_is_never_large_and_too_much_is_a_gap() {
        let mut outbox = Outbox::default();
        outbox.put(keys(0..KEYS_MAX as u64));
        outbox.put(keys([1]));
        outbox.put(Invalidation::Written(1));
        let sizes = |outbox: &mut Outbox| {
            let events = outbox.next(SENDER, 9).into_iter();
            events
                .map(|event| (event.first, event.items.len()))
                .collect::<Vec<_>>()
        };
        assert_eq!(sizes(&mut outbox), [(1, 1), (2, 2)]);
        for number in 0..ITEMS_MAX as u64 {
            outbox.put(Invalidation::Written(number));
        }
        let (last, is_gap) = outbox.put(Invalidation::Written(1));
        assert!(!is_gap && last < 20, "it stands for all that waited");
        let events = outbox.next(SENDER, 9);
        assert!(events.iter().any(|event| event.items.contains(&Item::Gap)));
        assert_eq!(events[0].items.len(), 1, "what may have been sent stays");
        events.iter().for_each(|event| outbox.sent(event));
        assert!(outbox.is_empty() && outbox.told() == last);
        let empty = outbox.next(SENDER, 9);
        assert_eq!(
            (empty.len(), empty[0].first, empty[0].items.len()),
            (1, last + 1, 0)
        );
    }
}
