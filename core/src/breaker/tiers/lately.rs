//! Owns [`Lately`]: which pages have succeeded lately, and for whom.
//! Never knows a page by more than its number, and never decides what that is good for.

use crate::breaker::Visitor;
use crate::time::Instant;

/// Pages that are remembered. Two whose numbers end alike share a place: the later one has it.
const PLACES: usize = 1024;

/// Pages that have succeeded.
#[derive(Debug)]
pub(super) struct Lately {
    places: Box<[Recent]>,
}

/// A page; where it has the number of its circuit, as one without a query has, also the others of that.
#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    page: u64,
    /// When it succeeded itself.
    good_at: Option<Instant>,
    has_failed: bool,
    /// The last visitors of any of them, each with when: the newest first.
    seen: [Option<Seen>; 2],
}

/// When it succeeded, and for whom.
type Seen = (Instant, Option<Visitor>);

impl Lately {
    pub(super) fn new() -> Self {
        Self {
            places: vec![Recent::default(); PLACES].into(),
        }
    }

    /// The page has succeeded.
    pub(super) fn good(&mut self, page: u64, visitor: Option<Visitor>, now: Instant) {
        let place = self.place(page);
        place.has_failed = false;
        place.good_at = Some(now);
        place.note(visitor, now);
    }

    /// A page has succeeded that shares this circuit: whoever saw that is a witness of the circuit, but
    /// not of the page that has the same number.
    pub(super) fn good_of_circuit(&mut self, circuit: u64, visitor: Option<Visitor>, now: Instant) {
        self.place(circuit).note(visitor, now);
    }

    /// It has failed.
    pub(super) fn failed(&mut self, page: u64) {
        let place = &mut self.places[index(page)];
        if place.page == page {
            place.has_failed = true;
        }
    }

    /// Whether it has succeeded at `from` or later, and not failed since.
    pub(super) fn is_good(&self, page: u64, from: Instant) -> bool {
        let place = &self.places[index(page)];
        let is_good = place.good_at.is_some_and(|at| at >= from);
        place.page == page && is_good && !place.has_failed
    }

    /// The visitors who have seen a page of this circuit succeed at `from` or later.
    pub(super) fn visitors(
        &self,
        circuit: u64,
        from: Instant,
    ) -> impl Iterator<Item = (Instant, Visitor)> {
        let place = &self.places[index(circuit)];
        let is_it = place.page == circuit;
        let seen = place.seen.into_iter().flatten();
        let seen = seen.filter(move |(at, _)| is_it && *at >= from);
        seen.filter_map(|(at, visitor)| Some((at, visitor?)))
    }

    fn place(&mut self, page: u64) -> &mut Recent {
        let place = &mut self.places[index(page)];
        if place.page != page {
            *place = Recent {
                page,
                ..Recent::default()
            };
        }
        place
    }
}

impl Recent {
    fn note(&mut self, visitor: Option<Visitor>, now: Instant) {
        let [newest, second] = &mut self.seen;
        if newest.is_some_and(|(_, other)| other != visitor) {
            *second = *newest;
        }
        *newest = Some((now, visitor));
    }
}

fn index(page: u64) -> usize {
    usize::try_from(page % PLACES as u64).unwrap_or_default()
}
