//! Owns by which words a target says that it ends a session.
//! Never knows whether there is one.

use smallvec::SmallVec;

/// What links and forms that end a session are called, in lower case and without separators.
const WORDS: [&[u8]; 27] = [
    b"abmelden",
    b"abmeldung",
    b"afmelden",
    b"ausloggen",
    b"cerrarsesi\xc3\xb3n",
    b"cerrarsesion",
    b"deconnexion",
    b"destroysession",
    b"disconnect",
    b"d\xc3\xa9connexion",
    b"endsession",
    b"killsession",
    b"kirjauduulos",
    b"loggaut",
    b"loggud",
    b"loggut",
    b"logmeout",
    b"logoff",
    b"logout",
    b"logud",
    b"odhl\xc3\xa1s",
    b"odhlas",
    b"sedeconnecter",
    b"signoff",
    b"signout",
    b"uitloggen",
    b"wyloguj",
];

/// Whether path and query hold one of the [`WORDS`], in any case, with or without `-`, `_`, `.`,
/// `+` or spaces between its parts, percent-encoded or not. A page that only speaks of it is taken
/// for one that does it: that costs a copy and no more.
pub(super) fn says_logout(path_and_query: &[u8]) -> bool {
    may_say(path_and_query) && says(path_and_query)
}

/// Whether all letters of one of the words are there, or some may be encoded: most targets do not
/// get past this look.
fn may_say(path_and_query: &[u8]) -> bool {
    // Letters of others than ASCII count for those that share their five bits.
    const NEEDS: [u32; WORDS.len()] = {
        let mut needs = [0; WORDS.len()];
        let mut at = 0;
        while at < WORDS.len() {
            needs[at] = letters(WORDS[at]);
            at += 1;
        }
        needs
    };
    const ANY: u32 = letters(b"lsx");
    let there = letters(path_and_query);
    there & ANY != 0 && NEEDS.iter().any(|needs| there & needs == *needs)
}

/// One bit for each letter that is there; all for `%`, which may be any.
const fn letters(text: &[u8]) -> u32 {
    let mut letters = 0;
    let mut at = 0;
    while at < text.len() {
        letters |= match text[at] {
            b'%' => u32::MAX,
            // `a` and `A` have the same five bits.
            byte if byte >= b'A' => 1 << (byte & 31),
            _ => 0,
        };
        at += 1;
    }
    letters
}

fn says(path_and_query: &[u8]) -> bool {
    let mut letters: SmallVec<[Letter; 256]> = SmallVec::new();
    let mut is_apart = false;
    let mut before = b'/';
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
        let is_separator = b"-_.+ ".contains(&byte);
        if !is_separator {
            letters.push(Letter {
                byte: byte.to_ascii_lowercase(),
                is_apart,
                is_capital: byte.is_ascii_uppercase(),
                is_first: !before.is_ascii_alphabetic(),
            });
        }
        (is_apart, before) = (is_separator, byte);
    }
    let is_there = |word: &&[u8]| {
        let mut places = (0..).zip(letters.windows(word.len()));
        places.any(|(at, place)| is_word(place, letters.get(at + word.len()), word))
    };
    WORDS.iter().any(is_there)
}

/// A byte of a target that is no separator.
#[derive(Clone, Copy)]
struct Letter {
    byte: u8,
    /// A separator stands before it.
    is_apart: bool,
    is_capital: bool,
    /// No letter stands before it.
    is_first: bool,
}

/// Whether these letters are the word, with `next` behind them. Where there are separators inside it, no
/// letter may stand before or behind it, else not on both sides: `catalog-outdoor`, `log-output` and
/// `blogoutreach` are about something else. A capital begins a word: `userLogoutAction`.
fn is_word(letters: &[Letter], next: Option<&Letter>, word: &[u8]) -> bool {
    let is_same = letters
        .iter()
        .map(|letter| letter.byte)
        .eq(word.iter().copied());
    if !is_same {
        return false;
    }
    let is_whole = letters.iter().skip(1).all(|letter| !letter.is_apart);
    let begins = letters
        .first()
        .is_some_and(|letter| letter.is_first || letter.is_capital);
    let ends = next
        .is_none_or(|next| next.is_apart || next.is_capital || !next.byte.is_ascii_alphabetic());
    match is_whole {
        true => begins || ends,
        false => begins && ends,
    }
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
    fn a_quick_look_lets_every_word_pass() {
        for word in WORDS {
            assert!(says_logout(word), "{}", word.escape_ascii());
        }
    }

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
            "/?log-out",
            "/x/log-out",
            "/d%C3%A9connexion",
            "/cerrar-sesi%C3%B3n",
            "/odhl%C3%A1sit",
            "/log-me-out",
            "/doLogout",
            "/userlogout",
            "/userLogoutAction",
            "/users/sign_out_all",
            "/logoutuser",
            "/wyloguj",
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
            "/blogoutreach",
            "/catalog-outdoor",
            "/catalogoutlet",
            "/designoffice",
            "/log_output.txt",
            "/vlogouting",
        ] {
            assert!(!says_logout(target.as_bytes()), "{target}");
        }
    }
}
