//! Owns which fields of a response are its receiver's alone: cookies, tokens and nonces. No copy of
//! an answer with one of them is anybody else's.
//! Never reads a cookie: which of them count is `key`'s to say.

use crate::message::{Fields, folded};

/// Whether a response hands out such a credential, cookies aside.
#[must_use]
pub fn are_in(response: &Fields) -> bool {
    response.names().any(|name| {
        let is_one = |end: &&str| ends_with(name, end.as_bytes());
        // What a proxy says of itself is passed on to nobody (RFC 9110 §11.7).
        ends(name).iter().any(is_one) && !name.to_ascii_lowercase().starts_with(b"proxy-")
    })
}

/// How the names of fields end in which applications hand out credentials beside `Set-Cookie`: those
/// with the last letter of `name`.
fn ends(name: &[u8]) -> &'static [&'static str] {
    match name.last().map(u8::to_ascii_lowercase) {
        Some(b'2') => &["set-cookie2"],
        Some(b'd') => &["session-id", "sessionid"],
        Some(b'e') => &["nonce"],
        Some(b'h') => &["x-auth"],
        Some(b'n') => &["authorization", "session", "token"],
        Some(b'o') => &["authentication-info"],
        Some(b't') => &["jwt"],
        Some(b'y') => &["api-key", "apikey", "session-key"],
        _ => &[],
    }
}

/// Programs spell a `-` as `_`, too.
fn ends_with(name: &[u8], end: &[u8]) -> bool {
    let Some(from) = name.len().checked_sub(end.len()) else {
        return false;
    };
    let end = end.iter().copied();
    name[from..].iter().copied().map(folded).eq(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_an_answer() {
        let has = |name| are_in(&Fields::from_pairs([(name, &b"x"[..])]));
        let tokens = ["Cart-Token", "X-CSRF-Token", "nonce", "sw-context-token"];
        assert!(tokens.into_iter().all(has));
        assert!(has("woocommerce-session") && has("X_CSRFToken") && has("X-Auth"));
        assert!(!has("Set-Cookie") && !has("ETag") && !has("X-Token-Bucket"));
        assert!(
            !has("Date")
                && !has("Persistent-Auth")
                && !has("Proxy-Authorization")
                && !has("X-Session-Count")
                && !has("Author")
        );
    }
}
