//! Owns which fields of a response are its receiver's alone: cookies, tokens and nonces. No copy of
//! an answer with one of them is anybody else's.
//! Never reads a cookie: which of them count is `key`'s to say.

use crate::message::{Fields, Names};

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

static NAMES: Names<20> = Names::new(FIELDS);

/// Whether a response hands out such a credential, cookies aside.
#[must_use]
pub fn are_in(response: &Fields) -> bool {
    // Most fields of an answer end otherwise.
    let ends_so = |name: &[u8]| {
        matches!(
            name,
            [
                ..,
                b'n' | b'N' | b'o' | b'O' | b'd' | b'D' | b'e' | b'E' | b'2'
            ]
        )
    };
    response
        .names()
        .any(|name| ends_so(name) && NAMES.contain(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_an_answer() {
        let has = |name| are_in(&Fields::from_pairs([(name, &b"x"[..])]));
        assert!(has("Cart-Token") && has("X-CSRF-Token") && has("nonce"));
        assert!(!has("Set-Cookie") && !has("ETag") && !has("X-Token-Bucket"));
        assert!(FIELDS.iter().all(|name| has(name)));
    }
}
