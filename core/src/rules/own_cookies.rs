//! Owns the cookies that this program itself gives to visitors, as they come back: they are taken out of a
//! request at the door, so that neither the origin nor a key ever sees one.
//! Never decides what one is good for, and believes nothing that could harm others: whoever sends one may
//! have made it up.

use crate::message::{FieldsBuilder, RequestHead};

/// With what the names of all of them begin.
const PREFIX: &[u8] = b"retter-";

/// The visitor wants the public version of pages while the origin does not answer.
pub(crate) const PUBLIC: &str = "retter-public";

/// What the cookies of one request say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct OwnCookies {
    /// See [`PUBLIC`].
    pub(crate) public: bool,
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
            let name = pair.split(|&byte| byte == b'=').next().unwrap_or_default();
            let name = name.trim_ascii();
            if name.starts_with(PREFIX) {
                self.public |= name == PUBLIC.as_bytes();
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
}
