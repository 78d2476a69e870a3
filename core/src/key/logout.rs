//! Owns by which words a target says that it ends a session.
//! Never knows whether there is one.

use smallvec::SmallVec;

/// What links and forms that end a session are called, in lower case and without separators.
const WORDS: [&[u8]; 17] = [
    b"abmelden",
    b"abmeldung",
    b"afmelden",
    b"ausloggen",
    b"cerrarsesion",
    b"deconnexion",
    b"disconnect",
    b"endsession",
    b"killsession",
    b"loggaut",
    b"loggud",
    b"logoff",
    b"logout",
    b"odhlas",
    b"signoff",
    b"signout",
    b"uitloggen",
];

/// Whether path and query hold one of the [`WORDS`], in any case, with or without `-`, `_`, `.`,
/// `+` or spaces between its parts, percent-encoded or not. A page that only speaks of it is taken
/// for one that does it: that costs a copy and no more.
pub(super) fn says_logout(path_and_query: &[u8]) -> bool {
    let mut text: SmallVec<[u8; 256]> = SmallVec::new();
    let mut rest = path_and_query;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let byte = match (byte, tail) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                _ => byte,
            },
            _ => byte,
        };
        if !b"-_.+ ".contains(&byte) {
            text.push(byte.to_ascii_lowercase());
        }
    }
    (0..text.len()).any(|at| may_begin(text[at]) && begins_word(&text[at..]))
}

/// Whether one of the words begins with `byte`: few bytes of a path get past this look.
fn may_begin(byte: u8) -> bool {
    const FIRST: u32 = {
        let mut letters = 0;
        let mut at = 0;
        while at < WORDS.len() {
            letters |= 1 << (WORDS[at][0] - b'a');
            at += 1;
        }
        letters
    };
    byte.is_ascii_lowercase() && FIRST >> (byte - b'a') & 1 == 1
}

fn begins_word(text: &[u8]) -> bool {
    WORDS.iter().any(|word| text.starts_with(word))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_end_a_session() {
        for target in [
            "/logout",
            "/logout?next=/",
            "/index.php?action=logout",
            "/wp-login.php?action=logout&_wpnonce=1",
            "/users/sign_out",
            "/Account/LogOff",
            "/account/sign-out/",
            "/index.php?title=Special:UserLogout",
            "/?do=log%20out",
            "/%6Cogout",
            "/log+out",
            "/abmelden",
            "/oauth2/sign_out",
            "/saml/endSession",
            "/login.php?do=Log_Out",
        ] {
            assert!(says_logout(target.as_bytes()), "{target}");
        }
        for target in [
            "/",
            "/login",
            "/signup",
            "/shop?sort=log",
            "/%",
            "/%zz",
            "/out/log",
        ] {
            assert!(!says_logout(target.as_bytes()), "{target}");
        }
    }
}
