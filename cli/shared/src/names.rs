//! Owns how things are called in the Redis ([`Names`]), and places in a stream ([`Id`]).
//! Never asks for them.

use std::fmt;

/// The names for instances with the same secret and the same rules. The braces keep them on one machine of
/// a cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Names {
    /// A stream: what makes copies wrong.
    pub(crate) events: Vec<u8>,
    /// A stream: that instances are there, and what they have told.
    pub(crate) beats: Vec<u8>,
    prefix: String,
}

impl Names {
    pub(crate) fn new(tag: u64) -> Self {
        let prefix = format!("retter:{{{tag:016x}}}:");
        Self {
            events: format!("{prefix}events").into_bytes(),
            beats: format!("{prefix}beats").into_bytes(),
            prefix,
        }
    }

    /// Where the copies of a key are.
    pub(crate) fn copies(&self, key: u64) -> Vec<u8> {
        format!("{}copy:{key:016x}", self.prefix).into_bytes()
    }
}

/// A place in a stream: milliseconds by the clock of the Redis, and a number for those of one.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Id {
    pub(crate) millis: u64,
    pub(crate) number: u64,
}

impl Id {
    pub(crate) const START: Self = Self {
        millis: 0,
        number: 0,
    };

    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (millis, number) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self {
            millis: millis.parse().ok()?,
            number: number.parse().ok()?,
        })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}
