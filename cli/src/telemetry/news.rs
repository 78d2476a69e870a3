//! Owns [`Line`]: something to be logged, and how much it matters.
//! Never decides what that is.

use retter_log::escape;

/// A line of the log.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Line {
    /// As it should be.
    Good(String),
    /// Somebody has to look after it.
    Bad(String),
}

impl Line {
    /// Logs it. What is wrong may be told in the words of a peer.
    pub(super) fn log(&self) {
        match self {
            Self::Good(text) => tracing::info!("{text}"),
            Self::Bad(text) => tracing::warn!("{}", escape(text.as_bytes())),
        }
    }
}
