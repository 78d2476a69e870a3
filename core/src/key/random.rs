//! Owns whether a text looks random, as tokens do, and not like words, numbers or names.
//! Never knows what it stands for.

use smallvec::SmallVec;

/// A shorter text may be guessed, and may be an ordinary number or name as well.
const BYTES_MIN: usize = 16;

/// Whether a text of 16 bytes and more looks random. Tokens mix letters, digits and cases as no
/// writer does; where they are of letters only, the pairs of letters are those of no language. Length
/// alone says nothing: titles, invoice numbers and dates are as long.
fn looks_random(text: &[u8]) -> bool {
    let text = text.strip_suffix(b"==").unwrap_or(text);
    if text.len() < BYTES_MIN || !text.iter().all(|byte| is_of_token(*byte)) {
        return false;
    }
    let count = |is: fn(&u8) -> bool| text.iter().filter(|byte| is(byte)).count();
    let digits = count(u8::is_ascii_digit);
    let letters = count(u8::is_ascii_alphabetic);
    let marks = text.len() - digits - letters;
    // A title in a path: words between marks, and hardly a digit.
    if marks > 0 && is_of_words(text) {
        return false;
    }
    if letters == 0 {
        return false;
    }
    let turns = turns(text);
    if digits > 0 && turns * 5 >= text.len() {
        // `a3f9...`: of the sixteen digits of hexadecimal numbers, or of more.
        return true;
    }
    pairs_are_strange(text) || turns * 3 >= text.len()
}

/// Whether a text is random, or holds something that is, between separators or with them (a UUID has
/// `-`, Base64 of URLs has `-` and `_`).
pub(super) fn holds_random(text: &[u8]) -> bool {
    let mut words = text.split(|byte| !byte.is_ascii_alphanumeric());
    words.any(looks_random) || looks_random(text)
}

/// The same of a cookie's value, in which bytes may be percent-encoded. What is signed or encrypted is
/// Base64, of which `+` and `/` are letters like others.
pub(super) fn holds_token(value: &[u8]) -> bool {
    if value.len() < BYTES_MIN {
        return false;
    }
    let mut plain = SmallVec::<[u8; 512]>::new();
    let mut rest = value;
    while let Some((&byte, tail)) = rest.split_first() {
        let code = match (byte, tail) {
            (b'%', [high, low, ..]) => hexadecimal(*high).zip(hexadecimal(*low)),
            _ => None,
        };
        rest = if code.is_some() { &tail[2..] } else { tail };
        plain.push(match code.map_or(byte, |(high, low)| high << 4 | low) {
            b'+' | b'/' => b'_',
            byte => byte,
        });
    }
    let mut pieces = plain.split(|byte| !is_of_token(*byte));
    pieces.any(holds_random)
}

fn hexadecimal(digit: u8) -> Option<u8> {
    let digit = char::from(digit).to_digit(16)?;
    u8::try_from(digit).ok()
}

const fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'+' | b'=')
}

/// Whether it is words or numbers between marks, none of which looks random by itself.
fn is_of_words(text: &[u8]) -> bool {
    let mut words = text.split(|byte| !byte.is_ascii_alphanumeric());
    words.all(|word| {
        let digits = word.iter().filter(|byte| byte.is_ascii_digit()).count();
        let is_plain = digits == 0 || digits == word.len() || turns(word) <= 1;
        is_plain && !(word.len() >= 5 && mixes_cases(word)) && !pairs_are_strange(word)
    })
}

