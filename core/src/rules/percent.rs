//! Owns percent-decoding (RFC 3986 §2.1).
//! Never guesses: two hexadecimal digits stand behind each `%`, or nothing is decoded.

/// Text without percent-encoding; `None` where that is broken. `+` stays what it is.
#[must_use]
pub fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let (high, low) = (digit(*rest.next()?)?, digit(*rest.next()?)?);
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_digits_are_a_byte_and_anything_else_is_broken() {
        assert_eq!(decoded(b"/a%2fb+%C3%bc").unwrap(), "/a/b+ü".as_bytes());
        assert_eq!(decoded(b"").unwrap(), b"");
        for broken in ["%", "%4", "%4g", "%+4", "%%41", "a%"] {
            assert_eq!(decoded(broken.as_bytes()), None, "{broken}");
        }
    }
}
