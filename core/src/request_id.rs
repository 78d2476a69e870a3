//! Owns what a request is called ([`RequestId`]): in its answer, toward the origin, and in each log.
//! Made here by counting from a seed, or taken over from a proxy that is trusted, and cleaned.
//! Never decides whom to trust.

use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use siphasher::sip::SipHasher24;

use crate::message::{Fields, Marks, folded};
use crate::sync::AtomicU64;

/// The field that has it.
pub const X_REQUEST_ID: &str = "X-Request-Id";

/// Most requests have none.
const MARKS: Marks = Marks::of(&[X_REQUEST_ID]);

/// Letters of one that is taken over; what comes behind is cut off.
const LETTERS_MAX: usize = 64;

/// What one request is called: at most 64 letters, digits and `-._:/+=@`, so that it can stand in a
/// page, a log line and a field as it is.
#[derive(Clone, Eq, PartialEq)]
pub struct RequestId(Name);

#[derive(Clone, Eq, PartialEq)]
enum Name {
    Made(u64),
    Told(Arc<str>),
}

impl RequestId {
    /// What may be shown of `text`; `None` where that is nothing.
    #[must_use]
    pub fn clean(text: &[u8]) -> Option<Self> {
        let kept = text.iter().copied().filter(|&byte| is_kept(byte));
        let kept: String = kept.take(LETTERS_MAX).map(char::from).collect();
        (!kept.is_empty()).then(|| Self(Name::Told(kept.into())))
    }

    /// The identifier that a proxy told. Of several, or of a list, the last one counts: it was added
    /// nearest to here.
    fn told(fields: &Fields) -> Option<Self> {
        fields.tokens(X_REQUEST_ID).last().and_then(Self::clean)
    }

    /// Gives it to `take`, as text.
    pub(crate) fn with<T>(&self, take: impl FnOnce(&[u8]) -> T) -> T {
        match &self.0 {
            Name::Made(number) => take(&hexadecimal(*number)),
            Name::Told(text) => take(text.as_bytes()),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Name::Made(number) => write!(f, "{number:016x}"),
            Name::Told(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const fn is_kept(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b':' | b'/' | b'+' | b'=' | b'@')
}

fn hexadecimal(number: u64) -> [u8; 16] {
    let mut text = [0; 16];
    for (digits, byte) in text.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        let digit = |half: u8| b"0123456789abcdef"[usize::from(half & 0xf)];
        digits.copy_from_slice(&[digit(byte >> 4), digit(byte)]);
    }
    text
}

/// Makes identifiers: no two of one seed are the same.
#[derive(Debug)]
pub(crate) struct RequestIds {
    base: u64,
    count: AtomicU64,
    factor: u64,
}

impl RequestIds {
    /// Whoever sees identifiers learns nothing of `seed`, by which partitions are made too.
    pub(crate) fn new(seed: u64) -> Self {
        let derive = |purpose| {
            let mut hash = SipHasher24::new_with_keys(seed, 0);
            hash.write_u64(purpose);
            hash.finish()
        };
        Self {
            base: derive(1),
            count: AtomicU64::new(0),
            // An odd factor leaves numbers apart.
            factor: derive(2) | 1,
        }
    }

    /// One that was not there before. It does not show how many there were.
    pub(crate) fn make(&self) -> RequestId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut number = (count ^ self.base).wrapping_mul(self.factor);
        number = (number ^ number >> 32).wrapping_mul(self.factor);
        RequestId(Name::Made(number ^ number >> 29))
    }

    /// What a request with these fields is called. The field itself is taken out of them: no key, `Vary`
    /// or copy ever sees what somebody called a request.
    pub(crate) fn receive(&self, fields: &mut Fields, is_trusted: bool) -> RequestId {
        if !fields.may_contain(&MARKS) {
            return self.make();
        }
        let told = is_trusted.then(|| RequestId::told(fields)).flatten();
        fields.retain(|line| !is_field(line.name));
        told.unwrap_or_else(|| self.make())
    }
}

/// Whether `name` is the field's, also with `_`: applications behind CGI and its heirs see no difference
/// (RFC 3875 §4.1.18).
fn is_field(name: &[u8]) -> bool {
    let folded = name.iter().copied().map(folded);
    folded.eq(X_REQUEST_ID.bytes().map(|byte| byte.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn received(values: &[&str], is_trusted: bool) -> (String, usize) {
        let pairs = values
            .iter()
            .map(|value| ("x-request-id", value.as_bytes()));
        let others = [("x_REQUEST_id", &b"look-alike"[..]), ("accept", b"*/*")];
        let mut fields = Fields::from_pairs(pairs.chain(others));
        let id = RequestIds::new(7).receive(&mut fields, is_trusted);
        assert_eq!(
            id.with(|text| String::from_utf8(text.to_vec())).as_ref(),
            Ok(&id.to_string())
        );
        (id.to_string(), fields.len())
    }

    #[test]
    fn a_trusted_proxys_is_taken_over_and_cleaned_all_others_are_replaced() {
        let (made, _) = received(&[], true);
        assert_eq!(made.len(), 16);
        let long = "0123456789".repeat(10);
        for (values, taken) in [
            (&["f3a9-1_2.x:y/z+a=@"][..], "f3a9-1_2.x:y/z+a=@"),
            (&["a<b>\"c\\ \u{7f}\u{e9}d"], "abcd"),
            (&["of-the-client", "of-the-proxy"], "of-the-proxy"),
            (&["of-the-client, of-the-proxy"], "of-the-proxy"),
            (&[long.as_str()], &long[..64]),
            (&[""], &made),
            (&["<>"], &made),
        ] {
            assert_eq!(received(values, true), (taken.to_owned(), 1), "{values:?}");
            assert_eq!(received(values, false), (made.clone(), 1), "{values:?}");
        }
    }

    #[test]
    fn no_two_are_the_same_and_another_seed_makes_others() {
        let of = |seed| {
            let ids = RequestIds::new(seed);
            (0..10_000).map(move |_| ids.make().to_string())
        };
        let all: HashSet<_> = of(1).chain(of(2)).collect();
        assert_eq!(all.len(), 20_000);
    }
}
