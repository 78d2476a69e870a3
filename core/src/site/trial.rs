//! Owns [`Trial`]: finding out which of the cookies that a stranger was given are replaced by each answer.
//! Never asks, and never sees an answer: only which cookies it replaced.
//!
//! Three GETs of one page, at least two seconds apart: some applications make a value of the time in
//! seconds.

use std::time::Duration;

use crate::key::CacheKey;
use crate::time::Instant;

const GETS: u8 = 3;

/// Between two of them.
const APART: Duration = Duration::from_secs(2);

/// One that runs.
#[derive(Debug)]
pub(super) struct Trial {
    /// The cookies that the stranger has now.
    pub(super) cookies: Box<[u8]>,
    pub(super) due: Instant,
    pub(super) key: CacheKey,
    left: u8,
    /// Hashes of the names that were replaced each time.
    names: Vec<u64>,
}

/// What was found out of a name; `None` where the trial came to nothing.
pub(super) type Found = (u64, Option<bool>);

impl Trial {
    /// A stranger was given these cookies with what `key` names.
    pub(super) fn new(key: &CacheKey, names: Vec<u64>, cookies: Box<[u8]>, now: Instant) -> Self {
        Self {
            cookies,
            due: now + APART,
            key: key.clone(),
            left: GETS,
            names,
        }
    }

    /// One GET has ended: it replaced these names, and left these cookies; `None` where there was no good
    /// answer. What is known now, and whether that is all.
    pub(super) fn note(
        &mut self,
        tried: Option<(&[u64], Box<[u8]>)>,
        now: Instant,
    ) -> (Vec<Found>, bool) {
        let Some((replaced, cookies)) = tried else {
            let nothing = std::mem::take(&mut self.names).into_iter();
            return (nothing.map(|name| (name, None)).collect(), true);
        };
        let (rolling, still): (Vec<_>, Vec<_>) = std::mem::take(&mut self.names)
            .into_iter()
            .partition(|name| replaced.contains(name));
        let mut found: Vec<Found> = still.into_iter().map(|name| (name, Some(false))).collect();
        self.left -= 1;
        if self.left == 0 {
            found.extend(rolling.into_iter().map(|name| (name, Some(true))));
        } else {
            self.names = rolling;
        }
        (self.cookies, self.due) = (cookies, now + APART);
        (found, self.names.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::config::CacheSettings;
    use crate::key::Keyer;
    use crate::message::{Fields, RequestHead};

    fn at(secs: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(secs))
    }

    fn trial() -> Trial {
        let keyer = Keyer::new(&CacheSettings::default(), 1);
        let fields = Fields::from_pairs([("host", &b"h"[..])]);
        let key = keyer.key(&RequestHead::new(Method::GET, "/", fields));
        Trial::new(&key.unwrap(), vec![1, 2], b"a=1; b=2"[..].into(), at(0))
    }

    #[test]
    fn three_answers_of_three_say_that_a_cookie_rolls() {
        let mut trial = trial();
        assert_eq!(trial.due, at(2));
        let found = trial.note(Some((&[1, 2], b"a=2; b=3"[..].into())), at(3));
        assert_eq!(found, (vec![], false));
        assert_eq!((trial.due, &*trial.cookies), (at(5), &b"a=2; b=3"[..]));
        let found = trial.note(Some((&[1], b""[..].into())), at(5));
        assert_eq!(found, (vec![(2, Some(false))], false));
        let found = trial.note(Some((&[1], b""[..].into())), at(8));
        assert_eq!(found, (vec![(1, Some(true))], true));
    }

    #[test]
    fn a_trial_without_a_good_answer_says_nothing() {
        let mut trial = trial();
        let found = trial.note(None, at(3));
        assert_eq!(found, (vec![(1, None), (2, None)], true));
    }
}
