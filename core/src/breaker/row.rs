//! Owns [`Row`]: bad outcomes in a row, of which visitors and of how many pages.
//! Never decides that a row is too long.

use smallvec::SmallVec;

use super::visitor::{About, Visitor};

/// Visitors that are told apart in a row: more than are ever asked for.
const VISITORS_MAX: usize = 8;

#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    length: u32,
    /// Different pages, as many as are asked for.
    pages: SmallVec<[u64; 3]>,
    /// Each with how many outcomes are its own.
    visitors: SmallVec<[(Visitor, u32); 3]>,
}

impl Row {
    /// Goes on. So many pages are told apart.
    pub(super) fn add(&mut self, about: About, pages_max: u32) {
        let About { page, visitor } = about;
        self.length = self.length.saturating_add(1);
        if self.pages.len() < pages_max as usize && !self.pages.contains(&page) {
            self.pages.push(page);
        }
        let Some(visitor) = visitor else { return };
        let is_full = self.visitors.len() >= VISITORS_MAX;
        match self.visitors.iter_mut().find(|(who, _)| *who == visitor) {
            Some((_, own)) => *own = own.saturating_add(1),
            None if is_full => {}
            None => self.visitors.push((visitor, 1)),
        }
    }

    /// Something else has ended it.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }

    pub(super) const fn length(&self) -> u32 {
        self.length
    }

    pub(super) fn pages(&self) -> u32 {
        number(self.pages.len())
    }

    /// Different visitors, each counted once `by_network`.
    pub(super) fn voices(&self, by_network: bool) -> u32 {
        number(self.shares(by_network).len())
    }

    /// The networks in it.
    pub(super) fn networks(&self) -> impl Iterator<Item = u64> {
        self.visitors.iter().map(|(visitor, _)| visitor.network)
    }

    /// Whether at least `witnesses` visitors have made it `length` long, of whom none counts for more than
    /// its share.
    pub(super) fn is_borne(&self, length: u32, witnesses: u32, by_network: bool) -> bool {
        let shares = self.shares(by_network);
        let share_max = length.div_ceil(witnesses.max(1));
        let told: u32 = shares.iter().map(|(_, own)| own).sum();
        let of_others = self.length.saturating_sub(told);
        let borne: u32 = shares.iter().map(|(_, own)| share_max.min(*own)).sum();
        number(shares.len()) >= witnesses && borne.saturating_add(of_others) >= length
    }

    fn shares(&self, by_network: bool) -> SmallVec<[(Visitor, u32); 3]> {
        let mut shares = SmallVec::<[(Visitor, u32); 3]>::new();
        for (visitor, own) in &self.visitors {
            let voice = visitor.voice(by_network);
            match shares.iter_mut().find(|(who, _)| *who == voice) {
                Some((_, sum)) => *sum = sum.saturating_add(*own),
                None => shares.push((voice, *own)),
            }
        }
        shares
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
