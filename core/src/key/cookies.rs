//! Owns the reading of `Cookie` and `Set-Cookie` lines, as lenient as browsers and frameworks are
//! (RFC 6265 §5.2 and §5.4).
//! Never decides which cookies matter, and keeps nothing.

use crate::message::Fields;
use crate::time::UnixTime;

/// One pair of a `Cookie` line. Quoted values stay quoted.
#[derive(Clone, Copy)]
pub(super) struct Cookie<'a> {
    /// Whether there was a `=`: browsers send a nameless cookie as its bare value.
    pub(super) has_name: bool,
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
}

/// All pairs of all `Cookie` lines, in order, empty ones left out.
pub(super) fn cookies(request: &Fields) -> impl Iterator<Item = Cookie<'_>> {
    request
        .get_all("cookie")
        .flat_map(pairs)
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty())
        .map(|pair| match split_once(pair, b'=') {
            Some((name, value)) => Cookie {
                has_name: true,
                name,
                value,
            },
            None => Cookie {
                has_name: false,
                name: b"",
                value: pair,
            },
        })
}

/// What stands between the semicolons of a line.
fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut left = Some(line);
    std::iter::from_fn(move || match split_once(left?, b';') {
        Some((pair, rest)) => {
            left = Some(rest);
            Some(pair)
        }
        None => left.take(),
    })
}

/// Whether a value is what programs write where they have none.
pub(crate) fn is_nothing(value: &[u8]) -> bool {
    const NOTHING: [&[u8]; 10] = [
        b"",
        b"-",
        b"anonymous",
        b"deleted",
        b"false",
        b"guest",
        b"nil",
        b"none",
        b"null",
        b"undefined",
    ];
    NOTHING.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Whether a value that some applications read as one cookie is several to others: Python ends a
/// value at white space, a comma or a quote, and takes what has a `=` behind it for the next cookie.
pub(super) fn is_several(value: &[u8]) -> bool {
    let Some(last) = memchr::memrchr(b'=', value) else {
        return false;
    };
    value[..last].iter().any(|byte| b" \t,\"".contains(byte))
}

/// Whether one of the cookies may be a login that works once: the application takes it for a new
/// session and sends another in its place, and whoever comes with it a second time is taken for a
/// thief.
#[must_use]
pub fn logs_in_once(request: &Fields) -> bool {
    const PARTS: [&[u8]; 4] = [
        b"persistent_login",
        b"refresh_token",
        b"refreshtoken",
        b"remember",
    ];
    let has = |name: &[u8], part: &[u8]| {
        let mut places = name.windows(part.len());
        places.any(|place| place.eq_ignore_ascii_case(part))
    };
    cookies(request)
        .any(|cookie| cookie.name == b"nc_token" || PARTS.iter().any(|part| has(cookie.name, part)))
}

/// Names and values of the cookies that a response hands out, those left out that it deletes.
pub(crate) fn handed_pairs(response: &Fields) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = response.get_all("set-cookie");
    let set = lines.map(|line| SetCookie::parse(line, response.get("date")));
    let kept = set.filter(|set| !set.is_deletion);
    kept.map(|set| (set.name, set.value))
}

/// A `Set-Cookie` line, as far as it tells what becomes of the cookie.
pub(super) struct SetCookie<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    /// Whether the client may forget the cookie: its value is empty or it seems to have expired.
    pub(super) is_deletion: bool,
    /// Whether every client forgets it, whatever its clock and the origin's say.
    pub(super) is_surely_deletion: bool,
}

impl<'a> SetCookie<'a> {
    /// Parses a line; `date` is the response's `Date`, which `Expires` is compared with.
    pub(super) fn parse(line: &'a [u8], date: Option<&[u8]>) -> Self {
        let mut parts = line.split(|&byte| byte == b';');
        let pair = parts.next().unwrap_or_default();
        let (name, value) = split_once(pair, b'=').unwrap_or((b"", pair));
        let (name, value) = (name.trim_ascii(), value.trim_ascii());
        let mut max_age = None;
        let mut expires = None;
        let mut is_long_over = None;
        for attribute in parts {
            let (key, value) = split_once(attribute, b'=').unwrap_or((attribute, b""));
            let (key, value) = (key.trim_ascii(), value.trim_ascii());
            if key.eq_ignore_ascii_case(b"max-age") {
                max_age = is_max_age_over(value).or(max_age);
            } else if key.eq_ignore_ascii_case(b"expires") {
                let time = parse_expires(value);
                expires = time.map(|time| is_expires_over(time, date)).or(expires);
                is_long_over = time.map(|time| time < LONG_AGO).or(is_long_over);
            }
        }
        // RFC 6265 §5.3: Max-Age has precedence over Expires.
        let is_expired = max_age.or(expires).unwrap_or(false);
        Self {
            name,
            value,
            is_deletion: value.is_empty() || is_expired,
            is_surely_deletion: value.is_empty() || max_age.or(is_long_over).unwrap_or(false),
        }
    }
}

/// RFC 6265 §5.2.2: a value that is no number is ignored; zero and below is the past.
fn is_max_age_over(value: &[u8]) -> Option<bool> {
    let is_negative = value.first() == Some(&b'-');
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| is_negative || digits.iter().all(|&digit| digit == b'0'))
}

/// Frameworks delete with a date of 1970; no clock that works is as early.
const LONG_AGO: UnixTime = UnixTime(631_152_000);

/// RFC 6265 §5.2.1: a value that is no date is ignored.
fn parse_expires(value: &[u8]) -> Option<UnixTime> {
    UnixTime::parse(value).or_else(|| {
        // Netscape's form (`Thu, 01-Jan-1970 00:00:00 GMT`), which frameworks still send.
        let spaced: Vec<_> = value
            .iter()
            .map(|&b| if b == b'-' { b' ' } else { b })
            .collect();
        UnixTime::parse(&spaced)
    })
}

/// Without the origin's own time there is no telling: the safe answer is that it is over.
fn is_expires_over(expires: UnixTime, date: Option<&[u8]>) -> bool {
    date.and_then(UnixTime::parse)
        .is_none_or(|date| expires <= date)
}

fn split_once(bytes: &[u8], mark: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(mark, bytes)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}
