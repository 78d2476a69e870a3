//! Owns [`Lately`]: which pages have succeeded lately, and for whom.
//! Never knows a page by more than its number, and never decides what that is good for.

use crate::breaker::Visitor;
use crate::time::Instant;

/// Pages that are remembered. Two whose numbers end alike share a place: the later one has it.
const PLACES: usize = 1024;

/// Pages that have succeeded.
#[derive(Debug)]
pub(super) struct Lately {
    places: Box<[Place]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    page: u64,
    has_failed: bool,
    /// The last visitors, each with when: the newest first.
    seen: [Option<Seen>; 2],
}

/// When it succeeded, and for whom.
type Seen = (Instant, Option<Visitor>);

impl Lately {
    pub(super) fn new() -> Self {
        Self {
            places: vec![Place::default(); PLACES].into(),
        }
    }

    /// The page has succeeded.
    pub(super) fn good(&mut self, page: u64, visitor: Option<Visitor>, now: Instant) {
        let place = &mut self.places[index(page)];
        if place.page != page {
            *place = Place {
                page,
                ..Place::default()
            };
        }
        place.has_failed = false;
        let [newest, second] = &mut place.seen;
        if newest.is_some_and(|(_, other)| other != visitor) {
            *second = *newest;
        }
        *newest = Some((now, visitor));
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
        !self.places[index(page)].has_failed && self.seen(page, from).next().is_some()
    }

    /// Who has seen it succeed at `from` or later.
    pub(super) fn visitors(
        &self,
        page: u64,
        from: Instant,
    ) -> impl Iterator<Item = (Instant, Visitor)> {
        let seen = self.seen(page, from);
        seen.filter_map(|(at, visitor)| Some((at, visitor?)))
    }

    fn seen(&self, page: u64, from: Instant) -> impl Iterator<Item = Seen> {
        let place = &self.places[index(page)];
        let is_it = place.page == page;
        let seen = place.seen.into_iter().flatten();
        seen.filter(move |(at, _)| is_it && *at >= from)
    }
}

fn index(page: u64) -> usize {
    usize::try_from(page % PLACES as u64).unwrap_or_default()
}
