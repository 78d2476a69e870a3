//! Owns who may ask the admin address: by token, and not through a browser that another site
//! steers (DNS rebinding, cross-site requests).
//! Never answers what was asked.

use std::net::IpAddr;

use crate::settings::Secret;
use crate::web::{Request, Response};

/// The access rules of the admin address.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// Names that this address may be asked by, besides addresses and `localhost`.
    pub(crate) hosts: Vec<String>,
    /// Asked for where there is one.
    pub(crate) token: Option<Secret>,
}

impl Guard {
    /// The refusal, when there is one.
    pub(crate) fn refuse(&self, request: &Request) -> Option<Response> {
        let host = request.field("host");
        // A browser always says whom it means. One that a rebound name led here says that name.
        if !host.is_empty() && !self.knows(name_of(host)) {
            let text = "This address is not known by that name; RETTER_ADMIN_HOSTS adds names.\n";
            return Some(Response::text(403, text));
        }
        let origin = request.field("origin");
        let is_foreign = !origin.is_empty()
            && !origin
                .strip_prefix("http://")
                .or_else(|| origin.strip_prefix("https://"))
                .is_some_and(|origin| origin.eq_ignore_ascii_case(host));
        let site = request.field("sec-fetch-site");
        if is_foreign || !matches!(site, "" | "same-origin" | "none") {
            return Some(Response::text(403, "Not for other sites.\n"));
        }
        // Whoever watches over the program may know that it is there. The page has nothing to hide: what
        // it shows is asked for with the token.
        let is_page = request.method != "POST" && super::dashboard::is_page(&request.path);
        if request.path == "/ready" || is_page {
            return None;
        }
        let token = self.token.as_ref()?;
        let (scheme, given) = request
            .field("authorization")
            .split_once(' ')
            .unwrap_or_default();
        if scheme.eq_ignore_ascii_case("bearer") && token.is(given.trim()) {
            return None;
        }
        let text = "The token is asked for: Authorization: Bearer (RETTER_ADMIN_TOKEN).\n";
        Some(Response::text(401, text).with("WWW-Authenticate", "Bearer"))
    }

    fn knows(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
        bare.unwrap_or(name).parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self
                .hosts
                .iter()
                .any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// The host without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            // The last group of an IPv6 address without brackets is no port; it is no Host either.
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    #[track_caller]
    fn check(path: &str, fields: &[(&str, &str)], expected: Option<u16>) {
        let guard = Guard {
            hosts: vec!["retter.internal".to_owned()],
            token: Some(Secret::parse(TOKEN).unwrap()),
        };
        let own = |text: &str| text.to_owned();
        let request = Request {
            method: own("GET"),
            path: own(path),
            fields: fields.iter().map(|(n, v)| (own(n), own(v))).collect(),
            ..Request::default()
        };
        let refusal = guard.refuse(&request);
        assert_eq!(
            refusal.map(|refusal| refusal.status),
            expected,
            "{fields:?}"
        );
    }

    #[test]
    fn names_and_sites() {
        let ready = |fields: &[(&str, &str)], expected| check("/ready", fields, expected);
        for host in [
            "127.0.0.1:8090",
            "127.0.0.1",
            "[::1]:8090",
            "10.0.0.7:8090",
            "localhost:8090",
            "LOCALHOST",
            "retter.internal:8090",
            "retter.internal.",
        ] {
            ready(&[("Host", host)], None);
        }
        for host in [
            "evil.example:8090",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "x:y",
        ] {
            ready(&[("Host", host)], Some(403));
        }
        let at = ("Host", "127.0.0.1:8090");
        ready(&[at, ("Origin", "http://127.0.0.1:8090")], None);
        for origin in [
            "http://evil.example",
            "null",
            "http://127.0.0.1",
            "http://127.0.0.1:8090.evil.example",
            "127.0.0.1:8090",
        ] {
            ready(&[at, ("Origin", origin)], Some(403));
        }
        ready(&[at, ("Sec-Fetch-Site", "cross-site")], Some(403));
        ready(&[at, ("Sec-Fetch-Site", "none")], None);
        ready(&[], None);
    }

    #[test]
    fn tokens() {
        check("/health", &[], Some(401));
        check("/overview", &[], Some(401));
        check("/", &[], None);
        check("/dashboard.js", &[], None);
        for value in ["", "Bearer", "Bearer ", "Basic 0123456789abcdef", TOKEN] {
            check("/health", &[("Authorization", value)], Some(401));
        }
        for value in [
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdeff",
            "Bearer 0123456789abcdeX",
        ] {
            check("/health", &[("Authorization", value)], Some(401));
        }
        check(
            "/health",
            &[("Authorization", "Bearer 0123456789abcdef")],
            None,
        );
        check(
            "/health",
            &[("authorization", "bearer  0123456789abcdef")],
            None,
        );
    }
}
