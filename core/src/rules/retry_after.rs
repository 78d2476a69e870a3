//! Owns the reading of `Retry-After` (RFC 9110 §10.2.3).
//! Never decides whether it is obeyed.

use std::time::Duration;

use crate::message::Fields;
use crate::time::UnixTime;

/// How long the origin asks to be left alone; `None` where it does not say so in a valid way.
#[must_use]
pub fn retry_after(response: &Fields, now: UnixTime) -> Option<Duration> {
    let value = response.get("retry-after")?;
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let secs = if is_number {
        // Too large for a number is long enough.
        let text = std::str::from_utf8(value).ok()?;
        text.parse().unwrap_or(u64::MAX)
    } else {
        UnixTime::parse(value)?.saturating_since(now)
    };
    Some(Duration::from_secs(secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates() {
        #[track_caller]
        fn check(value: &str, expected: Option<u64>) {
            let fields = Fields::from_pairs([("Retry-After", value.as_bytes())]);
            // Sun, 06 Nov 1994 08:49:37 GMT
            let found = retry_after(&fields, UnixTime(784_111_777));
            assert_eq!(found, expected.map(Duration::from_secs), "{value}");
        }
        check("120", Some(120));
        check("0", Some(0));
        check(" 7 ", Some(7));
        check("99999999999999999999999", Some(u64::MAX));
        check("Sun, 06 Nov 1994 08:50:37 GMT", Some(60));
        check("Sunday, 06-Nov-94 08:49:40 GMT", Some(3));
        check("Sun Nov  6 08:49:38 1994", Some(1));
        check("Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
        for bad in ["", "-1", "1.5", "soon", "1, 2", "+3"] {
            check(bad, None);
        }
        assert_eq!(retry_after(&Fields::default(), UnixTime(0)), None);
    }
}
