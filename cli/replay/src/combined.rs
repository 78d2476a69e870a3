//! Owns the Common and the Combined Log Format, as nginx and Apache write them, also with a
//! virtual host before the address.
//! Never believes a line: what is not of this form is refused with a reason.

use http::{Method, StatusCode};
use std::net::IpAddr;
use std::time::Duration;

use retter_core::report::Failure;
use retter_log::{Visitor, unescape};

use super::assume::Assumptions;
use super::line::{Answer, Line, Origin, Skipped, hash, request};
use super::when;

const NO_ADDRESS: Skipped = Skipped::Malformed("no address, identity and user before the time");
const NO_REQUEST_TEXT: Skipped = Skipped::Malformed("no request in quotes after the time");
const NO_SIZE: Skipped = Skipped::Malformed("no size after the status");
const NO_STATUS: Skipped = Skipped::Malformed("no status after the request");
const NO_TIME: Skipped = Skipped::Malformed("no time like [10/Oct/2000:13:55:36 -0700]");

/// Reads one line.
pub(super) fn parse(text: &[u8], assumptions: &Assumptions) -> Result<Line, Skipped> {
    let (who, rest) = split_once(text, b" [").ok_or(NO_TIME)?;
    let (time, rest) = split_once(rest, b"] ").ok_or(NO_TIME)?;
    let at = when::parse(time).ok_or(NO_TIME)?;
    let (host, address, user) = who_asked(who).ok_or(NO_ADDRESS)?;
    let (asked, rest) = quoted(rest).ok_or(NO_REQUEST_TEXT)?;
    let mut words = rest
        .split(|&byte| byte == b' ')
        .filter(|word| !word.is_empty());
    let status = words.next().ok_or(NO_STATUS)?;
    if status == b"-" || status == b"000" {
        return Err(Skipped::NoRequest);
    }
    let status = StatusCode::from_bytes(status).map_err(|_| NO_STATUS)?;
    let bytes = match words.next().ok_or(NO_SIZE)? {
        b"-" => 0,
        digits => number(digits).ok_or(NO_SIZE)?,
    };
    let (method, target) = request_line(&unescape(asked))?;
    let origin = origin(&method, status, bytes, assumptions);
    Ok(Line {
        at,
        is_coarse: true,
        client: address_of(address),
        host,
        method,
        origin,
        target,
        upgrades: status == StatusCode::SWITCHING_PROTOCOLS,
        visitor: named(user).unwrap_or_else(|| visitor(address, rest)),
        shared: named(user).unwrap_or(Visitor::Anybody),
    })
}

/// The virtual host if there is one, the address, and the user.
#[expect(clippy::type_complexity, reason = "three names of one line, used once")]
fn who_asked(text: &[u8]) -> Option<(Option<Box<str>>, &[u8], &[u8])> {
    let is_address = |word| address_of(word).is_some();
    let (first, rest) = split_once(text, b" ")?;
    let (second, rest) = split_once(rest, b" ")?;
    match split_once(rest, b" ") {
        Some((_, user)) if !is_address(first) && is_address(second) => {
            let host = std::str::from_utf8(first).ok().map(Into::into);
            Some((host, second, user))
        }
        // A user's name may have spaces.
        _ => Some((None, first, rest)),
    }
}