/// How often the class of the next byte is another one: of small letters, capitals, digits and marks.
/// A capital before a small letter begins a word, and is no turn.
fn turns(text: &[u8]) -> usize {
    let class = |byte: u8| match byte {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    let differ = |pair: &&[u8]| match (class(pair[0]), class(pair[1])) {
        (1, 0) => false,
        (one, other) => one != other,
    };
    text.windows(2).filter(differ).count()
}

/// Whether capitals stand within it as in no name.
fn mixes_cases(word: &[u8]) -> bool {
    let inner = word.get(1..).unwrap_or_default();
    let capitals = inner
        .iter()
        .filter(|byte| byte.is_ascii_uppercase())
        .count();
    capitals * 3 >= word.len() && capitals < inner.len()
}

/// Pairs of letters that words of European languages hardly ever have, one bit for each second
/// letter of a first one.
const STRANGE: [u32; 26] = {
    const fn of(letters: &[u8]) -> u32 {
        let mut bits = 0;
        let mut at = 0;
        while at < letters.len() {
            bits |= 1 << (letters[at] - b'a');
            at += 1;
        }
        bits
    }
    [
        of(b"q"),
        of(b"cdfghkmnpqtvwxz"),
        of(b"bdfgjmnpqvwxz"),
        of(b"bcfgkpqxz"),
        of(b"q"),
        of(b"bcdghjkmnpqvwxz"),
        of(b"bcdfjkpqvwxz"),
        of(b"bcdfghjkpqvxz"),
        of(b"hjqwy"),
        of(b"bcdfghjklmnpqrstvwxyz"),
        of(b"bcdfgjmpqvxz"),
        of(b"bghjnqrwxz"),
        of(b"cdfghjkqrtvwxz"),
        of(b"bpqx"),
        of(b"q"),
        of(b"bcdfgjkmnqvwxz"),
        of(b"abcdefghijklmnopqrstvwxyz"),
        of(b"hjqxz"),
        of(b"dgjqrvxz"),
        of(b"bdgjkmnpqvx"),
        of(b"jquwy"),
        of(b"bcdfghjklmnpqstvwxz"),
        of(b"bcdfgjmpquvwxz"),
        of(b"bdfghjklmnqrsvwxz"),
        of(b"fghjkqvwxyz"),
        of(b"bcdfghjklmnpqrstvxy"),
    ]
};

/// Whether more of its pairs of letters are strange than any word has.
fn pairs_are_strange(text: &[u8]) -> bool {
    let mut strange = 0;
    let mut pairs = 0;
    for pair in text.windows(2) {
        let (first, second) = (pair[0].to_ascii_lowercase(), pair[1].to_ascii_lowercase());
        if first.is_ascii_lowercase() && second.is_ascii_lowercase() {
            pairs += 1;
            let bits = STRANGE[usize::from(first - b'a')];
            strange += usize::from(bits >> (second - b'a') & 1 == 1);
        }
    }
    pairs >= 5 && strange * 4 >= pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_random() {
        for (text, expected) in [
            ("5f4dcc3b5aa765d61d8327deb882cf99", true),
            ("550e8400-e29b-41d4-a716-446655440000", true),
            ("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", true),
            ("q2w8e4r6t1y9u3i7", true),
            ("Xk9QzT4mPbW2RvLs", true),
            ("xkqzvtpwmbjrhdfg", true),
            ("hQkXwZvTpRmLsNcB", true),
            ("4fcb0d8a2e6b91c7", true),
            ("t3mKp_9xQz-LwVb7Rn", true),
            ("01HQXYZ4J8V6K2M3N5P7R9T0AB", true),
            ("short9token", false),
            ("donaudampfschifffahrtsgesellschaft", false),
            ("internationalization", false),
            ("twentytwentyfour", false),
            ("how-to-make-a-very-long-slug-of-words", false),
            ("Main_Page_of_the_Encyclopaedia", false),
            ("20240229123456789012", false),
            ("2024-02-29-release-notes", false),
            ("INVOICE-2024-000017-A", false),
            ("jquery-3.7.1.min.js", false),
            ("GettingStartedWithRust", false),
            ("supercalifragilistic", false),
        ] {
            assert_eq!(looks_random(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn which_values_of_cookies_are_tokens() {
        for (value, expected) in [
            // Laravel, Rails, Flask, Express, Django, PHP, Tomcat, Jetty, ASP.NET, WordPress.
            (
                "eyJpdiI6Ik1UTjVJN3UvR0c5Z0U9PSIsInZhbHVlIjoiYWJjIn0%3D",
                true,
            ),
            (
                "KWwyQ%2BNuUyOAkYz2%2FqO9mPbW2RvLs--wJ1rNn%2Fz--Vt%2Bq0Q%3D%3D",
                true,
            ),
            (
                "eyJfcGVybWFuZW50Ijp0cnVlfQ.Z0sB1Q.mLkq2x3vYt0Zk9QzT4mPbW2RvLs",
                true,
            ),
            ("s%3AzTJ4fZ9kQmPbW2RvLsXk9QzT4mPbW2Rv.u1kD", true),
            ("3xj9kq2mz7b1w8n5p4v6t0c3y9a1l2h4", true),
            ("jqe6gvf3bka2mlo1u8u0tn9r7s", true),
            ("node01k4z7q9x2m5v8b0c3n6p1t4w7y0.node0", true),
            ("CfDJ8Nq2Xk9QzT4mPbW2RvLs", true),
            (
                "anna%7C1733011200%7CXk9QzT4mPbW2RvLsq2w8e4r6t1y9u3i7%7C5f4dcc3b5aa765d61d8327deb882cf99",
                true,
            ),
            // Words, numbers, times, addresses.
            ("en", false),
            ("17", false),
            ("deleted", false),
            ("Europe%2FBerlin%20and%20elsewhere", false),
            (
                "typ%3Dtypein%7C%7C%7Csrc%3D%28direct%29%7C%7C%7Cmdm%3D%28none%29",
                false,
            ),
            ("2024-02-29%2012%3A00%3A00", false),
            ("analytics:yes,marketing:no,functional:yes", false),
            ("https%3A%2F%2Fshop.example%2Fproducts%2Fchairs", false),
        ] {
            assert_eq!(holds_token(value.as_bytes()), expected, "{value}");
        }
    }
}
