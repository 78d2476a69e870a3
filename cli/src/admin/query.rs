//! Owns the reading of a query as names and values.
//! Never knows what they mean.

use retter_core::rules::percent;

/// The pairs of a query; `None` where something of it is not percent-encoded UTF-8. A name without
/// `=` has an empty value.
pub(super) fn pairs(query: &str) -> Option<Vec<(&str, String)>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((name, decode(value)?))
        })
        .collect()
}

/// Percent-decoding as of a form field, but `+` stays what it is: it is in many queries.
fn decode(text: &str) -> Option<String> {
    String::from_utf8(percent::decoded(text.as_bytes())?).ok()
}

/// The inverse, for a value of a query.
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_read_again() {
        for text in ["", "/a?b=c&d", "a+b %", "grüße", "\u{1}"] {
            let query = format!("x={}&y", encode(text));
            let read = pairs(&query).unwrap();
            assert_eq!(read, [("x", text.to_owned()), ("y", String::new())]);
        }
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff"] {
            assert_eq!(pairs(bad), None, "{bad}");
        }
    }
}
