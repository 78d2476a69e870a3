//! Owns [`Visit`]: one asking as a stranger, and whether its answer holds what the stranger was just
//! handed, which would be somebody's: the stranger's.
//! Never decides what is kept of an answer beyond that.

use http::StatusCode;
use memchr::memmem;

use super::asks::Ended;
use crate::canary::{Plant, is_planted};
use crate::copies::StoredResponse;
use crate::key::{self, CacheKey};
use crate::message::{Fields, ResponseHead};
use crate::report::Obstacle;

/// A shorter value may stand in a page by chance, and is no token.
const TOKEN_BYTES_MIN: usize = 16;

/// Cookies that the stranger sends back are no longer.
const COOKIES_BYTES_MAX: usize = 8 * 1024;

/// An asking that runs, as its fetch knows it.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) ended: Ended,
    /// As a probe, because it is slow.
    pub(super) is_counted: bool,
    pub(super) key: CacheKey,
    pub(super) number: u64,
    /// What it was handed: the cookies that it has sent, and those of the answer.
    handed: Vec<Box<[u8]>>,
    /// It has sent cookies.
    is_second: bool,
    /// The cookies of the answer as it would send them.
    cookies: Vec<u8>,
    /// It is there to find out which cookies the application replaces: those that it has sent, as far as
    /// they were replaced.
    trial: Option<Jar>,
    /// Names of cookies of which that is to be found out.
    may_roll: Vec<u64>,
}

/// Which of the cookies that a stranger has sent are replaced by the answer.
#[derive(Debug, Default)]
struct Jar {
    /// Name and value of each cookie that it has now.
    jar: Vec<(Vec<u8>, Vec<u8>)>,
    /// Hashes of the names that have got another value.
    replaced: Vec<u64>,
    /// A good answer has come.
    is_answered: bool,
}

impl Jar {
    fn of(cookies: &[u8]) -> Self {
        let pairs = cookies.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let jar = pairs.filter_map(|pair| {
            let mark = memchr::memchr(b'=', pair)?;
            Some((pair[..mark].to_vec(), pair[mark + 1..].to_vec()))
        });
        Self {
            jar: jar.collect(),
            ..Self::default()
        }
    }

    fn note(&mut self, name: &[u8], value: &[u8], hash: u64) {
        match self.jar.iter_mut().find(|(known, _)| known == name) {
            Some((_, had)) if had == value => {}
            Some((_, had)) => {
                *had = value.to_vec();
                self.replaced.push(hash);
            }
            None => self.jar.push((name.to_vec(), value.to_vec())),
        }
    }

    /// The cookies as they are sent.
    fn cookies(&self) -> Box<[u8]> {
        let pairs = self.jar.iter();
        let pairs: Vec<_> = pairs
            .map(|(name, value)| [name, &b"="[..], value].concat())
            .collect();
        pairs.join(&b"; "[..]).into()
    }
}

impl Visit {
    /// The asking of this number, with these cookies.
    pub(super) fn new(key: &CacheKey, number: u64, cookies: Option<&[u8]>, is_trial: bool) -> Self {
        let trial = cookies.filter(|_| is_trial).map(Jar::of);
        let mut visit = Self {
            trial,
            may_roll: Vec::new(),
            ended: Ended::Dropped,
            is_counted: false,
            key: key.clone(),
            number,
            handed: Vec::new(),
            is_second: cookies.is_some(),
            cookies: Vec::new(),
        };
        for pair in cookies.unwrap_or_default().split(|&byte| byte == b';') {
            let mark = memchr::memchr(b'=', pair).map_or(0, |mark| mark + 1);
            visit.note(pair[mark..].trim_ascii());
        }
        visit
    }

    /// Whether it has come without cookies.
    pub(super) const fn is_first(&self) -> bool {
        !self.is_second
    }

    /// Takes note of a cookie of this name of which it is to be found out whether it is replaced.
    pub(super) fn may_roll(&mut self, name: u64) {
        self.may_roll.push(name);
    }

