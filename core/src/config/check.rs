//! Owns what is said of a setting that cannot work.
//! Never knows which settings there are.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::limits::HEAD_BYTES_CEILING;

/// A setting that cannot work: its name and what would be accepted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{setting}: {accepted}")]
pub struct ConfigError {
    /// Group and field in [`Settings`](super::Settings), as `breaker.failure_rate`.
    pub setting: &'static str,
    /// What is accepted, as `a number above 0 and up to 1`.
    pub accepted: &'static str,
}

/// All settings that cannot work, at once; never none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Gives `checked`, if there are no errors.
    pub(super) fn or<T>(errors: Vec<ConfigError>, checked: T) -> Result<T, Self> {
        if errors.is_empty() {
            Ok(checked)
        } else {
            Err(Self(errors))
        }
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join("; "))
    }
}

impl std::error::Error for ConfigErrors {}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What must hold, the setting that breaks it, and what is accepted.
pub(super) struct Check {
    holds: bool,
    setting: &'static str,
    accepted: &'static str,
}

impl Check {
    pub(super) const fn that(holds: bool, setting: &'static str, accepted: &'static str) -> Self {
        Self {
            holds,
            setting,
            accepted,
        }
    }

    pub(super) const fn count(setting: &'static str, count: usize) -> Self {
        Self::that(count > 0, setting, "a whole number from 1 up")
    }

    pub(super) fn duration(setting: &'static str, duration: Duration) -> Self {
        let holds = !duration.is_zero() && duration <= YEAR;
        Self::that(holds, setting, "a duration above zero, up to a year")
    }

    pub(super) fn error(self) -> Option<ConfigError> {
        let Self {
            holds,
            setting,
            accepted,
        } = self;
        (!holds).then_some(ConfigError { setting, accepted })
    }
}

/// A modem of 1985 was faster; Kestrel asks for the same.
pub(super) const RATE_MIN: u32 = 240;

pub(super) const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub(super) const HEAD: &str = "a size from 1 KiB to 65535 bytes";

pub(super) const HEADS: RangeInclusive<usize> = 1024..=HEAD_BYTES_CEILING;

pub(super) const HEAD_FIELDS_WORDS: &str = "a whole number from 10 to 1000";

pub(super) const HEAD_FIELDS: RangeInclusive<usize> = 10..=1000;
