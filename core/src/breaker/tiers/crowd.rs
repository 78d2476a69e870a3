//! Owns [`Crowd`]: whether failures may go away with fewer requests at a time.
//! Never makes them fewer: the admission gate does, which learns of the same failures.

/// Outcomes that are looked back at.
const LAST: usize = 32;

/// Outcomes of other pages before anything is said by them.
const OTHERS_MIN: usize = 4;

/// The last outcomes of all pages.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// The page, and whether it failed.
    last: [Option<(u64, bool)>; LAST],
    next: usize,
    /// How many of them failed.
    failed: usize,
}

impl Crowd {
    pub(super) fn add(&mut self, page: u64, failed: bool) {
        let gone = self.last[self.next].replace((page, failed));
        self.failed -= usize::from(gone.is_some_and(|(_, failed)| failed));
        self.failed += usize::from(failed);
        self.next = (self.next + 1) % LAST;
    }

    /// Whether the failure of a page that is one of many requests at the origin may be the many's: at
    /// least a quarter of what others were answered has failed too, or there are no others.
    pub(super) fn may_be_blamed(&self, page: u64) -> bool {
        let others = || {
            let last = self.last.iter().flatten();
            last.filter(|(other, _)| *other != page)
        };
        let failed = others().filter(|(_, failed)| *failed).count();
        let all = others().count();
        all < OTHERS_MIN || failed * 4 >= all
    }

    /// Whether at least a quarter of all has failed lately.
    pub(super) fn is_failing(&self) -> bool {
        self.failed * 4 >= LAST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_fails_while_others_do_not_is_to_blame_itself() {
        let mut crowd = Crowd::default();
        assert!(crowd.may_be_blamed(1), "nothing is known of others");
        for page in 2..6 {
            crowd.add(page, false);
            crowd.add(1, true);
        }
        assert!(!crowd.may_be_blamed(1));
        crowd.add(6, true);
        assert!(!crowd.may_be_blamed(1));
        assert!(!crowd.is_failing());
        for page in 2..6 {
            crowd.add(page, true);
        }
        assert!(crowd.may_be_blamed(1));
        assert!(crowd.is_failing());
    }
}
