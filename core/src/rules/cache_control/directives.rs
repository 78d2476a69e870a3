//! Owns the directives of `Cache-Control` as they are written in field lines (RFC 9111 §5.2).
//! Never fails, and never chooses between fields.

use crate::message::{Fields, is_token};

/// The largest delta-seconds that is told apart: a greater one means this (RFC 9111 §1.2.2).
pub const DELTA_SECONDS_MAX: u32 = 1 << 31;

/// The directives of a request or a response.
///
/// Of a repeated directive the most restrictive one counts, whatever the order. Unknown
/// directives are ignored. All times are in seconds, at most [`DELTA_SECONDS_MAX`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CacheControl {
    /// `immutable` (RFC 8246).
    pub immutable: bool,
    /// `max-age`; one that is no number is 0, that is stale (RFC 9111 §4.2.1).
    pub max_age: Option<u32>,
    /// `max-stale`; without an argument it is [`DELTA_SECONDS_MAX`].
    pub max_stale: Option<u32>,
    /// `min-fresh`.
    pub min_fresh: Option<u32>,
    /// `must-revalidate`.
    pub must_revalidate: bool,
    /// `must-understand`.
    pub must_understand: bool,
    /// `no-cache` without field names; with them it only keeps those fields out of copies: see
    /// [`withheld`](super::withheld).
    pub no_cache: bool,
    /// `no-store`.
    pub no_store: bool,
    /// `no-transform`.
    pub no_transform: bool,
    /// `only-if-cached`.
    pub only_if_cached: bool,
    /// `private` without field names, as with `no-cache`.
    pub private: bool,
    /// `proxy-revalidate`.
    pub proxy_revalidate: bool,
    /// `public`.
    pub public: bool,
    /// `s-maxage`; one that is no number is 0.
    pub s_maxage: Option<u32>,
    /// `stale-if-error` (RFC 5861 §4).
    pub stale_if_error: Option<u32>,
    /// `stale-while-revalidate` (RFC 5861 §3).
    pub stale_while_revalidate: Option<u32>,
    /// Whether the directives came from a targeted field, so that `Expires` does not count.
    pub targeted: bool,
}

impl CacheControl {
    /// The directives of all lines named `name`.
    #[must_use]
    pub fn of(fields: &Fields, name: &str) -> Self {
        Self::parse(fields.get_all(name))
    }

    /// The directives of any number of field lines.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut control = Self::default();
        for line in lines {
            for (name, argument) in Directives::new(line) {
                control.add(name, argument);
            }
        }
        control
    }

    fn add(&mut self, name: &[u8], argument: Option<&[u8]>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("max-age") {
            // RFC 9111 §4.2.1: invalid freshness information is to be taken as stale.
            lower(&mut self.max_age, seconds(argument).unwrap_or(0));
        } else if is("s-maxage") {
            lower(&mut self.s_maxage, seconds(argument).unwrap_or(0));
        } else if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            self.no_cache |= !names_fields(argument);
        } else if is("private") {
            self.private |= !names_fields(argument);
        } else if is("must-revalidate") {
            self.must_revalidate = true;
        } else if is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if is("public") {
            self.public = true;
        } else if is("no-transform") {
            self.no_transform = true;
        } else if is("must-understand") {
            self.must_understand = true;
        } else if is("immutable") {
            self.immutable = true;
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        } else {
            self.add_tolerance(name, argument);
        }
    }

    /// Directives that widen or narrow freshness. One whose argument is no number says nothing.
    fn add_tolerance(&mut self, name: &[u8], argument: Option<&[u8]>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let seconds = seconds(argument);
        if is("max-stale") {
            // RFC 9111 §5.2.1.2: without an argument a response of any staleness will do.
            let any = argument.is_none().then_some(DELTA_SECONDS_MAX);
            if let Some(seconds) = seconds.or(any) {
                lower(&mut self.max_stale, seconds);
            }
        } else if let Some(seconds) = seconds {
            if is("min-fresh") {
                // More is more restrictive here.
                self.min_fresh = self.min_fresh.max(Some(seconds));
            } else if is("stale-if-error") {
                lower(&mut self.stale_if_error, seconds);
            } else if is("stale-while-revalidate") {
                lower(&mut self.stale_while_revalidate, seconds);
            }
        }
    }
}

/// Parses delta-seconds (RFC 9111 §1.2.2): digits only, saturating.
#[must_use]
pub fn delta_seconds(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    let mut seconds: u32 = 0;
    for &byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        seconds = seconds
            .saturating_mul(10)
            .saturating_add(u32::from(byte - b'0'));
    }
    Some(seconds.min(DELTA_SECONDS_MAX))
}

fn seconds(argument: Option<&[u8]>) -> Option<u32> {
    delta_seconds(argument?)
}

fn lower(kept: &mut Option<u32>, seconds: u32) {
    *kept = Some(kept.map_or(seconds, |kept| kept.min(seconds)));
}

/// Whether an argument makes the qualified form: a list of nothing but field names. What is no
/// such list counts as the unqualified form, which asks for more.
pub(super) fn names_fields(argument: Option<&[u8]>) -> bool {
    argument.is_some_and(|names| {
        let mut names = field_names(names).peekable();
        names.peek().is_some() && names.all(is_token)
    })
}

pub(super) fn field_names(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let names = list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    names.filter(|name| !name.is_empty())
}

/// Splits one line into directives: name and, after `=`, the argument without its quotes.
pub(super) struct Directives<'a> {
    rest: &'a [u8],
    /// Whether quoted strings still count. After one that never ends the commas behind it split
    /// again, so that a stray quote cannot hide a `no-store`, and no byte is searched twice.
    quotes: bool,
}

impl<'a> Directives<'a> {
    pub(super) fn new(line: &'a [u8]) -> Self {
        Self {
            rest: line,
            quotes: true,
        }
    }

    fn take_member(&mut self) -> &'a [u8] {
        let line = self.rest;
        let mut at = 0;
        while let Some(&byte) = line.get(at) {
            if byte == b',' {
                self.rest = &line[at + 1..];
                return &line[..at];
            }
            if byte == b'"' && self.quotes && line[..at].ends_with(b"=") {
                match closing_quote(line, at) {
                    Some(end) => at = end,
                    None => self.quotes = false,
                }
            }
            at += 1;
        }
        self.rest = &[];
        line
    }
}

impl<'a> Iterator for Directives<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let member = self.take_member().trim_ascii();
            if member.is_empty() {
                continue;
            }
            let Some(equals) = memchr::memchr(b'=', member) else {
                return Some((member, None));
            };
            // White space before `=` is not allowed but changes no name; after it, it spoils a
            // number, as the grammar has it.
            let argument = &member[equals + 1..];
            let unquoted = argument
                .strip_prefix(b"\"")
                .and_then(|inner| inner.strip_suffix(b"\""));
            return Some((
                member[..equals].trim_ascii_end(),
                Some(unquoted.unwrap_or(argument)),
            ));
        }
        None
    }
}

/// The index of the quote that ends the quoted string (RFC 9110 §5.6.4) opened at `open`.
fn closing_quote(line: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        match line.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}
