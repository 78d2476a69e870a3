//! Tests of what cookies of an answer do to a session.

use super::*;

#[track_caller]
fn check_change(cookies: &str, response: &[(&str, &str)], expected: SessionChange) {
    let change = keyer().session_change(&with_cookies(cookies), &fields(response));
    assert_eq!(change, expected);
}

#[track_caller]
fn check_set(cookies: &str, line: &str, expected: SessionChange) {
    let date = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
    check_change(cookies, &[date, ("Set-Cookie", line)], expected);
}

#[test]
fn a_session_begins_or_changes() {
    use SessionChange::{ChangesSession, None, SetsCookie};

    check_change("PHPSESSID=1", &[], None);
    check_set("", "_ga=1; Path=/", None);
    check_set("", "theme=dark", SetsCookie);
    check_set("theme=dark", "theme=dark; Max-Age=60", None);
    check_set("theme=dark", "theme=light", SetsCookie);
    check_set("", "PHPSESSID=1; path=/; HttpOnly", ChangesSession);
    check_set("PHPSESSID=1", "PHPSESSID=1; path=/", None);
    check_set("PHPSESSID=1", " PHPSESSID = 1 ;Max-Age= 3600", None);
    check_set("PHPSESSID=1", "PHPSESSID=2", ChangesSession);
    check_set("PHPSESSID=1; PHPSESSID=2", "PHPSESSID=1", ChangesSession);
    check_set("PHPSESSID=1; PHPSESSID=1", "PHPSESSID=1", None);
}

#[test]
fn a_session_ends() {
    use SessionChange::{ChangesSession, None, SetsCookie};

    check_set("PHPSESSID=1", "PHPSESSID=", ChangesSession);
    check_set("PHPSESSID=1", "PHPSESSID", SetsCookie); // a nameless cookie, as browsers read it
    check_set(
        "PHPSESSID=1",
        "PHPSESSID=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT",
        ChangesSession,
    );
    check_set("sid=1", "sid=1; Max-Age=0", ChangesSession);
    check_set(
        "sid=1",
        "sid=1; max-age=-5; Expires=Sun, 06 Nov 1999 08:49:37 GMT",
        ChangesSession,
    );
    check_set("sid=1", "sid=1; Max-Age=0x", None);
    check_set("sid=1", "sid=1; Max-Age=", None);
    check_set("sid=1", "sid=1; Max-Age=-", None);
    check_set(
        "sid=1",
        "sid=1; Max-Age=soon; Expires=Sat, 05-Nov-1994 08:49:37 GMT",
        ChangesSession,
    );
    check_set(
        "sid=1",
        "sid=1; Expires=Sat, 05 Nov 1994 08:49:37 GMT",
        ChangesSession,
    );
    check_set(
        "sid=1",
        "sid=1; Expires=Mon, 07 Nov 1994 08:49:37 GMT",
        None,
    );
    check_set(
        "sid=1",
        "sid=1; Expires=Mon, 07-Nov-1994 08:49:37 GMT",
        None,
    );
    check_set(
        "sid=1",
        "sid=1; Expires=Sat, 05 Nov 1994 08:49:37 GMT; Max-Age=60",
        None,
    );
    check_set("sid=1", "sid=1; Expires=0", None);
    check_change(
        "sid=1",
        &[("Set-Cookie", "sid=1; Expires=Mon, 07 Nov 2044 08:49:37 GMT")],
        ChangesSession,
    );
    check_set("", "sid=; Max-Age=0", None); // to forget what is not there changes nothing
    let two = [("Set-Cookie", "theme=dark"), ("set-cookie", "sid=2")];
    check_change("sid=1", &two, ChangesSession);
    check_change(
        "sid=1",
        &[("Clear-Site-Data", "\"cache\", \"cookies\"")],
        ChangesSession,
    );
    check_change("sid=1", &[("Clear-Site-Data", "\"*\"")], ChangesSession);
    check_change("sid=1", &[("Clear-Site-Data", "\"cache\"")], None);
}
