//! Owns the words for a page that is no good though its status says so: its [`Sign`]s, and what was
//! made of them.
//! Never looks at a page: `rules::soft` does.

use std::fmt;

/// What makes a page with status 200 look like a failure, beside the copy of that very page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sign {
    /// A known error text stands where such texts stand, and the page is less than half of the copy;
    /// or it holds one of the texts that the settings name.
    Text,
    /// It is empty, or nearly so, where the copy is not.
    Empty,
    /// It has no `</html>`, with which the copy ends.
    Cut,
    /// It is under a quarter of the copy and has another title.
    Shrunk,
}

impl Sign {
    /// All signs, the one that says most first.
    pub const ALL: [Self; 4] = [Self::Text, Self::Empty, Self::Cut, Self::Shrunk];

    /// One lower-case word, for labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Empty => "empty",
            Self::Cut => "cut",
            Self::Shrunk => "shrunk",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Text => 1,
            Self::Empty => 2,
            Self::Cut => 4,
            Self::Shrunk => 8,
        }
    }
}

/// The signs of one page.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Signs(u8);

impl Signs {
    /// Whether `sign` is among them.
    #[must_use]
    pub const fn contains(self, sign: Sign) -> bool {
        self.0 & sign.bit() != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many there are.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// The one that says most; `None` where there is none.
    #[must_use]
    pub fn first(self) -> Option<Sign> {
        Sign::ALL.into_iter().find(|sign| self.contains(*sign))
    }

    /// Adds `sign` where it `is_there`.
    pub(crate) const fn note(&mut self, sign: Sign, is_there: bool) {
        if is_there {
            self.0 |= sign.bit();
        }
    }
}

impl FromIterator<Sign> for Signs {
    fn from_iter<I: IntoIterator<Item = Sign>>(signs: I) -> Self {
        Self(signs.into_iter().fold(0, |bits, sign| bits | sign.bit()))
    }
}

impl fmt::Display for Signs {
    /// Their words, joined by `+`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for sign in Sign::ALL.into_iter().filter(|sign| self.contains(*sign)) {
            write!(f, "{separator}{}", sign.as_str())?;
            separator = "+";
        }
        Ok(())
    }
}

/// What was made of a page that has such signs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SoftVerdict {
    /// The origin failed: breaker and limit count it, and the copy stays.
    Failed,
    /// The copy stays for now, and nothing else follows from it.
    Doubted,
}

/// One page that was no good though its status said so.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SoftFailure {
    /// The path asked for, without its query, and of a long one only the beginning. As it came: it
    /// is to be escaped.
    pub path: Box<str>,
    /// What it looks like.
    pub signs: Signs,
    /// What was made of it, or would have been where it is only observed.
    pub verdict: SoftVerdict,
}

/// How many pages were no good though their status said so, since start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SoftStats {
    /// Those that doubt alone befell.
    pub doubted: u64,
    failed: [u64; 4],
}

impl SoftStats {
    /// The failures whose [first](Signs::first) sign is `sign`.
    #[must_use]
    pub fn failed(&self, sign: Sign) -> u64 {
        self.failed[sign as usize]
    }

    /// Counts one more.
    pub(crate) fn count(&mut self, signs: Signs, verdict: SoftVerdict) {
        match (verdict, signs.first()) {
            (SoftVerdict::Failed, Some(sign)) => self.failed[sign as usize] += 1,
            (SoftVerdict::Failed, None) | (SoftVerdict::Doubted, _) => self.doubted += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_have_words_and_an_order() {
        let signs: Signs = [Sign::Shrunk, Sign::Text].into_iter().collect();
        assert_eq!(signs.to_string(), "text+shrunk");
        assert_eq!((signs.len(), signs.first()), (2, Some(Sign::Text)));
        assert!(!signs.contains(Sign::Cut) && Signs::default().is_empty());
        let mut stats = SoftStats::default();
        stats.count(signs, SoftVerdict::Failed);
        stats.count(signs, SoftVerdict::Doubted);
        assert_eq!(Sign::ALL.map(|sign| stats.failed(sign)), [1, 0, 0, 0]);
        assert_eq!(stats.doubted, 1);
    }
}
