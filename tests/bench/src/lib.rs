//! Owns the two benches: `surge`, a fragile application under a flood of visitors, and
//! `compare`, CPU time for each request; both with RETTER's peers beside it in the same run.
//! Never looks inside a contender: it is a process behind a port.

use std::io;

pub mod arguments;
pub mod chart;
pub mod compare;
pub mod contender;
pub mod http;
pub mod port;
pub mod process;
pub mod surge;
pub mod table;
pub mod visitors;

/// What every bench returns: a failure here is a machine that lacks something, or a contender
/// that does not do what its measurement claims.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// An error that says `text`.
#[must_use]
pub fn error(text: impl Into<String>) -> Box<dyn std::error::Error> {
    io::Error::other(text.into()).into()
}

/// The value in the middle, or not a number when there is none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(low), Some(high)) = (
        sorted.get(sorted.len().saturating_sub(1) / 2),
        sorted.get(sorted.len() / 2),
    ) else {
        return f64::NAN;
    };
    f64::midpoint(*low, *high)
}

/// The value that this share of all does not exceed.
#[must_use]
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length is a length"
    )]
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}
