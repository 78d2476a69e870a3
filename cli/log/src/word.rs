//! Owns the words, times and numbers of a line: how each value is written and read.
//! Never fails for a word that it does not know: another version may have written it.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use retter_core::breaker::State;
use retter_core::key::{Partition, SessionChange};
use retter_core::report::{End, Failure, Source};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that is one word.
pub(crate) trait Word: Sized {
    /// The word.
    fn text(&self) -> Cow<'static, str>;

    /// The value of a word; `None` where it has none.
    fn parse(text: &str) -> Option<Self>;
}

pub(crate) fn serialize<T: Word, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.serialize_str(&value.text()),
        None => serializer.serialize_none(),
    }
}

pub(crate) fn deserialize<'de, T: Word, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    /// A `Cow` inside an `Option` is not borrowed.
    #[derive(Deserialize)]
    struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

    let text = Option::<Borrowed<'de>>::deserialize(deserializer)?;
    Ok(text.and_then(|Borrowed(text)| T::parse(&text)))
}

/// The one of `all` that is written so.
fn find<T: Word + Copy>(all: &[T], text: &str) -> Option<T> {
    all.iter().copied().find(|value| value.text() == text)
}

impl Word for SystemTime {
    fn text(&self) -> Cow<'static, str> {
        humantime::format_rfc3339_millis(*self).to_string().into()
    }

    fn parse(text: &str) -> Option<Self> {
        humantime::parse_rfc3339(text).ok()
    }
}

impl Word for IpAddr {
    fn text(&self) -> Cow<'static, str> {
        self.to_string().into()
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Word for SocketAddr {
    fn text(&self) -> Cow<'static, str> {
        self.to_string().into()
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Word for Source {
    fn text(&self) -> Cow<'static, str> {
        self.as_str().into()
    }

    fn parse(text: &str) -> Option<Self> {
        find(&Self::ALL, text).or_else(|| find(&[Self::Refresh], text))
    }
}

impl Word for State {
    fn text(&self) -> Cow<'static, str> {
        self.as_str().into()
    }

    fn parse(text: &str) -> Option<Self> {
        find(&[Self::Closed, Self::HalfOpen, Self::Open], text)
    }
}

impl Word for End {
    fn text(&self) -> Cow<'static, str> {
        let word = match self {
            Self::ClientLeft => "client-left",
            Self::Complete => "complete",
            Self::Truncated => "truncated",
            Self::Tunnel => "tunnel",
        };
        word.into()
    }

    fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::ClientLeft,
            Self::Complete,
            Self::Truncated,
            Self::Tunnel,
        ];
        find(&all, text)
    }
}

impl Word for Failure {
    fn text(&self) -> Cow<'static, str> {
        self.as_str().into()
    }

    /// A failure that is not known is one all the same.
    fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::Connect,
            Self::Protocol,
            Self::Reset,
            Self::Timeout,
            Self::Truncated,
        ];
        Some(find(&all, text).unwrap_or(Self::Protocol))
    }
}

impl Word for SessionChange {
    fn text(&self) -> Cow<'static, str> {
        let word = match self {
            Self::ChangesSession => "change-session",
            Self::None => "none",
            Self::SetsCookie => "set",
        };
        word.into()
    }

    /// What is not known is a cookie at least.
    fn parse(text: &str) -> Option<Self> {
        let all = [Self::ChangesSession, Self::None];
        Some(find(&all, text).unwrap_or(Self::SetsCookie))
    }
}

/// Whose copies a request may see: half of the hash of its [`Partition`], which tells the visitors
/// of one site apart and gives nothing away.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Visitor {
    /// The request carries nothing that identifies its client: these copies are everybody's.
    Anybody,
    /// All clients that send the same cookies or fields of unknown meaning.
    Marked(u64),
    /// One user.
    Session(u64),
}

impl From<Partition> for Visitor {
    fn from(partition: Partition) -> Self {
        let half = |hash: u128| u64::try_from(hash >> 64).unwrap_or_default();
        match partition {
            Partition::Public | Partition::Shared => Self::Anybody,
            Partition::Marked(hash) => Self::Marked(half(hash)),
            Partition::Session(hash) => Self::Session(half(hash)),
        }
    }
}

impl Word for Visitor {
    fn text(&self) -> Cow<'static, str> {
        match self {
            Self::Anybody => "shared".into(),
            Self::Marked(hash) => format!("marked-{hash:016x}").into(),
            Self::Session(hash) => format!("session-{hash:016x}").into(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let hash = |digits| u64::from_str_radix(digits, 16).ok();
        match text.split_once('-') {
            None if text == "shared" => Some(Self::Anybody),
            Some(("marked", digits)) => hash(digits).map(Self::Marked),
            Some(("session", digits)) => hash(digits).map(Self::Session),
            None | Some(_) => None,
        }
    }
}

/// A time that is written in milliseconds, with two decimals.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Millis(pub Duration);

impl From<Duration> for Millis {
    /// Rounds to what is written.
    fn from(duration: Duration) -> Self {
        Self::read(millis(duration))
    }
}

impl Millis {
    /// Zero for a number that is no duration: negative, too large, or not finite.
    fn read(millis: f64) -> Self {
        Self(Duration::try_from_secs_f64(millis / 1000.0).unwrap_or_default())
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(millis(self.0))
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(Self::read)
    }
}

/// Milliseconds of a duration, for people: two decimals.
#[must_use]
pub fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}
