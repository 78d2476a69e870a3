//! Owns [`Visit`]: one asking as a stranger, and whether its answer holds what the stranger was just
//! handed, which would be somebody's: the stranger's.
//! Never decides what is kept of an answer beyond that.

use memchr::memmem;

use super::asks::Ended;
use crate::canary::{Plant, is_planted};
use crate::copies::StoredResponse;
use crate::key::{self, CacheKey};
use crate::message::{Fields, ResponseHead};

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
}

impl Visit {
    /// The asking of this number, with these cookies.
    pub(super) fn new(key: &CacheKey, number: u64, cookies: Option<&[u8]>) -> Self {
        let mut visit = Self {
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

    /// Takes note of what the answer hands out.
    pub(super) fn note_head(&mut self, head: &ResponseHead) {
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
            true => Ended::Again(std::mem::take(&mut self.cookies).into()),
            false => Ended::Unfit,
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