    /// What is to be found out with the cookies that it was handed.
    pub(super) fn take_trial(&mut self) -> Option<(Vec<u64>, Box<[u8]>)> {
        let names = std::mem::take(&mut self.may_roll);
        let fits = (1..=COOKIES_BYTES_MAX).contains(&self.cookies.len());
        (!names.is_empty() && fits).then(|| (names, self.cookies.clone().into()))
    }

    /// How a trial went: the names of the cookies that were replaced, and the cookies that the stranger
    /// has now; `None` for a visit that is none, or that came to nothing.
    pub(super) fn tried(&self) -> Option<(&[u64], Box<[u8]>)> {
        let trial = self.trial.as_ref().filter(|trial| trial.is_answered)?;
        Some((&trial.replaced, trial.cookies()))
    }

    /// Whether it is there for nothing but a trial.
    pub(super) const fn is_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// Takes note of what the answer hands out; `name_of` hashes the name of a cookie.
    pub(super) fn note_head(&mut self, head: &ResponseHead, name_of: &dyn Fn(&[u8]) -> u64) {
        if let Some(trial) = &mut self.trial {
            trial.is_answered = head.status == StatusCode::OK;
            for (name, value) in key::handed_pairs(&head.fields) {
                trial.note(name, value, name_of(name));
            }
        }
        for (name, value) in key::handed_pairs(&head.fields) {
            self.note(value);
            if !self.cookies.is_empty() {
                self.cookies.extend_from_slice(b"; ");
            }
            self.cookies.extend_from_slice(name);
            self.cookies.push(b'=');
            self.cookies.extend_from_slice(value);
        }
    }

    /// The answer may be kept, but for what it holds; returns whether it holds nothing of what the
    /// stranger was handed.
    pub(super) fn is_anybodys(&mut self, copy: &StoredResponse) -> bool {
        if self.is_trial() {
            return false;
        }
        if self.handed.is_empty() || is_planted(Plant::PublicWithToken) {
            return true;
        }
        // What it holds cannot be seen.
        let is_coded = |fields: &Fields| {
            let mut codings = fields.tokens("content-encoding");
            codings.any(|coding| !coding.eq_ignore_ascii_case(b"identity"))
        };
        let is_coded = is_coded(copy.fields());
        let holds = |text: &[u8]| {
            let mut handed = self.handed.iter();
            handed.any(|value| memmem::find(text, value).is_some())
        };
        if !is_coded && !holds(copy.body()) && !copy.fields().iter().any(|(_, value)| holds(value))
        {
            return true;
        }
        let may_ask_again =
            !self.is_second && !is_coded && (1..=COOKIES_BYTES_MAX).contains(&self.cookies.len());
        self.ended = match may_ask_again {
            true => Ended::Again(self.cookies.clone().into()),
            false => Ended::Unfit(Obstacle::InBody),
        };
        false
    }

    /// Notes a value in all forms in which a page may have it: as it is, decoded, and its parts, as
    /// what is signed has its signature behind it.
    fn note(&mut self, value: &[u8]) {
        let decoded = decoded(value);
        for form in [value, &decoded] {
            let is_mark = |byte: &u8| !byte.is_ascii_alphanumeric() && !b"-_".contains(byte);
            for text in std::iter::once(form).chain(form.split(is_mark)) {
                let text = text.trim_ascii();
                let is_known = self.handed.iter().any(|known| **known == *text);
                if text.len() >= TOKEN_BYTES_MIN && !is_known {
                    self.handed.push(text.into());
                }
            }
        }
    }
}

/// A value without percent encoding; what is none stays as it is.
fn decoded(value: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let code = match (byte, tail) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)),
            _ => None,
        };
        let code = code.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        if let Some(code) = code {
            rest = &tail[2..];
            decoded.push(code);
        } else {
            decoded.push(byte);
        }
    }
    decoded
}
