//! Owns by which cookies a visitor is known to have signed in.
//! Never knows whether it is still so: that costs a copy and no more.

use super::cookies::{cookies, is_nothing};
use crate::message::Fields;

/// Whether one of the cookies says by its name that its visitor has signed in, or has been signed in
/// before. Those that applications give to everybody to guard their forms do not.
pub(crate) fn says_login(request: &Fields) -> bool {
    cookies(request).any(|cookie| is_of_login(cookie.name) && !is_nothing(cookie.value))
}

/// Whether a cookie of this name is there for those who have signed in.
pub(super) fn is_of_login(name: &[u8]) -> bool {
    const PARTS: [&[u8]; 9] = [
        b"access_token",
        b"auth",
        b"id_token",
        b"jwt",
        b"logged",
        b"login",
        b"refresh",
        b"remember",
        b"signed",
    ];
    /// Given to everybody: to guard forms, or to remember the way back.
    const OF_ALL: [&[u8]; 3] = [b"callback", b"csrf", b"xsrf"];
    const WHOLE: [&[u8]; 8] = [
        b".aspnetcore.cookies",
        b".aspxauth",
        b"__host-next-auth.session-token",
        b"__secure-next-auth.session-token",
        b"cakecookie[remember]",
        b"nc_token",
        b"token",
        b"wordpress_sec",
    ];
    let has = |part: &[u8]| {
        let mut places = name.windows(part.len());
        places.any(|place| place.eq_ignore_ascii_case(part))
    };
    !OF_ALL.iter().any(|part| has(part))
        && (PARTS.iter().any(|part| has(part))
            || has(b"wordpress_sec_")
            || WHOLE.iter().any(|whole| name.eq_ignore_ascii_case(whole)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_that_speak_of_a_login() {
        let says =
            |cookies: &str| says_login(&Fields::from_pairs([("cookie", cookies.as_bytes())]));
        for cookies in [
            "a=1; wordpress_logged_in_5f=anna%7C1",
            "remember_web_59ba=x",
            "REMEMBERME=x",
            "rememberMe=1",
            "auth_token=x",
            "next-auth.session-token=x",
            "__Secure-authjs.session-token=x",
            ".AspNetCore.Cookies=x",
            "wordpress_sec_1=x",
            "isLoggedIn=1",
            "JWT=x",
        ] {
            assert!(says(cookies), "{cookies}");
        }
        for cookies in [
            "",
            "PHPSESSID=a; laravel_session=b; XSRF-TOKEN=c",
            "csrftoken=a; sessionid=b",
            "next-auth.csrf-token=a; next-auth.callback-url=b",
            "logged_in=false; auth_token=; remember_me=null",
            "wordpress_test_cookie=WP; theme=dark",
        ] {
            assert!(!says(cookies), "{cookies}");
        }
    }
}
