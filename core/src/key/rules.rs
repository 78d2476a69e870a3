//! Owns which cookies count, and what an answer does to them.
//! Never hashes one.

use super::cookies::{Cookie, SetCookie, cookies, is_nothing, is_several};
use super::login::is_of_login;
use super::random::holds_token;
use crate::config::{CacheSettings, NamePatterns};
use crate::message::{Fields, is_token};

/// What a response does to the client's cookies.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum SessionChange {
    /// Nothing that matters: no `Set-Cookie`, an ignored one, or the value the client has.
    None,
    /// It sets a cookie that may change pages; the session stays.
    SetsCookie,
    /// It starts, replaces or ends a session.
    ChangesSession,
}

/// Which cookies carry a session, and which change nothing.
#[derive(Clone)]
pub(super) struct CookieRules {
    ignored: NamePatterns,
    session: NamePatterns,
}

impl CookieRules {
    pub(super) fn new(settings: &CacheSettings) -> Self {
        Self {
            ignored: settings.ignored_cookies.clone(),
            session: settings.session_cookies.clone(),
        }
    }

    /// The cookies of a request that may change a page.
    pub(super) fn counting<'a>(
        &'a self,
        request: &'a Fields,
    ) -> impl Iterator<Item = Cookie<'a>> + 'a {
        cookies(request).filter(|cookie| self.counts(cookie))
    }

    /// Whether a cookie may change a page.
    pub(super) fn counts(&self, cookie: &Cookie<'_>) -> bool {
        !self.is_ignored(cookie.name, cookie.value)
    }

    /// Whether cookies of this name carry sessions.
    pub(super) fn is_named_session(&self, name: &[u8]) -> bool {
        self.session.matches(name)
    }

    /// Whether a cookie carries a session. One that says that there is none carries none.
    pub(super) fn is_session(&self, cookie: &Cookie<'_>) -> bool {
        self.session.matches(cookie.name) && !is_nothing(cookie.value)
    }

    /// Whether a cookie's value should be one visitor's only: that of a session, and of those of
    /// unknown meaning a long one, or a number as clocks and counters make them. `en` and `dark`
    /// are many visitors'.
    pub(super) fn is_token(&self, cookie: &Cookie<'_>) -> bool {
        const BYTES_MIN: usize = 16;
        const DIGITS_MIN: usize = 6;
        let digits = || cookie.value.iter().filter(|byte| byte.is_ascii_digit());
        cookie.value.len() >= BYTES_MIN || digits().count() >= DIGITS_MIN || self.is_session(cookie)
    }

    /// Whether a cookie tells nobody from another of the same browser: a preference, a counter, the
    /// time of a visit. What is random or a long number, or says that somebody has signed in, may.
    pub(super) fn tells_nobody(&self, cookie: &Cookie<'_>) -> bool {
        !self.session.matches(cookie.name)
            && !is_of_login(cookie.name)
            && !has_long_number(cookie.value)
            && !holds_token(cookie.value)
    }

    /// Whether a response sets a cookie that counts, be it one that the client has.
    pub(super) fn sets_any(&self, response: &Fields) -> bool {
        let mut set = response
            .get_all("set-cookie")
            .map(|line| SetCookie::parse(line, response.get("date")));
        set.any(|set| !self.is_ignored(set.name, set.value))
    }

    /// The cookies that a response sets to a value that the client does not have, those that it
    /// deletes among them, but for ignored ones.
    pub(super) fn set<'a>(
        &'a self,
        request: &'a Fields,
        response: &'a Fields,
    ) -> impl Iterator<Item = SetCookie<'a>> + 'a {
        response
            .get_all("set-cookie")
            .map(|line| SetCookie::parse(line, response.get("date")))
            .filter(|set| !self.is_ignored(set.name, set.value))
            .filter(|set| {
                // A name may come twice (for two paths); then only equal values are surely unchanged.
                let mut named = cookies(request)
                    .filter(|cookie| cookie.name == set.name)
                    .peekable();
                let is_present = named.peek().is_some();
                let is_same = is_present && named.all(|cookie| cookie.value == set.value);
                // To forget what is not there changes nothing, where that is all it can mean.
                match (is_present, set.is_deletion) {
                    (false, _) => !set.is_surely_deletion,
                    (true, true) => true,
                    (true, false) => !is_same,
                }
            })
    }

    /// Those of them that should be one visitor's only.
    pub(super) fn set_tokens<'a>(
        &'a self,
        request: &'a Fields,
        response: &'a Fields,
    ) -> impl Iterator<Item = Cookie<'a>> + 'a {
        let set = self.set(request, response).filter(|set| !set.is_deletion);
        let cookies = set.map(|set| Cookie {
            has_name: true,
            name: set.name,
            value: set.value,
        });
        cookies.filter(|cookie| self.is_token(cookie))
    }

    /// What a response does to the cookies of the request that it answers.
    pub(super) fn change(&self, request: &Fields, response: &Fields) -> SessionChange {
        // Clear-Site-Data §3.1: the types are quoted; `"*"` includes cookies.
        let clears = response
            .tokens("clear-site-data")
            .any(|kind| kind == b"\"cookies\"" || kind == b"\"*\"");
        // A line that is missing may be one that begins a session.
        if clears || response.is_cut() {
            return SessionChange::ChangesSession;
        }
        let change_by = |set: SetCookie<'_>| {
            if self.session.matches(set.name) {
                SessionChange::ChangesSession
            } else {
                SessionChange::SetsCookie
            }
        };
        let changes = self.set(request, response).map(change_by);
        changes.max().unwrap_or(SessionChange::None)
    }

    /// A name on both lists carries a session: to keep users apart is the safe reading. But a pattern of any
    /// start (`*_session`) is none of a name that a list knows. So it is of a value that may be several
    /// cookies.
    fn is_ignored(&self, name: &[u8], value: &[u8]) -> bool {
        self.ignored.matches(name)
            && !self.session.match_narrowly(name)
            // With a space, comma or quote in it, it is more than one to some applications.
            && is_token(name)
            && !is_several(value)
    }
}

/// Whether a value has a number in it by which a customer could be known. The time is none: ten digits
/// of seconds, or thirteen of milliseconds.
fn has_long_number(value: &[u8]) -> bool {
    const DIGITS_MIN: usize = 6;
    let mut numbers = value.split(|byte| !byte.is_ascii_digit());
    numbers.any(|number| {
        let is_time =
            matches!(number.len(), 10 | 13) && matches!(number[0..2], [b'1', b'6'..=b'9']);
        number.len() >= DIGITS_MIN && !is_time
    })
}
