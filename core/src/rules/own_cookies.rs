//! Owns the cookies that this program itself gives to visitors, as they come back: they are taken out of a
//! request at the door, so that neither the origin nor a key ever sees one.
//! Never decides what one is good for, and believes nothing that could harm others: whoever sends one may
//! have made it up.

use std::fmt;

use super::forwarded::Scheme;
use crate::message::{FieldsBuilder, RequestHead};

/// With what the names of all of them begin.
const PREFIX: &[u8] = b"retter-";

/// The visitor wants the public version of pages while the origin does not answer.
pub(crate) const PUBLIC: &str = "retter-public";

/// The visitor has a place in the waiting room: a [`Claim`].
pub(crate) const ROOM: &str = "retter-room";

/// A number in the waiting room, and what may or may not prove that it was given by this program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Claim {
    pub(crate) number: u64,
    pub(crate) seal: u64,
}

impl Claim {
    /// Reads the value of a cookie; `None` where it has not the form of one.
    fn parse(value: &[u8]) -> Option<Self> {
        let (number, seal) = value.split_at_checked(16)?;
        let half = |digits: &[u8]| {
            let is_whole = digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit);
            let digits = std::str::from_utf8(digits).ok().filter(|_| is_whole)?;
            u64::from_str_radix(digits, 16).ok()
        };
        Some(Self {
            number: half(number)?,
            seal: half(seal)?,
        })
    }
}

impl fmt::Display for Claim {
    /// Writes the value of the cookie.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.number, self.seal)
    }
}

/// The value of `Set-Cookie` that gives a visitor this cookie, for no other site and no script to read.
pub(crate) fn given(
    name: &str,
    value: &dyn fmt::Display,
    lasts_secs: u32,
    scheme: Scheme,
) -> String {
    let secure = match scheme {
        Scheme::Https => "; Secure",
        Scheme::Http => "",
    };
    format!("{name}={value}; Path=/; Max-Age={lasts_secs}; HttpOnly; SameSite=Lax{secure}")
}

/// What the cookies of one request say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct OwnCookies {
    /// See [`PUBLIC`].
    pub(crate) public: bool,
    /// See [`ROOM`].
    pub(crate) room: Option<Claim>,
}

impl OwnCookies {
    /// Reads this program's cookies in a request, and takes them out of it. All others stay as they
    /// came.
    pub(crate) fn take(request: &mut RequestHead) -> Self {
        // As fast as can be: every request comes by here, and hardly one has any.
        let has_own = |line: &[u8]| {
            let mut ends = memchr::memchr_iter(b'-', line);
            ends.any(|at| line[..=at].ends_with(PREFIX))
        };
        if !request.fields.get_all("cookie").any(has_own) {
            return Self::default();
        }
        let mut own = Self::default();
        let mut others = FieldsBuilder::with_room_for(&request.fields);
        for line in request.fields.lines() {
            if line.is("cookie") && has_own(line.value) {
                let left = own.read(line.value);
                if !left.is_empty() {
                    others.push_line(line.with_value(&left));
                }
            } else {
                others.push_line(line);
            }
        }
        let fields = others.build();
        if fields.is_cut() {
            // In a head of that length the whole line goes rather than any of it too far.
            request
                .fields
                .retain(|line| !(line.is("cookie") && has_own(line.value)));
        } else {
            request.fields = fields;
        }
        own
    }

    /// Reads one line, and returns what is left of it.
    fn read(&mut self, line: &[u8]) -> Vec<u8> {
        let mut left = Vec::with_capacity(line.len());
        for pair in line.split(|&byte| byte == b';') {
            let mut parts = pair.splitn(2, |&byte| byte == b'=');
            let mut part = || parts.next().unwrap_or_default().trim_ascii();
            let (name, value) = (part(), part());
            if name.starts_with(PREFIX) {
                self.public |= name == PUBLIC.as_bytes();
                if name == ROOM.as_bytes() {
                    self.room = self.room.or_else(|| Claim::parse(value));
                }
                continue;
            }
            if !left.is_empty() {
                left.push(b';');
            }
            left.extend_from_slice(pair);
        }
        left.trim_ascii().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::message::Fields;

    #[track_caller]
    fn check(lines: &[&str], expected: &[&str], public: bool) {
        let host = [("Host", &b"h"[..])];
        let cookies = lines.iter().map(|line| ("Cookie", line.as_bytes()));
        let fields = Fields::from_pairs(host.into_iter().chain(cookies));
        let mut request = RequestHead::new(Method::GET, "/", fields);
        let own = OwnCookies::take(&mut request);
        assert_eq!(own.public, public, "{lines:?}");
        let left: Vec<_> = request.fields.get_all("cookie").collect();
        let expected: Vec<_> = expected.iter().map(|line| line.as_bytes()).collect();
        assert_eq!(left, expected, "{lines:?}");
        assert_eq!(request.fields.get("host"), Some(&b"h"[..]));
    }

    #[test]
    fn own_cookies_are_read_and_taken_out_and_others_stay_as_they_came() {
        check(&[], &[], false);
        check(
            &["sid=a;  theme=\"dark\""],
            &["sid=a;  theme=\"dark\""],
            false,
        );
        check(&["retter-public=1"], &[], true);
        check(&["sid=a; retter-public=1"], &["sid=a"], true);
        check(&["retter-public=1; sid=a"], &["sid=a"], true);
        check(&["a=1; retter-public=1;b=2"], &["a=1;b=2"], true);
        check(&["a=1", "retter-public=1", "b=2"], &["a=1", "b=2"], true);
        check(
            &["retter-other=1; a=retter-public"],
            &["a=retter-public"],
            false,
        );
        check(&[" retter-public ; a=1"], &["a=1"], true);
        // Another cookie of a name that ends so, and none at all.
        check(&["my-retter-public=1"], &["my-retter-public=1"], false);
        check(&["a=b=retter-public=1"], &["a=b=retter-public=1"], false);
    }

    #[test]
    fn a_place_in_the_waiting_room_comes_back_as_it_was_given_and_nothing_else_is_one() {
        let claim = Claim {
            number: 0x1234,
            seal: u64::MAX,
        };
        let read = |line: &str| {
            let fields = Fields::from_pairs([("Cookie", line.as_bytes())]);
            let mut request = RequestHead::new(Method::GET, "/", fields);
            let room = OwnCookies::take(&mut request).room;
            assert_eq!(request.fields.get("cookie"), None, "{line}");
            room
        };
        let text = claim.to_string();
        assert_eq!(read(&format!("{ROOM}={text}")), Some(claim));
        assert_eq!(read(&format!("{ROOM}={text}; {ROOM}=x")), Some(claim));
        assert_eq!(read(&format!("{ROOM}=\"{text}\"")), None);
        assert_eq!(read(&format!("{ROOM}={text}0")), None);
        assert_eq!(read(&format!("{ROOM}={}", &text[1..])), None);
        assert_eq!(read(&format!("{ROOM}=+{}", &text[1..])), None);
        assert_eq!(read(&format!("{ROOM}={}é", &text[2..])), None);
        assert_eq!(read(ROOM), None);
    }
}