fn address_of(word: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// A user that the server has checked.
fn named(user: &[u8]) -> Option<Visitor> {
    let is_named = user != b"-" && !user.is_empty();
    is_named.then(|| Visitor::Session(hash(user)))
}

/// Each address with each user agent.
fn visitor(address: &[u8], rest: &[u8]) -> Visitor {
    let agent = agent(rest).unwrap_or_default();
    Visitor::Session(hash((address, agent)))
}

/// The second text in quotes; logs may have more fields behind it.
fn agent(rest: &[u8]) -> Option<&[u8]> {
    let (_referer, rest) = quoted(&rest[memchr::memchr(b'"', rest)?..])?;
    let (agent, _) = quoted(&rest[memchr::memchr(b'"', rest)?..])?;
    Some(agent)
}

fn request_line(text: &[u8]) -> Result<(Method, bytes::Bytes), Skipped> {
    let (method, rest) = split_once(text, b" ").ok_or(Skipped::NoRequest)?;
    let end = rest.iter().rposition(|&byte| byte == b' ');
    let target = match end {
        Some(end) if rest[end + 1..].starts_with(b"HTTP/") => &rest[..end],
        // HTTP/0.9 has no version; anything else with a space in it is no request.
        Some(_) => return Err(Skipped::NoRequest),
        None => rest,
    };
    request(method, target)
}

fn origin(method: &Method, status: StatusCode, bytes: u64, assumptions: &Assumptions) -> Origin {
    let took = assumptions.origin_time;
    match status.as_u16() {
        // nginx's words for a client that left, and for a connection that it closed itself.
        444 | 499 => Origin::Left { took },
        502 if assumptions.gateway_errors => Origin::Failed {
            failure: Failure::Connect,
            took,
        },
        // As long as the settings under test allow.
        504 if assumptions.gateway_errors => Origin::Failed {
            failure: Failure::Timeout,
            took: Duration::MAX,
        },
        _ => Origin::Answered(Answer {
            // An answer to HEAD has the length of nothing.
            version: (status == StatusCode::OK && method != Method::HEAD).then_some(bytes),
            ..Answer::whole(status, bytes, took, assumptions.cache_control.as_deref())
        }),
    }
}

/// A text in quotes at the start, escaped as it is, and what comes after it.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = text.strip_prefix(b"\"")?;
    let mut at = 0;
    loop {
        match inside.get(at)? {
            b'"' => return Some((&inside[..at], &inside[at + 1..])),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn split_once<'a>(text: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memchr::memmem::find(text, mark)?;
    Some((&text[..at], &text[at + mark.len()..]))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Line, Skipped> {
        parse(text.as_bytes(), &Assumptions::default())
    }

    fn line(before: &str, request: &str, after: &str) -> String {
        format!("{before} [10/Oct/2000:13:55:36 +0000] \"{request}\" {after}")
    }

    #[test]
    fn forms_of_lines() {
        #[track_caller]
        fn check(text: &str, method: &str, target: &[u8], host: Option<&str>) {
            let line = read(text).unwrap();
            assert_eq!((line.method.as_str(), &line.target[..]), (method, target));
            assert_eq!(line.host.as_deref(), host);
            assert_eq!(line.at, 971_186_136 * when::NANOS_PER_SEC);
        }
        let tail = "200 12 \"-\" \"curl/8.5\"";
        let get = "GET /a?b=c HTTP/1.1";
        check(&line("192.0.2.1 - -", get, tail), "GET", b"/a?b=c", None);
        check(
            &line("192.0.2.1 - -", get, "200 12"),
            "GET",
            b"/a?b=c",
            None,
        );
        check(
            &line("2001:db8::1 - -", get, "200 -"),
            "GET",
            b"/a?b=c",
            None,
        );
        check(
            &line("host.example - anna b", get, tail),
            "GET",
            b"/a?b=c",
            None,
        );
        let vhost = "shop.example:443 192.0.2.1 - -";
        check(
            &line(vhost, get, tail),
            "GET",
            b"/a?b=c",
            Some("shop.example:443"),
        );
        let more = "201 12 \"-\" \"a \\\"b\\\" c\" 0.123 \"extra\"";
        check(
            &line("::1 - -", "PUT /x HTTP/2.0", more),
            "PUT",
            b"/x",
            None,
        );
        check(&line("::1 - -", "GET /old", tail), "GET", b"/old", None);
        // nginx, then Apache.
        let escaped = "GET /\\x22\\xC3\\xBC HTTP/1.1";
        check(&line("::1 - -", escaped, tail), "GET", b"/\"\xc3\xbc", None);
        let escaped = "GET /\\\"\\\\ HTTP/1.1";
        check(&line("::1 - -", escaped, tail), "GET", b"/\"\\", None);
        check(
            &line("::1 - -", "GET /\\xZZ HTTP/1.1", tail),
            "GET",
            b"/\\xZZ",
            None,
        );
    }

    #[test]
    fn lines_that_are_not_replayed() {
        #[track_caller]
        fn check(text: &str, why: Skipped) {
            assert_eq!(read(text), Err(why), "{text}");
        }
        let none = Skipped::NoRequest;
        check(&line("::1 - -", "-", "408 0 \"-\" \"-\""), none);
        check(
            &line("::1 - -", "\\x16\\x03\\x01\\x02\\x00", "400 157"),
            none,
        );
        check(
            &line("::1 - -", "GET /a b HTTP/1.1", "400 0"),
            Skipped::NoRequest,
        );
        check(&line("::1 - -", "GET /a b", "400 0"), none);
        check(&line("::1 - -", "GET /a\\x0D HTTP/1.1", "400 0"), none);
        check(&line("::1 - -", "CONNECT a:443 HTTP/1.1", "405 0"), none);
        check(&line("::1 - -", "GET / HTTP/1.1", "- 0"), none);
        check("", NO_TIME);
        check("nonsense", NO_TIME);
        check("::1 - - [yesterday] \"GET / HTTP/1.1\" 200 1", NO_TIME);
        check(&line("::1", "GET / HTTP/1.1", "200 1"), NO_ADDRESS);
        check(
            "::1 - - [10/Oct/2000:13:55:36 +0000] GET / 200",
            NO_REQUEST_TEXT,
        );
        check(
            "::1 - - [10/Oct/2000:13:55:36 +0000] \"GET /\\",
            NO_REQUEST_TEXT,
        );
        check(&line("::1 - -", "GET / HTTP/1.1", ""), NO_STATUS);
        check(&line("::1 - -", "GET / HTTP/1.1", "99 1"), NO_STATUS);
        check(&line("::1 - -", "GET / HTTP/1.1", "200"), NO_SIZE);
        check(&line("::1 - -", "GET / HTTP/1.1", "200 -1"), NO_SIZE);
    }

    #[test]
    fn who_shares_copies() {
        let of = |before: &str, agent: &str| {
            let after = format!("200 1 \"http://referrer/\" \"{agent}\"");
            let text = line(before, "GET / HTTP/1.1", &after);
            parse(text.as_bytes(), &Assumptions::default()).unwrap()
        };
        let visitor = |before: &str, agent: &str| of(before, agent).visitor;
        assert_eq!(visitor("::1 - -", "a"), visitor("::1 - -", "a"));
        assert_ne!(visitor("::1 - -", "a"), visitor("::1 - -", "b"));
        assert_ne!(visitor("::1 - -", "a"), visitor("::2 - -", "a"));
        // What a log has behind the agent, as the time that it took, says nothing of the user.
        let timed = |time: &str| {
            let agent = format!("a \\\"b\\\"\" {time} \"-");
            visitor("::1 - -", &agent)
        };
        assert_eq!(timed("0.123"), timed("0.456"));
        assert_eq!(of("::1 - -", "a").shared, Visitor::Anybody);
        let anna = of("::1 - anna", "a").shared;
        assert_eq!(anna, visitor("::2 - anna", "b"));
        assert_ne!(anna, Visitor::Anybody);
        assert_ne!(visitor("::1 - anna b", "a"), visitor("::1 - carl b", "a"));
        let vhost = visitor("shop.example ::1 - anna b", "a");
        assert_eq!(vhost, visitor("::1 - anna b", "a"));
    }

    #[test]
    fn what_a_status_means() {
        let of = |status: &str, gateway_errors| {
            let assumptions = Assumptions {
                gateway_errors,
                ..Assumptions::default()
            };
            let text = line("::1 - -", "GET / HTTP/1.1", &format!("{status} 7"));
            parse(text.as_bytes(), &assumptions).unwrap().origin
        };
        let failed = |origin| match origin {
            Origin::Failed { failure, .. } => Some(failure),
            Origin::Answered(_) | Origin::Left { .. } | Origin::NotAsked { .. } => None,
        };
        assert_eq!(failed(of("502", true)), Some(Failure::Connect));
        assert_eq!(failed(of("504", true)), Some(Failure::Timeout));
        assert_eq!(failed(of("502", false)), None);
        assert_eq!(failed(of("503", true)), None);
        assert!(matches!(of("499", true), Origin::Left { .. }));
        let Origin::Answered(answer) = of("200", true) else {
            panic!("200 is an answer");
        };
        assert_eq!((answer.bytes, answer.version), (7, Some(7)));
        let head = read(&line("::1 - -", "HEAD / HTTP/1.1", "200 0")).unwrap();
        let Origin::Answered(answer) = head.origin else {
            panic!("200 is an answer");
        };
        assert_eq!(answer.version, None);
    }
}
