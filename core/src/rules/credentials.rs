//! Owns which fields of a response are its receiver's alone: cookies, tokens and nonces. No copy of
//! an answer with one of them is anybody else's.
//! Never reads a cookie: which of them count is `key`'s to say.

use crate::message::{Fields, Marks};

/// Fields in which applications hand out credentials beside `Set-Cookie`.
const FIELDS: [&str; 20] = [
    "access-token",
    "authentication-info",
    "authorization",
    "cart-token",
    "csrf-token",
    "jwt-token",
    "new-token",
    "nonce",
    "refresh-token",
    "session-id",
    "set-cookie2",
    "x-access-token",
    "x-auth-token",
    "x-csrf-token",
    "x-jwt-token",
    "x-refresh-token",
    "x-session-id",
    "x-session-token",
    "x-wp-nonce",
    "x-xsrf-token",
];

/// Of these and of `Set-Cookie`: most answers have none.
pub(crate) const MARKS: Marks = {
    let mut names = ["set-cookie"; FIELDS.len() + 1];
    let mut at = 0;
    while at < FIELDS.len() {
        names[at] = FIELDS[at];
        at += 1;
    }
    Marks::of(&names)
};

/// Whether a response hands out such a credential, cookies aside.
#[must_use]
pub fn are_in(response: &Fields) -> bool {
    FIELDS.iter().any(|name| response.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_an_answer() {
        let has = |name| are_in(&Fields::from_pairs([(name, &b"x"[..])]));
        assert!(has("Cart-Token") && has("X-CSRF-Token") && has("nonce"));
        assert!(!has("Set-Cookie") && !has("ETag") && !has("X-Token-Bucket"));
        for name in FIELDS.iter().chain(&["set-cookie"]) {
            let fields = Fields::from_pairs([(*name, &b"x"[..])]);
            assert!(fields.may_contain(&MARKS), "{name}");
        }
    }
}
