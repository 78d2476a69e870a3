//! Owns what an answer does to the cookies of its client, one by one ([`Handout`]), and which cookies
//! the client has afterwards.
//! Never keeps a value: only marks leave it.

use smallvec::SmallVec;

use super::cookies::{Cookie, cookies};
use super::partition::Partitioner;
use super::random::holds_token;
use super::rules::CookieRules;
use crate::message::Fields;

/// A cookie that counts and that an answer sets to a value that its client does not have, or takes
/// away from it.
#[derive(Clone, Debug)]
pub(crate) struct Handout {
    /// The client is to forget it.
    pub(crate) is_deletion: bool,
    /// Nobody guesses the value, and nobody else is given the like by chance.
    pub(crate) is_random: bool,
    /// The name is one of a session's.
    pub(crate) is_session: bool,
    /// A hash of the name.
    pub(crate) name: u64,
    /// The mark of the value.
    pub(crate) value: u64,
    /// Marks of the values that the client has under this name.
    pub(crate) had: SmallVec<[u64; 1]>,
}

/// What an answer hands out, in its order.
pub(super) fn handouts<'a>(
    rules: &'a CookieRules,
    partitioner: &'a Partitioner,
    request: &'a Fields,
    response: &'a Fields,
) -> impl Iterator<Item = Handout> + 'a {
    rules.set(request, response).map(move |set| {
        let named = cookies(request).filter(|cookie| cookie.name == set.name);
        Handout {
            is_deletion: set.is_deletion,
            is_random: holds_token(set.value),
            is_session: rules.is_named_session(set.name),
            name: partitioner.mark(set.name, b""),
            value: partitioner.mark(set.name, set.value),
            had: named
                .map(|cookie| partitioner.mark(cookie.name, cookie.value))
                .collect(),
        }
    })
}

/// The cookies that count and that the client has when it has taken what the answer hands out.
pub(super) fn left<'a>(
    rules: &'a CookieRules,
    request: &'a Fields,
    response: &'a Fields,
) -> SmallVec<[Cookie<'a>; 16]> {
    let mut left: SmallVec<[Cookie<'a>; 16]> = SmallVec::new();
    for cookie in cookies(request) {
        if rules.counts(&cookie) {
            left.push(cookie);
        }
    }
    let set: SmallVec<[_; 8]> = rules.set(request, response).collect();
    left.retain(|cookie| !set.iter().any(|set| set.name == cookie.name));
    for (at, set_cookie) in set.iter().enumerate() {
        let is_last = !set[at + 1..]
            .iter()
            .any(|later| later.name == set_cookie.name);
        if is_last && !set_cookie.is_deletion {
            left.push(Cookie {
                has_name: true,
                name: set_cookie.name,
                value: set_cookie.value,
            });
        }
    }
    left
}
