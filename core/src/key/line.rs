//! Owns [`Line`]: by which chains of cookie values a request is known, and which of their copies it
//! may see.
//! Never knows a value, and never decides which values form a chain: whoever keeps the chains does.

use smallvec::SmallVec;

use crate::time::Instant;

/// Times at which other values were in use: from the first until before the second.
pub(crate) type Cuts = SmallVec<[(Instant, Instant); 2]>;

/// A cookie value that the origin has given to one browser only, as its chain knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Link {
    /// The number of the chain: no other has it, nor has this one after its end.
    pub(crate) chain: u64,
    /// Copies for which the origin was asked at these times are of values that this one does not come
    /// from.
    pub(crate) cuts: Cuts,
    /// When the value was replaced and its successor used; what was asked for since is not its own.
    pub(crate) until: Option<Instant>,
}

/// By which chains a request is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    cuts: Cuts,
    marks: SmallVec<[u64; 2]>,
    /// The cookies that tell nobody apart beside the chains.
    others: u64,
    until: Option<Instant>,
}

impl Line {
    /// Adds the link of one more cookie, of which the value has this mark.
    pub(super) fn push(&mut self, mark: u64, link: Link) {
        self.marks.push(mark);
        self.cuts.extend(link.cuts);
        self.until = match (self.until, link.until) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    pub(super) const fn set_others(&mut self, others: u64) {
        self.others = others;
    }

    /// Whether the request may see a copy for which the origin was asked then.
    pub(crate) fn shows(&self, asked: Instant) -> bool {
        let is_cut = |(from, until): &(Instant, Instant)| *from <= asked && asked < *until;
        self.until.is_none_or(|until| asked < until) && !self.cuts.iter().any(is_cut)
    }

    /// Whether one of its values has been replaced: what is answered to it is nothing that its
    /// successors were sent.
    pub(crate) const fn is_past(&self) -> bool {
        self.until.is_some()
    }

    /// Marks of its values.
    pub(crate) fn marks(&self) -> &[u64] {
        &self.marks
    }

    /// A hash of the cookies that tell nobody apart beside the chains: what they change may rescue,
    /// and is not what the application would send now.
    pub(crate) const fn others(&self) -> u64 {
        self.others
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(secs))
    }

    #[test]
    fn a_line_shows_what_all_of_its_links_show() {
        let link = |until, cuts: &[(u64, u64)]| Link {
            chain: 1,
            cuts: cuts
                .iter()
                .map(|(from, until)| (at(*from), at(*until)))
                .collect(),
            until,
        };
        let mut line = Line::default();
        assert!(line.shows(at(9)) && !line.is_past());
        line.push(1, link(None, &[(3, 5)]));
        assert!(!line.is_past() && line.shows(at(2)) && line.shows(at(5)));
        assert!(!line.shows(at(3)) && !line.shows(at(4)));
        line.push(2, link(Some(at(8)), &[(6, 7)]));
        line.push(3, link(Some(at(9)), &[]));
        let shown: Vec<_> = (0..12).filter(|secs| line.shows(at(*secs))).collect();
        assert_eq!(shown, [0, 1, 2, 5, 7]);
        assert!(line.is_past());
        assert_eq!(line.marks(), [1, 2, 3]);
    }
}
