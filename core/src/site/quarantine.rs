//! Owns [`Quarantine`]: the pages that a verdict befell, until they have said the same for long
//! enough while other pages were well: then they have changed, and nothing is wrong with them.
//! Never judges a page, and remembers a bounded number of them.

use std::time::Duration;

use crate::report::{Sign, Signs};
use crate::rules::soft::Look;
use crate::time::Instant;

/// How long a page has to say the same, while others are well.
const PROBATION: Duration = Duration::from_secs(600);
/// How long it has to, whatever others do, where nothing but its form speaks against it: a site
/// that was made anew has no page that is as it was.
const PROBATION_ALONE: Duration = Duration::from_secs(3600);
/// Pages remembered; the one that was asked for the longest time ago gives way.
const CASES_MAX: usize = 256;

/// A page, by hashes: of the key of its copies, and of what it names, whoever asks for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Page {
    pub(super) key: u64,
    pub(super) resource: u64,
}

/// Pages under suspicion.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    cases: Vec<Case>,
    /// The last two resources that were well.
    well: [Option<(u64, Instant)>; 2],
}

#[derive(Clone, Copy, Debug)]
struct Case {
    /// Since when it says the same.
    first: Instant,
    last: Instant,
    look: Look,
    page: Page,
    signs: Signs,
}

impl Quarantine {
    /// Takes a page that a verdict befalls; says whether it is to be believed all the same.
    pub(super) fn hears(&mut self, page: Page, look: Look, signs: Signs, now: Instant) -> bool {
        let said = Case {
            first: now,
            last: now,
            look,
            page,
            signs,
        };
        let Some(at) = self.cases.iter().position(|case| case.page.key == page.key) else {
            self.admit(said);
            return false;
        };
        let case = &mut self.cases[at];
        if case.signs != signs || !case.look.is_like(&look) {
            *case = said;
            return false;
        }
        case.last = now;
        let case = *case;
        let said_for = now.saturating_since(case.first);
        let only_form = signs.len() == 1 && !signs.contains(Sign::Text);
        let is_believed = said_for >= PROBATION && self.others_are_well(&case)
            || said_for >= PROBATION_ALONE && only_form;
        if is_believed {
            self.cases.swap_remove(at);
        }
        is_believed
    }

    /// Takes a page that is as good as its copy.
    pub(super) fn is_well(&mut self, page: Page, now: Instant) {
        self.cases.retain(|case| case.page.key != page.key);
        let newest = Some((page.resource, now));
        let [last, before] = self.well;
        let is_same = last.is_some_and(|(resource, _)| resource == page.resource);
        self.well = [newest, if is_same { before } else { last }];
    }

    /// Whether there is any page under suspicion.
    pub(super) const fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// Whether some other page was well since `case` began, and none was under suspicion of late.
    fn others_are_well(&self, case: &Case) -> bool {
        let resource = case.page.resource;
        let was_well = |&(other, at): &(u64, Instant)| other != resource && at > case.first;
        let is_suspected = |other: &Case| {
            other.page.resource != resource && case.last.saturating_since(other.last) < PROBATION
        };
        self.well.iter().flatten().any(was_well) && !self.cases.iter().any(is_suspected)
    }

    fn admit(&mut self, case: Case) {
        if self.cases.len() >= CASES_MAX {
            let oldest = self.cases.iter().enumerate().min_by_key(|(_, it)| it.last);
            if let Some((at, _)) = oldest {
                self.cases.swap_remove(at);
            }
        }
        self.cases.push(case);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOUBT: Sign = Sign::Shrunk;

    fn at(secs: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(secs))
    }

    fn page(number: u64) -> Page {
        Page {
            key: number,
            resource: number,
        }
    }

    /// Whether page 1 is believed at `secs`.
    fn says(quarantine: &mut Quarantine, text: &[u8], sign: Sign, secs: u64) -> bool {
        let signs = [sign].into_iter().collect();
        quarantine.hears(page(1), Look::of(text), signs, at(secs))
    }

    #[test]
    fn a_page_that_says_the_same_for_ten_minutes_while_others_are_well_is_believed() {
        let mut quarantine = Quarantine::default();
        assert!(!says(&mut quarantine, b"new", DOUBT, 1));
        quarantine.is_well(page(2), at(5));
        assert!(!says(&mut quarantine, b"new", DOUBT, 600));
        assert!(says(&mut quarantine, b"new", DOUBT, 601));
        assert!(quarantine.is_empty());
    }

    #[test]
    fn without_others_that_are_well_nothing_is_known() {
        let mut quarantine = Quarantine::default();
        quarantine.is_well(page(2), at(0));
        assert!(!says(&mut quarantine, b"new", DOUBT, 1));
        assert!(
            !says(&mut quarantine, b"new", DOUBT, 700),
            "that was before"
        );
        // The page itself, in another form, is no other page.
        let other_kind = Page {
            key: 9,
            resource: 1,
        };
        quarantine.is_well(other_kind, at(710));
        assert!(!says(&mut quarantine, b"new", DOUBT, 720));
        // Another one under suspicion speaks for an outage.
        quarantine.is_well(page(2), at(730));
        let signs = [DOUBT].into_iter().collect();
        assert!(!quarantine.hears(page(3), Look::of(b"x"), signs, at(740)));
        assert!(!says(&mut quarantine, b"new", DOUBT, 1339));
        assert!(says(&mut quarantine, b"new", DOUBT, 1340));
    }

    #[test]
    fn a_page_that_says_something_else_begins_anew() {
        let mut quarantine = Quarantine::default();
        assert!(!says(&mut quarantine, &[b'x'; 900], DOUBT, 1));
        quarantine.is_well(page(2), at(5));
        assert!(!says(&mut quarantine, &[b'x'; 9], DOUBT, 300));
        quarantine.is_well(page(2), at(301));
        assert!(!says(&mut quarantine, &[b'x'; 9], DOUBT, 650));
        // A token or a time does not make another page of it.
        assert!(says(&mut quarantine, &[b'x'; 12], DOUBT, 900));
        assert!(!says(&mut quarantine, b"new", DOUBT, 901));
        quarantine.is_well(page(1), at(902));
        assert!(quarantine.is_empty(), "it is well again");
    }

    #[test]
    fn a_site_made_anew_is_believed_after_an_hour_and_error_texts_are_not() {
        let mut quarantine = Quarantine::default();
        for sign in [DOUBT, Sign::Text] {
            assert!(!says(&mut quarantine, b"new", sign, 0));
            assert!(!says(&mut quarantine, b"new", sign, 3599));
            assert_eq!(says(&mut quarantine, b"new", sign, 3600), sign == DOUBT);
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut quarantine = Quarantine::default();
        let signs = [DOUBT].into_iter().collect();
        for number in 0..2000 {
            assert!(!quarantine.hears(page(number), Look::of(b"x"), signs, at(number)));
        }
        assert_eq!(quarantine.cases.len(), CASES_MAX);
        assert!(quarantine.cases.iter().all(|case| case.page.key >= 1744));
    }
}
